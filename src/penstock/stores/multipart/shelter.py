"""Work that a cancellation must not cut short.

A shielded anyio scope holds back the cancellation of scopes, not a second ``Task.cancel()``, which bare asyncio code
around us may send. Work in a task of its own is out of reach of both.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["shelter"]

T = TypeVar("T")


async def shelter(work: Coroutine[Any, Any, T], *, grace_s: float) -> T:
    """Wait for ``work``, holding back cancellations of the caller until it has ended.

    From the first cancellation on the work has ``grace_s`` seconds; then it is cancelled as well and waited for as
    long again. The cancellation goes on in any case; what the work returned or raised after it is dropped.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await _join(task, grace_s)
            task.cancel()
            await _join(task, grace_s)
        if task.done() and not task.cancelled():
            task.exception()  # seen: asyncio need not report it
        raise


async def _join(task: asyncio.Task[Any], timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not task.done() and loop.time() < deadline:
        with suppress(asyncio.CancelledError):  # held back: the first one is on its way already
            await asyncio.wait({task}, timeout=deadline - loop.time())
