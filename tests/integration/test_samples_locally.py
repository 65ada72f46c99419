"""The samples that need no S3 server, and one that is told another store: real processes, as a person runs them."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from penstock.media.probe import probe
from support.media import ffmpeg_decode, ogg_of, tone
from support.web import file_server

ROOT = Path(__file__).resolve().parents[2]
PENSTOCK = [sys.executable, "-m", "penstock", "run"]


def run(folder, sample, *arguments):
    command = [*PENSTOCK, str(ROOT / "samples" / folder / sample), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60)


def events_of(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]


def amplitude(samples, hertz):
    """How strong a tone is in a second of sound."""
    spectrum = np.abs(np.fft.rfft(samples[:48_000] * np.hanning(48_000)))
    return spectrum[hertz - 2 : hertz + 3].max() / 12_000


def test_a_voice_and_music_are_mixed_and_measured(tmp_path):
    (tmp_path / "voice.ogg").write_bytes(ogg_of(tone(96_000, 440, level=0.4)))
    (tmp_path / "music.ogg").write_bytes(ogg_of(tone(144_000, 880, channels=2, level=0.8)))
    ended = run(
        "oneshot", "mix_two.yml", "-i", f"voice={tmp_path}/voice.ogg", "-i", f"music={tmp_path}/music.ogg",
        "-o", tmp_path / "mixed.ogg", "--json",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    mixed = ffmpeg_decode(tmp_path / "mixed.ogg", 2)
    assert len(mixed) == 144_000
    for side in (0, 1):
        both = mixed[12_000:, side]
        assert amplitude(both, 440) == pytest.approx(0.4, abs=0.02)
        assert amplitude(both, 880) == pytest.approx(0.2, abs=0.02)
    assert amplitude(mixed[-48_000:, 0], 440) < 0.01
    (final,) = [one for one in events_of(ended.stdout) if one["event"] == "audio.loudness" and one["final"]]
    assert final["seconds"] == 3
    assert final["integrated_lufs"] == pytest.approx(-9, abs=1)


def test_the_sentences_of_a_text_become_json_lines():
    ended = run("oneshot", "sentences_to_json.yml", "-i", ROOT / "samples" / "text" / "welcome.txt", "-o", "-")
    assert ended.returncode == 0, ended.stderr.decode()
    sentences = [json.loads(line)["Text"] for line in ended.stdout.splitlines()]
    text = (ROOT / "samples" / "text" / "welcome.txt").read_text()
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert len(sentences) > 3


@pytest.mark.slow
def test_a_recording_is_sent_at_its_own_pace_and_told_of(tmp_path):
    (tmp_path / "take.ogg").write_bytes(ogg_of(tone(144_000, 440, channels=2)))
    started = time.monotonic()
    ended = run(
        "dynamic", "play_in_real_time.yml", "--json",
        "--set", f"source.path={tmp_path}/take.ogg", "--set", f"copy.path={tmp_path}/live.ogg",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    assert time.monotonic() - started > 2.85  # three seconds less the burst of a tenth
    assert probe(tmp_path / "live.ogg", decode=True).audio.samples == 144_000
    told = [one for one in events_of(ended.stdout) if one["event"] == "node.telemetry"]
    assert [one["event_type"] for one in told] == ["audio.level"] * 3
    assert told[1]["data"]["rms"] == pytest.approx(0.5 / 2**0.5, abs=0.01)


def test_a_resource_of_the_web_becomes_an_object(tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "store" / "bucket").mkdir(parents=True)
    data = bytes(range(256)) * 40_000
    (tmp_path / "web" / "take.ogg").write_bytes(data)
    place = {"endpoint": (tmp_path / "store").as_uri(), "bucket": "bucket", "key": "take.ogg"}
    sets = [part for name, value in place.items() for part in ("--set", f"object.{name}={value}")]
    with file_server(tmp_path / "web") as url:
        sets += ["--set", f"source.url={url}/take.ogg"]
        refused = run("dynamic", "fetch_to_store.yml", *sets)
        assert refused.returncode == 1
        assert b"127.0.0.1, which is no public address" in refused.stderr
        assert not (tmp_path / "store" / "bucket" / "take.ogg").exists()
        ended = run("dynamic", "fetch_to_store.yml", *sets, "--set", "source.allow_private=true")
    assert ended.returncode == 0, ended.stderr.decode()
    assert (tmp_path / "store" / "bucket" / "take.ogg").read_bytes() == data


def test_a_script_blacks_out_what_it_looks_for_and_tells_of_it(tmp_path):
    (tmp_path / "a.txt").write_text("Write to ada@example.org or call 5550123. Or not. Bob has bob@b.co.uk.")
    ended = run("oneshot", "redact_text.yml", "-i", tmp_path / "a.txt", "-o", tmp_path / "out", "--json")
    assert ended.returncode == 0, ended.stderr.decode()
    lines = [json.loads(line)["Text"] for line in (tmp_path / "out").read_text().splitlines()]
    assert lines == ["Write to █ or call █.", "Or not.", "Bob has █."]
    told = [one["data"] for one in events_of(ended.stdout) if one["event"] == "node.telemetry"]
    assert told == [{"count": 2}, {"count": 1}]
