"""The checksums of a stream, computed as the bytes pass.

That of the result is always CRC-64/NVME, the algorithm that Amazon S3 verifies and returns for whole objects ("Checking
object integrity", full object checksums; NVM Express NVM Command Set Specification, "64b CRC"). The store may want
another one along with the bytes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from penstock.stores.checksums import RunningCrc, checksum_of
from penstock.stores.offload import run_to_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.stores.base import Body, Checksum

__all__ = ["ALGORITHM", "StreamDigest", "UploadDigest"]

ALGORITHM: Final = "crc64nvme"


class StreamDigest(RunningCrc):
    """The running CRC-64/NVME."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(ALGORITHM)


class UploadDigest:
    """The digest of an upload, and the checksums that are sent with it.

    Args:
        sent: the algorithm to send: ``crc64nvme``, ``crc32c``, ``md5`` or None.
    """

    __slots__ = ("_other", "_sent", "_stream")

    def __init__(self, sent: str | None = None) -> None:
        self._sent = sent
        self._stream = StreamDigest()
        self._other = RunningCrc("crc32c") if sent == "crc32c" else None

    @property
    def whole_algorithm(self) -> str | None:
        """The algorithm sent for the whole object, which is announced when an upload is opened."""
        return None if self._sent == "md5" else self._sent

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Of what CRCs are computed."""
        return (ALGORITHM,) if self._other is None else (ALGORITHM, self._other.algorithm)

    @property
    def part_crc(self) -> int:
        """The CRC-64/NVME of the part so far."""
        return self._stream.value

    def update(self, block: bytes | memoryview) -> None:
        """Take the next bytes of the stream."""
        self._stream.update(block)
        if self._other is not None:
            self._other.update(block)

    def part_crcs(self) -> dict[str, int]:
        """The CRCs of the part so far, by algorithm."""
        running = [self._stream, self._other] if self._other is not None else [self._stream]
        return {one.algorithm: one.value for one in running}

    def rejoin(self, parts: Iterable[tuple[Mapping[str, int], int]]) -> None:
        """Be the digest of these parts, given by their CRCs and sizes, instead of all that has passed."""
        listed = list(parts)
        for running in (self._stream, *([self._other] if self._other is not None else [])):
            running.rejoin((crcs[running.algorithm], size) for crcs, size in listed)

    def resume_part(self, crcs: Mapping[str, int], size: int) -> None:
        """Go on behind ``size`` bytes of a part that has these CRCs."""
        self._stream.resume_part(crcs[ALGORITHM], size)
        if self._other is not None:
            self._other.resume_part(crcs[self._other.algorithm], size)

    def end_part(self) -> Checksum | None:
        """What is to be sent with the part that ends here, if that is known at once."""
        part = self._stream.end_part()
        if self._other is not None:
            return self._other.end_part()
        return part if self._sent == ALGORITHM else None

    async def of_body(self, body: Body, known: Checksum | None) -> Checksum | None:
        """What is to be sent with a body: ``known``, or its MD5, which is computed in a thread."""
        if self._sent != "md5":
            return known
        return await run_to_end(partial(checksum_of, "md5", body))

    def whole(self) -> Checksum | None:
        """What is to be sent for the whole stream."""
        if self._other is not None:
            return self._other.checksum()
        return self._stream.checksum() if self._sent == ALGORITHM else None

    def checksum(self) -> Checksum:
        """The CRC-64/NVME of what has passed."""
        return self._stream.checksum()

    def contradicts(self, theirs: Checksum | None) -> bool:
        """Whether a store's checksum of the object is of an algorithm that we know, and another one."""
        if theirs is None:
            return False
        ours = next((one for one in (self.checksum(), self.whole()) if one and one.algorithm == theirs.algorithm), None)
        return ours is not None and ours != theirs
