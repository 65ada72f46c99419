"""One put, from its start to its exit code.

It is the node ``core::object_store_writer`` without a pipeline around it. The first SIGINT or SIGTERM ends the input
and lets the writer drain; a second one, or the end of the drain's time, cuts it short. Of that time a producer that
was told to end may use some: a pipe is read for a moment longer, as Ctrl-C reaches both its ends, and a command gets
the signal and half of the time, after which it is killed.
"""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import anyio

from penstock.cli.console import Exit
from penstock.cli.put_child import Child
from penstock.cli.put_context import PutContext
from penstock.cli.put_producer import Producer
from penstock.cli.put_progress import FAILED, RECOVERED, STOPPING, WARNING
from penstock.cli.put_source import PutSource, from_file, from_pipe, from_stdin
from penstock.cli.request import STDIO, ByteReceiver
from penstock.errors import PenstockError, RunCancelled, describe
from penstock.nodes.objects.object_store_writer import ObjectStoreWriter

if TYPE_CHECKING:
    from anyio.abc import TaskGroup, TaskStatus

    from penstock.cli.put import PutArguments
    from penstock.cli.put_progress import HumanEvents, JsonEvents
    from penstock.nodes.objects.config import ObjectStoreWriterConfig
    from penstock.stores.durable.recover import Recovered

__all__ = ["Put"]

LINGER_S: Final = 1.0
"""How long a pipe is read on after a signal, at most: a producer that got it too may end its stream properly."""


class Put:
    """A put, to be run once.

    Args:
        source: a path, or ``-``; None for a command.
        given: the command and what bounds the end.
        config: of the writer.
        told: who is told what happens.
    """

    def __init__(
        self, source: str | None, given: PutArguments, config: ObjectStoreWriterConfig, told: HumanEvents | JsonEvents
    ) -> None:
        self._name = source
        self._given = given
        self._told = told
        self._writer = ObjectStoreWriter(config)
        self._writer.progress_interval_s = 0.0  # the context has an interval of its own
        self._source: PutSource | None = None
        self._child: Child | None = None
        self._signal: int | None = None
        self._cut = ""

    async def run(self) -> int:
        """Store all that comes; return the exit code."""
        self._context = PutContext(self._told)
        self._scope = anyio.CancelScope()
        error: PenstockError | None = None
        with self._told:
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._listen, tasks)
                tasks.start_soon(self._context.keep_showing_progress)
                with self._scope:
                    try:
                        await self._store(tasks)
                    except PenstockError as failure:
                        error = failure
                tasks.cancel_scope.cancel()
            if self._scope.cancelled_caught:
                error = RunCancelled(f"the put was cut short: {self._cut or 'it did not drain in time'}")
            return self._conclude(error)

    def _conclude(self, error: PenstockError | None) -> int:
        code = 0 if self._signal is None else 128 + self._signal
        if error is not None and not isinstance(error, RunCancelled):
            code = int(Exit.FAILED)
        if self._context.kept:
            code = int(Exit.KEPT)
        if error is not None:
            self._told.tell(FAILED, error=describe(error), notes=list(getattr(error, "__notes__", ())), exit=code)
        return code

    async def _store(self, tasks: TaskGroup) -> None:
        """Open both ends and let the writer write. A command is started when the store has let us in."""
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self._close_writer)
            await self._recover_beside(ending)
            if self._name is not None:
                self._feed(await self._open(self._name, ending), ending)
            await self._writer.prepare(self._context)
            if self._name is None:
                if self._signal is not None:
                    return
                child = self._child = Child(self._given.command)
                ending.push_async_callback(child.aclose)
                tasks.start_soon(child.watch)
                self._feed(from_pipe(ByteReceiver(child.output, "the command's output"), child.verdict), ending)
            await self._writer.run(self._context)

    async def _recover_beside(self, ending: AsyncExitStack) -> None:
        if self._writer.config.durability == "none":
            return
        from penstock.cli.recover import in_words, recovering

        def tell(one: Recovered) -> None:
            self._told.tell(RECOVERED, line=in_words(one), **one.as_dict())

        await ending.enter_async_context(recovering([self._writer.config], self._context.stopping, tell))

    async def _open(self, name: str, ending: AsyncExitStack) -> PutSource:
        def warn(message: str) -> None:
            self._told.tell(WARNING, message=message)

        if name != STDIO:
            return await from_file(name, warn)
        if self._given.producer_pid is None:
            return from_stdin(None, warn)
        producer = Producer(self._given.producer_pid)
        ending.callback(producer.close)
        return from_stdin(producer.verdict, warn)

    def _feed(self, source: PutSource, ending: AsyncExitStack) -> None:
        self._source = source
        ending.callback(source.stop)
        self._told.expect(source.expected)
        self._context.feed(source)
        if self._signal is not None:
            source.finish(0)

    async def _close_writer(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._writer.close()

    # -- signals --------------------------------------------------------------------------------------

    async def _listen(self, tasks: TaskGroup, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                if self._signal is None:
                    self._stop(number, tasks)
                else:
                    self._cut = f"second signal, {number.name}"
                    self._scope.cancel()
                    self._kill()

    def _stop(self, number: signal.Signals, tasks: TaskGroup) -> None:
        self._signal = int(number)
        timeout_s = self._given.drain_timeout_s
        self._scope.deadline = anyio.current_time() + timeout_s
        self._told.tell(STOPPING, signal=number.name)
        self._context.stopping.set()
        if self._source is None:
            return
        if self._child is not None:
            self._child.pass_on(number)
            tasks.start_soon(self._kill_after, timeout_s / 2)
            self._source.finish(timeout_s * 3 / 4)
        elif self._source.expected is None:
            self._source.finish(min(LINGER_S, timeout_s / 4))
        else:
            self._source.finish(0)

    async def _kill_after(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self._kill()

    def _kill(self) -> None:
        if self._child is not None:
            self._child.pass_on(signal.SIGKILL)
