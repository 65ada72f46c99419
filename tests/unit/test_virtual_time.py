"""The virtual clock: it jumps, in order, and only while everybody waits."""

import asyncio
import time

import anyio
import pytest
from anyio import to_thread

from penstock.testing import run_in_virtual_time


def test_a_day_of_sleep_takes_no_time_and_lasts_a_day():
    async def main():
        await anyio.sleep(86_400)
        return anyio.current_time()

    started = time.monotonic()
    assert run_in_virtual_time(main) == 86_400
    assert time.monotonic() - started < 5


def test_timers_fire_in_their_order_at_their_times():
    seen = []

    async def one(delay):
        await anyio.sleep(delay)
        seen.append((delay, anyio.current_time()))

    async def main():
        async with anyio.create_task_group() as tasks:
            for delay in (3, 1, 0.5, 2):
                tasks.start_soon(one, delay)

    run_in_virtual_time(main)
    assert seen == [(0.5, 0.5), (1, 1), (2, 2), (3, 3)]


def test_the_clock_stands_while_somebody_works():
    async def main():
        before = anyio.current_time()
        for _ in range(1_000):
            await asyncio.sleep(0)
        return anyio.current_time() - before

    assert run_in_virtual_time(main) == 0


def test_deadlines_threads_and_errors_work():
    async def main():
        with anyio.move_on_after(60) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert anyio.current_time() == 60
        assert await to_thread.run_sync(lambda: 7) == 7
        raise KeyError("told")

    with pytest.raises(KeyError, match="told"):
        run_in_virtual_time(main)
