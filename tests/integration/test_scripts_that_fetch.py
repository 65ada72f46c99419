"""Pipelines whose scripts ask a service: our sample, and files as they are written in the field, served here."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from penstock.engine.load import check_text
from penstock.media.probe import probe
from support.web import answer, answering, serving

ROOT = Path(__file__).resolve().parents[2]
PENSTOCK = [sys.executable, "-m", "penstock", "run"]
HUSH = "s3cr3t"
SAID = json.dumps({"choices": [{"message": {"role": "assistant", "content": "Because air scatters blue."}}]}).encode()

# A fact is fetched by a plain function that uses the answer at once, and spoken.
FACTS = """
name: facts
mode: oneshot
client:
  input: {type: trigger}
  output: {type: audio}
steps:
  - kind: streamkit::http_input
  - kind: core::script
    params:
      timeout_ms: 5000
      script: |
        function process(packet) {
          const sorry = {type: 'Text', data: 'There is no fact today.'};
          try {
            const fact = JSON.parse(fetch('BASE/api/v2/facts/random?language=en')).text;
            console.log('fact:', fact);
            return fact ? {type: 'Text', data: String(fact)} : sorry;
          } catch (e) {
            console.log('no fact:', String(e));
            return sorry;
          }
        }
  - kind: core::text_chunker
    params: {split_mode: sentences, min_length: 10}
  - kind: plugin::native::kokoro
    params: {model_dir: models/kokoro-multi-lang-v1_1, speaker_id: 0, speed: 1.0, num_threads: 4}
  - kind: audio::resampler
    params: {chunk_frames: 960, output_frame_size: 960, target_sample_rate: 48000}
  - kind: audio::opus::encoder
    params: {bitrate: 64000}
  - kind: containers::webm::muxer
    params: {channels: 1, chunk_size: 65536, sample_rate: 48000, streaming_mode: live}
  - kind: streamkit::http_output
"""

# An agent: an async function, a secret in a header, spans around the request, and two services of which one has no key.
AGENT = """
name: agent
mode: oneshot
nodes:
  heard: {kind: streamkit::http_input}
  words: {kind: core::text_chunker, params: {split_mode: sentences, min_length: 1}, needs: heard}
  as_transcription:
    kind: core::script
    params:
      script: |
        function process(p) { return {type: 'Transcription', data: {text: p.data, segments: []}}; }
    needs: words
  agent:
    kind: core::script
    params:
      timeout_ms: 15000
      memory_limit_mb: 128
      headers:
        - secret: openai_key
          header: Authorization
          template: "Bearer {}"
      script_path: agent.js
    needs: as_transcription
  telemetry:
    kind: core::telemetry_out
    params: {packet_types: ["Transcription"], max_events_per_sec: 20}
    needs: {node: as_transcription, mode: best_effort}
  sentences: {kind: core::text_chunker, params: {split_mode: sentences, min_length: 10}, needs: agent}
  lines: {kind: core::json_serialize, params: {newline_delimited: true}, needs: sentences}
  answer: {kind: streamkit::http_output, needs: lines}
"""
AGENT_JS = """
let turns = 0;

const blocked = e => String(e).includes('Blocked: Global allowlist is empty')
  || String(e).includes('Blocked: URL not in global allowlist');

async function geocode(place) {
  const span = telemetry.startSpan('geocode', {query: place});
  let status = 'success';
  try {
    const text = await fetch('BASE/v1/search?name=' + encodeURIComponent(place), {method: 'GET'});
    return JSON.parse(text || '{}').results[0].name;
  } catch (e) {
    status = 'error';
    return blocked(e) ? 'nowhere allowed' : 'nowhere';
  } finally {
    telemetry.endSpan(span, {status});
  }
}

