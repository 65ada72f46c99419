"""Read a file into Binary packets.

The disk is read in larger blocks than packets are cut, in a worker thread; packets are slices of a block, not copies.
FIFOs and devices are read as their data comes. When the run is asked to stop, the stream ends where it is.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from anyio import to_thread, wait_readable
from pydantic import Field

from penstock.nodes.base import Node, NodeConfig, node
from penstock.nodes.files.paths import FilePath, allowed_path, open_errors, transfer_errors
from penstock.nodes.files.special import read_some
from penstock.nodes.stopping import cut_short_by
from penstock.packets import Binary
from penstock.pins import BINARY, OutputPin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anyio import CancelScope

    from penstock.nodes.base import NodeContext
    from penstock.packets import Packet

__all__ = ["FileReader", "FileReaderConfig"]

BLOCK_BYTES = 1 << 18


class FileReaderConfig(NodeConfig):
    """Which file is read, and how it is cut."""

    path: FilePath = Field(description="The file to read.", examples=["take-1.ogg"])
    chunk_size: int = Field(
        8192, ge=1, le=16 << 20, strict=True, description="Bytes of a packet; the last may have fewer."
    )


@node("core::file_reader", outputs=[OutputPin("out", BINARY)], example={"path": "take-1.ogg"})
class FileReader(Node[FileReaderConfig]):
    """Read a file into Binary packets."""

    _fd: int | None = None

    async def prepare(self, ctx: NodeContext) -> None:
        """Open the file.

        Raises:
            ConfigurationError: it is missing, is a directory, or may not be read.
        """
        self._path = allowed_path(ctx, self.config.path)
        with open_errors(self._path):
            self._fd, self._is_fifo = await to_thread.run_sync(_open, self._path)

    async def run(self, ctx: NodeContext) -> None:
        """Send the file; return at its end, or soon after the run was asked to stop.

        Raises:
            StoreError: reading failed.
        """
        output = ctx.output()
        size = self.config.chunk_size
        done = 0
        async with cut_short_by(ctx.stopping) as wait:
            if self._is_fifo and self._fd is not None:
                with wait():
                    await wait_readable(self._fd)  # before its first writer has come, a FIFO reads as ended
            while block := await self._read(ctx, wait, done):
                view = memoryview(block)
                packets: list[Packet] = [Binary(view[start : start + size]) for start in range(0, len(view), size)]
                await output.send_many(packets)
                done += len(block)

    async def _read(self, ctx: NodeContext, wait: Callable[[], CancelScope], done: int) -> bytes:
        """Return the next block, whole packets but at the end of the file; empty at the end or when stopping."""
        size = self.config.chunk_size
        block = b""
        if self._fd is not None and not ctx.stopping.is_set():
            with transfer_errors("read", self._path, done), wait():
                block = await read_some(self._fd, size * max(1, BLOCK_BYTES // size))
        return block

    async def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _open(path: Path) -> tuple[int, bool]:
    """Open for reading without waiting for the writer of a FIFO; return the descriptor and whether it is a FIFO."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        os.close(fd)
        raise IsADirectoryError
    return fd, stat.S_ISFIFO(mode)
