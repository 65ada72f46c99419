"""The Ogg muxer: exact positions, gaps filled, read by ffmpeg as meant."""

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.errors import BadData
from penstock.media.opus import OpusHead, packet_samples
from penstock.nodes.containers.ogg import PacketAssembler, Page, PageReader
from penstock.nodes.containers.ogg_muxer import OggMuxerConfig
from penstock.packets import Binary, Codec, EncodedAudio, replace
from support.media import (
    click_track,
    decode,
    encode,
    ffmpeg,
    ffmpeg_decode,
    ffmpeg_facts,
    joined,
    shift_of,
    through,
    tone,
)

KIND = "containers::ogg::muxer"
CLICKS = [2_000, 30_001, 95_000]


def mux(packets, **params) -> bytes:
    return joined(through(KIND, packets, **params).packets)


def pages_of(data: bytes) -> list[Page]:
    items = PageReader().feed(data)
    assert all(isinstance(item, Page) for item in items)
    return items


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [96_000, 96_123, 96_000 - 312])
def test_ffmpeg_reads_every_sample_in_its_place(tmp_path, channels, frames):
    sent = click_track(frames, CLICKS, channels)
    packets = encode(sent, bitrate=128_000)
    path = tmp_path / "a.ogg"
    path.write_bytes(mux(packets))
    out = ffmpeg_decode(path, channels)
    assert out.shape == sent.shape
    assert [shift_of(out, sent, click) for click in CLICKS] == [0, 0, 0]
    facts = ffmpeg_facts(path)
    assert facts["packets"] == len(packets)
    assert facts["duration_s"] == pytest.approx(frames / 48_000 + 0.0065, abs=0.01)  # ffmpeg counts the run-in
    assert ("stereo" if channels == 2 else "mono") in facts["stream"]
    np.testing.assert_allclose(out, decode(packets), atol=0.01)


def test_the_last_position_is_the_run_in_and_the_audio():
    pages = pages_of(mux(encode(tone(50_000, 440))))
    assert pages[-1].granule == 50_000 + 312
    assert [page.first for page in pages] == [True] + [False] * (len(pages) - 1)
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert pages[0].body == OpusHead(1, 312).build()
    assert [page.granule for page in pages[:2]] == [0, 0]


@pytest.mark.parametrize(("page_duration_ms", "packets"), [(1, 1), (20, 1), (21, 2), (200, 10), (1_000, 50)])
def test_a_page_leaves_as_soon_as_it_is_full(page_duration_ms, packets):
    result = through(KIND, encode(tone(480_000, 440), complexity=0), page_duration_ms=page_duration_ms)
    pages = pages_of(joined(result.packets))[2:-1]
    assert {len([size for size in page.lacing if size < 255]) for page in pages} == {packets}
    assert len(result.packets) >= len(pages)
    assert {packet.content_type for packet in result.packets} == {"audio/ogg"}


def test_times_of_the_output_cover_the_audio():
    packets = through(KIND, encode(tone(96_000, 440)), page_duration_ms=200).packets
    ends = [packet.meta.timestamp_us + packet.meta.duration_us for packet in packets]
    assert [packet.meta.timestamp_us for packet in packets] == [-6_500, *ends[:-1]]
    assert ends[-1] == 2_013_500


def test_a_page_closes_when_it_holds_chunk_size_bytes():
    packets = encode(click_track(96_000, []), bitrate=128_000)
    pages = pages_of(mux(packets, chunk_size=1_000))[2:]
    assert all(1_000 <= len(page.body) < 1_000 + 1_275 for page in pages[:-1])


def test_packets_at_every_size_of_a_segment_are_kept():
    codec = Codec("opus", 48_000, 2, OpusHead(2).build())
    packets = [EncodedAudio(b"\xfc" + bytes(size - 1), codec) for size in (1, 254, 255, 256, 509, 510, 511, 1_275)]
    assembler = PacketAssembler(1 << 20)
    found = [packet for page in pages_of(mux(packets)) for packet in assembler.push(page)]
    assert found[2:] == [packet.data for packet in packets]


def test_comments_are_kept(tmp_path):
    tags = (("TITLE", "Überfahrt"), ("COMMENT", "x" * 70_000))
    codec = Codec("opus", 48_000, 1, OpusHead(1).build(), tags)
    data = mux([replace(packet, codec=codec) for packet in encode(tone(9_600, 440))])
    assert through("containers::ogg::demuxer", [Binary(data)]).packets[0].codec.tags == tags
    path = tmp_path / "a.ogg"
    path.write_bytes(data)
    assert "TITLE           : Überfahrt" in ffmpeg("-i", path, "-f", "null", "-").stderr.decode()


