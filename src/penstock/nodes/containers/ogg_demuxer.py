"""Take Opus packets out of an Ogg stream, as it arrives.

What is sound is passed on at once, page by page. A damaged page fails the node, or is skipped, counted and warned of
as ``damage`` says; the packet after it then says how many packets are missing (``lost_before``). Input that
is empty, not Ogg, not Opus, or cut off fails the node with the byte offset; a stream without an end-of-stream page
counts as cut off, and what came before has been passed on. In a run that was asked to stop, an input that is cut off
is a warning only: the stop has cut it.

Streams that follow one another (chained) are played one after the other, each with a ``Codec`` of its own. Of streams
that run side by side (multiplexed) the first Opus stream is taken. Time 0 is the first audible sample.
References: RFC 3533, RFC 7845.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from penstock.errors import BadData
from penstock.media.formats import sniff
from penstock.nodes.base import LenientConfig, Transform, node
from penstock.nodes.containers.ogg import CAPTURE, Damage, PageReader
from penstock.nodes.containers.ogg_opus import OpusStream
from penstock.pins import BINARY, EncodedAudioType, InputPin, OutputPin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.nodes.base import NodeContext
    from penstock.nodes.containers.ogg import Page
    from penstock.packets import Binary, EncodedAudio, Packet

__all__ = ["OggDemuxer", "OggDemuxerConfig"]

_TELLING_BYTES: Final = 12  # enough to name other formats
_MAX_STREAMS: Final = 64
_CODECS: Final = (
    (b"OpusHead", "Opus"),
    (b"\x01vorbis", "Vorbis"),
    (b"\x7fFLAC", "FLAC"),
    (b"Speex   ", "Speex"),
    (b"\x80theora", "Theora"),
    (b"fishead\0", "Skeleton"),
    (b"BBCD\0", "Dirac"),
    (b"PCM     ", "PCM"),
)


class OggDemuxerConfig(LenientConfig):
    """What to do about damage; the stream says all else."""

    damage: Literal["auto", "fail", "skip"] = Field(
        "auto",
        description="A damaged page fails the run, or is skipped with a warning; `auto` fails a oneshot run, whose "
        "input can be sent again, and skips in a live one.",
    )


@node(
    "containers::ogg::demuxer",
    inputs=[InputPin("in", (BINARY,))],
    outputs=[OutputPin("out", EncodedAudioType("opus"))],
)
class OggDemuxer(Transform[OggDemuxerConfig]):
    """Ogg bytes in, Opus packets out."""

    def prepare(self, ctx: NodeContext) -> None:
        self._ctx = ctx
        self._reader = PageReader()
        self._opening: bytes | None = b""  # the first bytes, until they are known to be Ogg
        self._stream: OpusStream | None = None
        self._others: dict[int, str] = {}  # serials of the streams that are not taken: codec, or "" if none began
        self._skips = self.config.damage == "skip" or (self.config.damage == "auto" and ctx.run.mode == "dynamic")
        self._damaged = False
        self._failure: BadData | None = None
        self._end_us = 0

    def process(self, packet: Binary, /) -> list[Packet] | None:
        if self._failure is not None:
            raise self._failure
        data = packet.data
        if self._opening is not None:
            data = self._opening = self._opening + data
            if not data.startswith(CAPTURE):
                if len(data) >= _TELLING_BYTES:
                    raise BadData(f"the input is not Ogg: {sniff(data)} at byte 0")
                return None
            self._opening = None
        out: list[Packet] = []
        try:
            for item in self._reader.feed(data):
                out += self._take(item)
        except BadData as error:
            if not out:
                raise
            self._failure = error  # what was sound before goes its way first
        return out

    def finish(self) -> Iterator[Packet]:
        if self._failure is not None:
            raise self._failure
        if self._opening is not None:
            self._finish_opening(self._opening)
            return
        for item in self._reader.finish():
            if isinstance(item, Damage) and item.cut:
                self._cut_off(f"the page at byte {item.offset} is incomplete")
                return
            yield from self._take(item)
        if self._stream is None:
            self._refuse(0)
        elif not self._stream.ended:
            self._cut_off("the stream has no end-of-stream page")

    # -- inside ---------------------------------------------------------------------------------------

    def _finish_opening(self, opening: bytes) -> None:
        """The input ended before it was known to be Ogg."""
        if not CAPTURE.startswith(opening):
            raise BadData(f"the input is not Ogg: {sniff(opening)} at byte 0")
        if opening:
            self._cut_off("the first page is incomplete")
        elif not self._ctx.stopping.is_set():
            raise BadData("the input is empty")

    def _cut_off(self, how: str) -> None:
        """The input ended too early: an error, but for a run that was asked to stop in the middle of it."""
        place = f"cut off at byte {len(self._opening or b'') or self._reader.received}: {how}"
        if not self._ctx.stopping.is_set():
            raise BadData(place)
        self._ctx.warn(f"the run was stopped, and the input is {place}")

    def _take(self, page: Page | Damage) -> list[EncodedAudio]:
        if isinstance(page, Damage):
            self._note_damage(page)
            return []
        if page.first:
            self._begin(page)
            return []
        stream = self._stream
        if stream is None:
            self._refuse(page.offset)
        elif page.serial == stream.serial:
            packets = stream.push(page)
            self._end_us = stream.end_us
            return packets
        elif self._others.get(page.serial, "") == "":
            self._ctx.errored()
            if page.serial not in self._others:
                self._ignore(page, "")
                self._ctx.warn(
                    f"the page at byte {page.offset} and others like it are ignored: their stream never began"
                )
        return []

    def _begin(self, page: Page) -> None:
        """A logical stream begins: take it, or note that it is not taken."""
        codec = codec_of(page.body)
        current = self._stream
        beside = current is not None and not current.started and not current.ended
        if codec == "Opus" and not beside:
            if current is not None and not current.ended:
                self._ctx.errored()
                self._ctx.warn(f"a new Ogg stream begins at byte {page.offset} before the last one has ended")
            self._stream = OpusStream(page, self._end_us, warn=self._ctx.warn, errored=self._ctx.errored)
            self._others.clear()
            return
        self._ignore(page, codec)
        if codec != "Skeleton" and current is not None:
            self._ctx.warn(f"the stream that begins at byte {page.offset} ({codec}) is ignored: one is taken")

    def _ignore(self, page: Page, codec: str) -> None:
        if len(self._others) >= _MAX_STREAMS:
            raise BadData(f"more than {_MAX_STREAMS} streams run side by side at byte {page.offset} of the Ogg input")
        self._others[page.serial] = codec

    def _refuse(self, offset: int) -> None:
        """Fail because no Opus stream has begun where content should follow."""
        names = ", ".join(name for name in self._others.values() if name != "Skeleton")
        if names:
            raise BadData(f"the Ogg input holds {names} and no Opus; convert it to Ogg/Opus first")
        raise BadData(
            f"the page at byte {offset} does not begin a stream: the start of the Ogg input is missing or damaged"
        )

    def _note_damage(self, damage: Damage) -> None:
        what = f"{damage.size} bytes at byte {damage.offset} of the Ogg input are damaged ({damage.reason})"
        if not self._skips:
            raise BadData(f"{what}; send the input again, or set 'damage: skip' to go on without them")
        self._ctx.errored()
        if not self._damaged:
            self._damaged = True
            self._ctx.warn(f"{what} and are skipped; further damage is only counted")


def codec_of(head: bytes) -> str:
    """Name the codec that a stream's first packet announces."""
    return next((name for magic, name in _CODECS if head.startswith(magic)), "an unknown codec")
