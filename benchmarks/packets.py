"""What it takes to make a packet: as it is, and as a frozen dataclass of the same fields.

    python benchmarks/packets.py

The best of several repeats, in microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import make_dataclass
from timeit import repeat

from msgspec.structs import fields

from penstock.packets import NO_META, Codec, EncodedAudio, PacketMeta

NUMBER = 100_000
CODEC = Codec("opus", 48_000, 2)
CASES = (
    (PacketMeta, (20_000, 20_000, 1, None)),
    (EncodedAudio, (b"data", CODEC, NO_META, 0, 0)),
)


def microseconds(make: Callable[..., object], values: tuple[object, ...]) -> float:
    """The time of one."""
    return min(repeat(lambda: make(*values), number=NUMBER, repeat=7)) / NUMBER * 1e6


def main() -> None:
    print("| | packet, µs | frozen dataclass, µs |\n|---|---|---|")
    for kind, values in CASES:
        twin = make_dataclass(kind.__name__, [one.name for one in fields(kind)], frozen=True, slots=True)
        print(f"| `{kind.__name__}` | {microseconds(kind, values):.2f} | {microseconds(twin, values):.2f} |")


if __name__ == "__main__":
    main()
