"""Whole chains of media nodes, judged by ffmpeg."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from penstock.media.probe import probe
from penstock.nodes.registry import default_registry
from penstock.testing.harness import FakeContext
from support.media import (
    audio_packets,
    click_track,
    encode,
    ffmpeg,
    ffmpeg_decode,
    ffmpeg_facts,
    in_pieces,
    joined,
    shift_of,
    through,
    tone,
)

CLICKS = [3_000, 40_001, 140_000]


def chain(packets, *steps):
    for kind, params in steps:
        packets = through(kind, packets, **params).packets
    return packets


@pytest.mark.parametrize("mode", ["file", "stream"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_recording_of_ffmpeg_becomes_an_mp4_of_the_same_sound(tmp_path, mode, channels):
    sent = click_track(144_321, CLICKS, channels)
    (tmp_path / "a.raw").write_bytes(sent.tobytes())
    source, target = tmp_path / "a.ogg", tmp_path / "a.mp4"
    raw = ("-f", "f32le", "-ar", 48_000, "-ac", channels, "-i", tmp_path / "a.raw")
    ffmpeg(*raw, "-c:a", "libopus", "-b:a", "128k", source)
    packets = chain(
        in_pieces(source.read_bytes(), 1_000),
        ("containers::ogg::demuxer", {}),
        ("audio::opus::decoder", {}),
        ("audio::gain", {"gain": 0.5}),
        ("audio::opus::encoder", {"bitrate": 128_000}),
        ("containers::mp4::muxer", {"mode": mode}),
    )
    target.write_bytes(joined(packets))
    out = ffmpeg_decode(target, channels)
    assert [shift_of(out, sent, click) for click in CLICKS] == [0, 0, 0]
    assert 0 <= len(out) - len(sent) < 960
    facts = ffmpeg_facts(target)
    assert facts["duration_s"] == pytest.approx(len(sent) / 48_000, abs=0.02)
    assert ("stereo" if channels == 2 else "mono") in facts["stream"]
    loud, quiet = np.abs(ffmpeg_decode(source, channels)).max(), np.abs(out).max()
    assert quiet / loud == pytest.approx(0.5, abs=0.05)


def test_speech_at_another_rate_becomes_an_ogg_of_the_same_length(tmp_path):
    sent = tone(22_050 * 3 + 17, 440, 22_050)
    path = tmp_path / "a.ogg"
    packets = chain(
        audio_packets(sent, 4_410, 22_050),
        ("audio::resampler", {"target_sample_rate": 48_000}),
        ("audio::opus::encoder", {}),
        ("containers::ogg::muxer", {"channels": 1}),
    )
    path.write_bytes(joined(packets))
    out = ffmpeg_decode(path, 1)
    assert len(out) == int(len(sent) * 48_000 / 22_050 + 0.5)
    spectrum = np.abs(np.fft.rfft(out[:48_000, 0]))
    assert spectrum.argmax() == 440
    assert probe(path, decode=True).audio.samples == len(out)


def test_ten_generations_of_containers_change_nothing():
    packets = encode(click_track(50_000, [1_000]))
    again = packets
    for _ in range(10):
        again = chain(again, ("containers::ogg::muxer", {}), ("containers::ogg::demuxer", {}))
    assert [(p.data, p.meta, p.trim_end) for p in again] == [(p.data, p.meta, p.trim_end) for p in packets]


def test_ten_generations_of_the_codec_neither_move_nor_stretch_the_sound():
    sent = click_track(50_000, [20_000])
    audio = audio_packets(sent)
    for _ in range(10):
        audio = chain(audio, ("audio::opus::encoder", {"bitrate": 256_000}), ("audio::opus::decoder", {}))
    out = np.concatenate([packet.samples for packet in audio])
    assert len(out) == len(sent)
    assert shift_of(out, sent, 20_000) == 0
    assert audio[0].meta.timestamp_us == 0


def test_audio_dropped_on_a_live_edge_leaves_the_recording_as_long_as_it_was(tmp_path):
    sent = click_track(96_000, [90_000])
    live = audio_packets(sent)
    del live[30:42]  # 240 ms
    path = tmp_path / "a.ogg"
    packets = chain(live, ("audio::opus::encoder", {"bitrate": 128_000}), ("containers::ogg::muxer", {}))
    path.write_bytes(joined(packets))
    out = ffmpeg_decode(path, 2)
    assert len(out) == pytest.approx(len(sent), abs=960)
    assert abs(shift_of(out, sent, 90_000, 1_500)) < 960


def test_a_live_chain_is_late_by_the_look_ahead_of_the_encoder_and_no_more():
    kinds = (
        ("audio::opus::encoder", {"complexity": 0}),
        ("containers::ogg::muxer", {"page_duration_ms": 20}),
        ("containers::ogg::demuxer", {}),
        ("audio::opus::decoder", {}),
    )
    nodes = []
    for kind, params in kinds:
        cls = default_registry().get(kind)
        nodes.append(cls(cls.Config.model_validate(params)))
        nodes[-1].prepare(FakeContext())
    late = []
    for fed, packet in enumerate(audio_packets(tone(96_000, 440))):
        packets = [packet]
        for node in nodes:
            made = [node.process(one) for one in packets]
            packets = [one for some in made for one in (some if isinstance(some, list) else [some] if some else [])]
        heard = [one.meta.timestamp_us + one.meta.duration_us for one in packets]
        late.append((fed + 1) * 20_000 - max(heard, default=0))
    for node in nodes:
        node.close()
    assert set(late[2:]) == {6_500}  # nothing waits for the next frame


def test_node_modules_load_without_codecs_and_arrays():
    script = """
        import sys
        from penstock.nodes.registry import default_registry
        registry = default_registry()
        for kind in registry:
            if kind.startswith(("audio::", "containers::")):
                cls = registry.get(kind)
                cls.pins(cls.Config.model_validate(cls.example))
        heavy = {"av", "numpy", "soxr"} & set(sys.modules)
        sys.exit(f"loaded {heavy}" if heavy else 0)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
