"""Opus encoded on several cores: the same stream, to the sample and to the ear, whatever the number of threads."""

import threading

import numpy as np
import pytest

from penstock.errors import BadData
from penstock.media.opus_stretches import STRETCH_S, StretchEncoder
from penstock.nodes.audio.opus_encoder import OpusEncoder, OpusEncoderConfig
from penstock.packets import Audio, PacketMeta
from penstock.testing.harness import FakeContext
from support.media import audio_packets, click_track, decode, encode, shift_of, through

SEAM = STRETCH_S * 48_000
FRAME = SEAM // 200
ZEROS = np.zeros((FRAME, 1), np.float32)


def warbling(frames: int) -> np.ndarray:
    """A chord that swells and slides, over noise: every frame differs from the one before."""
    at = np.arange(frames) / 48_000
    wave = 0.3 * np.sin(2 * np.pi * (220 * at + 9 * np.sin(2 * at))) * (0.6 + 0.4 * np.sin(20 * at))
    noise = 0.02 * np.random.default_rng(7).standard_normal(frames)
    return (wave + 0.1 * np.sin(2 * np.pi * 1_333 * at) + noise).astype(np.float32)[:, None]


def test_clicks_on_and_around_a_seam_keep_their_place_and_the_length_is_exact():
    clicks = [2_000, SEAM - 700, SEAM + 500, 2 * SEAM - 312]
    sent = click_track(2 * SEAM + 12_345, clicks, 1)
    packets = encode(sent, 4_800, bitrate=96_000, complexity=1, threads=2)
    out = decode(packets)
    assert out.shape == sent.shape
    assert [shift_of(out, sent, click) for click in clicks] == [0] * len(clicks)
    assert [packet.meta.sequence for packet in packets] == list(range(len(packets)))


def test_the_packets_do_not_depend_on_the_number_of_threads():
    sent = warbling(2 * SEAM + 30_000)
    two, five = (encode(sent, complexity=0, threads=threads) for threads in (2, 5))
    assert [packet.data for packet in two] == [packet.data for packet in five]


def test_a_seam_is_as_near_to_what_was_sent_as_one_encoder_comes():
    sent = warbling(2 * SEAM)

    def noise_db(threads: int) -> list[float]:
        out = decode(encode(sent, complexity=5, threads=threads))
        places = [slice(SEAM + at, SEAM + at + 960) for at in range(-1_920, 4_800, 960)]
        return [10 * np.log10(np.mean((out[at] - sent[at]) ** 2) / np.mean(sent[at] ** 2)) for at in places]

    alone, side_by_side = noise_db(1), noise_db(2)
    assert max(np.subtract(side_by_side, alone)) < 3
    assert abs(np.mean(side_by_side) - np.mean(alone)) < 1


def test_a_stream_shorter_than_a_stretch_is_that_of_one_encoder():
    sent = warbling(20_000)
    assert [packet.data for packet in encode(sent, threads=2)] == [packet.data for packet in encode(sent)]


def test_packets_have_the_times_at_which_their_sound_came_in():
    first, second = audio_packets(warbling(SEAM + 960)), audio_packets(warbling(96_000), start_us=60_000_000)
    late = through("audio::opus::encoder", [*first, *second], threads=2, complexity=0).packets
    at_once = through("audio::opus::encoder", [*first, *second], complexity=0).packets
    assert [packet.meta for packet in late] == [packet.meta for packet in at_once]


def test_a_change_of_channels_ends_the_stream_and_gives_all_of_it():
    stereo = np.repeat(warbling(50_000), 2, axis=1)
    packets = through(
        "audio::opus::encoder", [*audio_packets(warbling(SEAM + 50_000)), *audio_packets(stereo)], threads=2
    ).packets
    codecs = list(dict.fromkeys(packet.codec for packet in packets))
    assert [codec.channels for codec in codecs] == [1, 2]
    assert len(decode([packet for packet in packets if packet.codec is codecs[0]])) == SEAM + 50_000


def test_what_is_tuned_holds_for_all_of_the_stretch_that_is_coming_in_and_nothing_is_lost():
    node = OpusEncoder(OpusEncoderConfig(threads=2, complexity=0, bitrate=96_000))
    node.prepare(FakeContext())
    packets, parts = [], audio_packets(warbling(2 * SEAM + 5_000), 48_000)
    for number, part in enumerate(parts):
        if number == 12:  # in the middle of the second stretch
            node.tune(OpusEncoderConfig(threads=2, complexity=0, bitrate=16_000))
        packets += node.process(part)
    packets += node.finish()
    sizes = [packet.size for packet in packets]
    assert len(decode(packets)) == 2 * SEAM + 5_000
    assert sum(sizes[500:1_000]) < sum(sizes[:500]) / 2
    node.close()


