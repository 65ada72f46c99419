"""Probing: what ffmpeg and we made is described as it is, and what cannot be read is an error of ours."""

import io

import pytest

from penstock.errors import BadData, ConfigurationError
from penstock.media.probe import probe
from penstock.packets import replace
from support.media import click_track, encode, ffmpeg, joined, ogg_of, through, tone


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [48_000, 48_123])
def test_the_samples_of_a_recording_are_counted(tmp_path, channels, frames):
    path = tmp_path / "a.ogg"
    path.write_bytes(ogg_of(click_track(frames, [], channels)))
    info = probe(path, decode=True)
    assert (info.format_name, info.size) == ("ogg", path.stat().st_size)
    assert info.duration_s == pytest.approx(frames / 48_000 + 0.0065, abs=0.001)
    (stream,) = info.streams
    assert stream is info.audio
    assert (stream.codec_type, stream.codec_name, stream.sample_rate) == ("audio", "opus", 48_000)
    assert (stream.channels, stream.channel_layout) == (channels, "stereo" if channels == 2 else "mono")
    assert (stream.samples, stream.errors) == (frames, 0)
    assert stream.frames == -(-(frames + 312) // 960)


def test_without_decoding_nothing_is_counted():
    stream = probe(io.BytesIO(ogg_of(tone(9_600, 440)))).audio
    assert (stream.frames, stream.samples) == (0, 0)


def test_an_open_file_is_read_and_left_open():
    file = io.BytesIO(ogg_of(tone(9_600, 440)))
    assert probe(file, decode=True).audio.samples == 9_600
    assert not file.closed


def test_a_plain_mp4_is_exactly_as_long_as_its_audio():
    data = joined(through("containers::mp4::muxer", encode(tone(50_001, 440)), mode="file").packets)
    info = probe(io.BytesIO(data))
    assert "mp4" in info.format_name.split(",")
    assert info.audio.duration_s == pytest.approx(50_001 / 48_000, abs=1e-6)


def test_what_ffmpeg_makes_is_described(tmp_path):
    path = tmp_path / "a.mp3"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1:sample_rate=44100", "-b:a", "64k", "-metadata", "title=Probe", path)
    info = probe(str(path), decode=True)
    assert ("title", "Probe") in info.tags
    assert (info.audio.codec_name, info.audio.sample_rate) == ("mp3", 44_100)
    assert info.audio.bit_rate == pytest.approx(64_000, rel=0.1)
    assert info.audio.samples == pytest.approx(44_100, abs=2_400)


def test_packets_that_cannot_be_decoded_are_counted():
    packets = encode(tone(48_000, 440))
    for at in (20, 30):  # a frame whose padding is not there
        packets[at] = replace(packets[at], data=bytes([packets[at].data[0] | 3, 0x41]))
    stream = probe(io.BytesIO(joined(through("containers::ogg::muxer", packets).packets)), decode=True).audio
    assert stream.errors == 2
    assert stream.frames == len(packets) - 2


@pytest.mark.parametrize("data", [b"", b"not media " * 100, bytes(1_000), b"OggS"])
def test_what_is_no_media_file_is_an_error(data, tmp_path):
    with pytest.raises(BadData, match="the data is not a media file that can be read"):
        probe(io.BytesIO(data))
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(BadData, match=f"{path} is not a media file that can be read"):
        probe(path, decode=True)


def test_a_path_that_leads_nowhere_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"missing\.ogg cannot be read: No such file"):
        probe(tmp_path / "missing.ogg")
    with pytest.raises(ConfigurationError, match="directory"):
        probe(tmp_path)


def test_an_open_file_that_is_a_list_of_files_opens_none_of_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.ogg").write_bytes(ogg_of(tone(4_800, 440)))
    with pytest.raises(BadData, match="the data"):
        probe(io.BytesIO(b"ffconcat version 1.0\nfile secret.ogg\n"))
