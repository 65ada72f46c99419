"""The Ogg demuxer: what is sound comes through, and what is not is named with its place."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import BadData
from penstock.media.opus import OpusHead, build_tags
from penstock.nodes.containers.ogg import Page, PageReader, PageWriter
from penstock.nodes.containers.ogg_demuxer import OggDemuxer, OggDemuxerConfig
from penstock.packets import Binary
from penstock.testing.harness import FakeContext, FakeRun
from support.media import click_track, decode, encode, ffmpeg, in_pieces, ogg_of, through, tone

KIND = "containers::ogg::demuxer"
FRAMES = 96_000
TAGS = build_tags("test")


@pytest.fixture(scope="module")
def sound() -> bytes:
    """Two seconds of stereo in pages of 200 ms."""
    return ogg_of(click_track(FRAMES, [4_000]))


def pages_of(data: bytes) -> list[Page]:
    return [item for item in PageReader().feed(data) if isinstance(item, Page)]


def demux(data: bytes, piece: int = 65_536) -> tuple[list, FakeContext, str]:
    """What came out, the context, and the error (or "")."""
    node, ctx, out, error = OggDemuxer(OggDemuxerConfig(damage="skip")), FakeContext(), [], ""
    node.prepare(ctx)
    try:
        for packet in in_pieces(data, piece):
            out += node.process(packet) or []
        for packet in node.finish() or []:
            out.append(packet)
    except BadData as failure:
        error = str(failure)
    node.close()
    return out, ctx, error


def stream_of(packets, serial=1, channels=1, pre_skip=312, start=0, trim=0, last=True, tags=TAGS) -> bytes:
    """An Ogg/Opus stream, a page for each packet."""
    writer = PageWriter(serial)
    out = writer.add(OpusHead(channels, pre_skip).build(), 0) + writer.flush()
    if tags is not None:
        out += writer.add(tags, 0) + writer.flush()
    for number, packet in enumerate(packets, 1):
        final = number == len(packets)
        out += writer.add(packet, start + number * 960 - (trim if final else 0)) + writer.flush(last=last and final)
    return out


TWENTY_MS = [bytes([0xF8, number, 0xFF]) for number in range(10)]


def test_packets_come_out_as_the_encoder_made_them():
    packets = encode(click_track(FRAMES - 100, []))
    ogg = through("containers::ogg::muxer", packets)
    again = through(KIND, ogg.packets).packets
    assert [(p.data, p.meta, p.trim_end) for p in again] == [(p.data, p.meta, p.trim_end) for p in packets]
    assert {id(p.codec) for p in again} == {id(again[0].codec)}
    assert again[0].codec.private == packets[0].codec.private


@pytest.mark.parametrize("piece", [1, 2, 27, 28, 255, 4_096])
def test_the_pieces_of_the_input_do_not_matter(sound, piece):
    whole, _, _ = demux(sound)
    assert demux(sound, piece)[0] == whole


def test_timestamps_are_exact_and_zero_is_the_first_audible_sample(sound):
    packets, _, _ = demux(sound)
    assert [packet.meta.timestamp_us for packet in packets[:3]] == [-6_500, 13_500, 33_500]
    assert all(packet.meta.duration_us == 20_000 for packet in packets)
    assert [packet.meta.sequence for packet in packets] == list(range(len(packets)))


def test_a_recording_that_starts_in_the_middle_of_a_broadcast_is_moved_to_zero():
    packets, _, error = demux(stream_of(TWENTY_MS, start=10_000_000))
    assert error == ""
    assert packets[0].meta.timestamp_us == -6_500
    assert sum(packet.lost_before for packet in packets) == 0


@pytest.mark.parametrize("trim", [0, 1, 959])
def test_the_end_trim_is_on_the_last_packet(trim):
    packets, _, _ = demux(stream_of(TWENTY_MS, trim=trim))
    assert [packet.trim_end for packet in packets] == [0] * 9 + [trim]


@pytest.mark.parametrize(("trim", "left"), [(959, [0, 959]), (960, [0]), (961, [1]), (1920, [])])
def test_packets_of_which_nothing_is_to_be_heard_are_left_out(trim, left):
    writer = PageWriter(1)
    data = writer.add(OpusHead(1).build(), 0) + writer.flush() + writer.add(build_tags("t"), 0) + writer.flush()
    data += writer.add(TWENTY_MS[0], 960) + writer.flush()
    data += writer.add(TWENTY_MS[1], 1_920) + writer.add(TWENTY_MS[2], 2_880 - trim) + writer.flush(last=True)
    assert [packet.trim_end for packet in demux(data)[0][1:]] == left


def test_comments_are_kept_in_order():
    tags = (("TITLE", "Überfahrt"), ("ARTIST", "one"), ("ARTIST", "two"))
    packets, _, _ = demux(stream_of(TWENTY_MS, tags=build_tags("v", tags)))
    assert packets[0].codec.tags == tags


@pytest.mark.parametrize("tags", [None, b"OpusTags\xff\xff\xff\xff"])
def test_missing_or_damaged_comments_cost_no_audio(tags):
    packets, ctx, error = demux(stream_of(TWENTY_MS, tags=tags))
    assert (len(packets), error) == (10, "")
    assert "comments of the Ogg stream are left out" in ctx.warnings[0]


# -- bad input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "RIFF/WAV"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00", "MP4"),
        (b"fLaC\x00\x00\x00\x22abcdef", "FLAC"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x00abc", "MP3"),
        (b"\xff\xfb\x90\x64" + bytes(20), "MP3"),
        (b"\x1aE\xdf\xa3" + bytes(20), "WebM"),
        (b"\x1f\x8b\x08" + bytes(20), "gzip"),
        (b"hello, this is not audio", "text starting 'hello, this "),
        (b"{}", "text starting '{}'"),
        (bytes(range(128, 160)), "80 81 82"),
    ],
)
@pytest.mark.parametrize("piece", [1, 1_000])
def test_input_that_is_not_ogg_is_named(data, name, piece):
    packets, _, error = demux(data, piece)
    assert packets == []
    assert error.startswith("the input is not Ogg: ")
    assert name in error
    assert error.endswith("at byte 0")


@pytest.mark.parametrize("packets", [[], [Binary(b"")]])
def test_empty_input_is_said_to_be_empty(packets):
    with pytest.raises(BadData, match="the input is empty"):
        through(KIND, packets)


def test_a_cut_anywhere_gives_what_is_sound_and_an_error_with_the_place(sound):
    whole, _, _ = demux(sound)
    for sixteenth in range(1, 16):
        end = len(sound) * sixteenth // 16
        packets, ctx, error = demux(sound[:end])
        assert error.startswith(f"cut off at byte {end}: ")
        assert packets == whole[: len(packets)]
        assert len(packets) >= len(whole) * sixteenth // 16 - 12
        assert ctx.warnings == []


@pytest.mark.parametrize("end", [1, 3, 4, 27, 46])
def test_a_cut_inside_the_header_is_a_cut(sound, end):
    assert demux(sound[:end])[2].startswith(f"cut off at byte {end}")


def test_a_stream_without_its_last_page_is_cut_off(sound):
    end = pages_of(sound)[-1].offset
    packets, _, error = demux(sound[:end])
    assert error == f"cut off at byte {end}: the stream has no end-of-stream page"
    assert len(packets) > 80


def test_a_damaged_page_is_skipped_counted_and_its_loss_is_told(sound):
    pages = pages_of(sound)
    whole, _, _ = demux(sound)
    broken = bytearray(sound)
    broken[pages[5].offset + 100] ^= 4
    packets, ctx, error = demux(bytes(broken))
    assert error == ""
    assert ctx.errors == 1
    size, offset = pages[6].offset - pages[5].offset, pages[5].offset
    assert ctx.warnings[0].startswith(f"{size} bytes at byte {offset} of the Ogg input are damaged (its checksum is")
    assert len(ctx.warnings) == 1
    lost = len(whole) - len(packets)
    at = next(number for number, packet in enumerate(packets) if packet.lost_before)
    assert packets[at].lost_before == lost == 10
    assert [packet.meta for packet in packets] == [p.meta for p in whole[:at] + whole[at + lost :]]


def damaged(data: bytes, number: int) -> bytes:
    """The same with a wrong bit in the page of this number."""
    broken = bytearray(data)
    broken[pages_of(data)[number].offset + 40] ^= 8
    return bytes(broken)


@pytest.mark.parametrize("frames", [FRAMES, FRAMES + 1, FRAMES + 959])
def test_the_length_is_exact_whichever_page_is_damaged(frames):
    data = ogg_of(tone(frames, 440))
    for number in range(2, len(pages_of(data)) - 1):
        packets, ctx, error = demux(damaged(data, number))
        assert (error, ctx.errors) == ("", 1)
        assert len(decode(packets)) == frames


def test_after_damage_everything_is_still_in_its_place(sound):
    pages = pages_of(sound)
    broken = sound[: pages[4].offset] + b"noise" * 30 + sound[pages[6].offset :]
    whole = decode(demux(sound)[0])
    again = decode(demux(broken)[0])
    assert len(again) == len(whole) == FRAMES
    np.testing.assert_allclose(again[60_000:], whole[60_000:], atol=0.05)


@settings(max_examples=60)
@given(data=st.data())
def test_flipped_bits_never_do_more_than_lose_packets(sound, data):
    broken = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 5))):
        bit = data.draw(st.integers(0, len(sound) * 8 - 1))
        broken[bit // 8] ^= 1 << bit % 8
    packets, ctx, error = demux(bytes(broken))
    known = {packet.data for packet in demux(sound)[0]}
    assert all(packet.data in known for packet in packets)
    assert error or ctx.errors or bytes(broken) == sound


def test_bytes_behind_the_end_are_a_warning(sound):
    packets, ctx, error = demux(sound + b"TAG" + bytes(125))
    assert error == ""
    assert packets == demux(sound)[0]
    assert len(ctx.warnings) == 1


def test_other_codecs_are_named(tmp_path):
    for codec, name, options in (("flac", "FLAC", []), ("libvorbis", "Vorbis", [])):
        path = tmp_path / f"{codec}.ogg"
        ffmpeg("-f", "lavfi", "-i", "sine=duration=0.3", "-ac", "2", "-c:a", codec, *options, "-f", "ogg", path)
        packets, _, error = demux(path.read_bytes())
        assert packets == []
        assert error == f"the Ogg input holds {name} and no Opus; convert it to Ogg/Opus first"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (OpusHead(1).build()[:9] + b"\x00" + OpusHead(1).build()[10:], "0 channels"),
        (OpusHead(1).build()[:9] + b"\x06" + OpusHead(1).build()[10:18] + b"\x01\x04\x02", "6 channels"),
        (b"OpusHead\x01", "cut short"),
    ],
)
def test_absurd_headers_are_refused_with_their_place(head, message):
    writer = PageWriter(1)
    _, _, error = demux(writer.add(head, 0) + writer.flush())
    assert message in error
    assert "byte 0" in error


def test_a_first_page_that_is_damaged_is_refused(sound):
    broken = bytearray(sound)
    broken[30] ^= 1
    packets, _, error = demux(bytes(broken))
    assert packets == []
    assert "the start of the Ogg input is missing or damaged" in error


# -- several streams ------------------------------------------------------------------------------------


def test_chained_streams_follow_each_other(sound):
    mono = ogg_of(tone(48_000 - 77, 440))
    packets, ctx, error = demux(sound + mono)
    assert (error, ctx.warnings) == ("", [])
    codecs = list({id(packet.codec): packet.codec for packet in packets}.values())
    assert [codec.channels for codec in codecs] == [2, 1]
    second = next(packet for packet in packets if packet.codec is codecs[1])
    assert second.meta.timestamp_us == FRAMES * 1_000_000 // 48_000 - 6_500
    audio = through("audio::opus::decoder", packets).packets
    assert sum(p.frames for p in audio if p.channels == 2) == FRAMES
    assert sum(p.frames for p in audio if p.channels == 1) == 48_000 - 77
    ends = [p.meta.timestamp_us + p.meta.duration_us for p in audio]
    assert [p.meta.timestamp_us for p in audio[1:]] == ends[:-1]


def test_a_chain_whose_first_stream_has_no_end_is_a_warning(sound):
    end = pages_of(sound)[-1].offset
    packets, ctx, error = demux(sound[:end] + sound)
    assert error == ""
    assert f"a new Ogg stream begins at byte {end} before the last one has ended" in ctx.warnings[0]
    assert len(packets) > 180


def test_of_streams_side_by_side_the_first_opus_stream_is_taken():
    one, two = (pages_bytes(stream_of(TWENTY_MS, serial=serial)) for serial in (1, 2))
    writer = PageWriter(3)
    theora = writer.add(b"\x80theora" + bytes(30), 0) + writer.flush()
    interleaved = theora + b"".join(page for pair in zip(one, two, strict=True) for page in pair)
    packets, ctx, error = demux(interleaved)
    assert error == ""
    assert [packet.data for packet in packets] == TWENTY_MS
    assert len(ctx.warnings) == 1
    assert "(Opus) is ignored" in ctx.warnings[0]


def pages_bytes(data: bytes) -> list[bytes]:
    starts = [page.offset for page in pages_of(data)] + [len(data)]
    return [data[start:end] for start, end in pairwise(starts)]


def test_streams_without_number_are_refused():
    heads = b"".join(pages_bytes(stream_of(TWENTY_MS, serial=serial))[0] for serial in range(100))
    assert "more than 64 streams run side by side" in demux(heads)[2]


def test_a_position_beyond_reason_is_a_jump_and_not_a_loss():
    data = bytearray(stream_of(TWENTY_MS))
    page = pages_of(bytes(data))[6]
    pages = pages_bytes(bytes(data))
    writer = PageWriter(1)
    writer._sequence = page.sequence
    pages[6] = writer.add(page.body, 1 << 60) + writer.flush()
    packets, ctx, error = demux(b"".join(pages))
    assert error == ""
    assert len(packets) == 10
    assert sum(packet.lost_before for packet in packets) == 0
    assert "gaps over 10 s are not filled" in ctx.warnings[0]


def test_an_empty_packet_at_the_end_is_no_packet():
    packets, ctx, error = demux(stream_of([*TWENTY_MS, b""]))
    assert (len(packets), ctx.errors, error) == (10, 0, "")


def test_bytes_that_are_no_opus_packet_are_counted():
    packets, ctx, error = demux(stream_of([*TWENTY_MS[:5], b"\xff\x00", *TWENTY_MS[5:]]))
    assert (len(packets), ctx.errors, error) == (10, 1, "")
    assert packets[5].lost_before == 1


def test_positions_that_count_to_the_start_of_a_page_lose_nothing():
    writer = PageWriter(0)
    data = writer.add(OpusHead(1, 0).build(), 0) + writer.flush() + writer.add(build_tags("t"), 0) + writer.flush()
    for number, packet in enumerate(TWENTY_MS):
        data += writer.add(packet, number * 960) + writer.flush()
    packets, ctx, error = demux(data + writer.add(b"", 9_600) + writer.flush(last=True))
    assert (error, ctx.warnings) == ("", [])
    assert [packet.meta.timestamp_us for packet in packets] == [number * 20_000 for number in range(10)]
    assert [packet.trim_end for packet in packets] == [0] * 10


def test_what_ffmpeg_writes_is_read(tmp_path):
    path, wav = tmp_path / "a.ogg", tmp_path / "a.raw"
    sent = click_track(FRAMES + 123, [5_000, 90_000])
    wav.write_bytes(sent.tobytes())
    source = ("-f", "f32le", "-ar", 48_000, "-ac", 2, "-i", wav)
    ffmpeg(*source, "-c:a", "libopus", "-b:a", "128k", "-metadata", "title=Test", path)
    packets, ctx, error = demux(path.read_bytes(), 1_000)
    assert (error, ctx.warnings) == ("", [])
    assert ("title", "Test") in [(name.lower(), value) for name, value in packets[0].codec.tags]
    assert len(decode(packets)) == len(sent)


def test_versions_of_ogg_to_come_are_refused():
    data = bytearray(stream_of(TWENTY_MS))
    struct.pack_into("<B", data, 4, 1)
    assert "the start of the Ogg input is missing or damaged" in demux(bytes(data))[2]


def test_what_is_sound_before_an_error_in_the_same_bytes_is_passed_on():
    head = OpusHead(1).build()
    writer = PageWriter(9)
    absurd = writer.add(head[:9] + b"\x00" + head[10:], 0) + writer.flush()
    data = stream_of(TWENTY_MS) + absurd
    for piece in (len(data), 100):
        packets, _, error = demux(data + bytes(200), piece)
        assert [packet.data for packet in packets] == TWENTY_MS
        assert "0 channels" in error
    assert demux(data)[0] != []


def test_pages_behind_a_cut_header_are_passed_on_before_the_error():
    whole = stream_of(TWENTY_MS)
    bogus = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, 0, 0, 0, 255) + b"\xff" * 255
    pages = pages_bytes(whole)
    packets, _, error = demux(b"".join(pages[:3]) + bogus + b"".join(pages[3:7]))
    assert [packet.data for packet in packets] == TWENTY_MS[:5]
    assert "no end-of-stream page" in error


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_is_taken(kind):
    data = stream_of(TWENTY_MS)
    packets = through(KIND, [Binary(kind(data[:7])), Binary(kind(data[7:]))]).packets
    assert [packet.data for packet in packets] == TWENTY_MS


@pytest.mark.parametrize("length", [0, 2, 100, 500])
def test_in_a_run_that_was_stopped_an_input_that_is_cut_off_ends_cleanly(length):
    data = ogg_of(tone(48_000, 440))
    ctx = FakeContext()
    ctx.stopping.set()
    demuxer = OggDemuxer(OggDemuxerConfig())
    demuxer.prepare(ctx)
    demuxer.process(Binary(data[:length]))
    assert list(demuxer.finish()) == []
    assert [warning for warning in ctx.warnings if f"cut off at byte {length}" in warning] or length == 0


@pytest.mark.parametrize(
    ("damage", "mode", "fails"),
    [
        ("auto", "oneshot", True),
        ("auto", "dynamic", False),
        ("fail", "dynamic", True),
        ("skip", "oneshot", False),
    ],
)
def test_a_damaged_page_fails_or_is_skipped_as_the_parameter_and_the_mode_say(sound, damage, mode, fails):
    data = bytearray(sound)
    third = [at for at in range(len(data)) if data.startswith(b"OggS", at)][3]
    data[third + 200] ^= 1
    ctx = FakeContext(run=FakeRun(mode=mode))
    demuxer = OggDemuxer(OggDemuxerConfig(damage=damage))
    demuxer.prepare(ctx)
    before = demuxer.process(Binary(bytes(data)))
    assert before, "what came before the damage is sound"
    if fails:
        with pytest.raises(BadData, match=rf"at byte {third} of the Ogg input are damaged .*set 'damage: skip'"):
            list(demuxer.finish())
    else:
        list(demuxer.finish())
        assert "are skipped" in ctx.warnings[0]
