"""Packets that are lost near the end of a stretch take no time away, and give none twice, wherever the cut falls."""

import numpy as np
import pytest

from penstock.packets import Codec, EncodedAudio, PacketMeta, replace
from support.containers import file_of
from support.media import click_track, encode, in_pieces, sound_of, stretches, through

KIND = "containers::muxer"
COUNT, SAMPLES, LOST = 30, 960, 2
POSITIONS = range(8, 15)  # of the first that is lost: a stretch begins with the tenth packet that comes


def pcm():
    codec = Codec("pcm_s16le", 48_000, 1)
    data = np.full(SAMPLES, 8_192, "<i2").tobytes()
    return [EncodedAudio(data, codec, PacketMeta(20_000 * n, 20_000)) for n in range(COUNT)]


def opus():
    return encode(click_track(COUNT * SAMPLES - 312, []), complexity=0)


def aac():
    packets = through("containers::demuxer", in_pieces(file_of("first.m4a"), 1_000)).packets
    return [packet for packet in packets if not packet.trim_end][:COUNT]


def losing(packets, first, how):
    rest = [*packets[:first], *packets[first + LOST :]]
    if how == "by its time":
        return rest
    bare = [replace(packet, meta=PacketMeta(None, packet.meta.duration_us)) for packet in rest]
    bare[first] = replace(bare[first], lost_before=LOST)
    return bare


def sounds(packets, container):
    """What each stretch sounds like."""
    parts = stretches(through(KIND, packets, format=container, segment_seconds=0.2).packets)
    return [sound_of(part) for part in parts]


@pytest.mark.parametrize("how", ["by its time", "by its count"])
@pytest.mark.parametrize("first", POSITIONS)
def test_a_wav_has_silence_for_them(first, how):
    result = through(KIND, losing(pcm(), first, how), format="wav", segment_seconds=0.2)
    together = np.concatenate([sound_of(part) for part in stretches(result.packets)])
    silent = np.zeros(COUNT * SAMPLES, bool)
    silent[first * SAMPLES : (first + LOST) * SAMPLES] = True
    np.testing.assert_array_equal(together[:, 0] == 0, silent)
    ends = [packet.meta.timestamp_us + packet.meta.duration_us for packet in result.packets]
    assert [packet.meta.timestamp_us for packet in result.packets[1:]] == ends[:-1]
    assert result.context.warnings == []


@pytest.mark.parametrize("how", ["by its time", "by its count"])
@pytest.mark.parametrize("container", ["ogg", "webm", "mp4"])
@pytest.mark.parametrize("first", POSITIONS)
def test_opus_is_concealed_for_as_long(container, first, how):
    packets = losing(opus(), first, how)
    assert sum(len(sound) for sound in sounds(packets, container)) == COUNT * SAMPLES - 312


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize("first", POSITIONS)
def test_the_clock_goes_on_for_them(container, first):
    packets = aac()
    whole = sum(len(sound) for sound in sounds(packets, container))
    lossy = sum(len(sound) for sound in sounds(losing(packets, first, "by its time"), container))
    assert lossy == whole


@pytest.mark.parametrize("first", range(1, 5))
def test_a_format_without_a_clock_says_that_it_has_none(first):
    sent = through("audio::decoder", pcm()).packets
    packets = losing(through("audio::encoder", sent, codec="flac").packets, first, "by its time")
    (warning,) = through(KIND, packets, format="flac", segment_seconds=0.2).context.warnings
    assert f"{LOST * 4_608} samples are missing after {first * 4_608}" in warning
