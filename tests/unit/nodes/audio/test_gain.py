"""Gain: a factor, and nothing else."""

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.nodes.audio.gain import GainConfig
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
