"""CPU of transcoding ten minutes of stereo Ogg/Opus to Opus in MP4: our nodes, and `penstock run`, beside ffmpeg.

    python benchmarks/transcode.py [--minutes 10] [--rounds 3]

Each contender is a process of its own, its user and system time are read from the kernel, and the rounds are
interleaved, so that what disturbs the machine disturbs both. The bit-rate mode is the same: 64 kbit/s, constrained. The
source is made once by ffmpeg from a deterministic mixture of tones, vibrato and noise. Imports are part of the time.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHUNK = 65_536
PIPELINE = """\
name: transcode
mode: oneshot
steps:
  - kind: streamkit::http_input
  - kind: containers::ogg::demuxer
  - kind: audio::opus::decoder
  - kind: audio::opus::encoder
    params: {bitrate: 64000}
  - kind: containers::mp4::muxer
    params: {mode: file}
  - kind: streamkit::http_output
    params: {content_type: audio/mp4}
"""
BITRATE = 64_000
SOURCE = (
    "aevalsrc="
    "0.3*sin(2*PI*(180+60*sin(0.7*t))*t)*(0.6+0.4*sin(2*PI*3.1*t))+0.1*(random(0)-0.5)*gt(sin(2*PI*0.9*t)\\,0.2)|"
    "0.3*sin(2*PI*(200+50*sin(0.5*t))*t)+0.15*sin(2*PI*660*t)*gt(sin(2*PI*1.7*t)\\,0)+0.05*(random(1)-0.5)"
)


@dataclass(frozen=True)
class Contender:
    """One way to do the work: its name, and the command for a source and a target."""

    name: str
    command: list[str]


def ffmpeg_exe() -> str:
    """The ffmpeg on PATH, or the one that a wheel brings."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def make_source(path: Path, seconds: int) -> None:
    """Synthesise the recording; for the same length it is always the same."""
    opus = ["-c:a", "libopus", "-b:a", str(BITRATE), "-vbr", "constrained"]
    lavfi = ["-f", "lavfi", "-i", f"{SOURCE}:s=48000:d={seconds}"]
    subprocess.run([ffmpeg_exe(), "-v", "error", "-y", *lavfi, *opus, path], check=True)


def transcode(source: Path, target: Path) -> None:
    """Run the chain of nodes over a file, as fused transforms do: one call after the other, packet by packet."""
    from penstock.nodes.registry import default_registry
    from penstock.packets import Binary
    from penstock.testing.harness import FakeContext

    chain = []
    for kind, params in (
        ("containers::ogg::demuxer", {}),
        ("audio::opus::decoder", {}),
        ("audio::opus::encoder", {"bitrate": BITRATE}),
        ("containers::mp4::muxer", {"mode": "file"}),
    ):
        cls = default_registry().get(kind)
        node = cls(cls.Config.model_validate(params))
        node.prepare(FakeContext())
        chain.append(node)

    def through(packets, start):
        for node in chain[start:]:
            made = []
            for packet in packets:
                result = node.process(packet)
                if result is None:
                    continue
                made += result if isinstance(result, list) else (result,)
            packets = made
        return packets

    with source.open("rb") as read, target.open("wb") as write:
        while data := read.read(CHUNK):
            for packet in through([Binary(data)], 0):
                write.write(packet.data)
        for at, node in enumerate(chain, 1):
            for packet in through(node.finish() or [], at):
                write.write(packet.data)
    for node in chain:
        node.close()


def cpu_of(command: list[str]) -> float:
    """Run a command; return the CPU seconds, user and system, of it and its children."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed with {process.returncode}: {shlex.join(command)}")
    return usage.ru_utime + usage.ru_stime


def contenders(source: Path, scratch: Path) -> list[Contender]:
    """ffmpeg first: it is the measure."""
    ffmpeg = [ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-threads", "1", "-i", str(source), "-threads", "1"]
    ffmpeg += ["-c:a", "libopus", "-b:a", str(BITRATE), "-vbr", "constrained", "-movflags", "faststart"]
    ours = [sys.executable, str(Path(__file__).resolve()), "--run", str(source), str(scratch / "ours.mp4")]
    pipeline = scratch / "transcode.yml"
    pipeline.write_text(PIPELINE)
    penstock = [str(Path(sys.executable).with_name("penstock")), "run", str(pipeline), "-i", str(source)]
    return [
        Contender("ffmpeg -threads 1", [*ffmpeg, str(scratch / "ffmpeg.mp4")]),
        Contender("penstock, the nodes alone", ours),
        Contender("penstock run", [*penstock, "-o", str(scratch / "run.mp4")]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", nargs=2, type=Path, metavar=("SOURCE", "TARGET"), help="do our part of it once")
    options = parser.parse_args()
    if options.run:
        transcode(*options.run)
        return
    seconds = round(options.minutes * 60)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        scratch = Path(directory)
        source = scratch / "source.ogg"
        make_source(source, seconds)
        entries = contenders(source, scratch)
        times: dict[str, list[float]] = {entry.name: [] for entry in entries}
        for _ in range(options.rounds):
            for entry in entries:
                times[entry.name].append(cpu_of(entry.command))
        report(times, seconds)


def report(times: dict[str, list[float]], seconds: int) -> None:
    """Print a table; the ratio is the median of those within each round."""
    measure = next(iter(times.values()))
    print(f"transcode of {seconds / 60:g} min stereo Ogg/Opus to Opus in MP4, {len(measure)} rounds, CPU seconds\n")
    print("| | best | median | x real time | of ffmpeg |\n|---|---|---|---|---|")
    for name, cpu in times.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(cpu, measure, strict=True))
        median = statistics.median(cpu)
        print(f"| {name} | {min(cpu):.2f} | {median:.2f} | {seconds / median:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
