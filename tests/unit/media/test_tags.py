"""Comments in WAV and MP3, both ways, and the tag in front of an MP3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.media.mp3 import FrameHeader, InfoFrame, InfoTag
from penstock.media.tags import id3_tag, info_chunk, joined_tags, read_info
from penstock.packets import Codec

FRAME = bytes.fromhex("fffb9000")  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz, stereo


def codec(*tags):
    return Codec("pcm_s16le", 48_000, 2, tags=tags)


def test_several_comments_of_a_name_are_joined_and_pictures_left_out():
    told = codec(("artist", "Ann"), ("TITLE", "x"), ("ARTIST", "Bo"), ("metadata_block_picture", "AAAA"))
    assert joined_tags(told) == {"ARTIST": "Ann;Bo", "TITLE": "x"}


values = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=30)


@given(st.dictionaries(st.sampled_from(["TITLE", "ARTIST", "DATE", "COMMENT", "TRACK"]), values, min_size=1))
def test_comments_of_a_wav_are_the_same_again(tags):
    chunk = info_chunk(codec(*tags.items()))
    assert len(chunk) % 2 == 0
    assert int.from_bytes(chunk[4:8], "little") == len(chunk) - 8
    assert read_info(chunk[8:]) == tuple(tags.items())


def test_what_has_no_place_is_left_out_and_nothing_makes_nothing():
    assert info_chunk(codec(("REPLAYGAIN_TRACK_GAIN", "-3 dB"))) == b""
    assert id3_tag(codec()) == b""


def test_comments_cut_short_or_of_another_kind_are_none():
    body = info_chunk(codec(("TITLE", "Night"), ("ARTIST", "Ann")))[8:]
    for length in range(len(body)):
        assert set(read_info(body[:length])) <= {("TITLE", "Night"[:n]) for n in range(6)} | {
            ("ARTIST", "Ann"[:n]) for n in range(4)
        }
    assert read_info(b"adtl" + body[4:]) == ()


def test_an_id3_tag_is_as_long_as_it_says_and_keeps_names_without_a_frame_of_their_own():
    tag = id3_tag(codec(("TITLE", "x" * 300), ("COMMENT", "ü"), ("MOOD", "calm")))
    size = 0
    for byte in tag[6:10]:
        assert byte < 128
        size = size << 7 | byte
    assert size == len(tag) - 10
    assert b"TXXX" in tag
    assert b"MOOD\0calm" in tag
    assert "und\0ü".encode() in tag


@pytest.mark.parametrize("delay", [528, 529, 1_105, 4_623, 4_624, 9_000])
def test_the_tag_of_an_mp3_tells_what_it_was_told(delay):
    frame = InfoFrame(delay)
    for padding in (0, 0, 400):
        frame.count(FRAME + bytes(413), padding)
    made = frame.build(3 * 417)
    assert len(made) == FrameHeader.parse(made).size == 417
    tag = InfoTag.parse(made)
    told = min(delay, 529 + 4_095)
    assert tag == (InfoTag(3, told, 400) if delay >= 529 else None)
    assert made[36:40] == b"Info"
    assert int.from_bytes(made[48:52], "big") == 3 * 417


def test_a_changing_bit_rate_is_marked_and_there_is_always_room():
    frame = InfoFrame(1_105)
    low = bytes.fromhex("fff318c0")  # MPEG-2 layer III, 8 kbit/s, 16 kHz, mono: 36 bytes
    assert FrameHeader.parse(low).size == 36
    frame.count(low + bytes(32), 0)
    assert InfoTag.parse(frame.build(36)) == InfoTag(1, 1_105, 0)
    frame.count(bytes.fromhex("fff328c0") + bytes(68), 0)
    made = frame.build(108)
    assert len(made) == FrameHeader.parse(made).size > 4 + 9 + 52
    assert made[13:17] == b"Xing"


def test_what_is_no_frame_gets_no_tag():
    frame = InfoFrame(1_105)
    frame.count(b"noise", 0)
    assert frame.build(5) == b""
