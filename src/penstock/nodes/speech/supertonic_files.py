"""Supertonic's own files in the form that sherpa-onnx reads.

Supertonic publishes the numbers of its characters (``unicode_indexer.json``) and each voice (``voice_styles/M1.json``)
as JSON; sherpa-onnx reads both as plain little-endian numbers: the indexer as int32, the voices as six int64 of
dimensions and the float32 of all styles, then of all durations.
Reference: sherpa-onnx, ``scripts/supertonic``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["STYLES", "indexer_bytes", "speaker_of", "style_bytes"]

STYLES: Final = (*(f"F{n}" for n in range(1, 6)), *(f"M{n}" for n in range(1, 6)))
"""The voices in sherpa-onnx's archives, in their order."""


def indexer_bytes(path: Path) -> bytes:
    """The numbers of the characters, from JSON.

    Raises:
        ConfigurationError: it is not a list of numbers.
    """
    try:
        numbers = np.asarray(_read(path), "<i4")
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise ConfigurationError(f"'{path}' is not a list of numbers: {error}") from error
    if numbers.ndim != 1 or not len(numbers):
        raise ConfigurationError(f"'{path}' is not a list of numbers")
    return numbers.tobytes()


def style_bytes(path: Path) -> bytes:
    """One voice, from JSON.

    Raises:
        ConfigurationError: it is not a voice style.
    """
    try:
        given = _read(path)
        parts = [_numbers(given[name]) for name in ("style_ttl", "style_dp")]
    except (OSError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise ConfigurationError(f"'{path}' is not a voice style of Supertonic: {error!r}") from error
    dimensions = np.array([part.shape for part in parts], "<i8")
    return b"".join(block.tobytes() for block in (dimensions, *parts))


def speaker_of(voices: Path, style: str) -> int:
    """Which speaker of sherpa-onnx's file of voices a style is.

    Raises:
        ConfigurationError: there is no such style; the message names those there are.
    """
    with voices.open("rb") as file:
        count = int.from_bytes(file.read(8), "little")
    names = STYLES if count == len(STYLES) else tuple(str(n) for n in range(min(count, 1000)))
    if style not in names:
        raise ConfigurationError(
            f"voice_style '{style}': '{voices}' has {', '.join(names[:20])}{' …' * (len(names) > 20)}; "
            "or give the path of a style's JSON file"
        )
    return names.index(style)


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _numbers(given: Any) -> NDArray[np.float32]:
    numbers = np.asarray(given["data"], "<f4").reshape([int(size) for size in given["dims"]])
    if numbers.ndim != 3 or len(numbers) != 1 or not np.isfinite(numbers).all():
        raise ValueError(f"dims are {given['dims']}, not [1, rows, columns] of finite numbers")
    return numbers
