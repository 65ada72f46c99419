"""Gain: a factor, and nothing else."""

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.nodes.audio.gain import Gain, GainConfig
from penstock.testing import FakeContext
from support.media import audio_packets, click_track, through


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0, 4.0])
def test_every_sample_is_multiplied(gain):
    packets = audio_packets(click_track(5_000, [100]), 960)
    out = through("audio::gain", packets, gain=gain).packets
    for one, other in zip(packets, out, strict=True):
        np.testing.assert_array_equal(other.samples, one.samples * np.float32(gain))
        assert (other.meta, other.sample_rate_hz) == (one.meta, one.sample_rate_hz)


def test_what_came_in_is_not_changed_and_nothing_is_clipped():
    (packet,) = audio_packets(click_track(960, [100]), 960)
    before = packet.samples.copy()
    (out,) = through("audio::gain", [packet], gain=3).packets
    np.testing.assert_array_equal(packet.samples, before)
    assert out.samples.max() > 2
    assert out.samples.dtype == np.float32


def test_a_gain_of_one_passes_the_packet_itself():
    (packet,) = audio_packets(click_track(960, []), 960)
    assert through("audio::gain", [packet]).packets[0] is packet


@pytest.mark.parametrize("gain", [-0.01, 4.01, float("nan")])
def test_a_gain_out_of_range_is_refused(gain):
    with pytest.raises(ValidationError):
        GainConfig(gain=gain)


def tuned(gains, size, frames=960):
    """Ones through a gain that is set to the next value after each ``frames`` frames, cut into packets."""
    node = Gain(GainConfig(gain=gains[0]))
    node.prepare(FakeContext())
    out = []
    for gain in gains:
        if gain != node.config.gain:
            node.tune(GainConfig(gain=gain))
        out += [node.process(packet) for packet in audio_packets(np.ones((frames, 2), np.float32), size)]
    return np.concatenate([packet.samples for packet in out])


@pytest.mark.parametrize("size", [1, 7, 479, 480, 481, 960])
def test_a_gain_that_is_tuned_moves_in_a_straight_line_of_ten_milliseconds_however_packets_are_cut(size):
    samples = tuned([1.0, 0.0], size)
    line = np.concatenate([np.ones(960), np.linspace(1, 0, 481)[1:], np.zeros(480)])
    np.testing.assert_allclose(samples, np.stack([line, line], axis=1), atol=2e-5)


def test_no_change_of_the_gain_is_a_click():
    samples = tuned([0.0, 4.0, 1.0, 3.0, 0.5], 100, 200)  # each before the last one has arrived
    assert np.abs(np.diff(samples[:, 0])).max() <= 4 / 480 + 1e-6


def test_a_gain_tuned_to_one_passes_packets_themselves_once_it_is_there():
    node = Gain(GainConfig(gain=2))
    node.prepare(FakeContext())
    node.tune(GainConfig(gain=1))
    first, second = audio_packets(np.ones((960, 1), np.float32), 480)
    assert node.process(first) is not first
    assert node.process(second) is second
