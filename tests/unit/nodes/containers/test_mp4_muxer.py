"""The MP4 muxer, both modes: ffmpeg reads it as meant, and nothing is left behind."""

import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.errors import BadData, RunError
from penstock.media.opus import OpusHead
from penstock.nodes.containers.mp4_muxer import Mp4Muxer, Mp4MuxerConfig
from penstock.packets import Codec, EncodedAudio, replace
from penstock.testing.harness import FakeContext
from support.media import click_track, encode, ffmpeg, ffmpeg_decode, ffmpeg_facts, joined, shift_of, through, tone

KIND = "containers::mp4::muxer"
MODES = ["file", "stream"]
CLICKS = [2_000, 30_001, 95_000]


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch) -> Path:
    """A directory for temporary files, which is empty again at the end."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield directory
    assert list(directory.iterdir()) == []


def mux(packets, **params) -> bytes:
    return joined(through(KIND, packets, **params).packets)


def boxes(data: bytes) -> list[tuple[str, bytes]]:
    """The boxes of one level: type and payload."""
    found, at = [], 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        assert size >= 8
        found.append((name.decode(), data[at + 8 : at + size]))
        at += size
    assert at == len(data)
    return found


def box(data: bytes, *path: str) -> bytes:
    for name in path:
        data = next(payload for found, payload in boxes(data) if found == name)
    return data


def opus_box(data: bytes) -> bytes:
    description = box(data, "moov", "trak", "mdia", "minf", "stbl", "stsd")[8:]
    ((name, entry),) = boxes(description)
    assert name == "Opus"
    return box(entry[28:], "dOps")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 2])
def test_ffmpeg_reads_every_sample_in_its_place(tmp_path, mode, channels):
    sent = click_track(96_123, CLICKS, channels)
    packets = encode(sent, bitrate=128_000)
    path = tmp_path / "a.mp4"
    path.write_bytes(mux(packets, mode=mode))
    out = ffmpeg_decode(path, channels)
    assert 0 <= len(out) - len(sent) < 960  # ffmpeg decodes the padding of the last packet
    assert [shift_of(out, sent, click) for click in CLICKS] == [0, 0, 0]
    facts = ffmpeg_facts(path)
    assert facts["packets"] == len(packets)
    assert facts["duration_s"] == pytest.approx(len(sent) / 48_000, abs=0.01)
    assert ("stereo" if channels == 2 else "mono") in facts["stream"]
    ogg = tmp_path / "a.ogg"
    ogg.write_bytes(joined(through("containers::ogg::muxer", packets).packets))
    np.testing.assert_array_equal(out[: len(sent)], ffmpeg_decode(ogg, channels))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("channels", "pre_skip"), [(1, 312), (2, 3_840), (2, 0)])
def test_the_header_is_that_of_the_stream(mode, channels, pre_skip):
    head = OpusHead(channels, pre_skip, 44_100, -256)
    codec = Codec("opus", 48_000, channels, head.build())
    packets = [replace(packet, codec=codec) for packet in encode(tone(48_000, 440, channels=channels), bitrate=96_000)]
    fields = struct.unpack(">BBHIhB", opus_box(mux(packets, mode=mode)))
    assert fields == (0, channels, pre_skip, 44_100, -256, 0)


@pytest.mark.parametrize("mode", MODES)
def test_the_track_is_as_long_as_the_audio(mode):
    data = mux(encode(tone(50_000, 440)), mode=mode)
    if mode == "file":
        assert struct.unpack_from(">II", box(data, "moov", "mvhd"), 12) == (48_000, 50_000)
        timescale, duration = struct.unpack_from(">II", box(data, "moov", "trak", "mdia", "mdhd"), 12)
        assert (timescale, duration) == (48_000, 50_312)
    edits = box(data, "moov", "trak", "edts", "elst")
    assert struct.unpack_from(">i", edits, len(edits) - 8) == (312,)  # the run-in is cut off


def test_a_plain_file_has_its_index_in_front():
    assert [name for name, _ in boxes(mux(encode(tone(96_000, 440)), mode="file"))][:2] == ["ftyp", "moov"]


def test_a_plain_file_leaves_at_the_end_in_pieces_of_the_size_asked_for(scratch):
    packets = encode(click_track(96_000, []))
    node, ctx = Mp4Muxer(Mp4MuxerConfig(mode="file", finalize_chunk_size=1_000)), FakeContext()
    node.prepare(ctx)
    assert [node.process(packet) for packet in packets] == [[]] * len(packets)
    assert len(list(scratch.iterdir())) == 1
    pieces = []
    for piece in node.finish():
        assert list(scratch.iterdir()) == []  # nothing is left to clean up once bytes leave
        pieces.append(piece)
    node.close()
    assert {len(piece.data) for piece in pieces[:-1]} == {1_000}
    assert 0 < len(pieces[-1].data) <= 1_000
    assert joined(pieces) == mux(packets, mode="file")
    assert {piece.content_type for piece in pieces} == {"audio/mp4"}


def test_fragments_leave_while_the_input_is_coming():
    packets = encode(tone(480_000, 440), complexity=0)
    node = Mp4Muxer(Mp4MuxerConfig(mode="stream", frag_duration_ms=200))
    node.prepare(FakeContext())
    held, most, out = 0, 0, []
    for packet in packets:
        made = node.process(packet)
        held = 0 if made else held + 1
        most = max(most, held)
        out += made
    out += node.finish()
    node.close()
    assert most <= 11  # 200 ms and the packet that shows that they are over
    names = [name for name, _ in boxes(joined(out))]
    assert names[:2] == ["ftyp", "moov"]
    assert names.count("moof") == names.count("mdat") >= 48
    ends = [packet.meta.timestamp_us + packet.meta.duration_us for packet in out]
    assert [packet.meta.timestamp_us for packet in out] == [-6_500, *ends[:-1]]


def test_fragments_leave_no_index_that_would_grow_with_the_stream():
    kinds = [kind for kind, _ in boxes(mux(encode(tone(96_000, 440), complexity=0), frag_duration_ms=100))]
    assert kinds == ["ftyp", "moov", *["moof", "mdat"] * ((len(kinds) - 2) // 2)]
    assert len(kinds) > 2 * 15


@pytest.mark.parametrize("mode", MODES)
def test_lost_packets_are_replaced_so_that_the_length_stays(tmp_path, mode):
    sent = click_track(96_000, CLICKS)
    packets = encode(sent, bitrate=128_000)
    path = tmp_path / "a.mp4"
    path.write_bytes(mux([*packets[:50], *packets[55:]], mode=mode))
    assert ffmpeg_facts(path)["packets"] == len(packets)
    out = ffmpeg_decode(path, 2)
    assert [shift_of(out, sent, click) for click in CLICKS] == [0, 0, 0]


@pytest.mark.parametrize("mode", MODES)
def test_comments_are_kept(tmp_path, mode):
    packets = encode(tone(9_600, 440))
    codec = replace(packets[0].codec, tags=(("TITLE", "Überfahrt"), ("METADATA_BLOCK_PICTURE", "x" * 10_000)))
    path = tmp_path / "a.mp4"
    path.write_bytes(mux([replace(packet, codec=codec) for packet in packets], mode=mode))
    assert "title           : Überfahrt" in ffmpeg("-i", path, "-f", "null", "-").stderr.decode()
    assert path.stat().st_size < 10_000


@pytest.mark.parametrize("mode", MODES)
def test_without_packets_there_is_no_output_and_a_warning(mode):
    result = through(KIND, [], mode=mode)
    assert result.packets == []
    assert result.context.warnings == ["no packet arrived: the MP4 output is empty"]


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_is_cut_short_leaves_nothing_behind(mode, scratch):
    node = Mp4Muxer(Mp4MuxerConfig(mode=mode))
    node.prepare(FakeContext())
    for packet in encode(tone(48_000, 440)):
        node.process(packet)
    node.close()
    node.close()
    assert list(scratch.iterdir()) == []


def test_close_without_anything_before_is_harmless():
    Mp4Muxer(Mp4MuxerConfig()).close()


def test_a_directory_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(RunError, match=r"the MP4 file cannot be written in .*missing: No such file.*TMPDIR"):
        mux(encode(tone(960, 440)), mode="file")


def test_a_full_disk_is_an_error_that_says_so(monkeypatch):
    full = Path("/dev/full")
    if not full.exists():
        pytest.fail("this test writes to /dev/full, which Linux has")
    packets = encode(click_track(480_000, []), bitrate=128_000)
    node = Mp4Muxer(Mp4MuxerConfig(mode="file"))
    node.prepare(FakeContext())
    with pytest.raises(RunError, match="No space left on device"):
        _mux_onto(node, packets, full, monkeypatch)


def _mux_onto(node, packets, target, monkeypatch):
    """Let the temporary file of the muxer be ``target``."""
    link = Path(tempfile.gettempdir()) / "full.mp4"
    link.symlink_to(target)
    monkeypatch.setattr(tempfile, "mkstemp", lambda **_: (os.open(link, os.O_RDWR), str(link)))
    try:
        for packet in packets:
            node.process(packet)
        list(node.finish())
    finally:
        node.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_second_stream_is_refused_with_the_way_out(mode):
    with pytest.raises(BadData, match="put audio::opus::decoder and audio::opus::encoder before the muxer"):
        mux([*encode(tone(9_600, 440)), *encode(tone(9_600, 440))], mode=mode)


def test_other_codecs_are_refused():
    with pytest.raises(BadData, match="takes Opus or AAC and was given mp3"):
        mux([EncodedAudio(b"\xff\xfb\x90\x00", Codec("mp3", 48_000, 2))])


def test_packets_that_are_not_opus_are_counted_and_left_out():
    packets = encode(tone(9_600, 440))
    packets.insert(3, replace(packets[3], data=b""))
    assert through(KIND, packets).context.errors == 1


@pytest.mark.parametrize(
    ("params", "warnings"),
    [
        ({}, []),
        ({"channels": 1, "sample_rate": 48_000}, []),
        ({"channels": 2}, ["channels is 2, but the stream has 1 and stays so"]),
        ({"sample_rate": 44_100}, ["sample_rate is 44100, but the stream has 48000 and stays so"]),
    ],
)
def test_a_declaration_that_does_not_fit_the_stream_is_a_warning(params, warnings):
    result = through(KIND, encode(tone(9_600, 440)), mode="file", **params)
    assert result.context.warnings == warnings
    assert opus_box(joined(result.packets))[1] == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mode": "live"}, "stream"),
        ({"video_codec": "h264"}, "video is not supported yet"),
        ({"video_width": 640}, "video is not supported yet"),
        ({"video_height": 480}, "video is not supported yet"),
        ({"num_inputs": 2}, "video is not supported yet"),
        ({"audio_codec": "mp3"}, "opus"),
        ({"audio_timescale": 44_100}, "always counted at that rate"),
        ({"finalize_chunk_size": 0}, "greater than or equal to 1"),
        ({"frag_duration_ms": 0}, "greater than or equal to 1"),
        ({"page_size": 1}, "not permitted"),
    ],
)
def test_bad_parameters_are_refused_with_the_reason(params, message):
    with pytest.raises(ValidationError, match=message):
        Mp4MuxerConfig.model_validate(params)


def test_every_parameter_of_an_audio_pipeline_is_accepted_at_its_default():
    Mp4MuxerConfig.model_validate(Mp4MuxerConfig().model_dump())
