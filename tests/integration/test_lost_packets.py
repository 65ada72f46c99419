"""Packets that are lost on the way: time never shrinks, whatever the codec and the container."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.media.clock import JITTER_US, MAX_GAP_S, SampleGaps, portions
from penstock.nodes.containers.segments import samples_of
from support.judges import JUDGES
from support.media import audio_packets, click_track, encode, heard, in_pieces, joined, shift_of, through

RATE = 48_000
FRAMES = 144_000
CLICKS = [20_000, 120_000]
CODECS = ["opus", "aac", "mp3", "flac", "pcm"]
TELLING = [
    ("mp4", "aac"),
    ("mp4", "flac"),
    ("matroska", "aac"),
    ("matroska", "mp3"),
    ("matroska", "flac"),
    ("wav", "pcm"),
]
SHORTENED = [("adts", "aac"), ("mp3", "mp3"), ("flac", "flac")]


def coded(codec):
    sent = click_track(FRAMES, CLICKS)
    if codec == "opus":
        return sent, encode(sent, bitrate=128_000)
    return sent, through("audio::encoder", audio_packets(sent), codec=codec).packets


def cut(packets):
    """Lose packets out of the middle, about a quarter of a second: the others, and the samples lost."""
    length = samples_of(packets[0])
    first, count = FRAMES // 3 // length, max(1, 11_000 // length)
    return [*packets[:first], *packets[first + count :]], count * length


@pytest.mark.parametrize("codec", CODECS)
def test_a_decoder_fills_what_is_missing_to_the_sample(codec):
    sent, packets = coded(codec)
    left, lost = cut(packets)
    audio = through("audio::decoder", left).packets
    out = heard(audio)
    assert len(out) == FRAMES
    assert [shift_of(out, sent, click, 1_300) for click in CLICKS] == [0, 0]
    for one, other in itertools.pairwise(audio):
        assert one.meta.timestamp_us + one.meta.duration_us == other.meta.timestamp_us
    if codec != "opus":  # whose decoder carries the sound on
        middle = int(np.abs(out[40_000:60_000, 0]).reshape(-1, 100).max(1).argmin()) * 100 + 40_000
        silent = np.flatnonzero(out[middle - lost : middle + lost].any(1))
        assert np.diff(silent).max() - 1 == pytest.approx(lost, abs=samples_of(packets[0]) // 2)


@pytest.mark.parametrize("codec", ["aac", "mp3", "flac", "pcm"])
def test_an_encoder_codes_silence_where_audio_is_missing(codec):
    sent = click_track(FRAMES, CLICKS)
    live = audio_packets(sent)
    packets = through("audio::encoder", [*live[:50], *live[61:]], codec=codec).packets
    for one, other in itertools.pairwise(packets):
        assert other.meta.timestamp_us == pytest.approx(one.meta.timestamp_us + one.meta.duration_us, abs=1)
    out = heard(through("audio::decoder", packets).packets)
    assert len(out) == FRAMES
    assert [shift_of(out, sent, click, 1_300) for click in CLICKS] == [0, 0]
    assert np.abs(out[50_000:56_000]).max() < 1e-3


@pytest.mark.parametrize(("container", "codec"), TELLING)
def test_a_container_with_a_clock_keeps_the_time_for_us_and_for_ffmpeg(container, codec, tmp_path):
    sent, packets = coded(codec)
    left, _ = cut(packets)
    data = joined(through("containers::muxer", left, format=container).packets)
    again = through("containers::demuxer", in_pieces(data, 5_000)).packets
    out = heard(through("audio::decoder", again).packets)
    assert len(out) == FRAMES
    assert [shift_of(out, sent, click, 1_300) for click in CLICKS] == [0, 0]
    path = tmp_path / "a"
    path.write_bytes(data)
    filled = ("-af", "aresample=async=1:first_pts=0:min_hard_comp=0.01")
    for judge in JUDGES:
        theirs = np.frombuffer(judge.run("-copyts", "-i", path, *filled, "-f", "f32le", "-"), np.float32).reshape(-1, 2)
        assert abs(shift_of(theirs, sent, CLICKS[1], 1_300)) <= 48  # a millisecond, by which Matroska counts


def test_opus_and_a_transport_stream_keep_the_time_too():
    sent, packets = coded("opus")
    left, _ = cut(packets)
    for container in ("ogg", "webm", "mp4", "matroska"):
        data = joined(through("containers::muxer", left, format=container).packets)
        again = through("containers::demuxer", in_pieces(data, 5_000)).packets
        out = heard(through("audio::decoder", again).packets)
        assert len(out) == FRAMES
        assert [shift_of(out, sent, click, 1_300) for click in CLICKS] == [0, 0]
    sent, packets = coded("aac")
    left, _ = cut(packets)
    data = joined(through("containers::muxer", left, format="mpegts").packets)
    again = through("containers::demuxer", in_pieces(data, 5_000)).packets
    out = heard(through("audio::decoder", again).packets)
    assert [shift_of(out, sent, click, 1_300) for click in CLICKS] == [1_024, 1_024]  # the run-in is not told


@pytest.mark.parametrize(("container", "codec"), SHORTENED)
def test_a_format_without_a_clock_says_that_it_is_shorter(container, codec):
    _, packets = coded(codec)
    left, lost = cut(packets)
    whole, result = (through("containers::muxer", some, format=container) for some in (packets, left))
    assert whole.context.warnings == []
    (warning,) = result.context.warnings
    assert warning.startswith(f"{lost} samples are missing after ")
    assert "the output is shorter by them" in warning


def test_gaps_are_told_to_the_sample_and_jitter_makes_none():
    gaps = SampleGaps(44_100)
    stamps = [0, 20_000, 40_000 + JITTER_US, 60_000 - JITTER_US, 80_000 + JITTER_US + 1]
    assert [gaps.before(stamp, 882) for stamp in stamps] == [0, 0, 0, 0, 441]
    assert gaps.before(100_000 + JITTER_US + 1, 882) == 0


@pytest.mark.parametrize("extra", [0, 1])
def test_only_gaps_up_to_the_limit_are_filled(extra):
    gaps = SampleGaps(RATE)
    gaps.before(0, 960)
    assert gaps.before(20_000 + MAX_GAP_S * 1_000_000 + extra, 960) == (0 if extra else MAX_GAP_S * RATE)


@pytest.mark.parametrize("back_us", [-1, 500_000, 1_000_000, 1_000_001, 5_000_000])
def test_going_back_in_time_is_no_gap(back_us):
    gaps = SampleGaps(RATE)
    stamps = [5_000_000, 5_020_000 - back_us, 5_040_000 - back_us, 5_060_000 - back_us]
    assert [gaps.before(stamp, 960) for stamp in stamps] == [0, 0, 0, 0]


def test_without_timestamps_what_is_known_to_be_lost_counts():
    gaps = SampleGaps(RATE)
    assert [gaps.before(None, 960, lost) for lost in (0, 1_920, MAX_GAP_S * RATE + 1)] == [0, 1_920, 0]


@given(st.lists(st.tuples(st.integers(480, 4_000), st.integers(481, 50_000) | st.just(0)), max_size=50))
def test_the_count_and_the_clock_never_part(packets):
    gaps, at, counted = SampleGaps(RATE), 0, 0
    for number, (samples, missing) in enumerate(packets):
        at += missing if number else 0
        counted += gaps.before(at * 1_000_000 // RATE, samples) + samples
        at += samples
    assert counted == pytest.approx(at, abs=1)


@given(st.integers(0, 1_000), st.integers(1, 100))
def test_portions_add_up(total, most):
    parts = list(portions(total, most))
    assert sum(parts) == total
    assert all(0 < part <= most for part in parts)
