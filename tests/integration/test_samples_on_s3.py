"""The samples as they stand, against a real S3 server: nothing changed but endpoint, bucket and credentials."""

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.media.probe import probe
from penstock.testing.seaweedfs import SeaweedFS
from support.media import ffmpeg, ffmpeg_decode, ffmpeg_facts, ogg_of

pytestmark = [pytest.mark.server, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples" / "oneshot"
PENSTOCK = [sys.executable, "-m", "penstock"]
OPUS_FRAME_S = 0.02


class Bucket:
    """A fresh bucket, looked at by a client that is not ours."""

    def __init__(self, server: SeaweedFS, client: Any) -> None:
        self.server = server
        self.name = server.make_bucket()
        self.client = client

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def keys(self) -> list[str]:
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=self.name).get("Contents", ())]

    def open_uploads(self) -> list[str]:
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ())]


@pytest.fixture
def bucket(seaweedfs: SeaweedFS, client: Any) -> Bucket:
    return Bucket(seaweedfs, client)


def arguments(bucket: Bucket, sample: str, node: str, *more: object) -> list[str]:
    here = [f"{node}.endpoint={bucket.server.endpoint}", f"{node}.bucket={bucket.name}"]
    sets = [part for setting in here for part in ("--set", setting)]
    return [*PENSTOCK, "run", str(SAMPLES / sample), *sets, *map(str, more)]


def environment(server: SeaweedFS, **more: str) -> dict[str, str]:
    keys = {"SK_S3_ACCESS_KEY": server.access_key_id, "SK_S3_SECRET_KEY": server.secret_access_key}
    return {**os.environ, **keys, **more}


