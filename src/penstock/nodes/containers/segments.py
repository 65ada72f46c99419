"""Cut a stream of packets into stretches that decode by themselves, so that joined they are the whole again.

A decoder needs a run-up before what it puts out is right. So a stretch begins with the last packets of the one before,
and its ``Codec`` says that they are not to be heard: no sample is missing and none is there twice (RFC 7845 §4.6 asks
for 80 ms of Opus; AAC and Vorbis need one packet). PCM and FLAC need none; MP3 is cut without one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from penstock.media.clock import MICROSECONDS
from penstock.media.flac import frame_samples
from penstock.media.mp3 import FrameHeader
from penstock.media.opus import RATE_HZ, OpusHead, head_of, packet_samples
from penstock.media.wav import PCM_BYTES
from penstock.packets import replace

if TYPE_CHECKING:
    from penstock.packets import Codec, EncodedAudio

__all__ = ["Segments", "samples_of"]

_RUN_UP: Final = {"opus": 3_840, "aac": 1, "vorbis": 1}
"""Samples that a run-up has at least, by codec."""

_AAC_FRAME: Final = 1_024
_AAC_FRAMES: Final = {960, 1_024, 1_920, 2_048}
"""Lengths of AAC frames; the longer ones with spectral band replication, which doubles the rate."""


def samples_of(packet: EncodedAudio) -> int:
    """Sample frames that a packet decodes to, its padding included; 0 if that cannot be told."""
    codec = packet.codec
    if codec.name == "opus":
        return packet_samples(packet.data)
    if codec.name in PCM_BYTES:
        return len(packet.data) // (PCM_BYTES[codec.name] * codec.channels)
    if codec.name == "mp3":
        header = FrameHeader.parse(packet.data)
        return 0 if header is None else header.samples
    lasts = round((packet.meta.duration_us or 0) * codec.sample_rate_hz / MICROSECONDS)
    if codec.name == "aac":
        return lasts if lasts in _AAC_FRAMES else _AAC_FRAME
    return frame_samples(packet.data) or lasts if codec.name == "flac" else lasts


class Segments:
    """Decides where stretches begin."""

    def __init__(self, seconds: float, *, run_up: bool = True) -> None:
        """Begin.

        Args:
            seconds: length of a stretch, ended by the first packet after it; 0 never ends one.
            run_up: whether packets may be repeated; else a stretch begins as it comes.
        """
        self._run_up = _RUN_UP if run_up else {}
        self._seconds = seconds
        self._source: Codec | None = None  # of the input
        self._codec: Codec | None = None  # of the stretch
        self._begun = 0  # samples since the stretch began
        self._recent: deque[EncodedAudio] = deque()

    def split(self, packet: EncodedAudio, samples: int) -> list[EncodedAudio]:
        """The packet as one of the present stretch; or, after the run-up, as the first of a new one."""
        if not self._seconds:
            return [packet]
        if packet.codec is not self._source:
            self._source = self._codec = packet.codec
            self._begun = 0
            self._recent.clear()
        run_up: list[EncodedAudio] = []
        if self._begun >= self._seconds * (RATE_HZ if packet.codec.name == "opus" else packet.codec.sample_rate_hz):
            run_up = list(self._recent)
            self._codec = _begins(packet, sum(samples_of(one) for one in run_up))
            self._begun = 0
        self._begun += samples
        self._remember(packet)
        assert self._codec is not None  # noqa: S101 - for the type checker
        return [replace(one, codec=self._codec) for one in (*run_up, packet)]

    def _remember(self, packet: EncodedAudio) -> None:
        needed = self._run_up.get(packet.codec.name, 0)
        self._recent.append(packet)
        while self._recent and sum(samples_of(one) for one in self._recent) - samples_of(self._recent[0]) >= needed:
            self._recent.popleft()


def _begins(packet: EncodedAudio, silent: int) -> Codec:
    """The codec record of a stretch whose first ``silent`` samples are run-up."""
    codec = packet.codec
    if codec.name != "opus":
        return replace(codec, delay=silent)
    head = head_of(packet)
    return replace(codec, private=OpusHead(head.channels, silent, head.input_rate_hz, head.gain).build())
