"""SIGINT and SIGTERM drain a run; the second one cuts it short."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.engine.run import Run

__all__ = ["SignalWatch", "drain_on_signals"]


class SignalWatch:
    """Which signal came first, if any: the process should end with 128 plus its number. ``came`` is set then."""

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self.came = anyio.Event()


@asynccontextmanager
async def drain_on_signals(run: Run) -> AsyncIterator[SignalWatch]:
    """While the block runs, the first SIGINT or SIGTERM stops ``run``, the next one aborts it."""
    watch = SignalWatch()

    async def listen() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            started.set()
            async for number in signals:
                if watch.first is None:
                    watch.first = number
                    watch.came.set()
                    run.stop(number.name)
                else:
                    run.abort(f"second signal, {number.name}")

    started = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await started.wait()
        yield watch
        group.cancel_scope.cancel()
