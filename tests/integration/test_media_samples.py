"""The samples that need no server, run as they stand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from penstock.media.probe import probe
from support.containers import CLICKS, FRAMES, RATE, file_of, recording
from support.media import ffmpeg, shift_of

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def penstock(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "penstock", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["last.m4a", "a.mp3", "vorbis.ogg", "wide.wav"])
def test_a_recording_of_any_format_becomes_webm_of_the_same_length(name, tmp_path):
    source, target = tmp_path / name, tmp_path / "answer.webm"
    source.write_bytes(file_of(name))
    penstock("run", SAMPLES / "oneshot" / "convert_to_webm.yml", "-i", source, "-o", target)
    audio = probe(target, decode=True).audio
    assert (audio.codec_name, audio.channels, audio.errors) == ("opus", 2, 0)
    assert audio.samples == int(FRAMES * 48_000 / RATE + 0.5)


def test_a_long_recording_is_kept_in_pieces_that_play_alone(tmp_path):
    (tmp_path / "recording.wav").write_bytes(file_of("wide.wav"))
    (tmp_path / "takes").mkdir()
    settings = {
        "recording.path": tmp_path / "recording.wav",
        "objects.endpoint": tmp_path.as_uri(),
        "pieces.segment_seconds": 0.5,
    }
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    penstock("run", SAMPLES / "dynamic" / "keep_in_pieces.yml", *sets)
    objects = sorted((tmp_path / "takes").glob("*.flac"))
    assert len(objects) == 4
    pieces = []
    for path in objects:
        out = ffmpeg("-v", "error", "-i", path, "-f", "f32le", "-")
        assert out.stderr == b""
        pieces.append(np.frombuffer(out.stdout, np.float32).reshape(-1, 2))
    together = np.concatenate(pieces)
    assert len(together) == FRAMES
    assert [shift_of(together, recording(), click) for click in CLICKS] == [0, 0, 0]
    assert np.abs(together - recording()).max() < 1 / (1 << 22)
