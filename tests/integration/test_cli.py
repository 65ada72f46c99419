"""The command line as a person uses it: real processes, real files, exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PENSTOCK = [sys.executable, "-m", "penstock"]

COPY = """
mode: oneshot
nodes:
  source: {kind: 'streamkit::http_input'}
  through: {kind: 'core::passthrough', needs: source}
  answer: {kind: 'streamkit::http_output', needs: through}
"""
LIVE = """
nodes:
  source: {kind: 'core::file_reader', params: {path: PIPE}}
  kept: {kind: 'core::file_writer', params: {path: OUT}, needs: source}
"""


def penstock(*arguments: object, stdin: bytes = b"", env: dict[str, str] | None = None, cwd: Path | None = None):
    return subprocess.run(
        [*PENSTOCK, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    file = tmp_path / "copy.yml"
    file.write_text(COPY)
    return file


def test_a_file_goes_through_and_comes_out(copy, tmp_path):
    (tmp_path / "in").write_bytes(bytes(range(256)) * 1000)
    ended = penstock("run", copy, "-i", tmp_path / "in", "-o", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert ended.stdout == b""
    assert b"completed in" in ended.stderr


def test_standard_input_goes_to_standard_output_and_talk_does_not(copy):
    data = os.urandom(300_000)
    ended = penstock("run", copy, "-i", "-", "-o", "-", stdin=data)
    assert ended.returncode == 0
    assert ended.stdout == data


def test_json_events_are_lines_on_standard_output(copy, tmp_path):
    ended = penstock("run", copy, "-i", "-", "-o", tmp_path / "out", "--json", stdin=b"abc")
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert events[0]["event"] == "run.started"
    assert events[-1]["event"] == "run.finished"
    assert events[-1]["outcome"] == "completed"
    assert events[-1]["nodes"]["answer"]["stats"]["received_bytes"] == 3
    assert ended.stderr == b""


def test_json_events_make_room_for_an_answer_on_standard_output(copy):
    ended = penstock("run", copy, "-i", "-", "-o", "-", "--json", stdin=b"abc")
    assert ended.stdout == b"abc"
    assert json.loads(ended.stderr.splitlines()[-1])["event"] == "run.finished"


def test_the_report_has_outcome_and_counters(copy, tmp_path):
    penstock("run", copy, "-i", "-", "-o", tmp_path / "out", "--report", tmp_path / "report.json", stdin=b"abc")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["outcome"] == "completed"
    assert report["nodes"]["through"]["stats"]["sent"] == 1


def test_a_report_that_cannot_be_written_stops_the_run_before_it_begins(copy, tmp_path):
    ended = penstock("run", copy, "-i", "-", "-o", tmp_path / "out", "--report", tmp_path / "no" / "r", stdin=b"abc")
    assert ended.returncode == 1
    assert ended.stderr.decode().startswith(f"error: '{tmp_path}/no/r': there is no directory")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a Linux device")
def test_a_report_that_is_lost_is_a_failure_though_the_run_has_done_its_work(copy, tmp_path):
    ended = penstock("run", copy, "-i", "-", "-o", tmp_path / "out", "--report", "/dev/full", stdin=b"abc")
    assert ended.returncode == 1
    assert (tmp_path / "out").read_bytes() == b"abc"
    assert ended.stderr.decode().splitlines()[-1] == "error: write '/dev/full': No space left on device after 0 bytes"


@pytest.mark.parametrize(("given", "packets"), [((), 1), (("-i", "-"), 1), (("-i", "missing"), None)])
def test_a_pipeline_that_is_triggered_needs_no_input_and_takes_one(tmp_path, given, packets):
    file, report = tmp_path / "button.yml", tmp_path / "report.json"
    file.write_text(COPY + "client: {input: {type: trigger}, output: {type: json}}")
    ended = penstock("run", file, *given, "-o", tmp_path / "out", "--report", report, stdin=b"abc")
    if packets is None:
        assert ended.returncode == 1
        assert b"missing" in ended.stderr
        return
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out").read_bytes() == (b"abc" if given else b"")
    assert json.loads(report.read_text())["nodes"]["through"]["stats"]["received"] == packets


def test_a_field_that_is_not_required_is_not_triggered(tmp_path):
    file, report = tmp_path / "button.yml", tmp_path / "report.json"
    file.write_text("""