async function process(packet) {
  if (packet.type !== 'Transcription') return null;
  const turn_id = `turn-${Date.now()}-${++turns}`;
  const place = await geocode(packet.data.text.trim());
  const span = telemetry.startSpan('llm.request', {turn_id, correlation_id: turn_id});
  try {
    const text = await fetch('BASE/v1/chat/completions', {
      method: 'POST', body: JSON.stringify({messages: [{role: 'user', content: packet.data.text}]}),
    });
    const content = JSON.parse(text).choices[0].message.content;
    telemetry.endSpan(span, {turn_id, status: 'success'});
    return {type: 'Text', data: `${turns} ${place}: ${content}\\n`};
  } catch (error) {
    telemetry.endSpan(span, {turn_id, status: 'error', error: String(error)});
    return {type: 'Text', data: blocked(error) ? 'I may not ask.' : 'I cannot ask.'};
  }
}
"""

# The chain of a voice agent as files of the field write it, between files in place of a gateway.
VOICE = """
name: voice agent
mode: dynamic
nodes:
  heard: {kind: core::file_reader, params: {path: recording.ogg}}
  demuxer: {kind: containers::ogg::demuxer, needs: heard}
  opus_decoder: {kind: audio::opus::decoder, needs: demuxer}
  resample_for_stt:
    kind: audio::resampler
    params: {target_sample_rate: 16000, channels: 1}
    needs: opus_decoder
  whisper_stt:
    kind: plugin::native::whisper
    params:
      model_path: models/ggml-tiny.en-q5_1.bin
      language: en
      vad_model_path: models/silero_vad.onnx
      vad_threshold: 0.3
      min_silence_duration_ms: 500
      max_segment_duration_secs: 30.0
      suppress_non_speech_tokens: true
      emit_vad_events: true
      n_threads: 0
    needs: resample_for_stt
  stt_telemetry_out:
    kind: core::telemetry_out
    params: {packet_types: ["Transcription"], max_events_per_sec: 20}
    needs: {node: whisper_stt, mode: best_effort}
  agent:
    kind: core::script
    params:
      timeout_ms: 30000
      memory_limit_mb: 128
      headers:
        - {secret: openai_key, header: Authorization, template: "Bearer {}"}
      script_path: agent.js
    needs: whisper_stt
  text_chunker:
    kind: core::text_chunker
    params: {split_mode: sentences, min_length: 30}
    needs: agent
  kokoro_tts:
    kind: plugin::native::kokoro
    params:
      model_dir: models/kokoro-multi-lang-v1_1
      speaker_id: 0
      speed: 1.0
      num_threads: 4
      min_sentence_length: 10
      emit_telemetry: true
      telemetry_preview_chars: 80
    needs: text_chunker
  resample_for_output:
    kind: audio::resampler
    params: {target_sample_rate: 48000, channels: 1}
    needs: kokoro_tts
  audio_pacer:
    kind: audio::pacer
    params: {speed: 1.0, buffer_size: 32, generate_silence: true, initial_sample_rate: 48000, initial_channels: 1}
    needs: resample_for_output
  opus_encoder: {kind: audio::opus::encoder, params: {bitrate: 128000}, needs: audio_pacer}
  muxer: {kind: containers::ogg::muxer, needs: opus_encoder}
  spoken: {kind: core::file_writer, params: {path: spoken.ogg}, needs: muxer}
