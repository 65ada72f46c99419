"""Write a file that appears under its name whole, or not at all.

The bytes go to a hidden temporary name in the same directory; ``commit`` makes them durable (fsync), renames, and makes
the name durable (fsync of the directory). Whatever else happens, the temporary file is removed and an earlier file of
the name stays as it was. A symbolic link stays one: the file that it points to is replaced.

What is not a regular file (``/dev/null``, a terminal, a FIFO) cannot be renamed into place and is written directly.
Reference: POSIX.1-2024, ``rename`` and ``fsync``.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import anyio
from anyio import to_thread

from penstock.nodes.files.paths import open_errors, transfer_errors
from penstock.nodes.files.special import SpecialFile, write_all

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from penstock.packets import Buffer

__all__ = ["AtomicFile"]

GATHER_BYTES: Final = 1 << 18


class AtomicFile:
    """A file in the making: ``async with AtomicFile(path) as out: await out.write([data])``.

    Leaving the block cleanly commits, any other way discards. Without the block, call ``open``, ``write`` as often as
    needed, then ``commit``, and ``discard`` in every case: after a commit it does nothing. One task at a time.

    Attributes:
        path: where the file will be.
        accepted: bytes taken by ``write`` so far.
    """

    def __init__(self, path: str | Path, *, gather_bytes: int = GATHER_BYTES) -> None:
        """Prepare to write ``path``; nothing is touched yet.

        Args:
            path: the file.
            gather_bytes: small pieces are gathered up to this many bytes and written together.
        """
        self.path = Path(path)
        self.accepted = 0
        self._gather_bytes = gather_bytes
        self._pieces: list[Buffer] = []
        self._gathered = 0
        self._special: SpecialFile | None = None
        self._fd: int | None = None
        self._temporary: Path | None = None
        self._target = self.path

    async def open(self) -> None:
        """Create the temporary file; a FIFO is opened at the first write instead, since that waits for its reader.

        Raises:
            ConfigurationError: the path is a directory, its directory is missing, or permission is.
        """
        with open_errors(self.path):
            await to_thread.run_sync(self._create)

    async def write(self, pieces: Sequence[Buffer]) -> None:
        """Append pieces in order; waits for the disk now and then, for a FIFO's reader always.

        The buffers must not change afterwards. Under cancellation the file can only be discarded.

        Raises:
            StoreFull: no space is left.
            StoreError: the system failed to write.
        """
        size = sum(map(len, pieces))
        self._pieces += pieces
        self._gathered += size
        self.accepted += size
        if self._gathered >= self._gather_bytes or self._special is not None:
            await self._flush()

    async def commit(self) -> None:
        """Make the file durable and visible. Atomic under cancellation: it is done or nothing is.

        Raises:
            StoreFull, StoreError: as ``write``; the file can then only be discarded.
        """
        await self._flush()
        with transfer_errors("commit", self.path, self.accepted):
            if self._special is not None:
                await self._special.open()  # the reader of a FIFO is owed an end, even of nothing
                self._special.close()
            else:
                await to_thread.run_sync(self._publish)

    async def discard(self) -> None:
        """Remove what was written, if it was not committed. Idempotent; not interrupted by cancellation."""
        self._pieces.clear()
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._remove)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.commit()
        finally:
            await self.discard()

    def __repr__(self) -> str:
        state = "open" if self._fd is not None or self._special is not None else "closed"
        return f"<AtomicFile {self.path} {state} {self.accepted} bytes>"

    # -- inside ---------------------------------------------------------------------------------------

    async def _flush(self) -> None:
        pieces, self._pieces, self._gathered = self._pieces, [], 0
        if not pieces:
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        with transfer_errors("write", self.path, self.accepted - len(data)):
            if self._special is not None:
                await self._special.write(data)
            else:
                await write_all(self._temporary_fd(), data)

    def _temporary_fd(self) -> int:
        if self._fd is None:
            raise ValueError(f"{self!r}: not open")
        return self._fd

    def _create(self) -> None:
        mode = None
        with suppress(FileNotFoundError):
            found = self.path.stat()
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError
            if not stat.S_ISREG(found.st_mode):
                self._special = SpecialFile(self.path)
                return
            mode = stat.S_IMODE(found.st_mode)
        self._target = Path(os.path.realpath(self.path))
        name = f".{self._target.name[:48]}.{secrets.token_hex(8)}.part"  # within 255 bytes, were each letter four
        temporary = self._target.with_name(name)
        self._fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._temporary = temporary
        if mode is not None:
            os.fchmod(self._fd, mode)

    def _publish(self) -> None:
        os.fsync(self._temporary_fd())
        if self._temporary is not None:
            self._temporary.replace(self._target)
        self._temporary = None
        _sync_directory(self._target.parent)

    def _remove(self) -> None:
        if self._special is not None:
            self._special.close()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None


def _sync_directory(directory: Path) -> None:
    """Make a rename durable; systems that cannot open or sync a directory do it by themselves."""
    with suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
