"""A pipeline that runs is changed from outside: by a socket and `penstock tune`, by standard input, by Python."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.cli.control import _make_way
from penstock.errors import ConfigurationError
from penstock.media.probe import probe
from support.media import ogg_of, tone

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples" / "dynamic" / "turn_the_volume.yml"
FRAMES = 48_000 * 20


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "take-1.ogg"
    path.write_bytes(ogg_of(tone(FRAMES, 440), complexity=0))
    return path


def penstock(*arguments, **how):
    return subprocess.run(
        [sys.executable, "-m", "penstock", *map(str, arguments)], capture_output=True, text=True, check=False, **how
    )


def playing(recording, directory):
    sample = "turn_the_volume.yml"
    assert SAMPLE.name == sample
    return ["run", SAMPLE, "--set", f"source.path={recording}", "--set", f"copy.path={directory / 'live.ogg'}"]


def test_a_recording_is_turned_down_and_hurried_while_it_plays(recording, tmp_path):
    control = tmp_path / "live.sock"
    command = [sys.executable, "-m", "penstock", *map(str, playing(recording, tmp_path)), "--control", str(control)]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as run:
        events = map(json.loads, run.stdout)
        next(event for event in events if event["event"] == "node.stats")
        assert control.stat().st_mode & 0o777 == 0o600
        shown = penstock("tune", control)
        assert "volume.gain = 1.0\n" in shown.stdout
        refused = penstock("tune", control, "volume.gain=9", "copy.path=x")
        assert (refused.returncode, refused.stdout) == (3, "")
        assert "nodes.volume.params.gain: must be at most 4, not 9" in refused.stderr
        assert "nodes.copy.params.path: cannot be set while 'copy' (core::file_writer) runs" in refused.stderr
        tuned = penstock("tune", control, "volume.gain=0.25", "encoder.frame_duration_ms=10", "pace.speed=1000")
        assert tuned.returncode == 0, tuned.stderr
        assert "volume.gain = 0.25\n" in tuned.stdout
        rest = list(events)
    assert run.returncode == 0
    assert {event["node"]: event["params"] for event in rest if event["event"] == "node.tuned"} == {
        "volume": {"gain": 0.25},
        "encoder": {"frame_duration_ms": 10.0},
        "pace": {"speed": 1000.0},
    }
    assert not control.exists()
    audio = probe(tmp_path / "live.ogg", decode=True).audio
    assert (audio.samples, audio.errors) == (FRAMES, 0)
    gone = penstock("tune", control, "volume.gain=1", "--json")
    assert gone.returncode == 1
    assert "no pipeline listens there" in json.loads(gone.stderr)["error"]


def test_messages_come_on_standard_input_too(recording, tmp_path):
    messages = [
        '{"action": "tune", "id": 1, "nodes": {"pace": {"speed": 1000}}}',
        "",
        '{"action": "tune", "id": 2, "nodes": {"pace": {"speed": 0}}}',
    ]
    done = penstock(*playing(recording, tmp_path), "--control", "-", input="\n".join(messages), timeout=15)
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == {"answer": "tune", "id": 1, "ok": True, "nodes": {"pace": {"speed": 1000.0}}}
    assert (second["id"], second["ok"]) == (2, False)
    assert "tuned" not in done.stderr  # a bridge may tune fifty times a second: that is for the log


def test_a_message_without_end_is_refused_and_the_run_goes_on(recording, tmp_path):
    messages = '{"action": "tune", "nodes": {"pace": {"speed": 1000}}}\n' + "x" * (1 << 21)
    done = penstock(*playing(recording, tmp_path), "--control", "-", input=messages, timeout=15)
    assert done.returncode == 0, done.stderr
    assert "at most 1048576 bytes" in done.stdout


def test_standard_input_has_one_use(tmp_path):
    (tmp_path / "p.yml").write_text(
        "mode: oneshot\nsteps: [{kind: 'streamkit::http_input'}, {kind: 'streamkit::http_output'}]"
    )
    done = penstock("run", tmp_path / "p.yml", "-i", "-", "-o", tmp_path / "out", "--control", "-", input="")
    assert done.returncode == 2
    assert "use --control SOCKET" in done.stderr


@pytest.mark.parametrize("change", ["volume", "volume.gain", "=1", "volume=1", "volume.gain=[1"])
def test_a_change_that_cannot_be_read_is_wrong_usage(change, tmp_path):
    assert penstock("tune", tmp_path / "no.sock", change).returncode == 2


def test_only_the_socket_of_a_dead_process_is_replaced(tmp_path):
    path = tmp_path / "live.sock"
    _make_way(path)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        one.listen()
        with pytest.raises(ConfigurationError, match="another run listens there"):
            _make_way(path)
    _make_way(path)
    assert not path.exists()
    path.write_text("a file")
    with pytest.raises(ConfigurationError, match="it is no socket"):
        _make_way(path)
    assert path.read_text() == "a file"


def test_a_socket_that_cannot_be_made_is_said_before_the_run(recording, tmp_path):
    done = penstock(*playing(recording, tmp_path), "--control", tmp_path / "none" / "live.sock", timeout=15)
    assert done.returncode == 1
    assert "error: --control" in done.stderr
    assert not (tmp_path / "live.ogg").exists()


async def test_the_program_in_the_documentation_does_what_is_said_there(recording, tmp_path, capsys):
    page = (ROOT / "docs" / "control.md").read_text()
    text = next(one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "play_quietly" in one)
    names: dict = {"__name__": "snippet"}
    exec(compile(text, "control.md", "exec"), names)
    pipeline = SAMPLE.read_text().replace("take-1.ogg", str(recording)).replace("live.ogg", str(tmp_path / "live.ogg"))
    (tmp_path / "p.yml").write_text(pipeline)
    await names["play_quietly"](str(tmp_path / "p.yml"))
    said = capsys.readouterr().out.strip()
    assert f"It prints `{said}`" in page


def test_a_recording_is_added_to_a_pipeline_that_plays_and_taken_away_again(recording, tmp_path):
    control, changes = tmp_path / "live.sock", tmp_path / "changes.yml"
    copy = tmp_path / "beside.ogg"
    changes.write_text(
        """\
