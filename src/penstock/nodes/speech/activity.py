"""Voice activity models: which family a file is of, and how sherpa-onnx is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from penstock.nodes.speech.model_files import find_file

if TYPE_CHECKING:
    from penstock.nodes.speech.sherpa import ModelSpec

__all__ = ["activity_spec"]

WINDOWS: Final = {"silero": 512, "ten": 256}
"""Samples of a window at 16 kHz, which the models lay down."""
INSTANT_S: Final = 1e-6
"""The library's own smoothing is switched off: ``gate`` does that."""


def activity_spec(
    who: str,
    parameter: str,
    path: str,
    way_out: str,
    *,
    threshold: float,
    num_threads: int = 1,
    provider: str = "cpu",
) -> ModelSpec:
    """Describe the model in a file; it is TEN's if its metadata says so, else Silero's.

    Raises:
        MissingDependency: the file is not there.
    """
    from penstock.nodes.speech.sherpa import ModelSpec

    find_file(who, parameter, path, way_out)
    family = "ten" if b"ten-vad" in Path(path).read_bytes() else "silero"
    options = {
        "threshold": threshold,
        "min_silence_duration": INSTANT_S,
        "min_speech_duration": INSTANT_S,
        "window_size": WINDOWS[family],
    }
    return ModelSpec("activity", family, {"model": path}, options, num_threads, provider)
