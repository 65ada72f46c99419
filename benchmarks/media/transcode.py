"""Transcoding ten minutes of stereo Ogg/Opus to Opus in MP4: `penstock run`, and the nodes alone, beside ffmpeg.

    python benchmarks/media/transcode.py [--minutes 10] [--rounds 5]

Each contender is a process of its own, imports included. CPU is its user and system time, as the kernel has counted it;
rounds are interleaved, and a ratio is that to ffmpeg within its round: median, and in brackets the least and the most.
All have one bit-rate mode, 64 kbit/s, constrained, and complexity 10. The measure is the ffmpeg on PATH, which on
Debian uses the libopus that penstock finds too; that of the imageio-ffmpeg wheel brings a libopus of its own, and works
in several threads whatever it is told.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from sources import BITRATE, recording, wheel_ffmpeg

CHUNK = 65_536
KINDS = (
    ("containers::ogg::demuxer", {}),
    ("audio::opus::decoder", {}),
    ("audio::opus::encoder", {"bitrate": BITRATE}),
    ("containers::mp4::muxer", {"mode": "file"}),
)
PIPELINE = """\
name: transcode
mode: oneshot
steps:
  - kind: streamkit::http_input
  - kind: containers::ogg::demuxer
  - kind: audio::opus::decoder
  - kind: audio::opus::encoder
    params: {{bitrate: {bitrate}, threads: {threads}}}
  - kind: containers::mp4::muxer
    params: {{mode: file}}
  - kind: streamkit::http_output
    params: {{content_type: audio/mp4}}
"""


@dataclass
class Contender:
    """One way to do the work: its command, and the CPU and elapsed seconds of each round."""

    name: str
    command: list[str]
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def run(self) -> None:
        started = time.perf_counter()
        process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"failed with {process.returncode}: {shlex.join(self.command)}")
        self.wall.append(time.perf_counter() - started)
        self.cpu.append(usage.ru_utime + usage.ru_stime)


def transcode(source: Path, target: Path) -> None:
    """Run the chain of nodes over a file, one call after the other, packet by packet."""
    from chain import Chain

    chain = Chain(KINDS)
    with source.open("rb") as read, target.open("wb") as write:
        while data := read.read(CHUNK):
            write.writelines(chain.feed(data))
        write.writelines(chain.finish())


def recode(source: Path) -> None:
    """Decode and encode a file's packets by libopus, without all else: what no transcode by it can be quicker than."""
    from chain import Chain

    from penstock.media.libopus import OpusDecoder, OpusEncoder
    from penstock.media.opus import packet_samples

    packets = list(Chain(KINDS[:1]).feed(source.read_bytes()))
    decoder = OpusDecoder(2)
    encoder = OpusEncoder(2, "audio", bitrate=BITRATE, complexity=10, vbr="constrained")
    for packet in packets:
        samples = packet_samples(packet)
        encoder.encode(decoder.decode(packet, samples).ctypes.data, samples)


def contenders(source: Path, scratch: Path) -> list[Contender]:
    """The measure first."""

    def ffmpeg(exe: str, target: str) -> list[str]:
        command = [exe, "-v", "error", "-nostdin", "-y", "-threads", "1", "-i", str(source), "-threads", "1"]
        command += ["-c:a", "libopus", "-b:a", str(BITRATE), "-vbr", "constrained", "-movflags", "faststart"]
        return [*command, str(scratch / target)]

    def penstock(threads: int) -> list[str]:
        pipeline = scratch / f"transcode-{threads}.yml"
        pipeline.write_text(PIPELINE.format(bitrate=BITRATE, threads=threads))
        command = [sys.executable, "-m", "penstock", "run", str(pipeline), "-i", str(source)]
        return [*command, "-o", str(scratch / f"run-{threads}.mp4")]

    nodes = [sys.executable, str(Path(__file__).resolve()), "--run", str(source), str(scratch / "nodes.mp4")]
    system = shutil.which("ffmpeg")
    measure = [Contender("ffmpeg -threads 1, on PATH", ffmpeg(system, "path.mp4"))] if system else []
    return [
        *measure,
        Contender("ffmpeg -threads 1, of the wheel", ffmpeg(wheel_ffmpeg(), "wheel.mp4")),
        Contender("the nodes alone", nodes),
        Contender("penstock run", penstock(1)),
        Contender("penstock run, threads: 2", penstock(2)),
    ]


def report(entries: list[Contender], seconds: float) -> None:
    """Print a table."""
    measure = entries[0]
    print(f"transcode of {seconds / 60:g} min stereo Ogg/Opus to Opus in MP4, {len(measure.cpu)} rounds\n")
    print("| | CPU s | x real time | CPU of ffmpeg's | elapsed s | elapsed of ffmpeg's |\n|---|---|---|---|---|---|")
    for one in entries:
        cpu, wall = statistics.median(one.cpu), statistics.median(one.wall)
        cells = f"{cpu:.2f} | {seconds / cpu:.0f} | {ratio(one.cpu, measure.cpu)} | {wall:.2f}"
        print(f"| {one.name} | {cells} | {ratio(one.wall, measure.wall)} |")


def ratio(ours: list[float], theirs: list[float]) -> str:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f}-{max(ratios):.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", nargs=2, type=Path, metavar=("SOURCE", "TARGET"), help="do the nodes' part of it once")
    parser.add_argument("--codec", type=Path, metavar="SOURCE", help="do libopus's part of it once")
    options = parser.parse_args()
    if options.codec:
        recode(options.codec)
        return
    if options.run:
        transcode(*options.run)
        return
    with recording(options.minutes * 60) as source:
        entries = contenders(source, source.parent)
        for _ in range(options.rounds):
            for entry in entries:
                entry.run()
        report(entries, options.minutes * 60)


if __name__ == "__main__":
    main()
