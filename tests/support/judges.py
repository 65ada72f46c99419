"""FFmpeg as the judge of what we write: the one of the wheel, and the system's beside it where it is installed.

The system's is an older release with decoders and demuxers of its own age, and it has ffprobe.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import imageio_ffmpeg
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["JUDGES", "SYSTEM", "Facts", "Judge"]


@dataclass(frozen=True)
class Facts:
    """What a reader says of a file: the first stream, and the length of the whole, None if it does not know."""

    codec: str
    sample_rate: int
    channels: int
    duration_s: float | None
    start_s: float
    tags: dict[str, str]


@dataclass(frozen=True)
class Judge:
    """One release of FFmpeg."""

    name: str
    ffmpeg: str
    ffprobe: str | None = None

    def facts(self, path: Path) -> Facts:
        """What it sees in a file: by ffprobe, or from what ffmpeg prints."""
        return self._probed(path) if self.ffprobe else self._printed(path)

    def decode(self, path: Path, channels: int, *options: object) -> NDArray[np.float32]:
        """Decode a file to ``(frames, channels)``; a complaint fails the test."""
        out = self.run(*options, "-i", path, "-f", "f32le", "-ac", channels, "-")
        return np.frombuffer(out, np.float32).reshape(-1, channels)

    def encode(self, samples: NDArray[np.float32], rate: int, *options: object) -> bytes:
        """What ffmpeg makes of samples, on its standard output."""
        raw = ("-f", "f32le", "-ar", rate, "-ac", samples.shape[1], "-i", "pipe:0")
        return self.run(*raw, *options, "-", data=samples.tobytes())

    def run(self, *arguments: object, data: bytes = b"") -> bytes:
        """Run ffmpeg and return its output; it must succeed without a complaint."""
        command = [self.ffmpeg, "-v", "error", "-nostdin", "-y", *map(str, arguments)]
        done = subprocess.run(command, input=data, check=True, capture_output=True)
        assert done.stderr == b""
        return done.stdout

    def _probed(self, path: Path) -> Facts:
        command = [self.ffprobe, "-v", "error", "-show_format", "-show_streams", "-of", "json", str(path)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        form, stream = told["format"], told["streams"][0]
        duration = form.get("duration")
        tags = {**form.get("tags", {}), **stream.get("tags", {})}
        return Facts(
            stream["codec_name"],
            int(stream["sample_rate"]),
            stream["channels"],
            None if duration is None else float(duration),
            float(stream.get("start_time", 0)),
            {name.lower(): value for name, value in tags.items()},
        )

    def _printed(self, path: Path) -> Facts:
        command = [self.ffmpeg, "-hide_banner", "-nostdin", "-i", str(path)]
        text = subprocess.run(command, check=False, capture_output=True).stderr.decode()
        codec, rate, layout = re.search(r"Audio: (\w+).*?, (\d+) Hz, (\w+)", text).groups()
        length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", text)
        start = re.search(r"start: (-?[\d.]+)", text)
        tags = {name.lower(): value for name, value in re.findall(r"^ +(\w+) +: (.*)$", text, re.MULTILINE)}
        seconds = None if length is None else sum(float(n) * 60**i for i, n in enumerate(reversed(length.groups())))
        channels = {"mono": 1, "stereo": 2}[layout]
        return Facts(codec, int(rate), channels, seconds, float(start.group(1)) if start else 0.0, tags)


def _system() -> Judge | None:
    ffmpeg, ffprobe = shutil.which("ffmpeg"), shutil.which("ffprobe")
    return Judge("system", ffmpeg, ffprobe) if ffmpeg and ffprobe else None


SYSTEM = _system()
JUDGES = [Judge("wheel", imageio_ffmpeg.get_ffmpeg_exe()), *([SYSTEM] if SYSTEM else [])]
