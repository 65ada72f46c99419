"""Bytes of a body that lie in a file: a view as any other, behind which the file can be found.

Who looks at them through the view pays for every page of it once, and a disk that cannot read one ends the process
(SIGBUS). So who can takes them from the file: the kernel sends them (``sendfile``), or they are read in steps into a
buffer that is used again (``in_steps``); then a disk that fails is an error like any other.
"""

from __future__ import annotations

import mmap
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from penstock.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FileBytes", "file_behind", "file_view", "in_steps", "lendings"]

STEP_BYTES: Final = 1 << 20


class FileBytes(mmap.mmap):
    """A mapping that knows its file; no page of it is there before it is touched.

    Attributes:
        path: the file, for people.
        descriptor: the file, open for reading as long as anybody has a view of it.
        start: where in the file the mapping begins.
        lent: how often it was begun to give the bytes to the kernel by reference, which may still look at them then.
    """

    path: Path
    descriptor: int = -1
    start: int
    lent: int = 0

    def unreadable(self, error: OSError) -> SpoolError:
        """The exception for a failure to read."""
        return SpoolError(f"{self.path} cannot be read: {error.strerror or error}")

    def cut_off(self, at: int) -> SpoolError:
        """The exception for a file that ends ``at`` bytes behind the beginning."""
        return SpoolError(f"{self.path} is cut off at byte {self.start + at}")

    def __del__(self) -> None:
        if self.descriptor >= 0:  # it could be mapped
            os.close(self.descriptor)


@contextmanager
def file_view(path: Path, start: int, size: int) -> Iterator[memoryview]:
    """Yield a view of ``size`` bytes of a file, which are not none, from byte ``start`` on.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is shorter.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    before = start % mmap.ALLOCATIONGRANULARITY
    try:
        mapping = FileBytes(descriptor, before + size, mmap.MAP_SHARED, mmap.PROT_READ, offset=start - before)
    except BaseException:
        os.close(descriptor)
        raise
    mapping.path, mapping.descriptor, mapping.start = path, descriptor, start - before
    view = memoryview(mapping)[before:]
    try:
        yield view
    finally:
        with suppress(BufferError):  # somebody still looks at the bytes; the mapping goes with them
            view.release()
            mapping.close()


def file_behind(piece: bytes | bytearray | memoryview) -> FileBytes | None:
    """The file of which ``piece`` is a whole view, if it is one."""
    if not isinstance(piece, memoryview) or not isinstance(piece.obj, FileBytes):
        return None
    whole = piece.c_contiguous and piece.nbytes == len(piece.obj)  # of a part nobody says where it begins
    return piece.obj if whole else None


def lendings(view: memoryview) -> int:
    """How often the bytes of a view were given to the kernel by reference."""
    return view.obj.lent if isinstance(view.obj, FileBytes) else 0


def in_steps(piece: bytes | bytearray | memoryview, step: int = STEP_BYTES) -> Iterator[bytes | bytearray | memoryview]:
    """A piece in steps of at most ``step`` bytes, each valid until the next; in one if it is no longer than that.

    Raises:
        SpoolError: it is in a file, which cannot be read.
    """
    file = file_behind(piece)
    if file is not None:
        yield from _read(file, step)
    elif len(piece) <= step:
        yield piece
    else:
        with memoryview(piece) as view:
            for start in range(0, len(view), step):
                with view[start : start + step] as part:
                    yield part


def _read(file: FileBytes, step: int) -> Iterator[memoryview]:
    done = 0
    with memoryview(bytearray(min(step, len(file)))) as buffer:
        while done < len(file):
            with buffer[: len(file) - done] as room:
                try:
                    count = os.preadv(file.descriptor, [room], file.start + done)
                except OSError as error:
                    raise file.unreadable(error) from error
                if not count:
                    raise file.cut_off(done)
                with room[:count] as part:
                    yield part
            done += count
