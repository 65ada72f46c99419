"""Write Binary packets into a file.

The file appears under its name at the clean end of the input, whole and synced to the disk. If the input fails or the
run is cut short, nothing is left behind and an earlier file of the name stays as it was. Pipes, terminals and devices
are written as the packets come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from penstock.errors import BadData
from penstock.nodes.base import Node, NodeConfig, node
from penstock.nodes.files.atomic import GATHER_BYTES, AtomicFile
from penstock.nodes.files.paths import FilePath, allowed_path
from penstock.packets import Binary
from penstock.pins import BINARY, InputPin

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.packets import Buffer, Packet

__all__ = ["FileWriter", "FileWriterConfig"]


class FileWriterConfig(NodeConfig):
    """Where the bytes go."""

    path: FilePath = Field(
        description="The file to write; an existing one is replaced. Its directory must exist.", examples=["take-1.ogg"]
    )
    chunk_size: int = Field(
        8192,
        ge=1,
        le=16 << 20,
        strict=True,
        description="Bytes gathered for one write to the disk; below 262144 that many are gathered.",
    )


@node("core::file_writer", inputs=[InputPin("in", (BINARY,))], example={"path": "take-1.ogg"})
class FileWriter(Node[FileWriterConfig]):
    """Write Binary packets into a file."""

    _file: AtomicFile | None = None

    async def prepare(self, ctx: NodeContext) -> None:
        """Create the temporary file, so that what is wrong with the path or its permissions is said now.

        Raises:
            ConfigurationError: the path cannot be written.
        """
        path = allowed_path(ctx, self.config.path)
        self._file = AtomicFile(path, gather_bytes=max(self.config.chunk_size, GATHER_BYTES))
        await self._file.open()

    async def run(self, ctx: NodeContext) -> None:
        """Write until the input ends, then make the file appear.

        Raises:
            StoreFull: no space is left.
            StoreError: writing failed.
            BadData: a packet is not Binary.
        """
        received = ctx.input()
        if self._file is None:
            raise RuntimeError("run was called before prepare")
        while packets := await received.receive_many():
            await self._file.write([_payload(packet) for packet in packets])
        await self._file.commit()

    async def close(self) -> None:
        """Remove the temporary file, unless it was committed."""
        if self._file is not None:
            await self._file.discard()


def _payload(packet: Packet) -> Buffer:
    if not isinstance(packet, Binary):
        raise BadData(f"a file is made of Binary packets, not of {type(packet).__name__}")
    return packet.data
