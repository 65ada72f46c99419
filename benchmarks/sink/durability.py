"""What durability costs: CPU of `crash` and `power` against `none`, and recovering against sending.

    python benchmarks/sink/durability.py [--mib 1024] [--packet 65536] [--rounds 5] [--same]

The three write the same stream to the null server, by turns, each in a process of its own. For recovering, a stream is
taken into the spool while its store is away, and sent from there by `recover`; the time is compared with that of the
stream written to the store at once. The spool is in the directory for temporary files.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import contenders
import running
from bakeoff import spread
from measure import cpu_s
from workload import MIB, Job, packets

LEVELS = ("none", "crash", "power")


async def written(job: Job, durability: str) -> dict[str, float]:
    """Write a stream to the store."""
    warm = Job(**{**asdict(job), "key": "warm", "size": job.part + 1})
    await contenders.penstock(warm, packets(warm), durability)
    cpu, started = cpu_s(), time.perf_counter()
    await contenders.penstock(job, packets(job), durability)
    return {"cpu_s": cpu_s() - cpu, "seconds": time.perf_counter() - started}


async def recovered(job: Job) -> dict[str, float]:
    """Take a stream into the spool while nothing answers, then recover it."""
    from penstock.stores.durable import Spool, StateDirectory, UploadRecord
    from penstock.stores.durable.recover import recover
    from penstock.stores.layers.retry import RetryPolicy
    from penstock.stores.multipart import UploadOptions, open_upload

    options = UploadOptions(chunk_size=job.part, parts_in_flight=job.in_flight)
    away = contenders.penstock_store(Job(**{**asdict(job), "endpoint": "http://127.0.0.1:9"}))
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        state = StateDirectory(directory)
        spool = Spool.create(state, UploadRecord("benchmark", job.key, away.url, options=options))
        hasty = replace(
            options, retry=RetryPolicy(deadline_s=0.1)
        )  # a writer waits a little until it knows of an outage
        async with open_upload(away, job.key, hasty, journal=spool) as upload:
            async for batch in packets(job):
                await upload.write_many(batch)
            await upload.keep("measured")
        await away.aclose()
        cpu, started = cpu_s(), time.perf_counter()
        outcomes = [one async for one in recover(state, lambda _record: contenders.penstock_store(job))]
        seconds = time.perf_counter() - started
    if [(one.outcome, one.size) for one in outcomes] != [("marked", job.size)]:
        raise running.Failed(f"recovered {outcomes}")
    return {"cpu_s": cpu_s() - cpu, "seconds": seconds}


def in_a_process(what: str, job: Job) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", json.dumps([what, asdict(job)])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    if done.returncode:
        raise running.Failed(done.stderr[-2000:])
    return json.loads(done.stdout)


def report(runs: Mapping[str, Sequence[Mapping[str, float]]], job: Job) -> None:
    print("| | CPU s/GB | quartiles | of none | quartiles | MB/s |\n|---|---|---|---|---|---|")
    for what, rounds in runs.items():
        cpu = [one["cpu_s"] / job.size * 1e9 for one in rounds]
        ratios = [one["cpu_s"] / base["cpu_s"] for one, base in zip(rounds, runs["none"], strict=True)]
        speed = job.size / 1e6 / statistics.median(one["seconds"] for one in rounds)
        print(f"| {what} | {' | '.join([*spread(cpu), *spread(ratios), f'{speed:.0f}'])} |")
    times = [one["seconds"] / base["seconds"] for one, base in zip(runs["recover"], runs["none"], strict=True)]
    print(f"\nrecovering takes {spread(times)[0]} ({spread(times)[1]}) of the time of sending")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--packet", type=int, default=64 << 10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--same", action="store_true", help="the same 3 MiB again and again, not ever new packets")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        what, job = json.loads(options.one)
        work = recovered(Job(**job)) if what == "recover" else written(Job(**job), what)
        print(json.dumps(asyncio.run(work)))
        return
    with running.null_server() as server:
        job = Job(server.endpoint, None, options.mib * MIB, options.packet, fresh=not options.same)
        runs = {what: [] for what in (*LEVELS, "recover")}
        for _ in range(options.rounds):
            for what, rounds in runs.items():
                rounds.append(in_a_process(what, job))
        print(f"\npackets of {options.packet} B, {options.mib} MiB, {options.rounds} rounds\n")
        report(runs, job)


if __name__ == "__main__":
    main()