def test_only_with_threads_the_node_leaves_the_event_loop():
    assert [OpusEncoder(OpusEncoderConfig(threads=threads)).offload for threads in (1, 2)] == [False, True]


@pytest.mark.parametrize(("first", "last"), [(2_880, 120), (120, 2_880)])
def test_the_run_up_is_half_a_second_however_frames_were_tuned_just_before(first, last):
    heard: list[list[int]] = []

    class Noted:
        def __init__(self) -> None:
            heard.append([])

        def encode(self, pcm: int, samples: int) -> bytes:
            heard[-1].append(samples)
            return b"packet"

    encoder, longest = StretchEncoder(Noted, 1, threads=2), np.zeros((2_880, 1), np.float32)
    taken = 0
    while taken < SEAM:
        size = first if taken < SEAM - 5_760 else last
        encoder.encode(longest.ctypes.data, size)
        taken += size
    encoder.encode(longest.ctypes.data, last)
    encoder.finish()
    encoder.close()
    assert sum(heard[0]) == taken
    assert 24_000 <= sum(heard[1][:-1]) < 24_000 + 2_880


class Scripted:
    """An encoder that waits for a turn before the first frame after its run-up, and fails where it is told to."""

    def __init__(self, turns: threading.Semaphore, broken: bool = False) -> None:
        self.turns, self.broken = turns, broken
        self.waits = True

    def encode(self, pcm: int, samples: int) -> bytes:
        if self.waits:
            self.waits = False
            assert self.turns.acquire(timeout=5)
        if self.broken:
            raise BadData("libopus: corrupted stream")
        return b"packet"


def feed(encoder: StretchEncoder, stretches: int) -> list[bytes]:
    return [packet for _ in range(200 * stretches) for packet in encoder.encode(ZEROS.ctypes.data, FRAME)]


def test_with_one_stretch_more_than_threads_under_way_the_caller_does_one_itself():
    turns, by = threading.Semaphore(0), []

    class Noted(Scripted):
        def encode(self, pcm: int, samples: int) -> bytes:
            by.append(threading.current_thread())
            return super().encode(pcm, samples)

    encoder = StretchEncoder(lambda: Noted(turns), 1, threads=2)
    assert feed(encoder, 3) == []
    assert threading.main_thread() not in by
    out: list[bytes] = []
    feeder = threading.Thread(target=lambda: out.extend(feed(encoder, 1)))
    feeder.start()
    feeder.join(0.1)
    assert feeder.is_alive()
    assert set(by) == {*by[:1], feeder}
    for _ in range(4):
        turns.release()
    feeder.join(5)
    assert out + encoder.finish() == [b"packet"] * 800
    encoder.close()


def test_what_libopus_refuses_is_raised_where_packets_are_taken():
    encoder = StretchEncoder(lambda: Scripted(threading.Semaphore(99), broken=True), 1, threads=2)
    encoder.encode(ZEROS.ctypes.data, FRAME)
    with pytest.raises(BadData, match="corrupted"):
        encoder.finish()
    encoder.close()


def test_closing_waits_for_what_is_under_way_and_gives_up_the_rest():
    turns, given_up = threading.Semaphore(0), threading.Event()
    encoder = StretchEncoder(lambda: Scripted(turns), 1, threads=2)
    feed(encoder, 1)
    (first,), later = encoder._jobs, encoder._pool.submit(list)
    later.add_done_callback(lambda _: given_up.set())
    closer = threading.Thread(target=encoder.close)
    closer.start()
    assert given_up.wait(5)
    assert closer.is_alive()
    turns.release()
    closer.join(5)
    assert (closer.is_alive(), first.done(), later.cancelled()) == (False, True, True)


def test_closing_in_the_middle_of_a_file_leaves_no_thread_behind():
    node = OpusEncoder(OpusEncoderConfig(threads=3, complexity=0))
    node.prepare(FakeContext())
    before = threading.active_count()
    node.process(Audio(warbling(2 * SEAM + 5), 48_000, PacketMeta()))
    node.close()
    assert threading.active_count() == before
