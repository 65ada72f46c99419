"""Ogg framing: what is written is read again, whatever the pieces; damage is told from a cut."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import BadData
from penstock.nodes.containers.ogg import (
    NO_GRANULE,
    Damage,
    PacketAssembler,
    Page,
    PageReader,
    PageWriter,
    checksum,
)

LIMIT = 1 << 20


def write(packets: list[bytes], *, flush_every: int = 0, serial: int = 7) -> bytes:
    writer = PageWriter(serial)
    out = b""
    for number, packet in enumerate(packets, 1):
        out += writer.add(packet, number)
        if flush_every and number % flush_every == 0:
            out += writer.flush()
    return out + writer.flush(last=True)


def read(data: bytes, piece: int = 1 << 20) -> tuple[list[Page], list[Damage]]:
    reader = PageReader()
    found = [item for at in range(0, len(data), piece) for item in reader.feed(data[at : at + piece])]
    found += reader.finish()
    return [item for item in found if isinstance(item, Page)], [item for item in found if isinstance(item, Damage)]


def packets_of(pages: list[Page], limit: int = LIMIT) -> list[bytes]:
    assembler = PacketAssembler(limit)
    return [packet for page in pages for packet in assembler.push(page)]


def bitwise_checksum(data: bytes) -> int:
    """The definition of RFC 3533 §6, bit by bit."""
    register = 0
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register >> 31 else 0)) & 0xFFFFFFFF
    return register


sizes = st.one_of(st.integers(0, 600), st.sampled_from([254, 255, 256, 509, 510, 511, 65_024, 65_025, 65_026, 130_050]))


@given(st.binary(max_size=200), st.integers(0, 200))
def test_the_checksum_is_that_of_the_standard(data, cut):
    assert checksum(data[:cut], data[cut:]) == bitwise_checksum(data)


@settings(max_examples=60)
@given(st.lists(sizes, min_size=1, max_size=12), st.integers(0, 4), st.sampled_from([1, 7, 27, 255, 4096, 1 << 20]))
def test_packets_are_the_same_again_whatever_their_sizes_pages_and_pieces(sizes, flush_every, piece):
    packets = [bytes([number]) * size for number, size in enumerate(sizes)]
    data = write(packets, flush_every=flush_every)
    if piece == 1:
        data, packets = write(packets[:2], flush_every=1), packets[:2]
    pages, damage = read(data, piece)
    assert damage == []
    assert packets_of(pages) == packets
    assert [page.sequence for page in pages] == list(range(len(pages)))
    assert [page.first for page in pages] == [True] + [False] * (len(pages) - 1)
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert sum(27 + len(page.lacing) + len(page.body) for page in pages) == len(data)


@pytest.mark.parametrize("size", [254, 255, 256, 509, 510, 511])
def test_a_packet_ends_with_a_segment_below_255(size):
    (page,), _ = read(write([bytes(size)]))
    assert page.lacing == b"\xff" * (size // 255) + bytes([size % 255])


@pytest.mark.parametrize(("size", "pages"), [(65_024, 1), (65_025, 2), (65_026, 2), (130_049, 2), (130_050, 3)])
def test_a_packet_spans_as_many_pages_as_it_needs(size, pages):
    found, _ = read(write([bytes(size)]))
    assert len(found) == pages
    assert [page.continued for page in found] == [False] + [True] * (pages - 1)
    assert [page.granule for page in found] == [NO_GRANULE] * (pages - 1) + [1]


def test_a_packet_that_fits_on_a_page_is_not_split():
    pages, _ = read(write([bytes(40_000), bytes(40_000)]))
    assert [page.granule for page in pages] == [1, 2]
    assert not any(page.continued for page in pages)


def test_an_empty_last_page_ends_the_stream_and_keeps_its_position():
    writer = PageWriter(1)
    pages, _ = read(writer.add(b"a", 960) + writer.flush() + writer.flush() + writer.flush(last=True))
    assert [(page.granule, page.last, page.lacing) for page in pages] == [(960, False, b"\x01"), (960, True, b"")]


def test_a_flipped_bit_anywhere_costs_its_page_and_nothing_else():
    packets = [bytes([number]) * 300 for number in range(6)]
    data = write(packets, flush_every=2)
    pages, _ = read(data)
    middle = pages[1]
    for bit in range(middle.offset * 8, pages[2].offset * 8, 13):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        found, damage = read(bytes(broken))
        assert packets_of(found) == packets[:2] + packets[4:]
        assert [(item.offset, item.size, item.cut) for item in damage] == [
            (middle.offset, pages[2].offset - middle.offset, False)
        ]


def test_a_cut_is_told_from_damage_at_every_length():
    data = write([bytes(300), bytes(300)], flush_every=1)
    pages, _ = read(data)
    ends = {page.offset for page in pages} | {len(data)}
    for length in range(1, len(data)):
        found, damage = read(data[:length])
        if length in ends:
            assert damage == []
        else:
            assert [item.cut for item in damage] == [True]
            assert damage[0].offset + damage[0].size == length
        assert found == [page for page in pages if page.offset + 27 + len(page.lacing) + len(page.body) <= length]


def test_sound_pages_behind_a_header_that_claims_too_much_are_found():
    data = write([b"a", b"b"], flush_every=1)
    bogus = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, 0, 0, 0, 255) + b"\xff" * 255
    found, damage = read(bogus + data)
    assert packets_of(found) == [b"a", b"b"]
    assert [(item.offset, item.size, item.cut) for item in damage] == [(0, len(bogus), False)]


@given(st.binary(max_size=400))
def test_bytes_that_are_not_ogg_come_out_as_one_damage(data):
    found, damage = read(data, 13)
    assert found == []
    assert sum(item.size for item in damage) == len(data)


def test_the_buffer_stays_small_whatever_comes():
    reader = PageReader()
    for _ in range(300):
        reader.feed(b"Ogg" * 1000)
        assert len(reader._buffer) < 4
    for _ in range(300):
        reader.feed(struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, 0, 0, 0, 255) + b"\xff" * 255)
        assert len(reader._buffer) < 65_307 + 282


def test_a_missing_page_costs_the_packets_it_touches():
    packets = [bytes([number]) * 100_000 for number in range(4)]
    pages, _ = read(write(packets))
    assert len(pages) == 8
    for missing in range(1, 7):
        assembler = PacketAssembler(LIMIT)
        left = [packet for page in pages if page is not pages[missing] for packet in assembler.push(page)]
        assert left == [packet for number, packet in enumerate(packets) if number != missing // 2]
        assert assembler.dropped == 1


@pytest.mark.parametrize("size", [99_999, 100_000, 100_001])
def test_a_packet_over_the_limit_is_dropped_and_the_next_one_is_not(size):
    pages, _ = read(write([bytes(size), b"next"]))
    assembler = PacketAssembler(100_000)
    assert len([packet for page in pages for packet in assembler.push(page)]) == (2 if size <= 100_000 else 1)
    assert assembler.dropped == (size > 100_000)


def test_an_endless_packet_does_not_fill_memory():
    assembler = PacketAssembler(100_000)
    for sequence in range(100):
        assembler.push(Page(0, 1, sequence, NO_GRANULE, sequence > 0, False, False, b"\xff" * 255, bytes(65_025)))
        assert sum(map(len, assembler._parts)) <= 100_000


def test_bytes_that_only_look_like_pages_do_not_cost_time_without_end():
    reader = PageReader()
    bogus = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, 0, 0, 0, 250) + b"\xff" * 250
    with pytest.raises(BadData, match="no Ogg any more"):
        for _ in range(2_000):
            reader.feed(bogus)


def test_a_long_file_of_which_every_page_is_damaged_is_read_to_its_end():
    data = bytearray(write([bytes(60_000)] * 100))
    for page in read(bytes(data))[0][:-1]:
        data[page.offset + 500] ^= 1
    pages, damage = read(bytes(data), 65_536)
    assert [page.last for page in pages] == [True]
    assert [item.offset for item in damage] == [0]
