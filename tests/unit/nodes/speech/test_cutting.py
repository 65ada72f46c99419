import numpy as np
import pytest

from penstock.errors import BadData
from penstock.nodes.speech.cutting import FixedCutter, SoundBuffer, SpeechCutter, as_mono
from penstock.nodes.speech.gate import SpeechGate
from penstock.packets import Audio

RATE = 16_000


class Loudness:
    """A voice activity model that needs no file: speech is what is above a tenth."""

    window = 100

    def __init__(self):
        self.rest = np.zeros(0, np.float32)

    def feed(self, samples):
        joined = np.concatenate([self.rest, samples])
        for at in range(0, len(joined) - 99, 100):
            yield bool(np.abs(joined[at : at + 100]).max() > 0.1)
        self.rest = joined[len(joined) // 100 * 100 :]

    def reset(self):
        self.rest = np.zeros(0, np.float32)


def numbered(*parts):
    """Samples that are all different: quiet or loud by turns."""
    levels = np.concatenate([np.full(length, level) for length, level in parts])
    return (levels + np.arange(len(levels)) * 1e-6).astype(np.float32)


def pieces(cutter, samples, sizes):
    found, at = [], 0
    while at < len(samples):
        size = next(sizes)
        found += cutter.feed(samples[at : at + size])
        at += size
    return [*found, *cutter.finish()]


def speech_cutter():
    return SpeechCutter(Loudness(), SpeechGate(window=100, min_speech=300, min_silence=500, max_speech=4000, lead=200))


@pytest.mark.parametrize("size", [1, 99, 100, 101, 320, 5000])
def test_pieces_are_the_sound_of_speech_however_it_is_cut_into_packets(size):
    sound = numbered((1000, 0), (1000, 0.5), (2000, 0), (600, 0.5), (50, 0))
    found = pieces(speech_cutter(), sound, iter(lambda: size, None))
    assert [(piece.start, len(piece.samples)) for piece in found] == [(800, 1400), (3800, 850)]
    for piece in found:
        assert np.array_equal(piece.samples, sound[piece.start : piece.start + len(piece.samples)])


def test_in_silence_and_in_endless_speech_little_is_kept():
    for level, limit in ((0.0, 400), (0.5, 4400)):
        cutter = speech_cutter()
        for _ in range(1000):
            list(cutter.feed(np.full(100, level, np.float32)))
            assert sum(len(chunk) for _, chunk in cutter._buffer._chunks) <= limit


@pytest.mark.parametrize("size", [160, 16_000, 200_000])
def test_a_fixed_cut_gives_all_the_sound_in_pieces_cut_where_it_is_quiet(size):
    rng = np.random.default_rng(1)
    sound = rng.standard_normal(10 * RATE).astype(np.float32)
    sound[int(2.7 * RATE) : int(2.8 * RATE)] = 0
    found = pieces(FixedCutter(3 * RATE), sound, iter(lambda: size, None))
    assert np.array_equal(np.concatenate([piece.samples for piece in found]), sound)
    assert [piece.start for piece in found] == [0, *np.cumsum([len(piece.samples) for piece in found])[:-1]]
    assert 2.7 * RATE <= len(found[0].samples) <= 2.8 * RATE
    assert all(0.8 * 3 * RATE <= len(piece.samples) <= 3 * RATE for piece in found[:-1])


@pytest.mark.parametrize(("length", "count"), [(0, 0), (1, 1), (RATE - 1, 1), (RATE, 2), (RATE + 1, 2)])
def test_a_piece_ends_at_the_limit_and_not_before(length, count):
    found = pieces(FixedCutter(RATE), numbered((length, 0.1)), iter(lambda: 1000, None))
    assert len(found) == count
    assert sum(len(piece.samples) for piece in found) == length


def test_a_buffer_gives_samples_by_their_numbers():
    buffer = SoundBuffer()
    for part in np.array_split(np.arange(100, dtype=np.float32), 7):
        buffer.append(part)
    buffer.forget(40)
    assert buffer.take(40, 61).tolist() == list(range(40, 61))
    assert buffer.take(50, 50).size == 0
    assert buffer.end == 100


def test_channels_are_averaged_and_another_rate_is_refused_with_the_way_out():
    stereo = Audio(np.array([[0, 1], [0.5, 0.5]], np.float32), RATE)
    assert as_mono(stereo).tolist() == [0.5, 0.5]
    with pytest.raises(BadData, match="target_sample_rate: 16000"):
        as_mono(Audio(np.zeros((10, 1), np.float32), 48_000))
