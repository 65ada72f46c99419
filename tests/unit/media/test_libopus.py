"""libopus by itself: what it is asked for is what it does, and what it refuses is said."""

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from penstock.errors import BadData, MissingDependency
from penstock.media import libopus
from penstock.media.opus import packet_samples
from support.media import tone

STATM = Path("/proc/self/statm")


def encoder(**changed: object) -> libopus.OpusEncoder:
    options = {"bitrate": 64_000, "complexity": 5, "vbr": "constrained", **changed}
    return libopus.OpusEncoder(2, "audio", **options)


def encode(by: libopus.OpusEncoder, pcm: np.ndarray) -> bytes:
    return by.encode(pcm.ctypes.data, len(pcm))


@pytest.mark.parametrize("samples", [120, 240, 480, 960, 1920, 2880])
def test_every_frame_length_of_opus_comes_back_as_long(samples):
    packet = encode(encoder(), tone(samples, 440, channels=2))
    assert packet_samples(packet) == samples
    assert libopus.OpusDecoder(2).decode(packet, samples).shape == (samples, 2)


@pytest.mark.parametrize("samples", [0, 119, 121, 961, 5761])
def test_another_frame_length_is_refused(samples):
    with pytest.raises(BadData, match="libopus: invalid argument"):
        encode(encoder(), np.zeros((samples, 2), np.float32))


def test_a_packet_that_is_none_is_refused():
    with pytest.raises(BadData, match="libopus: "):
        libopus.OpusDecoder(2).decode(b"\xff\xff\xff\xff", 960)


def test_constant_bit_rate_gives_packets_of_one_size_and_the_rate_asked_for():
    made = encoder(bitrate=96_000, vbr="off")
    sizes = {len(encode(made, tone(960, hertz, channels=2))) for hertz in (100, 440, 5_000)}
    assert sizes == {96_000 // 8 // 50}


def test_the_gain_of_the_stream_amplifies():
    packets = [encode(encoder(), tone(960, 440, channels=2, level=0.1)) for _ in range(3)]
    plain, louder = libopus.OpusDecoder(2), libopus.OpusDecoder(2, gain=6 * 256)
    levels = [np.abs(np.concatenate([d.decode(p, 960) for p in packets])).max() for d in (plain, louder)]
    assert levels[1] / levels[0] == pytest.approx(10 ** (6 / 20), rel=0.02)


def test_what_was_decoded_stays_as_it_was_when_more_is_decoded():
    decoder, packet = libopus.OpusDecoder(2), encode(encoder(), tone(960, 440, channels=2))
    kept = [decoder.decode(packet, 960) for _ in range(30)]
    other = libopus.OpusDecoder(2)
    copies = [other.decode(packet, 960).copy() for _ in range(30)]
    assert all(np.array_equal(one, copy) for one, copy in zip(kept, copies, strict=True))
    assert decoder.decode(packet, 5_760).shape == (960, 2)


def test_the_look_ahead_is_that_of_the_application():
    assert libopus.OpusEncoder(1, "audio", bitrate=32_000, complexity=5, vbr="on").lookahead == 312
    assert libopus.OpusEncoder(1, "lowdelay", bitrate=32_000, complexity=5, vbr="on").lookahead == 120


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from Linux's /proc")
def test_a_thousand_encoders_leave_no_memory_behind():
    def resident() -> int:
        gc.collect()
        return int(STATM.read_text().split()[1])

    for _ in range(200):
        encode(encoder(), tone(960, 440, channels=2))
    before = resident()
    for _ in range(1_000):
        encode(encoder(), tone(960, 440, channels=2))
    assert (resident() - before) * 4096 < 8 << 20


def test_a_library_that_is_named_and_cannot_be_loaded_is_an_error(monkeypatch):
    monkeypatch.setenv(libopus.LIBRARY_VARIABLE, "/nowhere/libopus.so")
    libopus._library.cache_clear()
    with pytest.raises(MissingDependency, match=r"PENSTOCK_LIBOPUS names /nowhere/libopus\.so"):
        libopus.library_version()
    libopus._library.cache_clear()


def test_the_wheel_s_own_library_serves_where_the_system_has_none():
    code = """
import ctypes, penstock.media.libopus as libopus
load = ctypes.CDLL
def refuse(name, *more):
    if name in ("libopus.so.0", "libopus.0.dylib"):
        raise OSError("not here")
    return load(name, *more)
ctypes.CDLL = refuse
print(libopus.library_version())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("libopus 1.")
