"""Media made on the spot: click tracks, our own Ogg bytes, and ffmpeg as the other implementation."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import imageio_ffmpeg
import numpy as np

from penstock.nodes.registry import default_registry
from penstock.packets import Audio, Binary, PacketMeta
from penstock.testing.harness import FakeContext, NodeResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from penstock.packets import EncodedAudio, Packet

CLICK = 24


def click_track(frames: int, clicks: Sequence[int], channels: int = 2) -> NDArray[np.float32]:
    """Faint noise with a loud click of 24 frames at each position; on the right a different noise."""
    samples = (0.01 * np.random.default_rng(7).standard_normal((frames, channels))).astype(np.float32)
    for position in clicks:
        samples[position : position + CLICK] = 0.8
    return samples


def tone(frames: int, hertz: float, rate: int = 48_000, channels: int = 1, level: float = 0.5) -> NDArray[np.float32]:
    """A sine, the same on all channels."""
    wave = level * np.sin(2 * np.pi * hertz * np.arange(frames) / rate)
    return np.repeat(wave.astype(np.float32)[:, None], channels, axis=1)


def shift_of(heard: NDArray[np.float32], sent: NDArray[np.float32], position: int, reach: int = 400) -> int:
    """By how many samples the click at ``position`` of ``sent`` is late in ``heard`` (by cross-correlation)."""
    pattern = sent[position - 50 : position + CLICK + 50, 0]
    window = heard[position - 50 - reach : position + CLICK + 50 + reach, 0]
    return int(np.argmax(np.correlate(window, pattern, "valid"))) - reach


def audio_packets(samples: NDArray[np.float32], size: int = 960, rate: int = 48_000, start_us: int = 0) -> list[Audio]:
    """Cut samples into packets with timestamps."""
    return [
        Audio(part, rate, PacketMeta(start_us + at * 1_000_000 // rate, len(part) * 1_000_000 // rate))
        for at in range(0, len(samples), size)
        if len(part := samples[at : at + size])
    ]


def joined(packets: Iterable[Packet]) -> bytes:
    """The bytes of Binary packets."""
    return b"".join(bytes(packet.data) for packet in packets)


def heard(packets: Iterable[Packet]) -> NDArray[np.float32]:
    """The samples of Audio packets."""
    return np.concatenate([packet.samples for packet in packets])


def through(kind: str, packets: Iterable[Packet], **params: object) -> NodeResult:
    """Run packets through a transform, as ``run_node`` does, without an event loop."""
    cls = default_registry().get(kind)
    node, ctx = cls(cls.Config.model_validate(params)), FakeContext()
    out: list[Packet] = []
    node.prepare(ctx)
    try:
        for packet in packets:
            made = node.process(packet)
            out += made if isinstance(made, list) else [] if made is None else [made]
        out += node.finish() or []
    finally:
        node.close()
    return NodeResult({"out": out}, ctx)


def encode(samples: NDArray[np.float32], size: int = 960, **params: object) -> list[EncodedAudio]:
    """Encode samples with our encoder."""
    return through("audio::opus::encoder", audio_packets(samples, size), **params).packets


def decode(packets: Iterable[EncodedAudio]) -> NDArray[np.float32]:
    """Decode packets with our decoder."""
    return heard(through("audio::opus::decoder", packets).packets)


def ogg_of(samples: NDArray[np.float32], page_duration_ms: int = 200, **params: object) -> bytes:
    """Encode samples and put them into Ogg."""
    packets = encode(samples, **params)
    return joined(through("containers::ogg::muxer", packets, page_duration_ms=page_duration_ms).packets)


def in_pieces(data: bytes, size: int) -> list[Binary]:
    """Cut bytes into Binary packets."""
    return [Binary(data[at : at + size]) for at in range(0, len(data), size)]


def ffmpeg(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg; it must succeed."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True)


def ffmpeg_decode(path: Path, channels: int) -> NDArray[np.float32]:
    """Decode a file with ffmpeg to ``(frames, channels)``; a complaint of ffmpeg fails the test."""
    result = ffmpeg("-v", "warning", "-i", path, "-f", "f32le", "-ac", channels, "-")
    assert result.stderr == b""
    return np.frombuffer(result.stdout, np.float32).reshape(-1, channels)


def ffmpeg_facts(path: Path) -> dict[str, object]:
    """What ffmpeg sees in a file: its packets, its duration in seconds, and the line about the audio stream."""
    result = ffmpeg("-i", path, "-map", "0:a", "-c", "copy", "-f", "framecrc", "-")
    text = result.stderr.decode()
    hours, minutes, seconds = re.search(r"Duration: (\d+):(\d+):([\d.]+)", text).groups()
    packets = [line for line in result.stdout.splitlines() if line and not line.startswith(b"#")]
    return {
        "packets": len(packets),
        "duration_s": int(hours) * 3600 + int(minutes) * 60 + float(seconds),
        "stream": re.search(r"Stream #0:0.*", text).group(),
    }


def sound_of(data: bytes) -> NDArray[np.float32]:
    """What is heard of a container, by our demuxer and decoder."""
    packets = through("containers::demuxer", [*in_pieces(data, 999)]).packets
    return heard(through("audio::decoder", packets).packets)


def stretches(packets: Iterable[Packet]) -> list[bytes]:
    """The bytes of each container that muxers give with ``segment_seconds``: a flagged packet begins one."""
    found: list[bytes] = []
    for packet in packets:
        if packet.meta.keyframe:
            found.append(b"")
        found[-1] += bytes(packet.data)
    return found
