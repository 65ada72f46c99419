"""penstock's writer beside the other ways to stream into S3: CPU, speed and memory, against a null server.

    python benchmarks/sink/bakeoff.py [--tls] [--packets 256,4096,65536,1048576] [--mib 512] [--rounds 5]
    python benchmarks/sink/bakeoff.py --latency-ms 50 --conn-mbps 90 --in-flight 16

Every upload is a process of its own. Rounds are interleaved and each in another order, ratios are taken within a round,
so that what disturbs the machine disturbs all. CPU is user and system time, that of child processes included. Memory is
measured in a round of its own, in which every packet is a new object. The server shares the machine, so MB/s says less
than CPU; objects are checked for their size, which the server has counted.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import contenders
import running
from workload import MIB, Job

MEASURE = "obstore"


@dataclass
class Row:
    """What one contender did with packets of one size; a list entry a round, None where it failed."""

    runs: list[dict[str, float] | None] = field(default_factory=list)
    extra_mib: float | None = None
    problem: str | None = None


def bake_off(names: Sequence[str], job: Job, rounds: int) -> dict[str, Row]:
    """Run all contenders ``rounds`` times, and once for the memory."""
    rows = {name: Row() for name in names}
    dice = random.Random()
    present = [name for name in names if contenders.ALL[name].installed]
    for name in set(names) - set(present):
        rows[name].problem = "not installed"
    for turn in range(rounds + 1):
        for name in dice.sample(present, len(present)):
            row = rows[name]
            try:
                result = running.run(name, replace(job, fresh=turn == 0))
            except running.Failed as failure:
                row.problem = str(failure)
                row.runs.append(None)
                continue
            if turn == 0:
                row.extra_mib = result["grown_mib"]
            else:
                row.runs.append(result)
        print(f"{job.packet} B packets: round {turn} of {rounds}", file=sys.stderr, flush=True)
    return rows


def table(rows: dict[str, Row], job: Job) -> str:
    """The rows in Markdown, the cheapest first, the failures last."""
    lines = [
        "| | CPU s/GB | quartiles | of obstore | quartiles | MB/s | extra RSS MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    reference = rows[MEASURE].runs if MEASURE in rows else []
    entries = []
    for name, row in rows.items():
        runs = [run for run in row.runs if run]
        if not runs:
            entries.append((float("inf"), f"| {name} | {row.problem} | | | | | |"))
            continue
        cpu = [run["cpu_s"] / job.size * 1e9 for run in runs]
        ratios = [
            ours["cpu_s"] / theirs["cpu_s"]
            for ours, theirs in zip(row.runs, reference, strict=False)
            if ours and theirs
        ]
        speed = job.size / 1e6 / statistics.median(run["seconds"] for run in runs)
        extra = "-" if row.extra_mib is None else f"{row.extra_mib:.0f}"
        cells = [*spread(cpu), *spread(ratios), f"{speed:.0f}", extra]
        note = f" ({row.problem})" if row.problem else ""
        entries.append((statistics.median(cpu), f"| {name}{note} | {' | '.join(cells)} |"))
    return "\n".join([*lines, *(line for _, line in sorted(entries))])


def spread(values: Sequence[float]) -> tuple[str, str]:
    """Median, and first and third quartile."""
    if not values:
        return "-", "-"
    if len(values) == 1:
        return f"{values[0]:.2f}", "-"
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return f"{median:.2f}", f"{first:.2f}-{third:.2f}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tls", action="store_true", help="https, with a certificate made for the run")
    parser.add_argument("--packets", default="256,4096,65536,1048576", help="sizes in bytes, by commas")
    parser.add_argument("--mib", type=int, default=512, help="size of an object")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part-mib", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=4, help="parts on their way at once")
    parser.add_argument("--latency-ms", default="0", help="of every answer of the server")
    parser.add_argument("--conn-mbps", default="0", help="bandwidth of each connection in MB/s")
    parser.add_argument("--fault-share", default="0", help="share of the parts that the server fails, 0 to 1")
    parser.add_argument("--contenders", default=",".join(contenders.ALL), help="by commas")
    parser.add_argument("--json", type=Path, help="keep every run in this file")
    options = parser.parse_args()
    unknown = set(options.contenders.split(",")) - set(contenders.ALL)
    if unknown:
        parser.error(f"no contender is called {', '.join(sorted(unknown))}; there are: {', '.join(contenders.ALL)}")
    return options


def main() -> None:
    options = parse()
    conduct = ["latency-ms", "conn-mbps", "fault-share"]
    arguments = [word for name in conduct for word in (f"--{name}", getattr(options, name.replace("-", "_")))]
    kept = {}
    with running.null_server(*arguments, tls=options.tls) as server:
        for packet in map(int, options.packets.split(",")):
            part = options.part_mib * MIB
            job = Job(server.endpoint, server.ca_file, options.mib * MIB, packet, part, options.in_flight)
            rows = bake_off(options.contenders.split(","), job, options.rounds)
            scheme = "HTTPS" if options.tls else "HTTP"
            print(
                f"\n{scheme}, packets of {packet} B, {options.mib} MiB, {options.in_flight} parts in flight, ", end=""
            )
            print(f"{options.rounds} rounds\n\n{table(rows, job)}", flush=True)
            kept[packet] = {name: vars(row) for name, row in rows.items()}
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
