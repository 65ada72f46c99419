"""Where one object ends and the next begins.

``Rotation`` decides, from sizes and times alone. ``Intake`` applies it to the packets of an input: an object ends
between two packets, never within one.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, Literal

import anyio
from pydantic import BaseModel, ConfigDict, Field, model_validator

from penstock.nodes.types import ByteSize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.channels import Receiver
    from penstock.packets import Packet
    from penstock.stores.multipart.age import UploadAge

__all__ = ["Cut", "Intake", "RotateConfig", "Rotation"]

OVERDUE: Final = 2
"""By how many times an object may outgrow its bounds, for want of a boundary, before that is worth a warning."""


class RotateConfig(BaseModel):
    """When an object ends and the next one begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: Annotated[ByteSize, Field(ge=1)] | None = Field(
        None,
        description="Bytes of an object at most, its continuations included, unless a single packet has more.",
    )
    seconds: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds from the first packet of an object to its end, whether data come or not.",
    )
    at: Literal["packet", "boundary"] = Field(
        "packet",
        description="Cut before any packet, or only before one that is flagged as a boundary (keyframe); an object "
        "then grows until one comes.",
    )

    @model_validator(mode="after")
    def _has_a_bound(self) -> RotateConfig:
        if self.bytes is None and self.seconds is None:
            raise ValueError("needs bytes, seconds or both")
        return self


class Cut(StrEnum):
    """Why an object ends before its input does."""

    BYTES = "bytes"
    SECONDS = "seconds"
    LIMIT = "limit"
    """It is as large as its store or the memory limit allows; the next one continues it."""
    AGE = "age"
    """Its upload is about as old as its store allows; the next one continues it."""


class Rotation:
    """Decides where objects end. Nothing here waits or knows the time.

    Args:
        config: the bounds, or None where objects end with their input.
        capacity_bytes: the largest object there can be.

    Attributes:
        deadline: when the present object ends although no packet comes; on the clock of ``begin``.
    """

    def __init__(self, config: RotateConfig | None, capacity_bytes: int) -> None:
        bounds = config or RotateConfig.model_construct(bytes=None, seconds=None, at="packet")
        self._bytes = bounds.bytes or math.inf
        self._seconds = bounds.seconds or math.inf
        self._at_boundary = bounds.at == "boundary"
        self._capacity = capacity_bytes
        self._size = 0
        self._earlier = 0
        self._begun = 0.0

    def begin(self, now: float, *, size: int = 0, continues: bool = False) -> None:
        """An object begins, or goes on at ``size`` bytes; one that continues another counts with it."""
        self._earlier = self._earlier + self._size if continues else 0
        self._size = size
        self._begun = self._begun if continues else now

    @property
    def deadline(self) -> float:
        return math.inf if self._at_boundary else self._begun + self._seconds

    def overdue(self, now: float) -> bool:
        """Whether the object has far outgrown its bounds, for want of a boundary."""
        return self._earlier + self._size > OVERDUE * self._bytes or now > self._begun + OVERDUE * self._seconds

    def split(self, packets: Sequence[Packet], now: float, *, old: bool = False) -> tuple[int, Cut | None]:
        """How many of these packets the present object takes, and why it ends after them, if it does.

        ``old``: its upload must not get older.
        """
        late = now >= self._begun + self._seconds
        total = sum([packet.size for packet in packets])
        if not late and not old and self._size + total < min(self._bytes - self._earlier, self._capacity):
            self._size += total
            return len(packets), None
        for index, packet in enumerate(packets):
            cut = self._cut_before(packet, late=late, old=old)
            if cut is not None:
                return index, cut
            self._size += packet.size
        full = self._earlier + self._size >= self._bytes and not self._at_boundary
        return len(packets), Cut.BYTES if full else None

    def _cut_before(self, packet: Packet, *, late: bool, old: bool) -> Cut | None:
        if not self._size:
            return None
        size = self._size + packet.size
        if not self._at_boundary or packet.meta.keyframe:
            if late:
                return Cut.SECONDS
            if self._earlier + size > self._bytes:
                return Cut.BYTES
        if size > self._capacity:
            return Cut.LIMIT
        return Cut.AGE if old else None


class Intake:
    """An input, cut into the stretches of packets that become objects.

    Attributes:
        cut: why the present stretch has ended, or None when it has not, or the input has.
        continues: why the present stretch continues the one before, which had reached a limit; None if it does not.
        age: that of the upload which takes the present stretch.
        ended: the input has ended.
    """

    def __init__(self, received: Receiver[Packet], rotation: Rotation, warn: Callable[[str], None]) -> None:
        self._received = received
        self._rotation = rotation
        self._warn: Callable[[str], None] | None = warn
        self._held: list[Packet] = []
        self.cut: Cut | None = None
        self.continues: Cut | None = None
        self.age: UploadAge | None = None
        self.ended = False

    async def begin(self) -> Sequence[Packet]:
        """Wait for the first packets of the next stretch and show them; none is the end of the input.

        Raises:
            UpstreamFailed: the input failed.
        """
        if not self._held and not self.ended:
            self._held = await self._received.receive_many()
            self.ended = not self._held
        self.continues = self.cut if self.cut in (Cut.LIMIT, Cut.AGE) else None
        self.cut = None
        self._rotation.begin(anyio.current_time(), continues=self.continues is not None)
        return self._held

    def go_on(self, size: int) -> None:
        """The first stretch goes on with an object that has ``size`` bytes already; nothing is waited for."""
        self._rotation.begin(anyio.current_time(), size=size)

    async def receive(self) -> Sequence[Packet]:
        """Wait for further packets of the stretch; none is its end.

        Raises:
            UpstreamFailed: the input failed.
        """
        if self.cut is not None or self.ended:
            return []
        while not self._held:
            with anyio.CancelScope(deadline=self._deadline()):
                self._held = await self._received.receive_many()
                self.ended = not self._held
            if not self._held and self._is_over():
                return []
        now = anyio.current_time()
        count, self.cut = self._rotation.split(self._held, now, old=self._left_s() <= 0)
        taken, self._held = self._held[:count], self._held[count:]
        if self._warn is not None and self._rotation.overdue(now):
            self._warn("the object should have ended, but no packet is flagged as a boundary; it grows on")
            self._warn = None
        return taken

    def _is_over(self) -> bool:
        """Whether the present stretch ends although nothing has come; if its time is up, that is why."""
        if self.ended:
            return True
        if anyio.current_time() >= self._rotation.deadline:
            self.cut = Cut.SECONDS
        elif self._left_s() <= 0:
            self.cut = Cut.AGE
        return self.cut is not None  # not so if the upload was opened while we waited

    def _deadline(self) -> float:
        return min(self._rotation.deadline, anyio.current_time() + self._left_s())

    def _left_s(self) -> float:
        return math.inf if self.age is None else self.age.left_s