ops:
  - add:
      id: second
      kind: containers::ogg::muxer
      params: {channels: 2}
      needs: encoder
  - add:
      id: beside
      kind: core::file_writer
      params: {path: "${COPY}", chunk_size: 1k}
      needs: second
"""
    )
    away = '{"ops": [{"remove": {"id": "second"}}, {"remove": {"id": "beside"}}, {"tune": {"pace": {"speed": 1000}}}]}'
    environment = {**os.environ, "COPY": str(copy)}
    command = [sys.executable, "-m", "penstock", *map(str, playing(recording, tmp_path)), "--control", str(control)]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as run:
        events = map(json.loads, run.stdout)
        next(event for event in events if event["event"] == "node.stats")
        refused = penstock("change", control, changes, env=environment)
        assert (refused.returncode, refused.stdout) == (3, "")
        place = f"{changes}:10:33: ops.1.add.params.chunk_size"
        assert refused.stderr == f"{place}: must be an integer, not '1k'\n"
        changes.write_text(changes.read_text().replace("1k", "4096"))
        dry = penstock("change", control, changes, "--dry-run", env=environment)
        assert dry.returncode == 0, dry.stderr
        assert not copy.exists()
        done = penstock("change", control, changes, env=environment)
        lines = [
            "added second",
            "added beside",
            "connected encoder.out > second.in",
            "connected second.out > beside.in",
        ]
        assert dry.stdout == done.stdout == "".join(f"{line}\n" for line in lines)
        next(event for event in events if (event["event"], event.get("node")) == ("node.stats", "beside"))
        gone = penstock("change", control, "-", "--json", input=away)
        assert json.loads(gone.stdout)["removed"] == ["second", "beside"]
        rest = list(events)
    assert run.returncode == 0
    names = [(event["event"], event.get("node")) for event in rest]
    assert ("node.removed", "beside") in names
    (ended,) = [event for event in rest if event["event"] == "run.finished"]
    assert ended["nodes"]["beside"]["removed"]
    audio = probe(copy, decode=True).audio
    assert audio.errors == 0
    assert 0 < audio.samples < FRAMES
    assert probe(tmp_path / "live.ogg", decode=True).audio.samples == FRAMES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ops: [", ":2:1: not valid YAML"),
        ("nodes: {}", ":1:1: must have one key, 'ops', with the list of operations"),
        ("ops: []\nid: 3", ":1:1: must have one key, 'ops', with the list of operations"),
    ],
)
def test_a_file_of_operations_that_cannot_be_read_is_not_sent(text, message, tmp_path):
    (tmp_path / "ops.yml").write_text(text)
    done = penstock("change", tmp_path / "no.sock", tmp_path / "ops.yml")
    assert done.returncode == 3
    assert done.stderr.startswith(f"{tmp_path / 'ops.yml'}{message}")
    assert penstock("change", tmp_path / "no.sock", tmp_path / "none.yml").returncode == 3
