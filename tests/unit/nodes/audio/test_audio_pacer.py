"""The pacer of audio: real time, gaps filled, timestamps end to end."""

from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.nodes.audio.pacer import AudioPacer, AudioPacerConfig
from penstock.packets import Audio, PacketMeta
from support.media import audio_packets, tone
from support.pacing import paced, sending


def play(source, **how):
    return paced(AudioPacer, source, **how)


def is_silent(packet):
    return not np.any(packet.samples)


def test_frames_leave_in_real_time_with_all_their_samples():
    sent = tone(48_000, 440)
    heard = play(sending(audio_packets(sent, 960, start_us=5_000_000)))
    assert [time for time, _ in heard] == pytest.approx([0.02 * number for number in range(50)])
    np.testing.assert_array_equal(np.concatenate([packet.samples for _, packet in heard]), sent)
    assert [packet.meta.timestamp_us for _, packet in heard] == [5_000_000 + 20_000 * n for n in range(50)]


def test_a_gap_is_filled_with_silence_and_what_comes_late_is_played_later():
    packets = audio_packets(tone(9_600, 440) + 0.1, 960)
    heard = play(sending(packets, pause_after=4, pause_s=1.005))
    silent = [is_silent(packet) for _, packet in heard]
    assert silent == [False] * 4 + [True] * 47 + [False] * 6
    assert [time for time, _ in heard] == pytest.approx([0.02 * number for number in range(57)])
    ends = [packet.meta.timestamp_us + packet.meta.duration_us for _, packet in heard]
    assert [packet.meta.timestamp_us for _, packet in heard[1:]] == ends[:-1]


def test_silence_can_play_before_the_first_packet():
    packets = [Audio(np.ones((441, 2), np.float32), 44_100, PacketMeta(7))]
    heard = play(sending(packets, pause_after=0, pause_s=0.099), initial_sample_rate=44_100, initial_channels=2)
    assert [is_silent(packet) for _, packet in heard] == [True] * 5 + [False]
    assert {(packet.sample_rate_hz, packet.channels) for _, packet in heard} == {(44_100, 2)}
    assert heard[-1][1].meta.timestamp_us == 100_000


def test_no_more_than_a_frame_of_silence_stands_before_what_comes():
    packets = audio_packets(tone(96_000, 440), 48_000)
    heard = play(sending(packets, pause_after=1, pause_s=1.01))
    assert [packet.frames for _, packet in heard] == [48_000, 960, 48_000]


def test_another_rate_goes_on_where_the_last_one_ended():
    packets = [*audio_packets(tone(480, 440), 480, 48_000), *audio_packets(tone(441, 440), 441, 44_100)]
    metas = [packet.meta for _, packet in play(sending(packets), generate_silence=False)]
    assert [(meta.timestamp_us, meta.duration_us) for meta in metas] == [(0, 10_000), (10_000, 10_000)]


def test_timestamps_do_not_drift_by_frames_that_are_no_whole_microseconds():
    frame = Audio(np.zeros((4096, 1), np.float32), 44_100)
    heard = play(sending([frame] * 1000))
    assert heard[-1][1].meta.timestamp_us == 999 * 4096 * 1_000_000 // 44_100


@pytest.mark.parametrize(
    "params", [{"initial_sample_rate": 48_000}, {"initial_channels": 1}, {"generate_silence": "yes"}]
)
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        AudioPacerConfig.model_validate(params)


def test_another_speed_holds_for_sound_and_silence_and_no_sample_is_lost():
    packets = audio_packets(tone(4 * 960, 440))
    heard = play(sending(packets, pause_after=2, pause_s=0.1), tunes=[(0.01, 0.5), (0.09, 2.0)])
    times = [time for time, _ in heard]
    #      the first, the second when 10 ms took 20, silence when 30 ms at half speed and 5 ms at double speed are over
    assert times[:3] == pytest.approx([0, 0.03, 0.07])
    assert [b - a for a, b in pairwise(times[3:])] == pytest.approx([0.01] * (len(times) - 4))
    loud = np.concatenate([packet.samples for _, packet in heard if not is_silent(packet)])
    np.testing.assert_array_equal(loud, tone(4 * 960, 440))
