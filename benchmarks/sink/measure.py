"""One upload by one contender in a process of its own: run by ``bakeoff.py``, prints a line of JSON.

The contender is warmed up by an upload of two parts, so that its imports and tables are not counted. CPU time is that
of the process and of the children it waited for, user and system; memory is the peak over what there was before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from dataclasses import replace

import contenders
from workload import Job, memory_kib, packets, reset_peak

POLL_S = 0.02


def cpu_s() -> float:
    """User and system time so far, of this process and its ended children."""
    usages = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


async def measure(contender: contenders.Contender, job: Job) -> dict[str, float]:
    """Upload; return CPU seconds, elapsed seconds and the growth of memory in MiB."""
    if contender.program is None:
        warm = replace(job, key="warm", size=job.part + 1, packet=64 << 10)
        await contender.run(warm, packets(warm))
    reset_peak()
    before_kib = memory_kib("VmRSS")
    children_kib = asyncio.create_task(peak_of_children())
    cpu, started = cpu_s(), time.perf_counter()
    await contender.run(job, packets(job))
    seconds, cpu = time.perf_counter() - started, cpu_s() - cpu
    children_kib.cancel()
    grown_kib = memory_kib("VmHWM") - before_kib
    return {"cpu_s": cpu, "seconds": seconds, "grown_mib": (grown_kib + await children_kib) / 1024}


async def peak_of_children() -> int:
    """Watch the contender's processes until cancelled; return the sum of their peaks in KiB."""
    peaks: dict[int, int] = {}
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            for pid in contenders.CHILDREN:
                peaks[pid] = max(peaks.get(pid, 0), memory_kib("VmHWM", pid))
            await asyncio.sleep(POLL_S)
    return sum(peaks.values())


def main() -> None:
    name, job = json.loads(sys.argv[1])
    result = asyncio.run(measure(contenders.ALL[name], Job(**job)))
    print(json.dumps(result), flush=True)
    os._exit(0)  # some libraries leave threads that do not end


if __name__ == "__main__":
    main()