def run(command: list[str], env: dict[str, str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, env=env, input=stdin, capture_output=True, check=False, timeout=100)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty seconds of stereo, another tone on each side, as Ogg/Opus made by ffmpeg."""
    path = tmp_path_factory.mktemp("media") / "stereo.ogg"
    tones = "sine=440:d=30:r=48000[l];sine=660:d=30:r=48000[r];[l][r]amerge=inputs=2[a]"
    ffmpeg("-filter_complex", tones, "-map", "[a]", "-c:a", "libopus", "-b:a", "64k", path)
    return path


def test_text_becomes_speech_in_the_bucket_and_the_answer_is_the_object(bucket, tmp_path):
    text = ROOT / "samples" / "text" / "welcome.txt"
    answer = tmp_path / "answer.ogg"
    command = arguments(bucket, "tts_to_s3.yml", "s3_writer", "-i", text, "-o", answer, "--tts-fallback", "espeak")
    ended = run(command, environment(bucket.server))
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"spoken by espeak-ng" in ended.stderr
    assert bucket.read("tts/output.ogg") == answer.read_bytes()
    head = bucket.client.head_object(Bucket=bucket.name, Key="tts/output.ogg")
    assert head["ContentType"] == "audio/ogg"
    samples = ffmpeg_decode(answer, 1)
    assert 15 < len(samples) / 48000 < 60
    assert np.abs(samples).max() > 0.1
    assert bucket.open_uploads() == []


def test_the_demo_pipeline_writes_to_the_server_when_told_endpoint_and_credentials(bucket, tmp_path):
    text = ROOT / "samples" / "text" / "welcome.txt"
    report = tmp_path / "report.json"
    credentials = ["object.access_key_id_env=SK_S3_ACCESS_KEY", "object.secret_key_env=SK_S3_SECRET_KEY"]
    sets = [part for setting in credentials for part in ("--set", setting)]
    ended = run(
        arguments(bucket, "speak.yml", "object", "-i", text, "--report", report, *sets), environment(bucket.server)
    )
    assert ended.returncode == 0, ended.stderr.decode()
    where = [f"s3://{bucket.name}/speech/welcome.ogg", "--endpoint", bucket.server.endpoint]
    inspected = run(
        [*PENSTOCK, "inspect", *where, "--against", str(report)],
        environment(
            bucket.server,
            AWS_ACCESS_KEY_ID=bucket.server.access_key_id,
            AWS_SECRET_ACCESS_KEY=bucket.server.secret_access_key,
        ),
    )
    assert inspected.returncode == 0, inspected.stderr.decode()
    assert b"opus, 48000 Hz, mono" in inspected.stdout
    assert b"verified" in inspected.stderr


def test_a_stereo_recording_stays_stereo_and_keeps_its_length(bucket, recording, tmp_path):
    answer = tmp_path / "answer.mp4"
    ended = run(
        arguments(bucket, "transcode_to_s3.yml", "s3_writer", "-i", recording, "-o", answer),
        environment(bucket.server),
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert bucket.read("transcode/output.mp4") == answer.read_bytes()
    facts = ffmpeg_facts(answer)
    assert "stereo" in str(facts)
    assert probe(answer).duration_s == pytest.approx(30.0, abs=OPUS_FRAME_S)
    left, right = ffmpeg_decode(answer, 2)[48000:96000].T
    assert dominant_hertz(left) == pytest.approx(440, abs=1)
    assert dominant_hertz(right) == pytest.approx(660, abs=1)
    data = answer.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def dominant_hertz(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))))  # one second of samples: a bin a hertz


FAULTS = {
    "the key's variable is unset": ({"SK_S3_ACCESS_KEY": None}, [], "SK_S3_ACCESS_KEY"),
    "the secret's variable is empty": ({"SK_S3_SECRET_KEY": ""}, [], "SK_S3_SECRET_KEY"),
    "the secret is wrong": ({"SK_S3_SECRET_KEY": "wrong"}, [], "secret"),
    "there is no such key": ({"SK_S3_ACCESS_KEY": "nobody"}, [], "key"),
    "there is no such bucket": ({}, ["s3_writer.bucket=no-such-bucket"], "no-such-bucket"),
    "the store is down": ({}, ["s3_writer.endpoint=http://127.0.0.1:1"], "127.0.0.1:1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_the_store_is_said_before_anything_flows(bucket, recording, tmp_path, fault):
    changed, settings, named = FAULTS[fault]
    env = environment(bucket.server, **{name: value for name, value in changed.items() if value is not None})
    for name, value in changed.items():
        if value is None:
            env.pop(name)
    sets = [part for setting in settings for part in ("--set", setting)]
    answer = tmp_path / "answer.mp4"
    command = arguments(bucket, "transcode_to_s3.yml", "s3_writer", "-i", recording, "-o", answer, "--json", *sets)
    ended = run(command, env)
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 1
    assert named in events[-1]["error"]
    assert "s3_writer" in events[-1]["error"]
    assert bucket.server.secret_access_key not in ended.stdout.decode() + ended.stderr.decode()
    states = [event["state"] for event in events if event.get("node") == "s3_writer" and event["event"] == "node.state"]
    assert states == ["creating", "initializing", "failed"]
    assert events[-1]["seconds"] < 10
    assert list(tmp_path.iterdir()) == []
    assert (bucket.keys(), bucket.open_uploads()) == ([], [])


INPUTS = {
    "not Ogg": (lambda ogg: b"RIFF" + ogg[4:], "not Ogg"),
    "cut off": (lambda ogg: ogg[: len(ogg) // 2], "cut off at byte"),
    "empty": (lambda _: b"", "empty"),
}


@pytest.mark.parametrize("damage", INPUTS)
def test_input_that_is_not_whole_leaves_no_object(bucket, recording, tmp_path, damage):
    spoil, message = INPUTS[damage]
    answer = tmp_path / "answer.mp4"
    command = arguments(bucket, "transcode_to_s3.yml", "s3_writer", "-i", "-", "-o", answer)
    ended = run(command, environment(bucket.server), spoil(recording.read_bytes()))
    assert ended.returncode == 1
    assert message in ended.stderr.decode()
    assert list(tmp_path.iterdir()) == []
    assert (bucket.keys(), bucket.open_uploads()) == ([], [])


@pytest.mark.parametrize("skip", [False, True])
def test_a_damaged_page_in_the_middle_is_an_error_or_a_warning_as_the_person_likes(bucket, recording, tmp_path, skip):
    data = bytearray(recording.read_bytes())
    middle = data.index(b"OggS", len(data) // 2) + 500
    data[middle] ^= 0xFF
    answer = tmp_path / "answer.mp4"
    more = ["--set", "ogg_demuxer.damage=skip"] if skip else []
    command = arguments(bucket, "transcode_to_s3.yml", "s3_writer", "-i", "-", "-o", answer, *more)
    ended = run(command, environment(bucket.server), bytes(data))
    if skip:
        assert ended.returncode == 0, ended.stderr.decode()
        assert "warning: ogg_demuxer" in ended.stderr.decode()
        assert probe(answer).duration_s == pytest.approx(30.0, abs=OPUS_FRAME_S)
    else:
        assert ended.returncode == 1
        assert "of the Ogg input are damaged" in ended.stderr.decode()
        assert list(tmp_path.iterdir()) == []
        assert (bucket.keys(), bucket.open_uploads()) == ([], [])


@pytest.mark.parametrize(("policy", "kept"), [("commit", True), ("abort", False)])
def test_ctrl_c_keeps_a_partial_object_only_if_the_policy_says_so(bucket, tmp_path, policy, kept):
    """A stream that goes on for ever is interrupted when several parts have been stored."""
    key = f"live/{uuid.uuid4().hex}.bin"
    file = tmp_path / "live.yml"
    file.write_text(f"""
mode: oneshot
nodes:
  source: {{kind: 'streamkit::http_input'}}
  object:
    kind: core::object_store_writer
    params:
      endpoint: {bucket.server.endpoint}
      bucket: {bucket.name}
      key: {key}
      access_key_id_env: SK_S3_ACCESS_KEY
      secret_key_env: SK_S3_SECRET_KEY
      on_cancel: {policy}
      passthrough: true
    needs: source
  answer: {{kind: 'streamkit::http_output', needs: object}}
""")
    command = [*PENSTOCK, "run", str(file), "-i", "-", "-o", str(tmp_path / "copy"), "--json"]
    running = subprocess.Popen(
        command,
        env=environment(bucket.server),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    sent = os.urandom(12 << 20)
    running.stdin.write(sent)
    running.stdin.flush()
    stored = 0
    for line in running.stdout:
        event = json.loads(line)
        if event["event"] == "node.stats" and event["node"] == "object":
            stored = event["received_bytes"]
        if stored == len(sent):
            break
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 130, (output + errors).decode()
    assert bucket.keys() == ([key] if kept else [])
    assert bucket.open_uploads() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == (["copy", "live.yml"] if kept else ["live.yml"])
    if kept:
        assert bucket.read(key) == sent


def test_ctrl_c_in_the_middle_of_a_transcode_keeps_what_plays(bucket, tmp_path):
    """The container's tail is written when the run drains: what is kept is a file that plays."""
    ogg = ogg_of(np.zeros((48000 * 20, 2), np.float32), page_duration_ms=100)
    command = arguments(bucket, "transcode_to_s3.yml", "s3_writer", "-i", "-", "-o", tmp_path / "answer.mp4", "--json")
    running = subprocess.Popen(
        command,
        env=environment(bucket.server),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running.stdin.write(ogg[: len(ogg) // 2])
    running.stdin.flush()
    for line in running.stdout:
        event = json.loads(line)
        if event["event"] == "node.stats" and event["node"] == "mp4_muxer" and event["received"] > 400:
            break
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 130, (output + errors).decode()
    (tmp_path / "object.mp4").write_bytes(bucket.read("transcode/output.mp4"))
    assert 8 < len(ffmpeg_decode(tmp_path / "object.mp4", 2)) / 48000 < 12
    assert bucket.open_uploads() == []
