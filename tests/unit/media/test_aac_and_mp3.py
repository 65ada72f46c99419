"""ADTS headers, AudioSpecificConfigs, MP3 frame headers and the tag of LAME."""

import pytest

from penstock.errors import BadData
from penstock.media.aac import MAX_FRAME_BYTES, AacConfig, parse_adts
from penstock.media.mp3 import FrameHeader, InfoTagFinder
from support.containers import file_of


@pytest.mark.parametrize("config", [AacConfig(2, 4, 2), AacConfig(1, 0, 1), AacConfig(4, 12, 7)])
def test_a_configuration_survives_both_ways_of_writing_it(config):
    assert AacConfig.parse(config.build()) == config
    frame = config.adts(100) + bytes(100)
    assert parse_adts(frame) == (config, 7)


def test_a_frame_of_ffmpeg_is_read():
    data = file_of("a.aac")
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    config, header = parse_adts(data[:length])
    assert (config.sample_rate_hz, config.channels, config.object_type, header) == (44_100, 2, 2, 7)
    assert config.adts(length - 7) == data[:7]


def test_the_longest_frame_fits_and_one_byte_more_does_not():
    AacConfig(2, 4, 2).adts(MAX_FRAME_BYTES - 7)
    with pytest.raises(BadData, match="does not fit ADTS"):
        AacConfig(2, 4, 2).adts(MAX_FRAME_BYTES - 6)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"\xff\xfb" + bytes(20), "starts with ff fb"),
        (b"", "starts with  and"),
        (AacConfig(2, 4, 2).adts(9) + bytes(8), "says 16 bytes and the frame has 15"),
        (AacConfig(2, 13, 2).adts(9) + bytes(9), "sample rate index 13"),
        (AacConfig(2, 4, 0).adts(9) + bytes(9), "channel configuration 0"),
        (AacConfig(2, 4, 2).adts(9)[:6] + b"\x01" + bytes(9), "holds 2 blocks"),
    ],
)
def test_what_is_no_sound_frame_is_refused(frame, message):
    with pytest.raises(BadData, match=message):
        parse_adts(frame)


@pytest.mark.parametrize("data", [b"", b"\x12", b"\x2b\x92\x08\x00"])
def test_configurations_that_adts_cannot_tell_are_refused(data):
    with pytest.raises(BadData):
        AacConfig.parse(data)


def test_the_tag_is_found_past_an_id3_tag_in_pieces_of_any_size():
    data = file_of("a.mp3")
    assert data.startswith(b"ID3")
    for size in (1, 11, 100_000):
        finder = InfoTagFinder()
        for at in range(0, len(data), size):
            finder.feed(data[at : at + size])
        assert (finder.tag.delay, finder.tag.frames * 1152 - finder.tag.delay - finder.tag.padding) == (1_105, 70_003)


def test_a_stream_without_the_tag_has_none():
    finder = InfoTagFinder()
    finder.feed(b"\xff\xfb\x90\x00" + bytes(1_000))
    assert finder.done
    assert finder.tag is None


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\xff\xfb\x90\x00", (44_100, 2, 1152, 417, 32)),
        (b"\xff\xfb\x92\xc0", (44_100, 1, 1152, 418, 17)),
        (b"\xff\xf3\x40\xc0", (22_050, 1, 576, 104, 9)),
        (b"\xff\xe3\x40\x00", (11_025, 2, 576, 208, 17)),
    ],
)
def test_frame_headers_of_all_versions(head, expected):
    header = FrameHeader.parse(head)
    assert (header.sample_rate_hz, header.channels, header.samples, header.size, header.side_info) == expected


@pytest.mark.parametrize("head", [b"", b"\xff\xfb\x90", b"\xff\xeb\x90\x00", b"\xff\xfb\xf0\x00", b"\xff\xfb\x9c\x00"])
def test_what_is_no_frame_header_is_none(head):
    assert FrameHeader.parse(head) is None
