"""Checksums of bodies and objects: which one to send, and how it is computed.

``crc64nvme`` and ``crc32c`` of a whole object follow from those of its parts, so that one pass over the bytes gives
both. MD5 has no such law: it guards one request at a time, and costs about as much as sending.
References: Amazon S3 User Guide, "Checking object integrity"; RFC 1864 (Content-MD5).
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from penstock.errors import ConfigurationError
from penstock.stores.base import Checksum
from penstock.stores.file_bytes import in_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from penstock.stores.base import Body, Capability, PartInfo

__all__ = [
    "CHOICES",
    "ChecksumChoice",
    "RunningCrc",
    "checksum_of",
    "checksum_of_parts",
    "choose_checksum",
    "crc_of",
]

ChecksumChoice: TypeAlias = Literal["auto", "crc64nvme", "crc32c", "md5", "none"]

CHOICES: Final = ("crc64nvme", "crc32c", "md5")
CRC_BYTES: Final = {"crc64nvme": 8, "crc32c": 4}


class RunningCrc:
    """A CRC as bytes pass; making the first one loads the library, which takes some tens of milliseconds.

    Args:
        algorithm: ``crc64nvme`` or ``crc32c``.
    """

    __slots__ = ("_combine", "_parts", "_parts_size", "_size", "_update", "_value", "algorithm")

    def __init__(self, algorithm: str) -> None:
        from awscrt import checksums

        self.algorithm = algorithm
        self._update = cast("Callable[[bytes | memoryview, int], int]", getattr(checksums, algorithm))
        self._combine = cast("Callable[[int, int, int], int]", getattr(checksums, f"combine_{algorithm}"))
        self._parts = 0
        self._parts_size = 0
        self._value = 0
        self._size = 0

    def update(self, block: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        self._value = self._update(cast("bytes", block), self._value)
        self._size += len(block)

    @property
    def value(self) -> int:
        """The CRC of what came since the last part ended."""
        return self._value

    def rejoin(self, parts: Iterable[tuple[int, int]]) -> None:
        """Be the checksum of these parts, given by their CRCs and sizes."""
        self._parts = self._parts_size = self._value = self._size = 0
        for value, size in parts:
            self._parts = self._combine(self._parts, value, size)
            self._parts_size += size

    def resume_part(self, value: int, size: int) -> None:
        """Go on as if ``size`` bytes whose CRC is ``value`` had come since the last part ended."""
        self._value, self._size = value, size

    def end_part(self) -> Checksum:
        """The checksum of what came since the last part ended."""
        part = self._checksum(self._value)
        self._parts = self._combine(self._parts, self._value, self._size)
        self._parts_size += self._size
        self._value = self._size = 0
        return part

    def join(self, part: Checksum, size: int) -> None:
        """Take the next part, of which only checksum and size are known."""
        value = int.from_bytes(base64.b64decode(part.value), "big")
        self._parts = self._combine(self._parts, value, size)
        self._parts_size += size

    def checksum(self) -> Checksum:
        """The checksum of all that has passed."""
        return self._checksum(self._combine(self._parts, self._value, self._size))

    def _checksum(self, value: int) -> Checksum:
        return Checksum(self.algorithm, _base64(value.to_bytes(CRC_BYTES[self.algorithm], "big")))


def checksum_of(algorithm: str, body: Body) -> Checksum:
    """The checksum of a whole body; ``algorithm`` is one of ``CHOICES``."""
    if algorithm == "md5":
        digest = hashlib.md5(usedforsecurity=False)
        for piece in body:
            for step in in_steps(piece):
                digest.update(step)
        return Checksum("md5", _base64(digest.digest()))
    crc = RunningCrc(algorithm)
    for piece in body:
        for step in in_steps(piece):
            crc.update(step)
    return crc.checksum()


def crc_of(algorithm: str, body: Body) -> int:
    """The CRC of a whole body as a number."""
    crc = RunningCrc(algorithm)
    for piece in body:
        for step in in_steps(piece):
            crc.update(step)
    return crc.value


def checksum_of_parts(algorithm: str, parts: Sequence[PartInfo]) -> Checksum | None:
    """The checksum of a whole object, from those of its parts; None if one of them has none of that algorithm.

    ``algorithm`` is ``crc64nvme`` or ``crc32c``.
    """
    crc = RunningCrc(algorithm)
    for part in parts:
        if part.checksum is None or part.checksum.algorithm != algorithm:
            return None
        crc.join(part.checksum, part.size)
    return crc.checksum()


def choose_checksum(choice: ChecksumChoice, capability: Capability, url: str) -> str | None:
    """The algorithm to send to a store; None to send none.

    Raises:
        ConfigurationError: the store does not verify the one that was chosen, as far as is known.
    """
    if choice == "none":
        return None
    if choice == "auto":
        return next((name for name in capability.checksums if name in CHOICES), None)
    if choice not in capability.checksums:
        known = ", ".join(capability.checksums) or "none"
        raise ConfigurationError(f"{url} is not known to verify the checksum {choice}; known: {known}")
    return choice


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
