"""The CRC-64/NVME of a stream, computed as the bytes pass.

The algorithm is the one Amazon S3 verifies and returns for whole objects ("Checking object integrity", full object
checksums; NVM Express NVM Command Set Specification, "64b CRC").
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, cast

from penstock.stores.base import Checksum

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ALGORITHM", "StreamDigest"]

ALGORITHM: Final = "crc64nvme"


class StreamDigest:
    """A running checksum; making the first one loads the library, which takes some tens of milliseconds."""

    __slots__ = ("_crc", "_crc64nvme")

    def __init__(self) -> None:
        from awscrt.checksums import crc64nvme

        self._crc64nvme = cast("Callable[[bytes | memoryview, int], int]", crc64nvme)
        self._crc = 0

    def update(self, block: bytes | memoryview) -> None:
        """Take the next bytes of the stream."""
        self._crc = self._crc64nvme(block, self._crc)

    def checksum(self) -> Checksum:
        """The checksum of what has passed."""
        return Checksum(ALGORITHM, base64.b64encode(self._crc.to_bytes(8, "big")).decode())