def test_lost_packets_are_replaced_so_that_the_length_stays(tmp_path):
    sent = click_track(96_000, CLICKS)
    packets = encode(sent, bitrate=128_000)
    path = tmp_path / "a.ogg"
    path.write_bytes(mux([*packets[:50], *packets[55:]]))
    out = ffmpeg_decode(path, 2)
    assert len(out) == len(sent)
    assert [shift_of(out, sent, click) for click in CLICKS] == [0, 0, 0]


def test_losses_that_a_packet_tells_of_need_no_timestamps():
    packets = [EncodedAudio(packet.data, packet.codec) for packet in encode(tone(96_000, 440))]
    packets[50] = replace(packets[50], lost_before=4)
    again = through("containers::ogg::demuxer", through(KIND, packets).packets).packets
    assert [packet.data for packet in again[50:54]] == [bytes([packets[49].data[0] & 0xFC])] * 4
    assert sum(packet_samples(packet.data) for packet in again) == (101 + 4) * 960


def test_a_new_codec_begins_a_chained_stream(tmp_path):
    mono, stereo = encode(tone(48_000, 440)), encode(tone(24_001, 440, channels=2))
    data = mux([*mono, *stereo], stream_serial=0xFFFFFFFF)
    assert sorted({page.serial for page in pages_of(data)}) == [0, 0xFFFFFFFF]
    assert [page.last for page in pages_of(data)].count(True) == 2
    again = through("containers::ogg::demuxer", [Binary(data)]).packets
    audio = through("audio::opus::decoder", again).packets
    assert [sum(p.frames for p in audio if p.channels == n) for n in (1, 2)] == [48_000, 24_001]


def test_an_end_trim_on_a_full_page_waits_for_the_end_of_the_stream():
    pages = pages_of(mux(encode(tone(960 * 9, 440)), page_duration_ms=200))
    assert [page.granule for page in pages[2:]] == [960 * 9 + 312]
    assert pages[-1].last


def test_a_stream_that_ends_with_a_full_page_ends_with_an_empty_one():
    packets = [EncodedAudio(packet.data, packet.codec) for packet in encode(tone(960 * 9, 440))]
    pages = pages_of(mux(packets, page_duration_ms=200))
    assert [(page.granule, len(page.lacing) > 0, page.last) for page in pages[2:]] == [
        (9_600, True, False),
        (9_600, False, True),
    ]


def test_without_packets_there_is_no_output_and_a_warning():
    result = through(KIND, [])
    assert result.packets == []
    assert result.context.warnings == ["no packet arrived: the Ogg output is empty"]


def test_packets_that_are_not_opus_are_counted_and_left_out():
    packets = encode(tone(9_600, 440))
    packets.insert(3, replace(packets[3], data=b""))
    result = through(KIND, packets)
    assert result.context.errors == 1
    assert pages_of(joined(result.packets))[-1].granule == 9_600 + 312


def test_other_codecs_are_refused():
    with pytest.raises(BadData, match="takes Opus and was given aac"):
        through(KIND, [EncodedAudio(b"\xf8", Codec("aac", 48_000, 2))])


@pytest.mark.parametrize(("params", "warnings"), [({}, 0), ({"channels": 2}, 0), ({"channels": 1}, 1)])
def test_only_a_wrong_number_of_channels_that_was_given_is_a_warning(params, warnings):
    result = through(KIND, encode(tone(9_600, 440, channels=2)), **params)
    assert len(result.context.warnings) == warnings
    assert pages_of(joined(result.packets))[0].body[9] == 2


@pytest.mark.parametrize(
    "params",
    [
        {"channels": 0},
        {"channels": 3},
        {"codec": "vorbis"},
        {"page_duration_ms": 0},
        {"chunk_size": 0},
        {"stream_serial": -1},
        {"stream_serial": 1 << 32},
        {"pages": 1},
    ],
)
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        OggMuxerConfig.model_validate(params)


def test_streams_of_a_transport_without_a_header_get_one():
    packets = encode(tone(9_600, 440, channels=2), bitrate=128_000)
    bare = Codec("opus", 48_000, 0)
    pages = pages_of(mux([replace(packet, codec=bare) for packet in packets]))
    assert pages[0].body == OpusHead(2, 0).build()