mode: oneshot
client: {input: {type: trigger}, output: {type: json}}
nodes:
  source: {kind: 'streamkit::http_input', params: {fields: [go, {name: more, required: false}]}}
  more: {kind: 'core::sink', needs: source.more}
  answer: {kind: 'streamkit::http_output', needs: source.go}
""")
    ended = penstock("run", file, "-o", tmp_path / "out", "--report", report)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(report.read_text())["nodes"]["more"]["stats"]["received"] == 0
    assert json.loads(report.read_text())["nodes"]["answer"]["stats"]["received"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-i", "", "-o", "-"), "the file for the input field 'media' has no name: -i ''"),
        (("-i", "-", "-o", ""), "the file for the answer has no name: -o ''"),
        ((), "the pipeline reads the input 'media': give it with -i FILE"),
        (("-i", "other=x", "-o", "-"), "the pipeline reads the input 'media'"),
        (("-i", "-", "-i", "also=-", "-o", "-"), "standard input can feed one field only"),
        (("-i", "-", "-i", "x", "-o", "-"), "given twice"),
        (("-i", "-"), "say where it goes with -o FILE"),
    ],
)
def test_wrong_usage_is_explained_and_exits_with_2(copy, arguments, message):
    ended = penstock("run", copy, *arguments)
    assert ended.returncode == 2
    assert message in ended.stderr.decode()


def test_a_missing_input_file_fails_and_leaves_no_output(copy, tmp_path):
    ended = penstock("run", copy, "-i", tmp_path / "none", "-o", tmp_path / "out")
    assert ended.returncode == 1
    assert "no such file" in ended.stderr.decode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.yml"]


def test_an_output_that_cannot_be_written_is_a_clear_error(copy, tmp_path):
    ended = penstock("run", copy, "-i", "-", "-o", tmp_path / "no" / "out", stdin=b"abc")
    assert ended.returncode == 1
    assert "there is no directory" in ended.stderr.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a Linux device")
def test_a_full_disk_is_a_clear_error(copy):
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*PENSTOCK, "run", copy, "-i", "-", "-o", "-"],
            input=b"abc",
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr.decode()


def test_a_pipeline_with_errors_shows_all_of_them_and_exits_with_3(tmp_path):
    file = tmp_path / "bad.yml"
    file.write_text(COPY.replace("core::passthrough", "core::passthrouh").replace("needs: through", "needs: thru"))
    for command in (("check", file), ("run", file, "-i", "-", "-o", "-")):
        ended = penstock(*command)
        assert ended.returncode == 3
        text = (ended.stdout if command[0] == "check" else ended.stderr).decode()
        assert f"{file}:5:19: nodes.through.kind: unknown kind 'core::passthrouh'" in text
        assert "did you mean 'core::passthrough'?" in text
        assert f"{file}:6:" in text


def test_check_of_a_sound_file_says_so_and_prints_nothing_else(copy):
    ended = penstock("check", copy)
    assert (ended.returncode, ended.stdout) == (0, b"")
    assert b"ok, oneshot pipeline of 3 nodes" in ended.stderr


def test_check_as_json_has_places_for_machines(tmp_path):
    file = tmp_path / "bad.yml"
    file.write_text("mode: oneshot\nnodes:\n  a: {kind: nonsense}\n")
    ended = penstock("check", file, "--json")
    first = json.loads(ended.stdout.splitlines()[0])
    assert (first["line"], first["severity"]) in [(1, "error"), (3, "error")]


def test_set_changes_a_parameter_and_refuses_an_unknown_one(tmp_path):
    file = tmp_path / "live.yml"
    file.write_text(LIVE.replace("PIPE", "nowhere").replace("OUT", str(tmp_path / "out")))
    (tmp_path / "in").write_bytes(b"abc" * 10_000)
    ended = penstock("run", file, "--set", f"source.path={tmp_path / 'in'}")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out").read_bytes() == b"abc" * 10_000
    ended = penstock("run", file, "--set", "sorce.path=x")
    assert ended.returncode == 3
    assert "source" in ended.stderr.decode()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_drains_the_run_and_tells_by_the_exit_code(tmp_path, number, code):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    file = tmp_path / "live.yml"
    file.write_text(LIVE.replace("PIPE", str(pipe)).replace("OUT", str(tmp_path / "out")))
    running = subprocess.Popen(
        [*PENSTOCK, "run", str(file), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with pipe.open("wb", buffering=0) as feed:
        feed.write(b"x" * 8192)
        wait_for(running, lambda e: e["event"] == "node.stats" and e["node"] == "kept" and e["received"])
        running.send_signal(number)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == code, errors
    assert (tmp_path / "out").read_bytes() == b"x" * 8192
    assert sorted(path.name for path in tmp_path.iterdir()) == ["live.yml", "out", "pipe"]


def test_a_second_signal_cuts_the_run_short_and_leaves_nothing(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    os.mkfifo(tmp_path / "slow")
    file = tmp_path / "live.yml"
    file.write_text(LIVE.replace("PIPE", str(pipe)).replace("OUT", str(tmp_path / "slow")))
    running = subprocess.Popen(
        [*PENSTOCK, "run", str(file), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # Nobody reads the output pipe, so the run cannot drain.
    with pipe.open("wb", buffering=0) as feed:
        feed.write(b"x" * 8192)
        wait_for(running, lambda e: e["event"] == "node.stats" and e["node"] == "kept" and e["received"])
        running.send_signal(signal.SIGINT)
        wait_for(running, lambda e: e["event"] == "run.stopping")
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=30)
    assert running.returncode == 130, errors
    assert json.loads(output.splitlines()[-1])["outcome"] == "cancelled"


def wait_for(process: subprocess.Popen[str], matches) -> None:
    for line in process.stdout:
        if matches(json.loads(line)):
            return
    pytest.fail(f"the run ended early: {process.stderr.read()}")


def test_nodes_schema_and_graph_print_on_standard_output(copy):
    listed = penstock("nodes", "list")
    assert b"core::passthrough" in listed.stdout
    described = penstock("nodes", "describe", "audio::gain")
    assert b"gain: number" in described.stdout
    assert json.loads(penstock("nodes", "describe", "audio::gain", "--json").stdout)["kind"] == "audio::gain"
    assert "$schema" in json.loads(penstock("schema").stdout)
    for form in ("text", "mermaid", "dot"):
        assert b"through" in penstock("graph", copy, "--format", form).stdout
    assert penstock("graph", copy, "--format", "png").returncode == 2
    unknown = penstock("nodes", "describe", "audio::gian")
    assert unknown.returncode == 2
    assert b"did you mean 'audio::gain'?" in unknown.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_knows_the_commands(shell):
    shown = penstock("--show-completion", shell, env={"_PENSTOCK_COMPLETE": f"source_{shell}"})
    assert b"penstock" in shown.stdout


def test_inspect_of_what_is_no_media_shows_its_size_and_digests_and_fails_unless_plain_is_asked_for(tmp_path, copy):
    report = tmp_path / "report.json"
    pipeline = tmp_path / "keep.yml"
    writer = "{kind: 'core::object_store_writer', params: {url: 'file:kept.txt', passthrough: true}, needs: source}"
    pipeline.write_text(COPY.replace("{kind: 'core::passthrough', needs: source}", writer))
    ran = penstock("run", pipeline, "-i", "-", "--report", report, stdin=b"some text", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    ended = penstock("inspect", "kept.txt", "--against", report, cwd=tmp_path)
    assert ended.returncode == 1
    assert b"size       9 bytes" in ended.stdout
    assert b"kept.txt: the data is not a media file" in ended.stderr
    ended = penstock("inspect", "kept.txt", "--plain", "--against", report, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert b"verified: kept.txt is what the run sent, to the last byte\n" in ended.stderr
    (tmp_path / "kept.txt").write_bytes(b"some test")
    ended = penstock("inspect", "kept.txt", "--plain", "--against", report, cwd=tmp_path)
    assert ended.returncode == 1
    assert b"is not what the run sent" in ended.stderr


def test_an_unknown_fallback_voice_is_wrong_usage(copy):
    ended = penstock("run", copy, "-i", "-", "-o", "-", "--tts-fallback", "siri")
    assert ended.returncode == 2
    assert b"--tts-fallback siri: there is espeak" in ended.stderr
