"""The request of a oneshot run on the command line: fields are files or standard input, the answer is a file.

``-i FILE`` feeds the field ``media``, ``-i name=FILE`` another one, ``-`` is standard input. A pipeline that asks for
nothing but a push of a button (``client.input.type: trigger``) needs none: its field is one empty packet. ``-o FILE``
appears under its name when the run has done its work; ``-o -`` is standard output, where a broken answer can only be
told by the exit code.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import anyio
from anyio import to_thread

from penstock.errors import ConfigurationError
from penstock.nodes.files.atomic import AtomicFile
from penstock.nodes.files.paths import open_errors, transfer_errors
from penstock.nodes.files.special import read_some, write_all
from penstock.nodes.http.request import DEFAULT_FIELD
from penstock.packets import Binary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.channels import Receiver
    from penstock.packets import Packet

__all__ = ["STDIO", "ByteReceiver", "CommandLineRequest", "open_for_reading", "parse_inputs"]

STDIO = "-"
BLOCK_BYTES = 64 * 1024


def parse_inputs(arguments: Sequence[str]) -> dict[str, str]:
    """Turn ``-i`` arguments into a table of field and file.

    A prefix up to ``=`` is a field name if it looks like one and no file of the whole name exists.

    Raises:
        ConfigurationError: a field is given twice, or standard input is, or a file has no name.
    """
    inputs: dict[str, str] = {}
    for argument in arguments:
        field, equals, path = argument.partition("=")
        if not equals or not field.isidentifier() or Path(argument).exists():
            field, path = DEFAULT_FIELD, argument
        if field in inputs:
            raise ConfigurationError(f"the input field '{field}' is given twice: -i {inputs[field]} and -i {path}")
        if path == STDIO and STDIO in inputs.values():
            raise ConfigurationError("standard input can feed one field only")
        if not path:
            raise ConfigurationError(f"the file for the input field '{field}' has no name: -i {argument!r}")
        inputs[field] = path
    return inputs


class CommandLineRequest:
    """A request whose fields are files and whose answer is a file."""

    def __init__(self, inputs: Mapping[str, str], output: str | None = None, *, trigger: bool = False) -> None:
        """Take the files by field.

        Args:
            inputs: path or ``-`` of each field that is given.
            output: path of the answer, ``-``, or None to only count it.
            trigger: a required field that is not given is one empty packet.
        """
        self._inputs = dict(inputs)
        self._trigger = trigger
        self._output = output
        self._answer: Answer | None = None

    async def open_input(self, field: str, *, required: bool) -> Receiver[Packet] | None:
        """Open the file of a field.

        Raises:
            ConfigurationError: a required field is missing, or its file cannot be read.
        """
        if field not in self._inputs:
            if not required:
                return None
            if self._trigger:
                return Push()
            example = "-i FILE" if field == DEFAULT_FIELD else f"-i {field}=FILE"
            raise ConfigurationError(f"the input '{field}' is missing: give it with {example} ('-' is standard input)")
        path = self._inputs[field]
        if path == STDIO:
            return ByteReceiver(sys.stdin.buffer, "standard input")
        with open_errors(Path(path)):
            return ByteReceiver(await to_thread.run_sync(open_for_reading, path), path)

    async def open_output(self, content_type: str) -> Answer:  # noqa: ARG002 - a file has no media type
        """Open the file of the answer.

        Raises:
            ConfigurationError: it cannot be written.
        """
        self._answer = await Answer.open(self._output)
        return self._answer

    async def finish(self, *, keep: bool) -> int | None:
        """Make a complete answer appear if it is to be kept; return its bytes, or None if it was dropped.

        Raises:
            StoreError: the answer could not be written; nothing is left of it.
        """
        return None if self._answer is None else await self._answer.finish(keep=keep)


class Answer:
    """The answer of a run: a file that appears when it is complete, standard output, or nothing but a count."""

    def __init__(self, file: AtomicFile | None, to_stdout: bool) -> None:
        self.size = 0
        self._file = file
        self._to_stdout = to_stdout
        self._complete = False

    @classmethod
    async def open(cls, target: str | None) -> Answer:
        """Start an answer that goes to a path, to ``-``, or nowhere."""
        if target is None or target == STDIO:
            return cls(None, target == STDIO)
        file = AtomicFile(target)
        await file.open()
        return cls(file, to_stdout=False)

    async def send(self, packet: Packet, /) -> None:
        """Write one packet."""
        await self.send_many((packet,))

    async def send_many(self, packets: Sequence[Packet], /) -> None:
        """Write packets in order; waits for the disk or the reader.

        Raises:
            StoreError: they cannot be written.
        """
        pieces = [packet.data for packet in packets if isinstance(packet, Binary)]
        if self._file is not None:
            await self._file.write(pieces)
        elif self._to_stdout:
            with transfer_errors("write", Path("standard output"), self.size):
                await write_all(sys.stdout.fileno(), b"".join(pieces), abandon=True)
        self.size += sum(map(len, pieces))

    def close(self) -> None:
        """Say that the answer is complete."""
        self._complete = True

    def fail(self, error: BaseException, /) -> None:  # noqa: ARG002 - the run reports it
        """Say that the answer is broken."""
        self._complete = False

    async def finish(self, *, keep: bool) -> int | None:
        """Make a complete answer appear; return its bytes, or None if it was dropped.

        Raises:
            StoreError: it cannot be written; nothing is left of it.
        """
        keep = keep and self._complete
        if self._file is not None:
            try:
                if keep:
                    await self._file.commit()
            finally:
                await self._file.discard()
        return self.size if keep else None


class Push:
    """The push of a button: one empty packet."""

    def __init__(self) -> None:
        self._packets: list[Packet] = [Binary(b"")]

    async def receive(self) -> Packet | None:
        """Return the packet, then None."""
        return self._packets.pop() if self._packets else None

    async def receive_many(self, limit: int = 0, /) -> list[Packet]:  # noqa: ARG002 - there is one
        """Return the packet, then an empty list."""
        packets, self._packets = self._packets, []
        return packets

    def stop(self) -> None:
        """Forget it."""
        self._packets.clear()


class ByteReceiver:
    """A file, pipe or terminal as a receiver of Binary packets; reading never blocks the event loop."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._read = 0
        self._stopped = False
        self._waits = _can_be_waited_for(file.fileno())

    async def receive(self) -> Packet | None:
        """Return the next piece, or None at the end of the file."""
        pieces = await self.receive_many(1)
        return pieces[0] if pieces else None

    async def receive_many(self, limit: int = 0, /) -> list[Packet]:  # noqa: ARG002 - a piece at a time
        """Return the next piece, as ``read`` does; an empty list at the end of the file.

        Raises:
            StoreError: the file cannot be read any further.
        """
        data = await self.read()
        return [Binary(data)] if data else []

    def skip(self, count: int) -> None:
        """Leave out so many bytes of a regular file; does nothing to what can be read only once."""
        descriptor = self._file.fileno()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.lseek(descriptor, count, os.SEEK_CUR)

    async def read(self) -> bytes:
        """Return the next piece of at most 64 KiB, waiting for it; empty at the end of the file.

        A read that is cancelled loses nothing.

        Raises:
            StoreError: the file cannot be read any further.
        """
        if self._stopped:
            return b""
        descriptor = self._file.fileno()
        with transfer_errors("read", Path(self._name), self._read):
            data = await (_read_when_ready(descriptor) if self._waits else read_some(descriptor, BLOCK_BYTES))
        if not data:
            self.stop()
        self._read += len(data)
        return data

    def stop(self) -> None:
        """Read no more."""
        if not self._stopped and self._file is not sys.stdin.buffer:
            self._file.close()
        self._stopped = True


def open_for_reading(path: str) -> BinaryIO:
    """Open a file for reading; of a FIFO this does not wait for the writer, its first byte is waited for instead."""
    return open(path, "rb", 0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY))


async def _read_when_ready(descriptor: int) -> bytes:
    while True:
        await anyio.wait_readable(descriptor)
        try:
            return os.read(descriptor, BLOCK_BYTES)
        except BlockingIOError:  # somebody else, who shares the pipe, was quicker
            continue


def _can_be_waited_for(descriptor: int) -> bool:
    """Pipes, sockets and terminals have a readiness event; regular files have none and are read in a thread."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)
