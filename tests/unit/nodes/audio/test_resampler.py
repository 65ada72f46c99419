"""Resampler: the right number of samples, at the right time, of the right sound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.nodes.audio.resampler import Resampler, ResamplerConfig
from penstock.packets import Audio
from penstock.pins import RawAudioType
from support.media import audio_packets, click_track, heard, through, tone

KIND = "audio::resampler"


def resample(samples, rate, target, size=999, **params):
    return through(KIND, audio_packets(samples, size, rate), target_sample_rate=target, **params).packets


@settings(max_examples=60)
@given(
    frames=st.integers(0, 5_000),
    size=st.integers(1, 3_000),
    rates=st.sampled_from([(22_050, 48_000), (24_000, 48_000), (44_100, 48_000), (48_000, 8_000), (48_000, 48_000)]),
    output=st.sampled_from([0, 120, 480, 960, 2_880]),
)
def test_the_number_of_samples_is_exact_and_only_the_last_frame_is_short(frames, size, rates, output):
    rate, target = rates
    out = resample(tone(frames, 440, rate, 2), rate, target, size, output_frame_size=output)
    sizes = [packet.frames for packet in out]
    assert sum(sizes) == int(frames * target / rate + 0.5)
    if output:
        assert all(one == output for one in sizes[:-1])
        assert all(0 < one <= output for one in sizes)
    assert all(packet.samples.flags.c_contiguous and packet.samples.dtype == np.float32 for packet in out)


@pytest.mark.parametrize("rate", [22_050, 24_000, 44_100])
def test_a_tone_stays_a_tone(rate):
    out = heard(resample(tone(rate * 4, 1_000, rate), rate, 48_000))[48_000:-48_000, 0].astype(np.float64)
    time = np.arange(len(out)) / 48_000
    basis = np.stack([np.sin(2 * np.pi * 1_000 * time), np.cos(2 * np.pi * 1_000 * time)], axis=1)
    rest = out - basis @ np.linalg.lstsq(basis, out, rcond=None)[0]
    assert 10 * np.log10(np.mean(out**2) / np.mean(rest**2)) > 110  # linear interpolation reaches about 50


def test_what_the_target_rate_cannot_carry_is_filtered_out():
    out = heard(resample(tone(96_000, 15_000, 48_000), 48_000, 16_000))
    assert np.abs(out[1_000:-1_000]).max() < 1e-4


def test_sound_stays_where_it_was():
    sent = click_track(44_100, [10_000, 30_000])
    out = heard(resample(sent, 44_100, 88_200))
    for click in (10_000, 30_000):
        energy = np.abs(out[2 * click - 500 : 2 * click + 548, 0])
        middle = np.average(np.arange(len(energy)), weights=energy**2) - 500
        assert middle == pytest.approx(2 * 11.5, abs=1)


def test_channels_are_kept_apart():
    sent = np.concatenate([tone(24_000, 440, 24_000), tone(24_000, 1_000, 24_000)], axis=1)
    spectrum = np.abs(np.fft.rfft(heard(resample(sent, 24_000, 48_000)), axis=0))
    assert spectrum.argmax(axis=0).tolist() == [440, 1_000]


def test_the_same_rate_only_cuts_frames():
    sent = click_track(5_000, [100])
    out = resample(sent, 48_000, 48_000, 777)
    np.testing.assert_array_equal(heard(out), sent)
    assert [packet.frames for packet in out] == [960] * 5 + [200]


def test_timestamps_start_with_the_input_and_meet_end_to_end():
    out = through(
        KIND, audio_packets(tone(44_100, 440, 44_100), 441, 44_100, start_us=3_000_000), target_sample_rate=48_000
    ).packets
    assert [packet.meta.timestamp_us for packet in out] == [3_000_000 + 20_000 * number for number in range(50)]
    assert {packet.sample_rate_hz for packet in out} == {48_000}


def test_a_change_of_rate_or_channels_flushes_and_goes_on():
    packets = audio_packets(tone(10_000, 440, 22_050), 441, 22_050)
    packets += audio_packets(tone(7_000, 440, 44_100), 441, 44_100, start_us=453_514)
    packets += audio_packets(tone(5_000, 440, 44_100, channels=2), 441, 44_100, start_us=612_244)
    out = through(KIND, packets, target_sample_rate=48_000).packets
    mono, stereo = (sum(p.frames for p in out if p.channels == channels) for channels in (1, 2))
    assert mono == int(10_000 * 48_000 / 22_050 + 0.5) + int(7_000 * 48_000 / 44_100 + 0.5)
    assert stereo == int(5_000 * 48_000 / 44_100 + 0.5)
    ends = [packet.meta.timestamp_us + packet.meta.duration_us for packet in out]
    assert [packet.meta.timestamp_us for packet in out[1:]] == ends[:-1]


def test_other_sample_types_and_strides_are_taken():
    wide = np.asfortranarray(tone(2_000, 440, 24_000, 2).astype(np.float64))
    (out,) = through(KIND, [Audio(wide, 24_000)], target_sample_rate=48_000, output_frame_size=0).packets[:1]
    assert out.samples.dtype == np.float32


def test_an_empty_input_gives_nothing():
    assert resample(tone(0, 440), 48_000, 24_000) == []
    assert through(KIND, [Audio(np.zeros((0, 2), np.float32), 8_000)], target_sample_rate=48_000).packets == []


def test_the_output_pin_tells_the_rate():
    _, (pin,) = Resampler.pins(ResamplerConfig(target_sample_rate=16_000))
    assert pin.produces == RawAudioType(16_000)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"target_sample_rate": 0},
        {"target_sample_rate": 48_000, "output_frame_size": 961},
        {"target_sample_rate": 48_000, "chunk_frames": 0},
        {"target_sample_rate": 48_000, "channels": 1},
    ],
)
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        ResamplerConfig.model_validate(params)
