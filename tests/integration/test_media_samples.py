"""The samples that need no server, run as they stand."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from penstock.media.probe import probe
from penstock.nodes.registry import default_registry
from support.containers import CLICKS, FRAMES, RATE, file_of, recording
from support.judges import JUDGES
from support.media import ffmpeg, ogg_of, shift_of, tone

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def needs_a_model(kind):
    return any(name.startswith("model_") for name in default_registry().get(kind).Config.model_fields)


def penstock(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "penstock", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def oneshot(name, source, target, *arguments):
    return penstock("run", SAMPLES / "oneshot" / name, "-i", source, "-o", target, *arguments)


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


def test_every_kind_is_in_a_sample():
    used = {kind for path in SAMPLES.rglob("*.yml") for kind in re.findall(r"kind: (\S+)", path.read_text())}
    assert {kind for kind in default_registry() if not needs_a_model(kind)} - used == set()


def test_what_comes_in_goes_out(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 1_000)
    oneshot("echo.yml", tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_a_recording_becomes_twice_as_loud_and_is_told_of(tmp_path):
    (tmp_path / "a.ogg").write_bytes(ogg_of(tone(96_000, 440, channels=2, level=0.2)))
    told = oneshot("louder.yml", tmp_path / "a.ogg", tmp_path / "b.ogg", "--json")
    out = JUDGES[0].decode(tmp_path / "b.ogg", 2)
    assert len(out) == 96_000
    assert np.abs(out[10_000:90_000]).max() == pytest.approx(0.4, abs=0.02)
    levels = [one["data"] for one in map(json.loads, told.splitlines()) if one["event"] == "node.telemetry"]
    assert [level["rms"] for level in levels] == pytest.approx([0.4 / 2**0.5] * 2, abs=0.01)


@pytest.mark.parametrize(
    ("sample", "source", "codec"),
    [("mp3_to_m4a.yml", "a.mp3", "aac"), ("wav_to_ogg.yml", "wide.wav", "opus")],
)
def test_a_conversion_keeps_the_length_and_the_clicks(sample, source, codec, tmp_path):
    (tmp_path / "source").write_bytes(file_of(source))
    oneshot(sample, tmp_path / "source", tmp_path / "target")
    audio = probe(tmp_path / "target").audio
    assert (audio.codec_name, audio.channels) == (codec, 2)
    out = JUDGES[0].decode(tmp_path / "target", 2, *(["-c:a", "libopus"] if codec == "opus" else []))
    if codec == "aac":
        assert 0 <= len(out) - FRAMES < 1_024  # ffmpeg plays the padding of an MP4
        assert [shift_of(out, recording(), click) for click in CLICKS] == [0, 0, 0]
    else:
        assert len(out) == int(FRAMES * 48_000 / RATE + 0.5)


def test_a_master_is_kept_and_its_preview_is_the_answer(tmp_path):
    (tmp_path / "takes").mkdir()
    (tmp_path / "source").write_bytes(file_of("a.flac"))
    place = ("--set", f"master.endpoint={tmp_path.as_uri()}")
    oneshot("master_and_preview.yml", tmp_path / "source", tmp_path / "preview.mp3", *place)
    (master,) = (tmp_path / "takes").glob("*.flac")
    assert probe(master).audio.duration_s == pytest.approx(FRAMES / RATE, abs=1e-6)
    source = JUDGES[0].decode(tmp_path / "source", 2)
    np.testing.assert_array_equal(JUDGES[0].decode(master, 2), source)
    preview = JUDGES[0].decode(tmp_path / "preview.mp3", 2)
    assert len(preview) == FRAMES
    assert [shift_of(preview, source, click) for click in CLICKS] == [0, 0, 0]


def test_a_rehearsal_tells_of_level_and_loudness(tmp_path):
    (tmp_path / "a.m4a").write_bytes(file_of("first.m4a"))
    settings = ("--set", f"source.path={tmp_path / 'a.m4a'}", "--set", "paced.speed=10")
    told = penstock("run", SAMPLES / "dynamic" / "rehearse.yml", *settings, "--json")
    events = [json.loads(line) for line in told.splitlines()]
    assert len([one for one in events if one["event"] == "node.telemetry"]) == 3
    (final,) = [one for one in events if one["event"] == "audio.loudness" and one["final"]]
    assert final["seconds"] == pytest.approx(FRAMES / RATE, abs=0.01)


def test_a_voice_is_laid_over_music(tmp_path):
    (tmp_path / "voice.ogg").write_bytes(ogg_of(tone(48_000, 440, level=0.4)))
    (tmp_path / "music.ogg").write_bytes(ogg_of(tone(96_000, 880, channels=2, level=0.5)))
    settings = {"music.path": tmp_path / "music.ogg", "voice_pace.speed": 20, "music_pace.speed": 20}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    oneshot("voice_over_music.yml", f"voice={tmp_path / 'voice.ogg'}", tmp_path / "mixed.webm", *sets)
    out = JUDGES[0].decode(tmp_path / "mixed.webm", 2)
    assert len(out) == 96_000
    assert np.abs(out[60_000:90_000]).max() == pytest.approx(0.1, abs=0.01)
    assert np.abs(out[5_000:40_000]).max() == pytest.approx(0.448, abs=0.02)  # 0.4 sin x + 0.1 sin 2x


def test_the_volume_follows_the_cues(tmp_path):
    (tmp_path / "take.ogg").write_bytes(ogg_of(tone(96_000, 440, channels=2, level=0.5)))
    (tmp_path / "cues").write_text("0.5\n")
    paths = {"source.path": "take.ogg", "copy.path": "live.ogg", "cues.path": "cues"}
    sets = [part for name, value in paths.items() for part in ("--set", f"{name}={tmp_path / value}")]
    penstock("run", SAMPLES / "dynamic" / "follow_cues.yml", *sets, "--set", "pace.speed=2")
    out = JUDGES[0].decode(tmp_path / "live.ogg", 2)
    assert len(out) == 96_000
    assert np.abs(out[60_000:90_000]).max() == pytest.approx(0.25, abs=0.02)
