"""Many live recordings in one process: how long a write waits until its bytes are safe, and the memory of all.

    python benchmarks/sink/streams.py [--streams 500] [--kbits 64] [--seconds 20] [--durability crash]

Every stream writes a packet every 20 ms, at an instant of its own, to the null server, from a spool in the directory
for temporary files. What is timed is the call of `write`; with `none` it says only that the bytes are in memory. The
last line compares with what is promised; exit status 1 if it does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import sys
import tempfile
import time
from contextlib import AsyncExitStack

import contenders
import running
from workload import MIB, Job, memory_kib

PACKET_S = 0.02
PROMISED = {"none": (5.0, 300), "crash": (5.0, 300), "power": (100.0, 300)}
"""Milliseconds of the slowest write in a hundred, and MiB of resident memory."""


async def record(upload: object, packet: int, seconds: float, start: float, waits: list[float]) -> None:
    """Write one stream; a packet that is late is written at once."""
    loop = asyncio.get_running_loop()
    due = start + random.random() * PACKET_S
    data = random.randbytes(packet)
    while due < start + seconds:
        await asyncio.sleep(due - loop.time())
        begun = time.perf_counter()
        await upload.write(data)  # type: ignore[attr-defined]
        waits.append(time.perf_counter() - begun)
        due += PACKET_S


async def run(options: argparse.Namespace, endpoint: str) -> tuple[list[float], float, float]:
    """Write all streams; return the waits in seconds, CPU seconds per second, and resident MiB at their end."""
    from penstock.stores.durable import Spool, StateDirectory, UploadRecord
    from penstock.stores.multipart import UploadOptions, open_upload

    store = contenders.penstock_store(Job(endpoint, None, 0, in_flight=16))
    state = StateDirectory(tempfile.mkdtemp(prefix="penstock-bench-"))
    upload_options = UploadOptions(chunk_size=5 * MIB)
    waits: list[float] = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.aclose)
        uploads = []
        for number in range(options.streams):
            key = f"take-{number}"
            journal = None
            if options.durability != "none":
                level = options.durability
                record_ = UploadRecord(key, key, store.url, options=upload_options, durability=level)
                journal = Spool.create(state, record_)
            opened = open_upload(store, key, upload_options, journal=journal)
            uploads.append(await stack.enter_async_context(opened))
        packet = round(options.kbits * 1000 / 8 * PACKET_S)
        start, cpu = asyncio.get_running_loop().time() + 0.5, time.process_time()
        async with asyncio.TaskGroup() as group:
            for upload in uploads:
                group.create_task(record(upload, packet, options.seconds, start, waits))
        cpu = (time.process_time() - cpu) / options.seconds
        rss_mib = memory_kib("VmRSS") / 1024
    return waits, cpu, rss_mib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--kbits", type=float, default=64, help="of each stream, in kbit/s")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--durability", choices=PROMISED, default="crash")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with running.null_server() as server:
        waits, cpu, rss_mib = asyncio.run(run(options, server.endpoint))
    waits.sort()
    p50, p99, worst = (1000 * waits[round(share * (len(waits) - 1))] for share in (0.5, 0.99, 1))
    expected = options.streams * options.seconds / PACKET_S
    print(f"\n{options.streams} streams at {options.kbits:g} kbit/s, durability {options.durability}\n")
    print("| writes | of those due | p50 ms | p99 ms | worst ms | CPU of a core | RSS MiB |")
    print("|---|---|---|---|---|---|---|")
    due = len(waits) / expected
    print(f"| {len(waits)} | {due:.1%} | {p50:.2f} | {p99:.2f} | {worst:.1f} | {cpu:.0%} | {rss_mib:.0f} |")
    ms, mib = PROMISED[options.durability]
    print(f"\npromised: p99 {ms:g} ms, {mib} MiB")
    sys.exit(p99 > ms or rss_mib > mib)


if __name__ == "__main__":
    main()
