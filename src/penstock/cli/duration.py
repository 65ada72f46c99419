"""Times as they are written on the command line: ``90m``, ``24h``, ``7d``, ``1h30m``."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["parse_duration"]

UNITS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
DURATION: Final = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")


def parse_duration(text: str) -> int:
    """Seconds of a time: whole numbers, each with its unit, the larger units first.

    Raises:
        ValueError: it is none; the message says how to write one.
    """
    match = DURATION.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        number = text.strip()
        hint = f"; for minutes write {number}m" if number.isascii() and number.isdecimal() else ""
        raise ValueError(f"'{text}' is no time: write d, h, m and s in this order, as in 90m, 24h, 7d or 1h30m{hint}")
    return sum(int(count or 0) * factor for count, factor in zip(match.groups(), UNITS.values(), strict=True))
