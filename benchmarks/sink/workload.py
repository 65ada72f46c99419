"""What every contender is given: a job, and a stream of packets whose end nobody knows beforehand."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

MIB = 1 << 20
BATCH_PACKETS = 256  # about what a channel hands over at once


@dataclass(frozen=True)
class Job:
    """One upload.

    Attributes:
        endpoint: ``http(s)://127.0.0.1:port``.
        ca_file: PEM file of the authority of an https endpoint.
        size: bytes of the object.
        packet: bytes of a packet.
        part: bytes of a part.
        in_flight: parts that may be on their way at once.
        fresh: every packet is a new object, as from a socket; otherwise the same 3 MiB come again and again, so that
            making them is not what is measured.
    """

    endpoint: str
    ca_file: str | None
    size: int
    packet: int = 64 << 10
    part: int = 8 * MIB
    in_flight: int = 4
    fresh: bool = False
    bucket: str = "bench"
    key: str = "object"
    region: str = "us-east-1"
    access_key_id: str = "benchmark"
    secret_access_key: str = "not-a-secret"

    @property
    def tls(self) -> bool:
        return self.endpoint.startswith("https:")


Packets = AsyncIterator[list[bytes]]


async def packets(job: Job) -> Packets:
    """Yield lists of packets, at most 256 and 1 MiB at once; the event loop gets a turn after each."""
    ring = random.Random(7).randbytes(3 * MIB)
    view = memoryview(ring)
    stock = [bytes(view[start : start + job.packet]) for start in range(0, len(ring), job.packet)]
    per_batch = max(1, min(BATCH_PACKETS, MIB // job.packet))
    left, at = job.size, 0
    while left > 0:
        batch = stock[at : at + per_batch]
        at = (at + per_batch) % len(stock)
        if job.fresh:
            batch = [bytes(bytearray(packet)) for packet in batch]
        held = sum(map(len, batch))
        if held > left:
            joined = b"".join(batch)[:left]
            batch = [joined[start : start + job.packet] for start in range(0, left, job.packet)]
        left -= held
        yield batch
        await asyncio.sleep(0)


async def blocks(source: Packets, size: int = MIB) -> AsyncIterator[bytes]:
    """Join packets into blocks of ``size`` bytes or a little more, as clients that dislike small writes want them."""
    pending: list[bytes] = []
    held = 0
    async for batch in source:
        pending += batch
        held += sum(map(len, batch))
        if held >= size:
            yield pending[0] if len(pending) == 1 else b"".join(pending)
            pending, held = [], 0
    if pending:
        yield b"".join(pending)


def memory_kib(field: str, pid: int | str = "self") -> int:
    """``VmRSS`` or ``VmHWM`` of a process, in KiB; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 - read every few milliseconds
            return next((int(line.split()[1]) for line in status if line.startswith(field)), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def reset_peak() -> None:
    """Let ``VmHWM`` begin again from the present size."""
    fd = os.open("/proc/self/clear_refs", os.O_WRONLY)
    try:
        os.write(fd, b"5")
    finally:
        os.close(fd)
