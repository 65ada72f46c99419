"""Opus headers, packet lengths and gaps, without a codec."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import BadData
from penstock.media.opus import (
    MAX_GAP_S,
    GapMeter,
    OpusHead,
    build_tags,
    packet_samples,
    parse_tags,
    placeholder,
)
from penstock.packets import Codec, EncodedAudio, PacketMeta

CODEC = Codec("opus", 48_000, 1)
TWENTY_MS = bytes([0xF8, 1, 2, 3])  # CELT, full band, 20 ms, one frame


def packet(start_us: int | None, lost: int = 0) -> EncodedAudio:
    return EncodedAudio(TWENTY_MS, CODEC, PacketMeta(start_us, 20_000), lost_before=lost)


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        (bytes([0 << 3]), 480),  # SILK, 10 ms
        (bytes([3 << 3]), 2_880),  # SILK, 60 ms
        (bytes([13 << 3]), 960),  # hybrid, 20 ms
        (bytes([16 << 3]), 120),  # CELT, 2.5 ms
        (bytes([31 << 3 | 1, 0]), 1_920),  # two equal frames
        (bytes([31 << 3 | 2, 1, 0]), 1_920),  # two frames of two sizes
        (bytes([3 << 3 | 3, 2]), 5_760),  # 120 ms, the longest there is
        (bytes([3 << 3 | 3, 3]), 0),  # 180 ms: not a packet
        (bytes([31 << 3 | 3, 6]), 5_760),
        (bytes([31 << 3 | 3, 7]), 0),
        (bytes([31 << 3 | 3, 0]), 0),  # no frame
        (bytes([31 << 3 | 3]), 0),  # the frame count is missing
        (b"", 0),
    ],
)
def test_the_length_of_a_packet_follows_from_its_first_bytes(packet, samples):
    assert packet_samples(packet) == packet_samples(memoryview(packet)) == samples


@given(st.integers(1, 2), st.integers(0, 65_535), st.integers(0, 2**32 - 1), st.integers(-(2**15), 2**15 - 1))
def test_a_header_is_the_same_again(channels, pre_skip, rate, gain):
    head = OpusHead(channels, pre_skip, rate, gain)
    assert OpusHead.parse(head.build()) == head
    assert len(head.build()) == 19


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda head: head[:18], "18 bytes"),
        (lambda head: b"OpusTags" + head[8:], "starts with b'OpusTags'"),
        (lambda head: head[:8] + b"\x10" + head[9:], "version 16"),
        (lambda head: head[:9] + b"\x00" + head[10:], "0 channels"),
        (lambda head: head[:9] + b"\x06" + head[10:18] + b"\x01", "6 channels in mapping family 1.*mix it down"),
        (lambda head: head[:18] + b"\xff", "mapping family 255"),
    ],
)
def test_an_absurd_header_is_refused_with_the_reason(change, message):
    with pytest.raises(BadData, match=message):
        OpusHead.parse(change(OpusHead(2).build()))


names = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7D, exclude_characters="="), min_size=1, max_size=20)


@given(st.lists(st.tuples(names, st.text(max_size=300)), max_size=5), st.text(max_size=30))
def test_comments_are_the_same_again_in_order(tags, vendor):
    assert parse_tags(build_tags(vendor, tuple(tags))) == tuple(tags)


def test_comments_cut_anywhere_are_refused():
    data = build_tags("v", (("TITLE", "Überall"), ("ARTIST", "n")))
    for length in range(len(data)):
        with pytest.raises(BadData, match=r"OpusTags|cut short"):
            parse_tags(data[:length])


def test_a_comment_count_beyond_the_data_is_refused():
    data = build_tags("v")[:-4] + b"\xff\xff\xff\xff"
    with pytest.raises(BadData, match="wrong lengths"):
        parse_tags(data)


def test_a_placeholder_is_one_frame_of_the_same_kind_without_content():
    assert placeholder(bytes([13 << 3 | 4 | 3, 2, 9])) == bytes([13 << 3 | 4])


def test_a_stream_without_steps_has_no_gaps_even_if_timestamps_are_rounded():
    meter = GapMeter()
    assert [meter.missing(packet(round(n * 20_000 + (n % 3 - 1) * 4_900)), 960) for n in range(20)] == [0] * 20


def test_a_step_in_the_timestamps_is_a_gap_of_whole_packets():
    meter = GapMeter()
    starts = [0, 20_000, 80_000, 100_000, 135_000]
    assert [meter.missing(packet(start), 960) for start in starts] == [0, 0, 2 * 960, 0, 960]


def test_what_a_packet_says_goes_before_what_its_timestamp_shows():
    meter = GapMeter()
    meter.missing(packet(0), 960)
    assert meter.missing(packet(20_000, lost=3), 960) == 3 * 960
    assert meter.missing(packet(None, lost=1), 960) == 960


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_only_gaps_up_to_the_limit_are_filled(extra):
    most = MAX_GAP_S * 50
    meter = GapMeter()
    meter.missing(packet(0), 960)
    assert meter.missing(packet((most + extra + 1) * 20_000), 960) == ((most + extra) * 960 if extra < 1 else 0)


@pytest.mark.parametrize("start_us", [4_980_000, 4_000_000, 0])
def test_going_back_in_time_is_no_gap(start_us):
    meter = GapMeter()
    starts = (5_000_000, start_us, start_us + 20_000, start_us + 40_000)
    assert [meter.missing(packet(start), 960) for start in starts] == [0, 0, 0, 0]


@given(st.lists(st.integers(-15_000, 15_000), min_size=50, max_size=200))
def test_jitter_does_not_make_a_stream_longer(jitter):
    meter = GapMeter()
    missing = [meter.missing(packet(number * 20_000 + late), 960) for number, late in enumerate(jitter)]
    assert sum(missing) <= 2 * 960


@given(st.sets(st.integers(1, 198), max_size=60))
def test_what_is_missing_is_found_whatever_is_missing(lost):
    meter = GapMeter()
    left = [number for number in range(200) if number not in lost]
    assert sum(meter.missing(packet(number * 20_000), 960) for number in left) == len(lost) * 960
