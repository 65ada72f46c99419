"""Files of every container, made by ffmpeg from one recording."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from support.media import click_track, ffmpeg

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 44_100
CLICKS = [5_000, 30_001, 60_000]
FRAMES = 70_003  # a length that no codec's frame divides

# name: (format of ours, arguments of ffmpeg)
FILES = {
    "opus.ogg": ("ogg", ["-c:a", "libopus", "-b:a", "160k"]),
    "vorbis.ogg": ("ogg", ["-c:a", "libvorbis", "-q:a", "8"]),
    "flac.ogg": ("ogg", ["-c:a", "flac"]),
    "pcm.wav": ("wav", ["-c:a", "pcm_s16le"]),
    "wide.wav": ("wav", ["-c:a", "pcm_s24le"]),
    "float.wav": ("wav", ["-c:a", "pcm_f32le"]),
    "a.flac": ("flac", ["-c:a", "flac"]),
    "a.mp3": ("mp3", ["-c:a", "libmp3lame", "-b:a", "192k"]),
    "a.aac": ("adts", ["-c:a", "aac", "-b:a", "192k"]),
    "last.m4a": ("mp4", ["-c:a", "aac", "-b:a", "192k"]),
    "first.m4a": ("mp4", ["-c:a", "aac", "-b:a", "192k", "-movflags", "+faststart"]),
    "frag.mp4": (
        "mp4",
        [
            "-c:a",
            "aac",
            "-b:a",
            "192k",
            "-movflags",
            "+frag_keyframe+delay_moov+default_base_moof",
            "-frag_duration",
            "200000",
        ],
    ),
    "opus.mp4": ("mp4", ["-c:a", "libopus", "-b:a", "160k", "-movflags", "+faststart"]),
    "opus.webm": ("webm", ["-c:a", "libopus", "-b:a", "160k"]),
    "vorbis.webm": ("webm", ["-c:a", "libvorbis", "-q:a", "8"]),
    "aac.mkv": ("matroska", ["-c:a", "aac", "-b:a", "192k"]),
    "flac.mkv": ("matroska", ["-c:a", "flac"]),
    "aac.ts": ("mpegts", ["-c:a", "aac", "-b:a", "192k"]),
    "mp3.ts": ("mpegts", ["-c:a", "libmp3lame", "-b:a", "192k"]),
}


@cache
def recording() -> NDArray[np.float32]:
    """What all the files hold: stereo, with clicks."""
    return click_track(FRAMES, CLICKS)


@cache
def file_of(name: str) -> bytes:
    """The bytes of one of ``FILES``."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source.raw"), Path(folder, name)
        source.write_bytes(recording().tobytes())
        raw = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", source)
        ffmpeg("-v", "error", *raw, "-metadata", "title=Überfahrt", *FILES[name][1], target)
        return target.read_bytes()
