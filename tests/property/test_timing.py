"""docs/timing.md holds for every media node: filters, codecs, and the containers between them."""

import re
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.nodes.containers.muxer import _FILES, _HOLDS, MuxerConfig
from penstock.nodes.containers.segments import samples_of
from penstock.nodes.registry import default_registry
from penstock.nodes.speech.vad import VadConfig
from penstock.packets import Audio, EncodedAudio, Text
from penstock.pins import EncodedAudioType, RawAudioType
from penstock.testing import run_in_virtual_time, run_node
from support.media import audio_packets, heard, through

PAGE = Path(__file__).resolve().parents[2] / "docs" / "timing.md"
CODEC_RATE = 48_000


def types_of(kind):
    """What a kind takes, and what it produces."""
    cls = default_registry().get(kind)
    inputs, outputs = cls.pins(cls.Config.model_validate(cls.example))
    return {type(one) for pin in inputs for one in pin.accepts}, {type(pin.produces) for pin in outputs}


def needs_a_model(kind):
    return any(name.startswith("model_") for name in default_registry().get(kind).Config.model_fields)


FILTERS = [kind for kind in default_registry() if all(RawAudioType in types for types in types_of(kind))]
MEDIA = {
    kind
    for kind in default_registry()
    if {RawAudioType, EncodedAudioType} & set.union(*types_of(kind)) and not needs_a_model(kind)
} | {kind for kind in default_registry() if kind.startswith(("audio::", "containers::"))}

# Chains from audio to audio, and whether the clock of the input survives them: a container begins at 0.
ENCODE = {
    "opus": ("audio::opus::encoder", {"complexity": 0}),
    "aac": ("audio::encoder", {"codec": "aac"}),
    "mp3": ("audio::encoder", {"codec": "mp3"}),
    "flac": ("audio::encoder", {"codec": "flac", "sample_format": "s24"}),
    "pcm": ("audio::encoder", {"codec": "pcm", "sample_format": "f32"}),
}
DEMUX, DECODE = ("containers::demuxer", {}), ("audio::decoder", {})
FORMATS = _HOLDS | {"ogg": ("opus",), "wav": ("pcm",), "flac": ("flac",), "mp3": ("mp3",), "adts": ("aac",)}
PAIRS = [(form, codec) for form, codecs in FORMATS.items() for codec in codecs if codec in ENCODE]
CODECS = {
    **{codec: [encode, DECODE] for codec, encode in ENCODE.items()},
    "opus by itself": [ENCODE["opus"], ("audio::opus::decoder", {})],
    "aac of StreamKit": [("plugin::native::aac_encoder", {}), DECODE],
}
CONTAINERS = {
    **{
        f"{codec} in {form}, {mode}": [
            ENCODE[codec],
            ("containers::muxer", {"format": form, "mode": mode}),
            DEMUX,
            DECODE,
        ]
        for form, codec in PAIRS
        for mode in (("stream", "file") if form in _FILES else ("stream",))
    },
    "ogg by itself": [ENCODE["opus"], ("containers::ogg::muxer", {}), ("containers::ogg::demuxer", {}), DECODE],
    "mp4 by itself": [ENCODE["aac"], ("containers::mp4::muxer", {}), DEMUX, DECODE],
    "webm by itself": [ENCODE["opus"], ("containers::webm::muxer", {}), DEMUX, DECODE],
    "wav by itself": [ENCODE["pcm"], ("containers::muxer", {"format": "wav"}), ("containers::wav::demuxer", {})],
    "flac by itself": [ENCODE["flac"], ("containers::muxer", {"format": "flac"}), ("audio::flac::decoder", {})],
    "mp3 by itself": [
        ENCODE["mp3"],
        ("containers::muxer", {"format": "mp3", "mode": "file"}),
        ("audio::mp3::decoder", {}),
    ],
}
UNTOLD = {f"{codec} in {form}, stream" for form in ("mpegts", "adts", "mp3") for codec in FORMATS[form]}


@st.composite
def streams(draw, rates=(8_000, 22_050, 44_100, 48_000), least=1, total=1):
    """Noise, cut into packets of changing sizes, that starts anywhere on the clock; ``total`` samples at least."""
    rate = draw(st.sampled_from(rates))
    channels = draw(st.integers(1, 2))
    sizes = draw(st.lists(st.integers(least, 3_000), min_size=1, max_size=12))
    sizes += [total - sum(sizes)] if sum(sizes) < total else []
    start_us = draw(st.sampled_from([0, 1, 999_999, 86_400_000_000]))
    samples = np.random.default_rng(0).standard_normal((sum(sizes), channels)).astype(np.float32) / 10
    packets, at = [], 0
    for size in sizes:
        offset = at * 1_000_000 // rate
        packets += audio_packets(samples[at : at + size], size, rate, start_us + offset)
        at += size
    return packets


def check_times(packets, start_us, tolerance_us=1):
    """Timestamps begin where the input does, never go back, and packets meet end to end, as long as their samples."""
    assert packets[0].meta.timestamp_us == pytest.approx(start_us, abs=tolerance_us)
    for one, other in pairwise(packets):
        assert other.meta.timestamp_us >= one.meta.timestamp_us
        assert one.meta.timestamp_us + one.meta.duration_us == pytest.approx(other.meta.timestamp_us, abs=tolerance_us)
    for packet in packets:
        exact = packet.frames * 1_000_000 / packet.sample_rate_hz
        assert packet.meta.duration_us == pytest.approx(exact, abs=1)
    last = packets[-1].meta
    total_s = sum(packet.frames / packet.sample_rate_hz for packet in packets)
    assert last.timestamp_us + last.duration_us - start_us == pytest.approx(total_s * 1e6, abs=tolerance_us + 1)


