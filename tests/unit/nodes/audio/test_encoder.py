"""The encoders: right to the sample through the codec, through containers, and for ffmpeg."""

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.errors import BadData
from penstock.media.wav import PCM_BYTES
from penstock.nodes.audio.encoder import Encoder, EncoderConfig
from support.media import audio_packets, click_track, ffmpeg, heard, joined, shift_of, through, tone

KIND = "audio::encoder"
CLICKS = [5_000, 30_001, 60_000]
LOSSY = [("aac", 44_100), ("aac", 48_000), ("aac", 16_000), ("mp3", 44_100), ("mp3", 48_000), ("mp3", 16_000)]
CONTAINERS = {"aac": ("mp4", "matroska"), "mp3": ("matroska",), "flac": ("flac", "mp4", "matroska")}


def encoded(samples, rate=44_100, size=999, **params):
    return through(KIND, audio_packets(samples, size, rate), **params).packets


def decoded(packets):
    return through("audio::decoder", packets).packets


@pytest.mark.parametrize("frames", [1, 1_023, 1_024, 1_025, 1_152, 70_003])
@pytest.mark.parametrize(
    "params", [{"codec": "aac"}, {"codec": "mp3"}, {"codec": "flac"}, {"codec": "flac", "sample_format": "s24"}]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_as_many_samples_come_out_as_went_in(frames, params, channels):
    audio = decoded(encoded(tone(frames, 440, 44_100, channels), **params))
    assert heard(audio).shape == (frames, channels)
    assert audio[0].meta.timestamp_us == 0


@pytest.mark.parametrize(("codec", "rate"), LOSSY)
def test_packets_follow_each_other_whatever_the_length(codec, rate):
    for frames in range(5_000, 6_152, 47):
        packets = encoded(tone(frames, 440, rate), rate, codec=codec)
        ends = [packet.meta.timestamp_us + packet.meta.duration_us for packet in packets]
        assert [packet.meta.timestamp_us for packet in packets[1:]] == ends[:-1]
        assert [packet.trim_end for packet in packets[:-1]] == [0] * (len(packets) - 1)


@pytest.mark.parametrize(("codec", "rate"), LOSSY)
def test_every_click_is_where_it_was(codec, rate):
    sent = click_track(70_003, CLICKS)
    packets = encoded(sent, rate, codec=codec)
    assert [shift_of(heard(decoded(packets)), sent, click, 1_300) for click in CLICKS] == [0, 0, 0]
    assert packets[0].meta.timestamp_us == -packets[0].codec.delay * 1_000_000 // rate < 0


@pytest.mark.parametrize("codec", CONTAINERS)
def test_containers_keep_the_length_for_ffmpeg_too(codec, tmp_path):
    sent = click_track(70_003, CLICKS)
    for container in CONTAINERS[codec]:
        mode = "file" if container == "mp4" else "stream"
        path = tmp_path / f"a.{container}"
        packets = encoded(sent, codec=codec)
        path.write_bytes(joined(through("containers::muxer", packets, format=container, mode=mode).packets))
        out = ffmpeg("-v", "error", "-i", path, "-f", "f32le", "-")
        out = np.frombuffer(out.stdout, np.float32).reshape(-1, 2)
        assert 0 <= len(out) - len(sent) < 1_024
        assert [shift_of(out, sent, click, 1_300) for click in CLICKS] == [0, 0, 0]


@pytest.mark.parametrize(
    ("params", "step"),
    [
        ({"codec": "flac"}, 1 / (1 << 15)),
        ({"codec": "flac", "sample_format": "s24"}, 1 / (1 << 23)),
        ({"codec": "pcm"}, 1 / (1 << 15)),
        ({"codec": "pcm", "sample_format": "s24"}, 1 / (1 << 23)),
        ({"codec": "pcm", "sample_format": "s32"}, 1 / (1 << 23)),
        ({"codec": "pcm", "sample_format": "f32"}, 0),
    ],
)
def test_lossless_codecs_are_off_by_half_a_step_at_most(params, step):
    sent = click_track(20_001, [5_000])
    packets = encoded(sent, **params)
    assert np.abs(heard(decoded(packets)) - sent).max() <= step / 2
    if params["codec"] == "pcm":
        assert packets[0].codec.name in PCM_BYTES


@pytest.mark.parametrize("params", [{"codec": "aac"}, {"codec": "mp3"}, {"codec": "flac"}, {"codec": "pcm"}])
def test_times_follow_the_input_and_the_size_of_its_packets_changes_nothing(params):
    sent = tone(44_100, 440, 44_100, 2)
    usual = encoded(sent, **params)
    for size in (1, 4_410, 44_100):
        again = encoded(sent[:5_000] if size == 1 else sent, size=size, **params)
        if size > 1:
            assert [(p.data, p.meta, p.trim_end) for p in again] == [(p.data, p.meta, p.trim_end) for p in usual]
    late = through(KIND, audio_packets(sent, 999, 44_100, start_us=5_000_000), **params).packets
    assert decoded(late)[0].meta.timestamp_us == pytest.approx(5_000_000, abs=1)


def test_a_change_of_the_input_begins_a_new_stream():
    parts = [*audio_packets(tone(10_000, 440, 44_100, 2), 999, 44_100), *audio_packets(tone(9_000, 440), 960)]
    packets = through(KIND, parts, codec="aac").packets
    codecs = list(dict.fromkeys(packet.codec for packet in packets))
    assert [(codec.sample_rate_hz, codec.channels) for codec in codecs] == [(44_100, 2), (48_000, 1)]
    audio = decoded(packets)
    assert sum(one.frames for one in audio if one.channels == 2) == 10_000
    assert sum(one.frames for one in audio if one.channels == 1) == 9_000


def test_opus_goes_the_way_of_its_own_encoder():
    sent = tone(9_600, 440, channels=2)
    ours = encoded(sent, 48_000, codec="opus", bitrate=96_000)
    theirs = through("audio::opus::encoder", audio_packets(sent), bitrate=96_000).packets
    assert [packet.data for packet in ours] == [packet.data for packet in theirs]


@pytest.mark.parametrize("codec", ["aac", "mp3"])
def test_the_bit_rate_is_kept(codec):
    for bitrate in (64_000, 192_000):
        packets = encoded(click_track(44_100 * 3, []), codec=codec, bitrate=bitrate)
        assert sum(packet.size for packet in packets) * 8 / 3 == pytest.approx(bitrate, rel=0.1)


def test_what_a_codec_does_not_take_is_refused_with_the_way_out():
    with pytest.raises(BadData, match=r"mp3 encoder does not take 96000 Hz.*put an audio::resampler"):
        encoded(tone(9_600, 440, 96_000), 96_000, codec="mp3")
    with pytest.raises(BadData, match="takes mono or stereo and was given 3 channels"):
        encoded(tone(9_600, 440, channels=3), codec="aac")
    assert heard(decoded(encoded(tone(9_600, 440, channels=3), codec="pcm"))).shape == (9_600, 3)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"codec": "vorbis"},
        {"codec": "flac", "bitrate": 64_000},
        {"codec": "flac", "sample_format": "f32"},
        {"codec": "aac", "sample_format": "s16"},
        {"codec": "aac", "bitrate": 5_999},
    ],
)
def test_parameters_that_do_not_fit_the_codec_are_refused(params):
    with pytest.raises(ValidationError):
        EncoderConfig.model_validate(params)


def test_heavy_codecs_work_in_a_thread():
    heavy = {codec: Encoder(EncoderConfig(codec=codec)).offload for codec in ("opus", "aac", "mp3", "flac", "pcm")}
    assert heavy == {"opus": False, "aac": True, "mp3": True, "flac": False, "pcm": False}


def test_nothing_in_is_nothing_out():
    for codec in ("aac", "flac", "pcm", "opus"):
        assert through(KIND, [], codec=codec).packets == []
