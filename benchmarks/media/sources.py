"""What the media benchmarks are fed with: a recording that is always the same, and streams without an end.

The recording is synthesised by ffmpeg: tones, vibrato and noise in stereo at 48 kHz, Opus at 64 kbit/s, constrained.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import Field

from penstock.media.opus import packet_samples
from penstock.media.wav import WavFormat, stream_header
from penstock.nodes.base import Node, NodeConfig, NodeContext, node
from penstock.nodes.builtin import BUILTIN
from penstock.nodes.containers.ogg import PacketAssembler, PageReader, PageWriter
from penstock.nodes.registry import Registry
from penstock.packets import Binary
from penstock.pins import BINARY, OutputPin

BITRATE = 64_000
PACKETS_A_PAGE = 50
SOUND = (
    "aevalsrc="
    "0.3*sin(2*PI*(180+60*sin(0.7*t))*t)*(0.6+0.4*sin(2*PI*3.1*t))+0.1*(random(0)-0.5)*gt(sin(2*PI*0.9*t)\\,0.2)|"
    "0.3*sin(2*PI*(200+50*sin(0.5*t))*t)+0.15*sin(2*PI*660*t)*gt(sin(2*PI*1.7*t)\\,0)+0.05*(random(1)-0.5)"
)


def wheel_ffmpeg() -> str:
    """The ffmpeg that the imageio-ffmpeg wheel brings."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def make_recording(path: Path, seconds: float) -> None:
    """Write the recording as Ogg; for the same length it is always the same."""
    lavfi = ["-f", "lavfi", "-i", f"{SOUND}:s=48000:d={seconds}"]
    opus = ["-c:a", "libopus", "-b:a", str(BITRATE), "-vbr", "constrained"]
    subprocess.run([shutil.which("ffmpeg") or wheel_ffmpeg(), "-v", "error", "-y", *lavfi, *opus, path], check=True)


@contextmanager
def recording(seconds: float) -> Iterator[Path]:
    """The recording in a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        path = Path(directory) / "source.ogg"
        make_recording(path, seconds)
        yield path


@cache
def opus_packets(seconds: float = 30) -> tuple[bytes, ...]:
    """The recording's packets: two headers, then 20 ms each."""
    with recording(seconds) as path:
        pages, assembler = PageReader().feed(path.read_bytes()), PacketAssembler(1 << 20)
    return tuple(itertools.chain.from_iterable(assembler.push(page) for page in pages))  # type: ignore[arg-type]


def ogg_pages(packets: int, packets_a_page: int = PACKETS_A_PAGE) -> Iterator[bytes]:
    """A sound Ogg stream with so many packets of 20 ms: the recording over and over, page by page."""
    head, tags, *audio = opus_packets()
    writer, granule = PageWriter(7), 0
    yield writer.add(head, 0) + writer.flush() + writer.add(tags, 0) + writer.flush()
    for number, packet in enumerate(itertools.islice(itertools.cycle(audio), packets), 1):
        granule += packet_samples(packet)
        writer.add(packet, granule)
        if number % packets_a_page == 0 and number < packets:
            yield writer.flush()
    yield writer.flush(last=True)


def wav_pieces(packets: int, packets_a_piece: int = PACKETS_A_PAGE) -> Iterator[bytes]:
    """A WAV stream of the same length: 16 bits, stereo, noise."""
    frames = packets_a_piece * 960
    noise = np.random.default_rng(7).normal(0, 3000, (frames, 2)).astype("<i2").tobytes()
    yield stream_header(WavFormat("pcm_s16le", 48_000, 2))
    for _ in range(packets // packets_a_piece):
        yield noise


class StreamConfig(NodeConfig):
    """How long it is."""

    form: str = Field("ogg", description="`ogg` or `wav`.")
    packets: int = Field(50, description="Packets of 20 ms.")


@node("bench::stream", outputs=[OutputPin("out", BINARY)])
class Stream(Node[StreamConfig]):
    """A stream as fast as it is taken; ``media_s`` is how much of it has left."""

    media_s = 0.0

    async def run(self, ctx: NodeContext) -> None:
        out = ctx.output()
        pieces = {"ogg": ogg_pages, "wav": wav_pieces}[self.config.form](self.config.packets)
        for number, piece in enumerate(pieces):
            await out.send(Binary(piece))
            Stream.media_s = number * PACKETS_A_PAGE * 0.02
            await asyncio.sleep(0)


def bench_registry(*more: type[Node[NodeConfig]]) -> Registry:
    """The built-in kinds, ``bench::stream`` and those given."""
    registry = Registry(dict(BUILTIN))
    for cls in (Stream, *more):
        registry.add(cls.kind, cls)
    return registry
