"""Ten minutes of a store that refuses, while a stream of 20 Mbit/s goes on; on a clock that may run faster.

``Outage.lasts_s`` is the one place where the time is scaled: the bytes that come meanwhile and all waits of the retry
policy shrink with it, so that an outage of ten seconds has as many tries as one of ten minutes, at the same rate.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Final

from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.multipart import UploadOptions
from torture.place import MIB, noise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from torture.gate import Gate
    from torture.place import Place
    from torture.processes import Put

REAL_S: Final = 600.0
TURNS: Final = 10
RATE: Final = 20_000_000 // 8
BEFORE: Final = 6 * MIB
PIECE: Final = 1 << 16
IN_FLIGHT: Final = UploadOptions().parts_in_flight

REFUSALS: Final = {"refused connections": None, "503": (503, "SlowDown"), "403": (403, "AccessDenied")}
"""How the store refuses, a minute each, by turns."""

SAID: Final = {"refused connections": "Connection refused", "503": "SlowDown", "403": "AccessDenied"}
"""What the put has to say of each."""


@dataclass(frozen=True)
class Outage:
    """One outage; it ``lasts_s`` seconds instead of 600."""

    lasts_s: float = 10.0

    @property
    def scale(self) -> float:
        """How much faster the clock runs."""
        return REAL_S / self.lasts_s

    @property
    def options(self) -> list[str]:
        """The usual waits of ``put``, on this clock."""
        usual = RetryPolicy()
        waits = {"deadline": usual.deadline_s, "first-wait": usual.first_wait_s, "max-wait": usual.max_wait_s}
        return [f"--retry-{name}-s={seconds / self.scale:g}" for name, seconds in waits.items()]


@dataclass
class Suffered:
    """What has come of an outage.

    Attributes:
        fed: bytes of the input.
        behind: bytes that were not accepted yet when the store came back.
        refused: requests that were refused with a status.
        seconds: of the outage.
        wrong: what is not as it should be, in words.
    """

    fed: int
    behind: int
    refused: int
    seconds: float
    wrong: list[str]

    def __str__(self) -> str:
        return (
            f"{self.seconds:.0f} s of refusals ({self.refused} answers), bytes fed {self.fed}, "
            f"behind at their end {self.behind}, wrong {len(self.wrong)}"
        )


class _Stream:
    """An input that can be made again: the same noise over and over, of a length that no size of a part divides."""

    def __init__(self) -> None:
        self._noise = memoryview(noise())[:-13]
        self.size = 0
        self.digest = hashlib.sha256()

    def bytes(self, at: int, size: int) -> bytes:
        """``size`` of its bytes from ``at`` on."""
        at %= len(self._noise)
        first = bytes(self._noise[at : at + size])
        return first if len(first) == size else first + self.bytes(0, size - len(first))

    def feed(self, put: Put, size: int) -> None:
        """Feed the next ``size`` bytes."""
        data = self.bytes(self.size, size)
        self.size += size
        self.digest.update(data)
        put.process.stdin.write(data)


def suffer(place: Place, outage: Outage, dice: Random) -> Suffered:
    """Put a stream through an outage, and look at the object and at what went over the wire."""
    gate, stream = place.gate, _Stream()
    gate.parts.clear()
    put = place.put("outage", b"", dice, *outage.options, endless=True)
    while stream.size < BEFORE:
        stream.feed(put, PIECE)
    if not put.wait_for(lambda: put.has_said("uploaded")):
        raise AssertionError(f"nothing was stored before the outage: {put.complaints!r}")
    gate.refusal = (503, "SlowDown")
    faults, began = gate.faults, time.monotonic()
    _refuse(gate, outage, lambda: _feed_until_now(put, stream, began))
    back, refused = time.monotonic(), gate.faults - faults
    put.wait_for(lambda: put.accepted == stream.size, 1)
    behind = stream.size - put.accepted
    wrong = [f"it does not say that it met {name}" for name, text in SAID.items() if not _has_said(put, text)]
    stream.feed(put, PIECE)
    put.end_input()
    if code := put.join(60 + outage.lasts_s):
        wrong.append(f"it ended with {code}: {put.events[-1:]}")
    if early := [part.number for part in gate.parts if began < part.came < back]:
        wrong.append(f"parts {early} were taken meanwhile")
    wrong += _compare(place, stream)
    return Suffered(stream.size, behind, refused, back - began, wrong)


def _refuse(gate: Gate, outage: Outage, feed: Callable[[], None]) -> None:
    """Refuse in every way by turns, and feed meanwhile."""
    began = time.monotonic()
    for turn, refusal in zip(range(1, TURNS + 1), cycle(REFUSALS.values()), strict=False):
        gate.refusal = refusal or (503, "SlowDown")  # of connections that are there when it is shut
        if refusal is None:
            gate.shut()
        while time.monotonic() < began + turn * outage.lasts_s / TURNS:
            feed()
            time.sleep(0.005)
        if refusal is None:
            gate.open()
    gate.calm()


def _feed_until_now(put: Put, stream: _Stream, began: float) -> None:
    """Feed what has come by now."""
    while stream.size - BEFORE < (time.monotonic() - began) * RATE:
        stream.feed(put, PIECE)


def _has_said(put: Put, text: str) -> bool:
    """Whether it has told of such a reason for not getting on."""
    return any(one["event"] == "recovering" and text in one["reason"] for one in list(put.events))


def _compare(place: Place, stream: _Stream) -> Iterator[str]:
    """What is wrong with the object, and with the parts that went through the gate."""
    body = place.client.get_object(Bucket=place.bucket, Key=place.prefix + "outage")["Body"]
    digest = hashlib.sha256()
    for block in body.iter_chunks(MIB):
        digest.update(block)
    if digest.digest() != stream.digest.digest():
        yield "the object is not the input"
    at = 0
    for part in sorted(place.gate.parts, key=lambda part: part.number):
        if zlib.crc32(stream.bytes(at, part.size)) != part.crc:
            yield f"part {part.number} is not bytes {at} to {at + part.size - 1} of the input"
        at += part.size
    if at != stream.size:
        yield f"the parts have {at} bytes, the input {stream.size}"
    if late := [part.number for part in place.gate.parts if part.overtaken >= IN_FLIGHT]:
        yield f"parts {late} were sent before older ones"
    if left := [*place.open_uploads(), *place.left_in_state()]:
        yield f"left behind: {left}"