@pytest.mark.parametrize("kind", FILTERS)
@settings(max_examples=25)
@given(packets=streams())
def test_a_filter_keeps_the_time_and_the_number_of_samples(kind, packets):
    example = default_registry().get(kind).example
    out = run_in_virtual_time(lambda: run_node(kind, packets, **example)).packets
    frames, rate = sum(packet.frames for packet in packets), packets[0].sample_rate_hz
    expected = int(frames * out[0].sample_rate_hz / rate + 0.5) if out else 0
    assert sum(packet.frames for packet in out) == expected
    if out:
        check_times(out, packets[0].meta.timestamp_us)


def run_chain(steps, packets):
    """What comes out of a chain; the packets between its steps are held to what every node keeps."""
    for kind, params in steps:
        packets = through(kind, packets, **params).packets
        timed = [packet for packet in packets if isinstance(packet, EncodedAudio | Audio)]
        for one, other in pairwise(timed):
            assert other.meta.timestamp_us == pytest.approx(one.meta.timestamp_us + one.meta.duration_us, abs=1)
        assert all(packet.meta.timestamp_us is not None and packet.meta.duration_us for packet in timed)
        sequence = [packet.meta.sequence for packet in timed if isinstance(packet, EncodedAudio)]
        assert sequence == list(range(len(sequence)))
    return packets


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=10)
@given(packets=streams(rates=(CODEC_RATE,)))
def test_a_codec_keeps_the_time_and_the_number_of_samples(name, packets):
    out = run_chain(CODECS[name], packets)
    assert heard(out).shape == heard(packets).shape
    check_times(out, packets[0].meta.timestamp_us)


@pytest.mark.parametrize("name", CONTAINERS)
@settings(max_examples=6)
@given(packets=streams(rates=(CODEC_RATE,), total=4_000))
def test_a_container_keeps_the_number_of_samples_and_begins_at_0(name, packets):
    steps = CONTAINERS[name]
    coded = through(*steps[0][:1], packets, **steps[0][1]).packets
    direct = heard(through(*DECODE[:1], coded).packets)
    out = run_chain(steps, packets)
    check_times(out, 0)
    if name in UNTOLD:  # run-in and padding are heard
        frames, total = len(heard(packets)), sum(samples_of(packet) for packet in coded)
        assert frames <= len(heard(out)) == total <= frames + 1_105 + 1_152
    else:
        np.testing.assert_array_equal(heard(out), direct)
        assert heard(out).shape == heard(packets).shape


def test_speech_begins_at_0_and_goes_on_without_a_gap():
    spoken = [Text("One."), Text("Two, three."), Text("Four.")]
    check_times(run_in_virtual_time(lambda: run_node("speech::espeak", spoken)).packets, 0)


@settings(max_examples=15)
@given(first=streams(), second=streams())
def test_a_change_of_format_keeps_the_time_through_resampler_codec_and_pacer(first, second):
    start = first[0].meta.timestamp_us
    middle = first[-1].meta.timestamp_us + first[-1].meta.duration_us
    shift = middle - second[0].meta.timestamp_us
    moved = [
        audio_packets(packet.samples, packet.frames, packet.sample_rate_hz, packet.meta.timestamp_us + shift)[0]
        for packet in second
    ]
    even = through("audio::resampler", first + moved, target_sample_rate=CODEC_RATE).packets
    paced = run_in_virtual_time(lambda: run_node("audio::pacer", even)).packets
    expected = sum(
        int(sum(packet.frames for packet in part) * CODEC_RATE / part[0].sample_rate_hz + 0.5)
        for part in ([first, moved] if _format(first) != _format(moved) else [first + moved])
    )
    assert sum(packet.frames for packet in even) == sum(packet.frames for packet in paced) == expected
    if paced:
        check_times(paced, start)


def _format(packets):
    return packets[0].sample_rate_hz, packets[0].channels


def test_every_media_node_is_run_here():
    chains = {kind for steps in (*CODECS.values(), *CONTAINERS.values()) for kind, _ in steps}
    assert MEDIA - chains - set(FILTERS) - {"speech::espeak", "streamkit::http_output"} == set()


def rows(heading):
    """The first cells of the tables under a heading of the page: what each names in backticks."""
    part = PAGE.read_text().partition(f"{heading}\n")[2] if heading else PAGE.read_text()
    return [re.findall(r"`([^`]+)`", row) for row in re.findall(r"^\| (`[^|]+) \|", part, re.MULTILINE)]


def test_the_page_tells_of_every_kind_and_of_none_that_is_not_there():
    formats = set(get_args(MuxerConfig.model_fields["format"].annotation))
    told = {name for row in rows("") for name in row}
    assert set(default_registry()) - told == set()
    assert told - set(default_registry()) == formats | set(get_args(VadConfig.model_fields["output_mode"].annotation))


def test_the_page_tells_what_each_format_holds():
    table = PAGE.read_text().partition("| format | codecs |")[2].partition("\n\n")[0]
    told = {
        name: tuple(codecs.split(", "))
        for name, codecs in re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE)
    }
    assert {name: sorted(codecs) for name, codecs in told.items()} == {
        name: sorted(codecs) for name, codecs in FORMATS.items()
    }
