"""WAV headers of every kind, and sizes that nobody knew."""

import struct
import wave

import numpy as np
import pytest

from penstock.errors import BadData
from penstock.media.pcm import from_float, to_float
from penstock.media.wav import MAX_CHANNELS, PCM_BYTES, UNKNOWN_SIZE, WavFormat, WavReader, stream_header
from support.media import ffmpeg, tone

PLAIN = WavFormat("pcm_s16le", 48_000, 2)


def read(data, size=1 << 20):
    reader = WavReader()
    frames = b"".join(reader.feed(data[at : at + size]) for at in range(0, len(data), size))
    reader.finish()
    return reader.format, frames


@pytest.mark.parametrize("codec", PCM_BYTES)
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_a_header_is_read_as_it_was_written_and_ffmpeg_agrees(codec, channels, tmp_path):
    wav = WavFormat(codec, 44_100, channels)
    samples = tone(1_001, 440, 44_100, channels)
    data = stream_header(wav) + from_float(samples, codec)
    form, frames = read(data)
    assert form == wav
    np.testing.assert_allclose(to_float(frames, codec, channels), samples, atol=1 / 120)
    (tmp_path / "a.wav").write_bytes(data)
    theirs = ffmpeg("-v", "error", "-i", tmp_path / "a.wav", "-f", "f32le", "-")
    assert theirs.stderr == b""
    np.testing.assert_allclose(
        np.frombuffer(theirs.stdout, np.float32).reshape(-1, channels), to_float(frames, codec, channels), atol=1e-7
    )


def test_a_known_size_is_what_the_standard_library_reads(tmp_path):
    data = stream_header(PLAIN, 400) + bytes(400)
    (tmp_path / "a.wav").write_bytes(data)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnframes(), file.getnchannels(), file.getframerate()) == (100, 2, 48_000)


@pytest.mark.parametrize("size", [0, UNKNOWN_SIZE])
@pytest.mark.parametrize("pieces", [1, 13, 1 << 20])
def test_an_unknown_size_lasts_until_the_input_ends(size, pieces):
    data = stream_header(PLAIN)[:-4] + struct.pack("<I", size) + bytes(range(200)) * 2
    assert read(data, pieces)[1] == bytes(range(200)) * 2


@pytest.mark.parametrize("pieces", [1, 13, 1 << 20])
def test_other_chunks_are_passed_over_before_and_after_the_data(pieces):
    head = stream_header(PLAIN, 8)
    odd = b"LIST" + struct.pack("<I", 5) + b"hello\0"
    data = head[:12] + odd + head[12:-8] + odd + head[-8:] + b"samples!" + odd
    assert read(data, pieces)[1] == b"samples!"


def test_rf64_tells_the_true_size():
    head = stream_header(PLAIN)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 0, 8, 2, 0)
    assert read(b"RF64" + head[4:12] + ds64 + head[12:] + b"samples!" + b"LIST\0\0\0\0")[1] == b"samples!"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"RIFFxxxxWAVX" + bytes(40), "does not start like a WAV file at byte 0"),
        (stream_header(PLAIN)[:12] + b"data" + bytes(8), "data at byte 12 come before the fmt chunk"),
        (stream_header(PLAIN)[:20], "cut off at byte 20: the WAV header is incomplete"),
        (stream_header(PLAIN, 12) + bytes(8), "cut off at byte 52: 4 bytes of the data are missing"),
        (stream_header(PLAIN) + bytes(7), "cut off at byte 51: the last sample is incomplete"),
        (stream_header(PLAIN)[:16] + b"\xff\xff\xff\x7f" + bytes(40), "chunk 'fmt ' at byte 12 claims 2147483647"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(data, message):
    with pytest.raises(BadData, match=message):
        read(data)


def fmt(tag=1, channels=2, rate=48_000, align=4, bits=16):
    head = stream_header(PLAIN)
    return head[:20] + struct.pack("<HHIIHH", tag, channels, rate, 0, align, bits) + head[36:]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (fmt(channels=0), "declares 0 channels"),
        (fmt(channels=MAX_CHANNELS + 1, align=2 * MAX_CHANNELS + 2), "declares 65 channels"),
        (fmt(rate=0), "declares 0 Hz"),
        (fmt(rate=1 << 31), "declares 2147483648 Hz"),
        (fmt(tag=0x55), "coded as format 0x0055"),
        (fmt(align=0), "in 0 bytes for 2 channels"),
        (fmt(align=5), "in 5 bytes for 2 channels"),
    ],
)
def test_absurd_headers_are_refused(header, message):
    with pytest.raises(BadData, match=rf"{message}.*\(fmt chunk at byte 12"):
        read(header + bytes(8))


def test_the_limits_of_channels_and_rate_are_taken():
    for header in (fmt(channels=MAX_CHANNELS, align=2 * MAX_CHANNELS), fmt(rate=1), fmt(rate=768_000)):
        read(header + bytes(2 * MAX_CHANNELS))


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "pcm_s32le"])
def test_integers_survive_and_what_is_too_loud_is_clipped(codec):
    data = bytes(np.random.default_rng(3).integers(0, 256, PCM_BYTES[codec] * 1_000, np.uint8))
    back = from_float(to_float(data, codec, 2), codec)
    if codec != "pcm_s32le":  # which has more bits than a float32
        assert back == data
    loud = to_float(from_float(np.array([[2.0], [-2.0]], np.float32), codec), codec, 1)
    assert loud[1, 0] == -1
    assert 0.999 < loud[0, 0] <= 1
