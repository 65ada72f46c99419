"""Blocking work in a thread, under cancellation: the thread is waited for, because it holds the caller's buffers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

__all__ = ["outlast", "run_to_end"]

T = TypeVar("T")


async def run_to_end(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread and return its result; a cancellation takes effect when it has ended.

    ``anyio.to_thread`` promises this for scopes of anyio only: a plain ``task.cancel()`` leaves its thread behind.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await outlast(future)
        raise


async def outlast(future: asyncio.Future[T]) -> None:
    """Wait for a future that is about to end, however often the waiting task is cancelled."""
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()  # seen: there is nobody left to tell
