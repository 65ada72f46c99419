"""How long packets are, by themselves: what a decoder puts out is the judge."""

import av
import numpy as np
import pytest

from penstock.errors import BadData
from penstock.media.ffmpeg_output import FFmpegStream
from penstock.media.flac import file_header, frame_samples
from penstock.media.vorbis import VorbisLengths
from penstock.nodes.containers.segments import samples_of
from penstock.packets import Codec
from support.containers import FRAMES, file_of
from support.media import audio_packets, click_track, heard, in_pieces, through


def packets_of(name):
    return through("containers::demuxer", in_pieces(file_of(name), 1_000)).packets


def decoded_lengths(packets):
    codec = packets[0].codec
    context = av.CodecContext.create(codec.name, "r")
    context.extradata, context.sample_rate = codec.private, codec.sample_rate_hz
    return [sum(frame.samples for frame in context.decode(av.Packet(packet.data))) for packet in packets]


@pytest.mark.parametrize("name", ["vorbis.ogg", "vorbis.webm"])
def test_a_packet_of_vorbis_is_as_long_as_what_is_decoded_of_it(name):
    packets = packets_of(name)
    lengths = VorbisLengths(packets[0].codec.private)
    told = [lengths.samples(packet.data) for packet in packets]
    assert len(set(told)) > 2  # both sizes of blocks, in turn
    assert told[1:] == decoded_lengths(packets)[1:]


@pytest.mark.parametrize("name", ["vorbis.ogg", "vorbis.webm", "flac.mkv", "flac.ogg", "a.flac"])
def test_times_are_counted_whatever_the_container_says(name):
    packets = packets_of(name)
    lengths = decoded_lengths(packets) if "vorbis" in name else [frame_samples(packet.data) for packet in packets]
    rate, at = packets[0].codec.sample_rate_hz, 0
    assert sum(lengths) - packets[-1].trim_end == FRAMES
    for packet, length in zip(packets, lengths, strict=True):
        if length:
            assert packet.meta.timestamp_us == at * 1_000_000 // rate
        at += length


@pytest.mark.parametrize("name", ["first.m4a", "a.mp3", "vorbis.ogg", "a.flac", "opus.webm"])
@pytest.mark.parametrize("jitter_ms", [3, 15, 40])
def test_a_container_whose_clock_jitters_makes_a_recording_longer_by_the_jitter_at_most(name, jitter_ms):
    packets = packets_of(name)
    rate = packets[0].codec.sample_rate_hz
    lengths = [samples_of(packet) for packet in packets]
    true = np.cumsum([0, *lengths[:-1]])
    offsets = np.random.default_rng(1).integers(-jitter_ms, jitter_ms, len(packets)) * rate // 1000
    offsets = (
        np.maximum.accumulate(true + offsets + np.arange(len(packets))) - true
    )  # FFmpeg writes nothing that goes back
    stream = FFmpegStream("matroska", packets[0].codec, {"live": "1"})
    for packet, length, offset in zip(packets, lengths, offsets, strict=True):
        stream.pause(int(offset))
        stream.write(bytes(packet.data), length, packet.trim_end)
        stream.pause(-int(offset))
    data = b"".join(stream.finish(65_536))
    stream.close()
    again = through("containers::demuxer", in_pieces(data, 5_000)).packets
    starts = [packet.meta.timestamp_us for packet in again]
    assert starts == sorted(starts)
    plain, jittered = (heard(through("audio::decoder", some).packets) for some in (packets, again))
    assert 0 <= len(jittered) - len(plain) <= 2.5 * jitter_ms * rate // 1000
    if jitter_ms < 5:
        assert len(jittered) == len(plain)


@pytest.mark.parametrize("private", [b"", b"\x02", b"\x02\x1e\xff", b"\x02\x01\x01abc", b"\x03" + bytes(80)])
def test_vorbis_without_sound_headers_tells_no_length(private):
    assert VorbisLengths(private).samples(b"\x00\x01") is None


def test_a_header_packet_and_an_unknown_mode_have_no_length():
    lengths = VorbisLengths(packets_of("vorbis.ogg")[0].codec.private)
    assert lengths.samples(b"\x03vorbis") is None
    assert lengths.samples(b"") is None


@pytest.mark.parametrize(
    ("head", "samples"),
    [
        ("fff81900", 192),
        ("fff82900", 576),
        ("fff85900", 4_608),
        ("fff88900", 256),
        ("fff8f900", 32_768),
        ("fff8690005 2a", 43),
        ("fff87900c2a0 0fff", 4_096),
        ("fff97900fe8080808080 80 ffff", 65_536),
        ("fff80900", 0),  # reserved
        ("fff87900 05 0f", 0),  # cut short
        ("fffa1900", 0),
        ("", 0),
    ],
)
def test_the_length_of_a_frame_is_in_its_header(head, samples):
    data = bytes.fromhex(head)
    assert frame_samples(data + bytes(3) if samples not in {0, 43, 4_096, 65_536} else data) == samples


def test_frames_of_our_encoder_of_any_length_are_read():
    packets = through("audio::encoder", audio_packets(click_track(10_001, [])), codec="flac").packets
    assert [frame_samples(packet.data) for packet in packets][-1] == 10_001 % frame_samples(packets[0].data)
    assert sum(frame_samples(packet.data) for packet in packets) == 10_001


@pytest.mark.parametrize(("samples", "written"), [(None, 0), ((1 << 36) - 1, (1 << 36) - 1), (1 << 36, 0)])
def test_a_flac_header_says_the_length_if_it_fits(samples, written):
    codec = Codec("flac", 48_000, 2, bytes(12) + b"\x02\xf0" + bytes(np.full(20, 255, np.uint8)), (("TITLE", "x"),))
    header = file_header(codec, samples)
    info = header[8:42]
    assert int.from_bytes(info[13:18], "big") & (1 << 36) - 1 == written
    assert info[18:] == bytes(16)
    assert info[13] & 0xF0 == 0xF0
    assert header.endswith(b"\x07\0\0\0TITLE=x")
    with pytest.raises(BadData, match="has 3 bytes and not 34"):
        file_header(Codec("flac", 48_000, 2, b"abc"))
