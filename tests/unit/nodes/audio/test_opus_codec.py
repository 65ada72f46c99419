"""Opus encoder and decoder: as many samples out as in, each in its place, whatever the packets look like."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.errors import BadData, ConfigurationError
from penstock.media.opus import OpusHead, frame_samples, packet_samples
from penstock.nodes.audio.opus_encoder import OpusEncoder, OpusEncoderConfig
from penstock.packets import Audio, Codec, EncodedAudio, PacketMeta
from penstock.testing import FakeContext
from support.media import (
    audio_packets,
    click_track,
    decode,
    encode,
    ffmpeg_decode,
    heard,
    joined,
    shift_of,
    through,
    tone,
)

ENCODER, DECODER = "audio::opus::encoder", "audio::opus::decoder"
CLICKS = [2_000, 30_001, 95_000]


def level(samples) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", [441, 960, 5_000, 200_000])
def test_clicks_keep_their_place_and_the_length_is_exact(channels, size):
    sent = click_track(96_123, CLICKS, channels)
    out = decode(encode(sent, size, bitrate=128_000))
    assert out.shape == sent.shape
    assert [shift_of(out, sent, click) for click in CLICKS] == [0, 0, 0]


@settings(max_examples=40)
@given(
    frames=st.one_of(st.integers(1, 3_000), st.sampled_from([647, 648, 649, 959, 960, 961, 1_608, 1_920])),
    size=st.integers(1, 2_000),
    duration=st.sampled_from([2.5, 5, 10, 20, 40, 60]),
    application=st.sampled_from(["audio", "voip", "lowdelay"]),
)
def test_as_many_samples_come_out_as_went_in(frames, size, duration, application):
    packets = encode(tone(frames, 440), size, frame_duration_ms=duration, application=application, complexity=0)
    assert len(decode(packets)) == frames
    assert [packet.trim_end for packet in packets[:-1]] == [0] * (len(packets) - 1)
    assert packets[-1].trim_end < packet_samples(packets[-1].data)
    assert {packet_samples(packet.data) for packet in packets} == {int(duration * 48)}


@pytest.mark.parametrize(("bitrate", "modes"), [(8_000, range(12)), (20_000, range(12, 16)), (64_000, range(16, 32))])
def test_every_mode_of_the_codec_gives_every_sample_from_the_first_packet_on(bitrate, modes):
    sent = tone(48_123, 200)
    packets = encode(sent, application="audio" if bitrate == 64_000 else "voip", bitrate=bitrate)
    assert {packet.data[0] >> 3 in modes for packet in packets} == {True}
    frames = [packet.frames for packet in through(DECODER, packets).packets]
    assert frames == [648] + [960] * (len(packets) - 2) + [960 - packets[-1].trim_end]
    assert sum(frames) == len(sent)


def test_stereo_stays_stereo():
    sent = np.concatenate([tone(48_000, 440), tone(48_000, 1_000)], axis=1)
    out = decode(encode(sent, bitrate=128_000))
    spectrum = np.abs(np.fft.rfft(out, axis=0))
    assert spectrum.argmax(axis=0).tolist() == [440, 1_000]
    assert spectrum[440, 0] > 30 * spectrum[440, 1]


def test_the_header_carries_the_look_ahead():
    packets = encode(tone(9_600, 440))
    head = OpusHead.parse(packets[0].codec.private)
    assert (head.channels, head.pre_skip) == (1, 312)
    assert OpusHead.parse(encode(tone(9_600, 440), application="lowdelay")[0].codec.private).pre_skip == 120
    assert len({id(packet.codec) for packet in packets}) == 1


def test_timestamps_follow_those_of_the_input():
    start = 7_000_000
    packets = through(ENCODER, audio_packets(tone(4_800, 440), 480, start_us=start)).packets
    assert [packet.meta.timestamp_us - start for packet in packets] == [-6_500 + 20_000 * n for n in range(6)]
    assert {packet.meta.duration_us for packet in packets} == {20_000}
    audio = through(DECODER, packets).packets
    assert audio[0].meta.timestamp_us == start
    assert sum(packet.meta.duration_us for packet in audio) == 100_000


def test_without_timestamps_time_starts_at_zero():
    packets = [EncodedAudio(packet.data, packet.codec) for packet in encode(tone(4_800, 440))]
    audio = through(DECODER, packets).packets
    assert [packet.meta.timestamp_us for packet in audio][:2] == [0, 13_500]


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100])
def test_other_rates_are_refused_with_the_way_out(rate):
    with pytest.raises(BadData, match=f"given {rate} Hz: put an audio::resampler with target_sample_rate 48000"):
        through(ENCODER, audio_packets(tone(rate, 440, rate), rate=rate))


def test_more_than_two_channels_are_refused():
    with pytest.raises(BadData, match="given 6 channels: mix them down"):
        through(ENCODER, [Audio(np.zeros((960, 6), np.float32), 48_000)])


def test_a_change_of_channels_begins_a_new_stream():
    packets = through(
        ENCODER, audio_packets(tone(5_000, 440)) + audio_packets(tone(7_001, 440, channels=2), start_us=104_166)
    ).packets
    codecs = list({id(packet.codec): packet.codec for packet in packets}.values())
    assert [codec.channels for codec in codecs] == [1, 2]
    audio = through(DECODER, packets).packets
    assert [sum(p.frames for p in audio if p.channels == channels) for channels in (1, 2)] == [5_000, 7_001]


@pytest.mark.parametrize(
    "params",
    [
        {"bitrate": 5_999},
        {"bitrate": 510_001},
        {"complexity": 11},
        {"frame_duration_ms": 15},
        {"application": "music"},
        {"vbr": "yes"},
    ],
)
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(ValidationError):
        OpusEncoderConfig.model_validate(params)


@pytest.mark.parametrize("bitrate", [6_000, 510_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_ends_of_the_bit_rate_range_work(bitrate, channels):
    result = through(ENCODER, audio_packets(tone(9_600, 440, channels=channels)), bitrate=bitrate)
    assert len(decode(result.packets)) == 9_600
    assert bool(result.context.warnings) == (bitrate == 510_000 and channels == 1)


def test_the_default_keeps_to_the_bit_rate():
    noise = click_track(480_000, []) * 20
    bits = sum(len(packet.data) for packet in encode(noise, complexity=0)) * 8 / 10
    assert bits == pytest.approx(64_000, rel=0.05)


def test_constant_bit_rate_is_constant():
    assert len({len(packet.data) for packet in encode(click_track(48_000, []), vbr="off")}) == 1


def test_an_empty_input_gives_nothing():
    assert through(ENCODER, []).packets == []
    assert through(ENCODER, [Audio(np.zeros((0, 1), np.float32), 48_000)]).packets == []
    assert through(DECODER, []).packets == []


# -- the decoder by itself --------------------------------------------------------------------------------


def test_lost_packets_are_concealed_in_full_length():
    sent = tone(96_000, 440)
    packets = encode(sent)
    whole = decode(packets)
    left = [*packets[:40], *packets[43:]]
    out = decode(left)
    assert len(out) == len(whole)
    gap = slice(40 * 960 - 312, 43 * 960 - 312)
    assert level(out[gap][:960]) > 0.5 * level(whole[gap][:960])  # the sound is carried on, not cut to silence
    np.testing.assert_allclose(out[50 * 960 :], whole[50 * 960 :], atol=0.05)


def test_losses_that_the_packet_tells_of_need_no_timestamps():
    packets = [EncodedAudio(packet.data, packet.codec) for packet in encode(tone(96_000, 440))]
    after = packets[45]
    out = decode([*packets[:40], EncodedAudio(after.data, after.codec, lost_before=5), *packets[46:]])
    assert len(out) == 101 * 960 - 312


def test_packets_that_cannot_be_decoded_are_concealed_and_counted():
    packets = encode(tone(48_000, 440))
    bad = packets[20]
    packets[20] = EncodedAudio(bytes([bad.data[0] | 3, 0x41]), bad.codec, bad.meta)  # padding that is not there
    packets[30] = EncodedAudio(b"", bad.codec, packets[30].meta)
    result = through(DECODER, packets)
    assert sum(packet.frames for packet in result.packets) == 48_000
    assert result.context.errors == 2


def test_one_byte_packets_of_silence_have_full_length():
    packets = encode(tone(48_000, 440))
    silence = [EncodedAudio(packet.data[:1], packet.codec, packet.meta) for packet in packets[20:30]]
    assert packet_samples(silence[0].data) == 960
    assert len(decode([*packets[:20], *silence, *packets[30:]])) == 48_000


@pytest.mark.parametrize("frames", [2, 3, 6])
def test_packets_of_several_frames_are_decoded_whole(frames):
    singles = [packet.data for packet in encode(tone(48_000, 440), vbr="off")]
    codec = Codec("opus", 48_000, 1, OpusHead(1, 312).build())
    merged = []
    for at in range(0, len(singles) - frames + 1, frames):
        group = singles[at : at + frames]
        header = bytes([group[0][0] & 0xFC | 3, frames])
        merged.append(EncodedAudio(header + b"".join(packet[1:] for packet in group), codec))
    assert packet_samples(merged[0].data) == frames * 960
    assert frame_samples(merged[0].data) == 960
    out = decode(merged)
    assert len(out) == len(merged) * frames * 960 - 312
    np.testing.assert_allclose(out[:45_000], decode(encode(tone(48_000, 440), vbr="off"))[:45_000], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_stream_without_a_header_takes_its_channels_from_its_packets(channels):
    codec = Codec("opus", 48_000, 0)
    packets = [
        EncodedAudio(packet.data, codec) for packet in encode(tone(9_600, 440, channels=channels), bitrate=128_000)
    ]
    out = decode(packets)
    assert out.shape == (11 * 960, channels)


def test_the_gain_of_the_header_is_applied():
    packets = encode(tone(48_000, 440, level=0.1))
    louder = Codec("opus", 48_000, 1, OpusHead(1, 312, gain=256 * 6).build())
    out = decode([EncodedAudio(packet.data, louder, packet.meta, packet.trim_end) for packet in packets])
    assert level(out) / level(decode(packets)) == pytest.approx(10 ** (6 / 20), rel=0.01)


@pytest.mark.parametrize("pre_skip", [0, 959, 960, 961, 3_840])
def test_any_run_in_is_left_out_to_the_sample(pre_skip):
    codec = Codec("opus", 48_000, 1, OpusHead(1, pre_skip).build())
    packets = [EncodedAudio(packet.data, codec) for packet in encode(tone(9_600, 440))]
    audio = through(DECODER, packets).packets
    assert sum(packet.frames for packet in audio) == 11 * 960 - pre_skip
    assert audio[0].meta.timestamp_us == 0


def test_other_codecs_are_refused():
    with pytest.raises(BadData, match="takes Opus and was given aac"):
        through(DECODER, [EncodedAudio(b"\xf8", Codec("aac", 48_000, 2))])


@settings(max_examples=80)
@given(st.lists(st.binary(max_size=80), max_size=20))
def test_no_bytes_whatever_break_the_decoder(datas):
    codec = Codec("opus", 48_000, 2, OpusHead(2).build())
    result = through(DECODER, [EncodedAudio(data, codec) for data in datas])
    expected = sum(packet_samples(data) for data in datas)
    assert sum(packet.frames for packet in result.packets) == max(0, expected - 312)


def test_audio_that_is_decoded_can_be_kept():
    packets = through(DECODER, encode(click_track(96_000, CLICKS))).packets
    before = [packet.samples.copy() for packet in packets]
    through(DECODER, encode(tone(96_000, 440)))
    assert all(np.array_equal(packet.samples, copy) for packet, copy in zip(packets, before, strict=True))
    assert heard(packets).dtype == np.float32
    assert PacketMeta(0, 13_500) == packets[0].meta


def tuned(steps, size=700):
    """A tone through an encoder whose parameters are set anew after each stretch: what was sent, and the packets."""
    node = OpusEncoder(OpusEncoderConfig())
    node.prepare(FakeContext())
    sent = tone(sum(frames for frames, _ in steps), 440)
    out, at = [], 0
    for frames, params in steps:
        config = OpusEncoderConfig.model_validate({**node.config.model_dump(), **params})
        node.check_tune(config)
        node.tune(config)
        for packet in audio_packets(sent[at : at + frames], size, start_us=at * 1_000_000 // 48_000):
            out += node.process(packet)
        at += frames
    return sent, out + node.finish()


ANY_PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "bitrate": st.integers(6_000, 510_000),
        "complexity": st.integers(0, 10),
        "application": st.sampled_from(["audio", "voip"]),
        "frame_duration_ms": st.sampled_from([2.5, 5, 10, 20, 40, 60]),
        "vbr": st.sampled_from(["constrained", "on", "off"]),
    },
)


@settings(max_examples=30)
@given(steps=st.lists(st.tuples(st.integers(1, 5_000), ANY_PARAMETERS), min_size=1, max_size=8))
def test_however_an_encoder_is_tuned_its_stream_goes_on_to_the_sample(steps):
    sent, packets = tuned(steps)
    assert len(decode(packets)) == len(sent)
    assert len({id(packet.codec) for packet in packets}) == 1
    assert [packet.meta.sequence for packet in packets] == list(range(len(packets)))
    for one, other in pairwise(packets):
        assert one.meta.timestamp_us + one.meta.duration_us == other.meta.timestamp_us
        assert one.meta.duration_us == packet_samples(one.data) * 1_000 // 48


def test_a_stream_that_is_tuned_keeps_its_sound_and_does_not_click():
    changes = [{}, {"application": "voip"}, {"bitrate": 128_000, "complexity": 2}, {"application": "audio"}]
    sent, packets = tuned([(12_000, change) for change in changes * 2])
    out = decode(packets)
    assert np.abs(np.diff(out[:, 0])).max() < 1.6 * np.abs(np.diff(sent[:, 0])).max()
    assert level(out - sent) < level(sent) / 4
    assert level((out - sent)[-4_000:]) < level(sent) / 20


def test_ffmpeg_decodes_a_stream_that_was_tuned_in_its_middle(tmp_path):
    changes = [{}, {"frame_duration_ms": 60}, {"application": "voip", "bitrate": 12_000}, {"frame_duration_ms": 2.5}]
    sent, packets = tuned([(11_111, change) for change in changes])
    pages = through("containers::ogg::muxer", packets).packets
    (tmp_path / "tuned.ogg").write_bytes(joined(pages))
    assert len(ffmpeg_decode(tmp_path / "tuned.ogg", 1)) == len(sent)


@pytest.mark.parametrize(("now", "then"), [("audio", "lowdelay"), ("lowdelay", "voip")])
def test_the_look_ahead_of_a_stream_under_way_stays_what_it_is(now, then):
    node = OpusEncoder(OpusEncoderConfig(application=now))
    node.prepare(FakeContext())
    other = OpusEncoderConfig(application=then)
    node.check_tune(other)  # before the first packet it may change
    node.process(*audio_packets(tone(960, 440), 960))
    with pytest.raises(ConfigurationError, match=f"cannot go from '{now}' to '{then}'"):
        node.check_tune(other)
    node.finish()
    node.check_tune(other)
