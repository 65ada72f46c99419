"""An object as a file that can be read and sought, for libraries that know files only.

Used in a worker thread: each block is fetched by a range request on the event loop's thread. Blocks of 256 KiB are kept
while they are near, so that the small reads of a container's parser cost few requests.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from anyio import from_thread

if TYPE_CHECKING:
    from penstock.stores.base import ObjectStore

__all__ = ["SeekableObject"]

BLOCK_BYTES: Final = 256 * 1024
BLOCKS_KEPT: Final = 16


class SeekableObject(io.RawIOBase):
    """One object of known size, open for reading.

    Args:
        store: where it is.
        key: its key.
        size: its bytes, as ``head`` tells.
    """

    def __init__(self, store: ObjectStore, key: str, size: int) -> None:
        super().__init__()
        self._store = store
        self._key = key
        self._size = size
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to byte {base + offset}")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, all that are left if it is negative, none at the end.

        Raises:
            StoreError: the store failed; the file can be read again from here.
        """
        left = max(0, self._size - self._position)
        wanted = left if size < 0 else min(size, left)
        pieces: list[bytes] = []
        while wanted:
            index, skip = divmod(self._position, BLOCK_BYTES)
            piece = self._block(index)[skip : skip + wanted]
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _block(self, index: int) -> bytes:
        if index in self._blocks:
            self._blocks.move_to_end(index)
        else:
            self._blocks[index] = from_thread.run(self._fetch, index * BLOCK_BYTES)
            if len(self._blocks) > BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return self._blocks[index]

    async def _fetch(self, start: int) -> bytes:
        end = min(start + BLOCK_BYTES, self._size)
        pieces = [piece async for piece in self._store.get(self._key, start=start, end=end)]
        return b"".join(pieces)
