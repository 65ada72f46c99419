"""A recording of somebody, for a voice to imitate: found by name, put together from a stream, decoded."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import numpy as np

from penstock.errors import BadData, ConfigurationError, MissingDependency
from penstock.media.formats import NOTHING_BESIDE
from penstock.nodes.speech.engine_neural import Reference
from penstock.nodes.speech.model_files import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["MAX_BYTES", "Recordings", "decode_reference", "find_recording", "from_base64"]

MAX_BYTES: Final = 16 * 1024 * 1024
RATE_HZ: Final = 24_000
LEAST_RATE_HZ: Final = 4_000
"""Below it there is no speech, and the samples of one block at 1 Hz would be gigabytes at ours."""
LONGEST_S: Final = 15
RIFF_HEAD: Final = 8  # bytes before those that a RIFF header counts
UNKNOWN_SIZES: Final = (0, 0xFFFF_FFFF)
MAX_PATH: Final = 1024  # characters; what is longer is the recording itself
SHORTEST_BASE64: Final = 64  # characters; what is shorter is a name


class Recordings:
    """Puts recordings together from the bytes of a stream.

    A WAV that says its length ends there; what follows is the next one if it is a WAV too, else it is passed over.
    Anything else ends with the stream.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._any = False

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Take more; give the recordings that are complete.

        Raises:
            BadData: one is longer than 16 MiB.
        """
        self._held += data
        while (length := self._length()) is not None and len(self._held) >= length:
            yield bytes(self._held[:length])
            del self._held[:length]
            self._any = True
        if self._any and not self._held.startswith(b"RIFF"[: len(self._held)]):
            self._held.clear()
        if len(self._held) > MAX_BYTES:
            raise BadData(f"a recording of a voice is more than {MAX_BYTES >> 20} MiB; {LONGEST_S} s of it are enough")

    def finish(self) -> bytes | None:
        """Give what is left at the end, if anything is."""
        left, self._held = bytes(self._held), bytearray()
        return left or None

    def _length(self) -> int | None:
        if len(self._held) < RIFF_HEAD or not self._held.startswith(b"RIFF"):
            return None
        size = int.from_bytes(self._held[4:8], "little")
        return None if size in UNKNOWN_SIZES else size + RIFF_HEAD


def decode_reference(data: bytes, what: str) -> Reference:
    """Decode a recording of any format that FFmpeg knows: mono at 24000 Hz, its first 15 s.

    Args:
        data: the whole file.
        what: the recording, for messages.

    Raises:
        BadData: it cannot be decoded, has less than 4000 samples a second, or holds no sound.
    """
    resampler = av.AudioResampler(format="fltp", rate=RATE_HZ)
    parts: list[np.ndarray] = []
    try:
        with av.open(io.BytesIO(data), "r", options=NOTHING_BESIDE) as container:
            for frame in container.decode(audio=0):
                parts += _resampled(resampler, frame)
                if sum(map(len, parts)) >= LONGEST_S * RATE_HZ:
                    break
            else:
                parts += _resampled(resampler, None)
    except (av.FFmpegError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadData(f"{what} is no recording that can be decoded: {reason}") from error
    samples = np.concatenate([*parts, np.zeros(0, np.float32)])[: LONGEST_S * RATE_HZ]
    if not np.isfinite(samples).all() or not samples.any():
        raise BadData(f"{what} holds no sound")
    return Reference(samples.tolist(), RATE_HZ)


def _resampled(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[np.ndarray]:
    """A frame in mono at our rate, or without one what is left.

    Raises:
        ValueError: its rate is none for speech.
    """
    if frame is not None and frame.sample_rate < LEAST_RATE_HZ:
        raise ValueError(f"its rate is {frame.sample_rate} Hz; speech takes {LEAST_RATE_HZ} or more")
    return [made.to_ndarray().mean(axis=0, dtype=np.float32) for made in resampler.resample(frame)]


def from_base64(text: str) -> bytes | None:
    """The bytes that a text stands for in base64; None if it is something else."""
    try:
        return base64.b64decode("".join(text.split()), validate=True) if len(text) >= SHORTEST_BASE64 else None
    except (binascii.Error, ValueError):
        return None


def find_recording(voice: str, folders: Sequence[Path]) -> bytes:
    """Read the recording that a voice is: a path, a name with ``.wav`` in one of the folders, or base64.

    Raises:
        ConfigurationError: it is of a form that sherpa-onnx has no use for.
        MissingDependency: it is not there; the message says where it was looked for.
    """
    if "://" in voice:
        raise ConfigurationError(f"voice '{voice[:100]}' is not fetched: give the path of a recording ({PAGE})")
    if voice.endswith(".safetensors"):
        raise ConfigurationError(f"voice '{voice[:100]}' is an embedding, and a recording is needed ({PAGE})")
    candidates = [Path(voice), *(folder / f"{voice}.wav" for folder in folders)] if len(voice) <= MAX_PATH else []
    try:
        found = next((path for path in candidates if path.is_file()), None)
        if found is not None and found.stat().st_size <= MAX_BYTES:
            return found.read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"voice '{voice[:100]}' cannot be read: {error}") from error
    if found is not None:
        raise ConfigurationError(f"voice '{found}' is more than {MAX_BYTES >> 20} MiB; {LONGEST_S} s of it are enough")
    if (given := from_base64(voice)) is not None:
        return given
    looked = ", ".join(f"'{folder}'" for folder in folders)
    raise MissingDependency(
        f"voice '{voice[:100]}' is not there: neither a file nor a .wav of that name in {looked}; "
        f"give the path of a recording of the speaker ({PAGE})"
    )
