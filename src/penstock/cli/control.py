"""``--control``: messages for a run, a line each, from standard input or through a Unix socket.

Any number of programs may talk through the socket, one after the other or at the same time; each gets the answers to
its own messages, in their order, also to those that it has sent when the run ends. Only the user who started the run
may connect.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import SocketAttribute

from penstock.cli.console import emit, silence
from penstock.cli.request import STDIO, ByteReceiver
from penstock.engine.messages import MAX_MESSAGE, answer, refusal
from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any, TextIO

    from anyio.abc import SocketListener, SocketStream

    from penstock.engine.run import Run

__all__ = ["controlled"]

RETRY_S: Final = 0.1
"""Until another connection is tried after one that could not be had."""

GRACE_S: Final = 1.0
"""How long the end of the run waits for programs that do not read their answers."""


@asynccontextmanager
async def controlled(run: Run, where: str | None, stream: TextIO) -> AsyncIterator[None]:
    """While the block runs, follow the messages that come.

    Args:
        run: what they control.
        where: the path of the socket to make, ``-`` for standard input, or None for nothing at all.
        stream: where the answers to standard input go.

    Raises:
        ConfigurationError: the socket cannot be made.
    """
    if where is None:
        yield
    elif where == STDIO:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_follow_standard_input, run, stream)
            yield
            tasks.cancel_scope.cancel()
    else:
        async with await _listen(Path(where)) as listener, anyio.create_task_group() as tasks:
            made = os.lstat(where)
            port = _Port(run, listener)
            tasks.start_soon(port.serve)
            try:
                yield
            finally:
                _remove(Path(where), made)
            await port.end()
            tasks.cancel_scope.cancel()


async def _listen(path: Path) -> SocketListener:
    """Make the socket.

    Raises:
        ConfigurationError: it cannot be made.
    """
    _make_way(path)
    try:
        return await anyio.create_unix_listener(path, mode=0o600)
    except OSError as error:
        raise ConfigurationError(f"--control {path}: {error.strerror or error}") from error


def _remove(path: Path, made: os.stat_result) -> None:
    """Remove the socket that was made, and nothing that has come in its place; if it cannot be, it stays."""
    with suppress(OSError):
        if os.path.samestat(path.lstat(), made):
            path.unlink()


def _make_way(path: Path) -> None:
    """Remove the socket of a process that has died, and nothing else.

    Raises:
        ConfigurationError: something else is there, or somebody listens.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"--control {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"--control {path}: there is something already, and it is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise ConfigurationError(f"--control {path}: {error.strerror}") from error
    raise ConfigurationError(f"--control {path}: another run listens there")


async def _follow_standard_input(run: Run, stream: TextIO) -> None:
    async def reply(made: dict[str, Any]) -> None:
        try:
            emit(made, stream)
        except OSError:  # nobody reads the answers any more; what is asked is done all the same
            silence(stream)

    await _follow(run, ByteReceiver(sys.stdin.buffer, "standard input").read, reply)


class _Port:
    """The socket of a run, and all who are connected to it."""

    def __init__(self, run: Run, listener: SocketListener) -> None:
        self._run = run
        self._listener = listener
        self._clients: set[SocketStream] = set()
        self._ended = anyio.Event()

    async def serve(self) -> None:
        """Follow whoever connects, until the end; without descriptors for more connections the run goes on."""
        async with anyio.create_task_group() as clients:
            with suppress(anyio.ClosedResourceError):
                while True:
                    try:
                        client = await self._listener.accept()
                    except anyio.BrokenResourceError:
                        await anyio.sleep(RETRY_S)
                    else:
                        self._clients.add(client)
                        clients.start_soon(self._follow_client, client)
        self._ended.set()

    async def end(self) -> None:
        """Accept and read nothing more, and let the answers go out to what was asked.

        Nothing that waits for the kernel is cancelled: news of a client in the same turn of the loop would meet a
        future that is done, and asyncio would complain.
        """
        await self._listener.aclose()
        for client in self._clients:
            with suppress(OSError):  # it has gone
                client.extra(SocketAttribute.raw_socket).shutdown(socket.SHUT_RD)  # noqa: S610 - no database
        with anyio.move_on_after(GRACE_S):
            await self._ended.wait()

    async def _follow_client(self, client: SocketStream) -> None:
        async def read() -> bytes:
            try:
                return await client.receive()
            except anyio.EndOfStream:
                return b""

        async def reply(made: dict[str, Any]) -> None:
            await client.send(json.dumps(made, default=str).encode() + b"\n")

        async with client:
            with suppress(anyio.BrokenResourceError):  # it has gone without a word
                await _follow(self._run, read, reply)
            self._clients.discard(client)


async def _follow(
    run: Run, read: Callable[[], Awaitable[bytes]], reply: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Follow messages, one a line, one after the other, until no more come; the last needs no line end."""
    held = b""
    ended = False
    while not ended:
        data = await read()
        ended = not data
        *lines, held = (held + data).split(b"\n")
        for line in [*lines, held] if ended else lines:
            if line.strip():
                await reply(await answer(run, line))
        if len(held) > MAX_MESSAGE:
            await reply(refusal(f"a message has at most {MAX_MESSAGE} bytes; nothing more is read"))
            return
