"""Loudness: the signals of EBU Tech 3341, and ffmpeg's meter as the other implementation."""

import re

import numpy as np
import pytest

from penstock.nodes.audio.loudness import LoudnessConfig
from penstock.nodes.audio.r128 import LoudnessMeter, k_weighting
from penstock.packets import Audio
from support.media import audio_packets, ffmpeg, through, tone


def measure(samples, rate=48_000, size=960, **params):
    result = through("audio::loudness", audio_packets(samples, size, rate), **params)
    events = [fields for name, fields in result.context.events if name == "audio.loudness"]
    assert [event["final"] for event in events] == [False] * (len(events) - 1) + [True]
    return events


def level(decibel):
    return 10 ** (decibel / 20)


def stretch(seconds, decibel, rate=48_000, channels=2, hertz=1_000):
    return tone(int(seconds * rate), hertz, rate, channels, level(decibel))


@pytest.mark.parametrize(
    ("parts", "integrated"),
    [
        ([(20, -23)], -23.0),
        ([(20, -33)], -33.0),
        ([(10, -36), (60, -23), (10, -36)], -23.0),
        ([(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)], -23.0),
        ([(20, -26), (20.1, -20), (20, -26)], -23.0),
    ],
    ids=["case 1", "case 2", "case 3", "case 4", "case 5"],
)
def test_the_minimum_requirements_of_ebu_tech_3341_are_met(parts, integrated):
    events = measure(np.concatenate([stretch(seconds, decibel) for seconds, decibel in parts]), true_peak=False)
    assert events[-1]["integrated_lufs"] == pytest.approx(integrated, abs=0.1)


def test_case_6_weights_the_channels_of_surround_sound():
    left = stretch(20, -28, channels=1)
    centre, surround = stretch(20, -24, channels=1), stretch(20, -30, channels=1)
    five = np.concatenate([left, left, centre, np.ones_like(left), surround, surround], axis=1)
    five[:, 3] = 0.5  # what the low-frequency channel holds does not count
    assert measure(five, true_peak=False)[-1]["integrated_lufs"] == pytest.approx(-23.0, abs=0.1)


def test_momentary_and_short_term_have_their_windows():
    samples = np.concatenate([stretch(5, -40), stretch(0.4, -20), stretch(5, -40)])
    events = measure(samples, interval_ms=100, true_peak=False)
    assert max(event["momentary_lufs"] or -99 for event in events) == pytest.approx(-20, abs=0.1)
    expected = 10 * np.log10((2.6 * 1e-4 + 0.4 * 1e-2) / 3)
    assert max(event["short_term_lufs"] or -99 for event in events) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("phase", "peak"), [(0.0, -6.0), (np.pi / 4, -6.0)], ids=["case 15, on samples", "case 16, between samples"]
)
def test_the_true_peak_lies_between_the_samples_too(phase, peak):
    time = np.arange(96_000) / 48_000
    samples = (0.5 * np.sin(2 * np.pi * 12_000 * time + phase)).astype(np.float32)[:, None]
    assert measure(samples)[-1]["true_peak_dbtp"] == pytest.approx(peak, abs=0.3)


