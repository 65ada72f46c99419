"""Memory of one long upload through a slow store: flat, whatever its length.

    python benchmarks/sink/memory.py [--gib 20] [--in-flight 4] [--part-mib 8] [--outage]

The source is much faster than the store, every packet is a new object, and resident memory is read twenty times a
second.
The table has it by tenths of the object; the last line compares its peak with what the parameters promise: one part
more than are in flight, and 16 MiB for everything else. Exit status 1 if it is more. With `--outage` the store is away
all the time, and the upload, of durability crash, goes into the spool in the directory for temporary files.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import contenders
import running
from workload import MIB, Job, Packets, memory_kib, packets

ALLOWANCE_MIB = 16
SAMPLE_S = 0.05


@dataclass(frozen=True)
class Sample:
    """Bytes that the source has handed over, the time since the start, and resident memory."""

    accepted: int
    seconds: float
    rss_mib: float


class Sampler:
    """Watches resident memory from a thread, so that a busy event loop hides nothing."""

    def __init__(self) -> None:
        self.accepted = 0
        self.samples: list[Sample] = []
        self._over = threading.Event()

    async def counted(self, source: Packets) -> AsyncIterator[list[bytes]]:
        async for batch in source:
            yield batch
            self.accepted += sum(map(len, batch))

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self) -> None:
        started = time.monotonic()
        while not self._over.wait(SAMPLE_S):
            rss_mib = memory_kib("VmRSS") / 1024
            self.samples.append(Sample(self.accepted, time.monotonic() - started, rss_mib))


def upload(job: Job) -> tuple[float, list[Sample]]:
    """Upload; return the MiB there were before, and the samples."""
    warm = replace(job, key="warm", size=job.part + 1)
    asyncio.run(contenders.penstock(warm, packets(warm)))
    before_mib = memory_kib("VmRSS") / 1024
    sampler = Sampler()
    with sampler.running():
        asyncio.run(contenders.penstock(job, sampler.counted(packets(job))))
    if running.stored_bytes(job) != job.size:
        raise running.Failed(f"the object has {running.stored_bytes(job)} bytes instead of {job.size}")
    return before_mib, sampler.samples


async def spooled(job: Job, source: Packets) -> None:
    """Take a stream into the spool while nothing answers."""
    from penstock.stores.durable import Spool, SpoolLimits, StateDirectory, UploadRecord
    from penstock.stores.multipart import UploadOptions, open_upload

    store = contenders.penstock_store(replace(job, endpoint="http://127.0.0.1:9"))
    options = UploadOptions(chunk_size=job.part, parts_in_flight=job.in_flight)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        record = UploadRecord("benchmark", job.key, store.url, options=options)
        journal = Spool.create(StateDirectory(directory), record, SpoolLimits(spool_bytes=2 * job.size))
        async with open_upload(store, job.key, options, journal=journal) as upload:
            async for batch in source:
                await upload.write_many(batch)
            await upload.keep("measured")
        await store.aclose()


def spool(job: Job) -> tuple[float, list[Sample]]:
    """The same while the store is away."""
    warm = replace(job, key="warm", size=job.part + 1)
    asyncio.run(spooled(warm, packets(warm)))
    before_mib = memory_kib("VmRSS") / 1024
    sampler = Sampler()
    with sampler.running():
        asyncio.run(spooled(job, sampler.counted(packets(job))))
    return before_mib, sampler.samples


def report(before_mib: float, samples: list[Sample], job: Job) -> float:
    """Print the table; return the peak over what there was before."""
    print("| GiB accepted | s | RSS MiB, least | most |\n|---|---|---|---|")
    for first, last in pairwise(round(job.size * tenth / 10) for tenth in range(11)):
        within = [sample for sample in samples if first < sample.accepted <= last]
        if within:
            rss = [sample.rss_mib for sample in within]
            print(f"| {last / (1 << 30):.2f} | {within[-1].seconds:.0f} | {min(rss):.0f} | {max(rss):.0f} |")
    return max(sample.rss_mib for sample in samples) - before_mib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--conn-mbps", default="20", help="bandwidth of each connection in MB/s")
    parser.add_argument("--in-flight", type=int, default=4)
    parser.add_argument("--part-mib", type=int, default=8)
    parser.add_argument("--outage", action="store_true", help="the store is away; the spool takes the stream")
    options = parser.parse_args()
    with running.null_server("--latency-ms", "20", "--conn-mbps", options.conn_mbps) as server:
        part = options.part_mib * MIB
        size = round(options.gib * (1 << 30))
        job = Job(server.endpoint, None, size, part=part, in_flight=options.in_flight, fresh=True)
        extra_mib = report(*(spool(job) if options.outage else upload(job)), job)
    promised_mib = (options.in_flight + 1) * options.part_mib + ALLOWANCE_MIB
    print(f"\npeak {extra_mib:.0f} MiB over the start; promised: {promised_mib} MiB")
    sys.exit(extra_mib > promised_mib)


if __name__ == "__main__":
    main()