"""


def run(place, *arguments, feed=b"go", **variables):
    return subprocess.run(
        [*PENSTOCK, *map(str, arguments)], cwd=place, input=feed, capture_output=True, check=False, timeout=60,
        env={**os.environ, **variables},
    )  # fmt: skip


def events_of(ended):
    return [json.loads(line) for line in ended.stderr.splitlines() if line.startswith(b"{")]


@pytest.fixture
def seen():
    return []


@pytest.fixture
def url(seen):
    answers = {
        "/api/v2/facts/random": answer(b'{"text": "Bees sleep. They hold each other by the feet."}'),
        "/v1/search": answer(b'{"results": [{"name": "Oslo"}]}'),
        "/v1/chat/completions": answer(SAID),
    }
    with serving(answering(answers, seen)) as base:
        yield base


def test_the_chain_of_a_voice_agent_is_sound():
    graph, warnings = check_text(VOICE)
    assert len(graph.nodes) == 14
    assert {finding.message for finding in warnings} == {"unknown parameter, ignored"}  # 'channels' of the resamplers


def test_a_question_is_answered_by_a_model_and_spoken(tmp_path, url, seen):
    text = (ROOT / "samples" / "oneshot" / "ask_a_model.yml").read_text()
    (tmp_path / "ask.yml").write_text(text.replace("http://127.0.0.1:11434", url))
    ended = run(tmp_path, "ask.yml", "-i", "-", "-o", "answer.ogg", "--json", feed=b"Why is the sky blue?")
    assert ended.returncode == 0, ended.stderr.decode()
    (request,) = seen
    asked = json.loads(request["body"])["messages"]
    assert [one["role"] for one in asked] == ["system", "user"]
    assert asked[1]["content"] == "Why is the sky blue?"
    assert probe(tmp_path / "answer.ogg", decode=True).audio.samples > 48_000
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    spans = [one["event_type"] for one in told if one["event"] == "node.telemetry"]
    assert spans == ["model.request.start", "model.request"]


def test_a_fact_is_fetched_and_spoken_where_that_is_allowed(tmp_path, url, seen):
    check_text(FACTS.replace("BASE", url))
    (tmp_path / "facts.yml").write_text(FACTS.replace("BASE", url))
    how = ("facts.yml", "-o", "fact.webm", "--tts-fallback", "espeak", "-v")
    refused = run(tmp_path, *how)
    assert refused.returncode == 0, refused.stderr.decode()
    assert b"Blocked: Global allowlist is empty; to allow fetch, start the run with --allow-fetch" in refused.stderr
    assert seen == []
    short = probe(tmp_path / "fact.webm", decode=True).audio.samples
    allowed = run(tmp_path, *how, "--allow-fetch", f"{url}/api/*")
    assert allowed.returncode == 0, allowed.stderr.decode()
    assert [request["target"] for request in seen] == ["/api/v2/facts/random?language=en"]
    assert b"fact: Bees sleep." in allowed.stderr
    assert probe(tmp_path / "fact.webm", decode=True).audio.samples > short


def test_an_agent_asks_two_services_and_its_key_goes_to_one(tmp_path, url, seen):
    (tmp_path / "agent.yml").write_text(AGENT)
    (tmp_path / "agent.js").write_text(AGENT_JS.replace("BASE", url))
    secret = f"openai_key=THE_KEY@{url}/v1/chat/*"
    allowed = {"PENSTOCK_ALLOW_FETCH": f"{url}/v1/search", "THE_KEY": HUSH}
    ended = run(
        tmp_path, "agent.yml", "-i", "-", "-o", "-", "--json", "--report", "report.json",
        "--allow-fetch", f"POST:{url}/v1/chat/completions", "--script-secret", secret,
        feed=b"Is it cold? And tomorrow?", **allowed,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    said = [json.loads(line)["Text"].strip() for line in ended.stdout.splitlines()]
    assert said == ["1 Oslo: Because air scatters blue.", "2 Oslo: Because air scatters blue."]
    keys = [(request["method"], request.get("authorization")) for request in seen]
    assert keys == [("GET", None), ("POST", f"Bearer {HUSH}")] * 2
    spans = [one["event_type"] for one in events_of(ended) if one["event"] == "node.telemetry"]
    assert [one for one in spans if one in ("geocode", "llm.request")] == ["geocode", "llm.request"] * 2
    assert HUSH.encode() not in ended.stdout + ended.stderr + (tmp_path / "report.json").read_bytes()


def test_an_agent_that_may_not_ask_says_so_and_one_without_its_key_does_not_start(tmp_path, url, seen):
    (tmp_path / "agent.yml").write_text(AGENT)
    (tmp_path / "agent.js").write_text(AGENT_JS.replace("BASE", url))
    how = ("agent.yml", "-i", "-", "-o", "-")
    refused = run(tmp_path, *how)
    assert refused.returncode == 1
    assert b"the secret 'openai_key' is not known; start the run with --script-secret openai_key=" in refused.stderr
    secret = ("--script-secret", f"openai_key=THE_KEY@{url}/*")
    ended = run(tmp_path, *how, *secret, "--allow-fetch", "https://other.test/*", feed=b"Is it cold?", THE_KEY=HUSH)
    assert json.loads(ended.stdout)["Text"] == "I may not ask."
    assert seen == []


@pytest.mark.parametrize("option", [("--allow-fetch", "ftp://a"), ("--script-secret", "a=b")])
def test_a_rule_that_is_none_is_wrong_usage(tmp_path, option):
    (tmp_path / "agent.yml").write_text(AGENT)
    ended = run(tmp_path, "agent.yml", "-i", "-", "-o", "-", *option)
    assert ended.returncode == 2
    assert b"PENSTOCK_" in ended.stderr


def test_a_signal_ends_a_run_whose_script_waits_within_the_time_it_has(tmp_path):
    waits = []

    def hold(handler):
        waits.append(True)
        time.sleep(20)

    with serving(answering({"/api/v2/facts/random": hold}, [])) as base:
        (tmp_path / "facts.yml").write_text(FACTS.replace("BASE", base).replace("=en'", "=en', {timeout: 60000}"))
        child = subprocess.Popen(
            [*PENSTOCK, "facts.yml", "-o", "fact.webm", "--tts-fallback", "espeak", "--allow-fetch",
             f"{base}/*", "--drain-timeout", "0.3"],
            cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        with child:
            child.stdin.write(b"go")
            child.stdin.close()
            begun = time.monotonic()
            while not waits and time.monotonic() < begun + 10:
                time.sleep(0.01)
            begun = time.monotonic()
            child.terminate()
            child.wait(10)
            assert time.monotonic() - begun < 4
            assert child.returncode in (1, 143), child.stderr.read().decode()
    assert not (tmp_path / "fact.webm").exists()