def programme(rate, channels):
    """Noise that swells and fades, with a pause."""
    random = np.random.default_rng(3)
    samples = random.standard_normal((rate * 12, channels)).cumsum(axis=0) * 0.002
    samples -= np.convolve(samples[:, 0], np.ones(200) / 200, "same")[:, None]
    envelope = 0.05 + 0.95 * np.abs(np.sin(np.arange(len(samples)) / rate * 0.7))
    envelope[4 * rate : 6 * rate] = 1e-4
    envelope *= np.minimum(1, np.minimum(np.arange(len(samples)), np.arange(len(samples))[::-1]) / rate)
    return np.clip(samples * envelope[:, None], -1, 1).astype(np.float32)


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (44_100, 1), (96_000, 2), (22_050, 2)])
def test_it_agrees_with_ffmpeg_to_a_tenth(tmp_path, rate, channels):
    samples = programme(rate, channels)
    (tmp_path / "a.raw").write_bytes(samples.tobytes())
    raw = ("-f", "f32le", "-ar", rate, "-ac", channels, "-i", tmp_path / "a.raw")
    told = ffmpeg(*raw, "-filter:a", "ebur128=peak=true", "-f", "null", "-").stderr.decode()
    integrated = float(re.findall(r"I:\s+(-?[\d.]+) LUFS", told)[-1])
    peak = float(re.findall(r"Peak:\s+(-?[\d.]+) dBFS", told)[-1])
    short_term = {float(t): float(s) for t, s in re.findall(r"t: (\S+)\s.*?S:\s*(-?[\d.]+)", told)}
    momentary = {float(t): float(m) for t, m in re.findall(r"t: (\S+)\s.*?M:\s*(-?[\d.]+)", told)}
    events = measure(samples, rate, rate // 10, interval_ms=100)
    assert events[-1]["integrated_lufs"] == pytest.approx(integrated, abs=0.1)
    assert events[-1]["true_peak_dbtp"] == pytest.approx(peak, abs=0.1)
    for second in (3.5, 7.5, 11.5):
        ours = next(event for event in events if event["seconds"] == pytest.approx(second))
        theirs = min(short_term, key=lambda time: abs(time - second))
        assert ours["momentary_lufs"] == pytest.approx(momentary[theirs], abs=0.15)
        assert ours["short_term_lufs"] == pytest.approx(short_term[theirs], abs=0.15)


@pytest.mark.parametrize("rate", [8_000, 48_000, 192_000])
def test_what_is_cut_off_the_weighting_filter_has_decayed(rate):
    response = np.abs(k_weighting(rate, rate))
    assert 20 * np.log10(response[rate // 10 :].max() / response.max()) < -200


def test_packets_pass_as_they_are_however_they_are_cut():
    samples = stretch(3, -23)
    packets = audio_packets(samples, 777)
    result = through("audio::loudness", packets, true_peak=False)
    assert all(one is other for one, other in zip(result.packets, packets, strict=True))
    assert measure(samples, size=777)[-1]["integrated_lufs"] == measure(samples, size=48_000)[-1]["integrated_lufs"]


def test_silence_has_no_loudness_and_no_peak():
    for samples in (np.zeros((96_000, 2), np.float32), np.zeros((0, 2), np.float32)):
        event = measure(samples)[-1]
        assert {event[name] for name in event if name.endswith(("lufs", "dbtp"))} == {None}


def test_another_format_goes_on_with_the_same_programme():
    packets = audio_packets(stretch(10, -20), 960) + audio_packets(stretch(10, -20, 44_100, 1), 441, 44_100)
    result = through("audio::loudness", packets)
    event = result.context.events[-1][1]
    expected = 10 * np.log10((10**-2.0 + 10**-2.3) / 2)  # mono has half the energy of stereo
    assert event["integrated_lufs"] == pytest.approx(expected, abs=0.1)
    assert event["seconds"] == 20
    assert event["true_peak_dbtp"] == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize("size", [479, 480, 481])
def test_events_come_at_their_interval(size):
    events = measure(stretch(1, -23), size=size, interval_ms=100, true_peak=False)
    assert len(events) == pytest.approx(11, abs=1)
    assert events[0]["seconds"] == pytest.approx(0.1, abs=0.0101)


def test_memory_does_not_grow_with_the_programme():
    meter = LoudnessMeter()
    meter.restart(8_000, 1)
    second = tone(8_000, 1_000, 8_000)
    for _ in range(60):
        meter.feed(second)
    assert len(meter._hops) == 30
    assert len(meter._counts) == 10_000
    assert meter._counts.sum() == 597


def test_odd_formats_are_measured_without_an_error():
    for rate, channels in ((8, 1), (8_000, 9), (192_000, 1)):
        packets = [Audio(np.ones((rate // 2, channels), np.float32), rate)] * 4
        assert len(through("audio::loudness", packets).packets) == 4


def test_an_interval_below_a_hop_is_refused():
    with pytest.raises(ValueError, match="interval_ms"):
        LoudnessConfig(interval_ms=99)
