"""How much media a live chain takes in before its first byte, and the first that can be heard, come out.

    python benchmarks/media/first_byte.py

Ogg with a page every 20 ms goes through demuxer, decoder, gain, encoder and muxer, a page at a time. What has been fed
is counted when the muxer's first bytes leave, and again when an ffmpeg that is given the bytes so far (and then their
end) decodes a first sample. It is a property of the formats and of how they are set, not of the machine.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from chain import Chain
from sources import BITRATE, ogg_pages, wheel_ffmpeg

PACKET_MS = 20
LIMIT = 250  # packets
OPUS = ("audio::opus::encoder", {"bitrate": BITRATE})
CHAINS: dict[str, tuple[tuple[str, Mapping[str, Any]], ...]] = {
    "Ogg, `page_duration_ms: 20`": (OPUS, ("containers::ogg::muxer", {"page_duration_ms": 20})),
    "Ogg, `page_duration_ms: 200`": (OPUS, ("containers::ogg::muxer", {"page_duration_ms": 200})),
    "Ogg, as it is": (OPUS, ("containers::ogg::muxer", {})),
    "MP4 stream, `frag_duration_ms: 500`": (OPUS, ("containers::mp4::muxer", {"frag_duration_ms": 500})),
    "MP4 stream, as it is": (OPUS, ("containers::mp4::muxer", {})),
    "WebM, `fragment_ms: 200`": (OPUS, ("containers::muxer", {"format": "webm", "fragment_ms": 200})),
    "WebM, as it is": (OPUS, ("containers::webm::muxer", {})),
    "MPEG-TS, AAC": (("audio::encoder", {"codec": "aac"}), ("containers::muxer", {"format": "mpegts"})),
    "ADTS": (("audio::encoder", {"codec": "aac"}), ("containers::muxer", {"format": "adts"})),
    "MP3": (("audio::encoder", {"codec": "mp3"}), ("containers::muxer", {"format": "mp3"})),
    "FLAC": (("audio::encoder", {"codec": "flac"}), ("containers::muxer", {"format": "flac"})),
    "WAV": (("audio::encoder", {"codec": "pcm"}), ("containers::muxer", {"format": "wav"})),
}


def heard(data: bytes) -> bool:
    """Whether ffmpeg gets a sample out of the bytes."""
    command = [wheel_ffmpeg(), "-v", "quiet", "-i", "-", "-f", "s16le", "-"]
    return bool(subprocess.run(command, input=data, capture_output=True, check=False).stdout)


def first(kinds: tuple[tuple[str, Mapping[str, Any]], ...]) -> tuple[int, int]:
    """Milliseconds of media fed when bytes came, and when sound came."""
    front = (("containers::ogg::demuxer", {}), ("audio::opus::decoder", {}), ("audio::gain", {"gain": 0.7}))
    chain = Chain([*front, *kinds])
    out, byte_ms = b"", 0
    for packets, page in enumerate(ogg_pages(LIMIT, 1)):
        new = b"".join(chain.feed(page))
        out += new
        byte_ms = byte_ms or (packets * PACKET_MS if out else 0)
        if new and heard(out):
            return byte_ms, packets * PACKET_MS
    raise SystemExit("nothing is heard")


def main() -> None:
    print("| | first byte, ms of media | first sound |\n|---|---|---|")
    for name, kinds in CHAINS.items():
        byte_ms, sound_ms = first(kinds)
        print(f"| {name} | {byte_ms} | {sound_ms} |", flush=True)


if __name__ == "__main__":
    main()
