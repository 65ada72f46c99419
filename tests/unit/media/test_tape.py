"""A tape gives back what was written, in frames, whatever the pieces were."""

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.media.tape import Tape


def at(address: int, samples: int, channels: int) -> np.ndarray:
    raw = ctypes.string_at(address, 4 * samples * channels)
    return np.frombuffer(raw, np.float32).reshape(samples, channels)


@settings(max_examples=200)
@given(
    pieces=st.lists(st.integers(0, 70), max_size=40),
    frame=st.integers(1, 20),
    room=st.integers(20, 60),
    keep=st.sampled_from([0, 1, 13]),
    channels=st.sampled_from([1, 2]),
)
def test_frames_are_what_was_written_and_what_was_read_can_be_looked_back_at(pieces, frame, room, keep, channels):
    sent = np.arange(sum(pieces) * channels, dtype=np.float32).reshape(-1, channels)
    tape, read, written = Tape(channels, room, keep), [np.zeros((keep, channels), np.float32)], 0
    for size in pieces:
        end = written + size
        while written < end:
            taken = tape.write(sent[written:end])
            assert taken > 0
            written += taken
            while tape.held >= frame:
                read.append(at(tape.read(frame), frame, channels))
                assert np.array_equal(
                    at(tape.behind(keep), keep, channels), np.concatenate(read)[-keep or len(sent) :][:keep]
                )
    assert tape.held == len(sent) % frame
    assert np.array_equal(np.concatenate(read)[keep:], sent[: len(sent) - tape.held])


@pytest.mark.parametrize("strange", [np.ones((8, 2))[:, ::-1], np.ones((16, 2), np.float32)[::2]])
def test_samples_of_any_strides_and_type_are_taken(strange):
    tape = Tape(2, 10)
    assert tape.write(strange) == 8
    assert np.array_equal(at(tape.read(8), 8, 2), np.ones((8, 2), np.float32))
