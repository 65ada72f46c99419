"""How a source ends when its run is asked to stop: its waits are cut short, what it holds already is handed on."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["cut_short_by", "plain_errors"]


@asynccontextmanager
async def cut_short_by(stopping: anyio.Event) -> AsyncIterator[Callable[[], anyio.CancelScope]]:
    """Yield a function that returns a scope for one wait, which ends when ``stopping`` is set.

    Inside such a scope, opened after ``stopping`` was set, an operation that need not wait still succeeds::

        async with cut_short_by(ctx.stopping) as wait:
            with wait():
                packets = await received.receive_many()
    """
    scope = anyio.CancelScope()

    def wait() -> anyio.CancelScope:
        nonlocal scope
        scope = anyio.CancelScope()
        if stopping.is_set():
            scope.cancel()
        return scope

    async def watch() -> None:
        await stopping.wait()
        scope.cancel()

    with plain_errors():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            yield wait
            tasks.cancel_scope.cancel()


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise the first error of a task group itself: it is the one to tell, and it says where it came from."""
    try:
        yield
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from first.__cause__
