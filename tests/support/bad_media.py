"""Run one file of ``containers.FILES`` through demuxer and decoder in every damaged form; a program of its own.

Prints how many cases there were, how many gave sound and how many ended with an error of ours; anything else ends it.
"""

from __future__ import annotations

import faulthandler
import random
import resource
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from penstock.errors import PenstockError
from support.containers import FILES, file_of
from support.media import in_pieces, through

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = {"a.flac": "audio::flac::decoder", "a.mp3": "audio::mp3::decoder", "wide.wav": "containers::wav::demuxer"}
FLIPS = 100
SECONDS = 4  # of CPU for one case at most; usual are milliseconds


def cases(name: str) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    data = file_of(name)
    dice = random.Random(name)
    for part in range(16):
        yield f"cut at {part}/16", data[: len(data) * part // 16], {}
    for turn in range(FLIPS):
        flipped = bytearray(data)
        for _ in range(100):
            flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
        yield f"flips {turn}", bytes(flipped), {"format": FILES[name][0]}
    for turn in range(10):  # where it hurts
        flipped = bytearray(data)
        for _ in range(8):
            flipped[dice.randrange(200)] = dice.randrange(256)
        yield f"header flips {turn}", bytes(flipped), {"format": FILES[name][0]}
    yield "twice", data + data, {}
    yield "with a tail", data + b"and so on" * 1_000, {}
    yield "text", b"It was a dark and stormy night. " * 1_000, {"format": FILES[name][0]}
    for other in ("flac", "mp3", "adts", "mp4", "webm", "mpegts", "wav", "ogg"):
        yield f"as {other}", data, {"format": other}
    if name.endswith(".wav"):
        for channels, rate in ((0xFFFF, 48_000), (2, 1), (2, 0xFFFFFFFF), (0, 0)):
            yield "absurd", data[:22] + struct.pack("<HI", channels, rate) + data[28:], {}


def decode(data: bytes, params: dict[str, str], own: str | None) -> None:
    """Through demuxer and decoder or, with ``own``, through the kind of this format alone."""
    if own is not None:
        through(own, in_pieces(data, 9_999))
        return
    packets = through("containers::demuxer", in_pieces(data, 9_999), **params).packets
    if not packets:
        raise SystemExit("neither packets nor an error")
    through("audio::decoder", packets)


def main(name: str, memory_bytes: int) -> None:
    faulthandler.enable()
    through("audio::decoder", through("containers::demuxer", in_pieces(file_of(name), 9_999)).packets)  # loads it all
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes, used + memory_bytes))
    count = sound = refused = 0
    every = [(*case, own) for case in cases(name) for own in {None, OWN.get(name)}]
    for what, data, params, own in every:
        before = resource.getrusage(resource.RUSAGE_SELF)
        count += 1
        try:
            decode(data, params, own)
            sound += 1
        except PenstockError as error:
            if not str(error) or "\n" in str(error):
                raise SystemExit(f"{what}: {error!r}") from error
            refused += 1
        after = resource.getrusage(resource.RUSAGE_SELF)
        if after.ru_utime - before.ru_utime > SECONDS:
            raise SystemExit(f"{what}: took {after.ru_utime - before.ru_utime:.1f} s")
    sys.stdout.write(f"{count} {sound} {refused}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
