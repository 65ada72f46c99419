"""Decode FLAC, as it arrives: the bytes of a file, or packets that a demuxer took out of another container.

Every sample is that of the recording, as float32 (exact up to 24 bits); rate and channels are the stream's. Input that
is empty or not FLAC fails the node; a damaged frame is stepped over by FFmpeg, which does not say so.
Reference: RFC 9639.
"""

from __future__ import annotations

from penstock.nodes.audio.stream_decoder import StreamDecoder, StreamDecoderConfig
from penstock.nodes.base import node
from penstock.pins import BINARY, EncodedAudioType, InputPin, OutputPin, RawAudioType

__all__ = ["FlacDecoder", "FlacDecoderConfig"]


class FlacDecoderConfig(StreamDecoderConfig):
    """The decoder has no parameters: the stream says all."""


@node(
    "audio::flac::decoder",
    inputs=[InputPin("in", (BINARY, EncodedAudioType("flac")))],
    outputs=[OutputPin("out", RawAudioType())],
)
class FlacDecoder(StreamDecoder):
    """FLAC bytes or packets in, audio out."""

    Config = FlacDecoderConfig
    format = "flac"
