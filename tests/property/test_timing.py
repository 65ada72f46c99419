"""docs/timing.md holds for every node that turns audio into audio, and for the codec and container between them."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.nodes.registry import default_registry
from penstock.pins import RawAudioType
from penstock.testing import run_in_virtual_time, run_node
from support.media import audio_packets, heard, through

PAGE = Path(__file__).resolve().parents[2] / "docs" / "timing.md"
CODEC_RATE = 48_000


def turns_audio_into_audio(kind):
    cls = default_registry().get(kind)
    inputs, outputs = cls.pins(cls.Config.model_validate(cls.example))
    return any(isinstance(one, RawAudioType) for pin in inputs for one in pin.accepts) and any(
        isinstance(pin.produces, RawAudioType) for pin in outputs
    )


FILTERS = [kind for kind in default_registry() if turns_audio_into_audio(kind)]


@st.composite
def streams(draw, rates=(8_000, 22_050, 44_100, 48_000), least=1):
    """Noise, cut into packets of changing sizes, that starts anywhere on the clock."""
    rate = draw(st.sampled_from(rates))
    channels = draw(st.integers(1, 2))
    sizes = draw(st.lists(st.integers(least, 3_000), min_size=1, max_size=12))
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
@settings(max_examples=25, deadline=None)
@given(packets=streams())
def test_a_filter_keeps_the_time_and_the_number_of_samples(kind, packets):
    example = default_registry().get(kind).example
    out = run_in_virtual_time(lambda: run_node(kind, packets, **example)).packets
    frames, rate = sum(packet.frames for packet in packets), packets[0].sample_rate_hz
    expected = int(frames * out[0].sample_rate_hz / rate + 0.5) if out else 0
    assert sum(packet.frames for packet in out) == expected
    if out:
        check_times(out, packets[0].meta.timestamp_us)


@settings(max_examples=25, deadline=None)
@given(packets=streams(rates=(CODEC_RATE,)))
def test_the_codec_and_its_container_keep_the_time_and_the_number_of_samples(packets):
    coded = through("audio::opus::encoder", packets).packets
    pages = through("containers::ogg::muxer", coded).packets
    out = through("audio::opus::decoder", through("containers::ogg::demuxer", pages).packets).packets
    direct = through("audio::opus::decoder", coded).packets
    assert sum(packet.frames for packet in out) == sum(packet.frames for packet in packets)
    np.testing.assert_array_equal(heard(out), heard(direct))
    check_times(direct, packets[0].meta.timestamp_us)
    check_times(out, 0)  # Ogg/Opus has no clock but its own


@settings(max_examples=15, deadline=None)
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


def test_the_page_tells_of_every_filter_and_of_no_kind_that_is_not_there():
    rows = re.findall(r"^\| `([^`]+)`", PAGE.read_text(), re.MULTILINE)
    assert set(FILTERS) - set(rows) == set()
    assert {kind for kind in rows if kind not in default_registry()} == set()
