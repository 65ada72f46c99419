"""Decode MP3, as it arrives: the bytes of a file, or packets that a demuxer took out of another container.

The run-in of the encoder and the padding at the end are left out where the file tells them (the tag of LAME, which
every common encoder writes); without the tag they are heard: 1105 samples at the start of a usual file. Rate and
channels are the stream's. Input that is empty or not MP3 fails the node; damaged frames are stepped over.
Reference: ISO/IEC 11172-3, "MP3 Info Tag revision 1".
"""

from __future__ import annotations

from penstock.nodes.audio.stream_decoder import StreamDecoder, StreamDecoderConfig
from penstock.nodes.base import node
from penstock.pins import BINARY, EncodedAudioType, InputPin, OutputPin, RawAudioType

__all__ = ["Mp3Decoder", "Mp3DecoderConfig"]


class Mp3DecoderConfig(StreamDecoderConfig):
    """The decoder has no parameters: the stream says all."""


@node(
    "audio::mp3::decoder",
    inputs=[InputPin("in", (BINARY, EncodedAudioType("mp3")))],
    outputs=[OutputPin("out", RawAudioType())],
)
class Mp3Decoder(StreamDecoder):
    """MP3 bytes or packets in, audio out."""

    Config = Mp3DecoderConfig
    format = "mp3"
