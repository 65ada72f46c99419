"""The demuxer and the decoder behind it: every container, in pieces of any size, right to the sample."""

import tempfile
import threading

import numpy as np
import pytest

from penstock.errors import BadData
from penstock.nodes.containers.demuxer import Demuxer, DemuxerConfig
from penstock.testing.harness import FakeContext
from support.containers import CLICKS, FILES, FRAMES, RATE, file_of, recording
from support.media import ffmpeg, heard, in_pieces, shift_of, through, tone

KIND = "containers::demuxer"
LOSSLESS = ["pcm.wav", "wide.wav", "float.wav", "a.flac", "flac.ogg", "flac.mkv"]
# Samples in front of the recording that no header of the container tells, and at its end.
UNTOLD = {"a.aac": 1024, "aac.ts": 1024, "mp3.ts": 1105}
EXACT_END = {"opus.ogg", "vorbis.ogg", "a.mp3", "last.m4a", "first.m4a", "frag.mp4", "opus.mp4", "opus.webm", *LOSSLESS}


def demux(data, size=1_000, **params):
    return through(KIND, in_pieces(data, size), **params)


def sound_of(packets):
    return through("audio::decoder", packets)


def described(packets):
    return [(p.data, p.codec, p.meta, p.trim_end, p.lost_before) for p in packets]


@pytest.mark.parametrize("name", FILES)
def test_the_format_is_told_by_the_first_bytes_and_may_be_named(name):
    told = demux(file_of(name)).packets
    assert told
    assert described(demux(file_of(name), format=FILES[name][0]).packets) == described(told)


@pytest.mark.parametrize("name", FILES)
def test_the_size_of_the_pieces_changes_nothing(name):
    data = file_of(name)
    crumbs = through(KIND, [*in_pieces(data[:3_000], 1), *in_pieces(data[3_000:], 777)]).packets
    whole = demux(data, len(data)).packets
    if "wav" not in name:  # whose packets are as long as the pieces
        assert described(crumbs) == described(whole)
    np.testing.assert_array_equal(heard(sound_of(crumbs).packets), heard(sound_of(whole).packets))


@pytest.mark.parametrize("name", FILES)
def test_every_click_is_where_it_was(name):
    result = sound_of(demux(file_of(name)).packets)
    out, first = heard(result.packets), result.packets[0]
    rate = first.sample_rate_hz
    late = UNTOLD.get(name, 0)
    if rate == RATE:
        assert [shift_of(out, recording(), click, 1_300) for click in CLICKS] == [late] * 3
        if name in EXACT_END:
            assert len(out) == FRAMES
        elif name not in UNTOLD:
            assert FRAMES <= len(out) < FRAMES + 2_048
    else:
        assert rate == 48_000
        assert len(out) == pytest.approx(FRAMES * 48_000 / RATE, abs=1)
    assert abs(first.meta.timestamp_us) <= 1_000  # Matroska counts in milliseconds
    assert result.context.errors == 0


@pytest.mark.parametrize("name", LOSSLESS)
def test_what_is_stored_without_loss_comes_out_as_it_was(name):
    out = heard(sound_of(demux(file_of(name)).packets).packets)
    tolerance = {"float.wav": 0, "wide.wav": 1 / (1 << 23)}.get(name, 1 / (1 << 15))
    # float input that ffmpeg turned into 16 bits may have been rounded the other way
    assert np.abs(out - recording()).max() <= tolerance * 1.01


@pytest.mark.parametrize("name", [name for name in FILES if "opus" not in name])
def test_ffmpeg_decodes_the_same_samples(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(file_of(name))
    theirs = ffmpeg("-v", "error", "-i", path, "-f", "f32le", "-").stdout
    theirs = np.frombuffer(theirs, np.float32).reshape(-1, 2)
    ours = heard(sound_of(demux(file_of(name)).packets).packets)
    length = min(len(ours), len(theirs))
    assert length >= FRAMES - 1_024
    error = np.sqrt(np.mean((ours[:length] - theirs[:length]) ** 2))
    assert error < 1e-3 * np.sqrt(np.mean(theirs**2))  # -60 dB


@pytest.mark.parametrize("name", FILES)
def test_times_follow_each_other_and_add_up(name):
    packets = sound_of(demux(file_of(name)).packets).packets
    total = sum(len(packet.samples) for packet in packets)
    rate = packets[0].sample_rate_hz
    ends = [packet.meta.timestamp_us + packet.meta.duration_us for packet in packets]
    starts = [packet.meta.timestamp_us for packet in packets]
    assert starts[1:] == ends[:-1]
    assert ends[-1] - starts[0] == pytest.approx(total * 1_000_000 / rate, abs=1)


@pytest.mark.parametrize("name", [name for name in FILES if FILES[name][0] not in {"adts", "mpegts"}])
def test_comments_go_along(name):
    assert ("TITLE", "Überfahrt") in {(k.upper(), v) for k, v in demux(file_of(name)).packets[0].codec.tags}


@pytest.mark.parametrize("name", [name for name in FILES if name != "last.m4a"])
def test_packets_leave_while_the_input_is_coming(name):
    data = file_of(name)
    node = Demuxer(DemuxerConfig())
    node.prepare(FakeContext())
    early = [packet for piece in in_pieces(data[: len(data) * 9 // 10], 1_000) for packet in node.process(piece)]
    node.close()
    assert early


def test_an_mp4_with_its_index_at_the_end_is_kept_within_a_bound_and_nothing_remains(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = file_of("last.m4a")
    node = Demuxer(DemuxerConfig(spool_limit=len(data)))
    node.prepare(FakeContext())
    assert [packet for piece in in_pieces(data, 1_000) for packet in node.process(piece)] == []
    assert len(list(tmp_path.iterdir())) == 1
    assert len(list(node.finish())) == len(demux(file_of("first.m4a")).packets)
    node.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadData, match=r"index at the end and more than .*\+faststart.*spool_limit"):
        demux(data, spool_limit=len(data) - 1)


@pytest.mark.parametrize("name", ["opus.ogg", "vorbis.ogg", "flac.ogg", "a.mp3", "a.flac", "a.aac", "aac.ts"])
def test_a_second_recording_follows_the_first_and_time_goes_on(name):
    once, twice = (sound_of(demux(file_of(name) * times).packets).packets for times in (1, 2))
    length = len(heard(once))
    assert 2 * length <= len(heard(twice)) <= 2 * length + 2_600  # the padding of the second MP3 is not known
    np.testing.assert_allclose(heard(twice)[: length - 2_048], heard(once)[: length - 2_048], atol=1e-6)
    starts = [packet.meta.timestamp_us for packet in twice]
    assert starts == sorted(set(starts))
    total_us = len(heard(twice)) * 1_000_000 / twice[0].sample_rate_hz
    assert starts[-1] + twice[-1].meta.duration_us == pytest.approx(total_us, abs=50_000)


def test_aac_is_freed_from_adts_and_keeps_its_configuration():
    bare, packed = demux(file_of("first.m4a")).packets, demux(file_of("a.aac")).packets
    assert [packet.data for packet in bare] == [packet.data for packet in packed]
    assert packed[0].codec.private == bare[0].codec.private[:2] == b"\x12\x10"


@pytest.mark.parametrize("kind", ["flac", "mp3"])
@pytest.mark.parametrize(("crumbs", "size"), [(30_000, 777), (0, 999), (0, 1 << 20)])
def test_the_decoders_of_a_file_format_give_the_recording(kind, crumbs, size):
    data = file_of(f"a.{kind}")
    # Byte by byte through the header and a frame of 18 KB: each piece is a turn of two threads, all would take seconds.
    pieces = [*in_pieces(data[:crumbs], 1), *in_pieces(data[crumbs:], size)]
    result = through(f"audio::{kind}::decoder", pieces)
    assert len(heard(result.packets)) == FRAMES
    assert [shift_of(heard(result.packets), recording(), click) for click in CLICKS] == [0, 0, 0]


@pytest.mark.parametrize("kind", ["flac", "mp3"])
def test_the_decoders_of_a_file_format_take_packets_too(kind):
    packets = demux(file_of(f"a.{kind}")).packets
    assert len(heard(through(f"audio::{kind}::decoder", packets).packets)) == FRAMES
    with pytest.raises(BadData, match=f"takes {kind} and was given aac"):
        through(f"audio::{kind}::decoder", demux(file_of("a.aac")).packets)


@pytest.mark.parametrize("kind", ["audio::flac::decoder", "audio::mp3::decoder", "containers::wav::demuxer", KIND])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the input is empty"),
        (b"once upon a time, there was a file of words", r"text starting 'once upon|at byte 0"),
    ],
)
def test_what_is_no_such_file_is_named(kind, data, message):
    with pytest.raises(BadData, match=message):
        through(kind, in_pieces(data, 7) if data else [])


def test_a_wrong_format_is_refused_with_its_place():
    with pytest.raises(BadData, match=r"FFmpeg cannot read the input as webm: .*byte 1000"):
        demux(file_of("a.mp3"), format="webm")
    with pytest.raises(BadData, match="the flac input declares 0 Hz"):
        through("audio::flac::decoder", in_pieces(file_of("a.mp3"), 1_000))


def test_a_codec_that_is_not_expected_is_refused():
    with pytest.raises(BadData, match="the decoder takes mp3 and was given aac"):
        through("audio::decoder", demux(file_of("a.aac")).packets, codec="mp3")
    assert through("audio::decoder", demux(file_of("pcm.wav")).packets, codec="pcm").packets


def test_a_codec_that_is_not_supported_is_named(tmp_path):
    (tmp_path / "a.raw").write_bytes(tone(48_000, 440).tobytes())
    path = tmp_path / "a.mkv"
    ffmpeg("-f", "f32le", "-ar", 48_000, "-ac", 1, "-i", tmp_path / "a.raw", "-c:a", "ac3", path)
    with pytest.raises(BadData, match="the matroska input holds ac3; opus, aac, mp3, flac, vorbis and PCM"):
        demux(path.read_bytes())


def test_a_packet_that_cannot_be_decoded_is_silent_and_counted():
    packets = demux(file_of("first.m4a")).packets
    broken = [*packets]
    broken[50] = type(packets[50])(b"\xff" * 40, packets[50].codec, packets[50].meta)
    result = sound_of(broken)
    assert result.context.errors == 1
    assert "a packet of aac cannot be decoded and is silent" in result.context.warnings[0]
    out = heard(result.packets)
    assert len(out) == FRAMES
    assert [shift_of(out, recording(), click) for click in CLICKS] == [0, 0, 0]


def test_no_thread_remains_however_a_run_ends():
    before = threading.active_count()
    for cut in (0, 1, 500, 5_000):
        node = Demuxer(DemuxerConfig(format="webm"))
        node.prepare(FakeContext())
        for piece in in_pieces(file_of("opus.webm")[:cut], 100):
            node.process(piece)
        node.close()
        node.close()
    assert threading.active_count() == before


def test_a_stop_in_the_middle_of_the_input_is_a_warning():
    node, ctx = Demuxer(DemuxerConfig()), FakeContext()
    node.prepare(ctx)
    node.process(in_pieces(file_of("pcm.wav")[:10_001], 1 << 20)[0])
    ctx.stopping.set()
    assert list(node.finish()) == []
    node.close()
    assert ctx.warnings[0].startswith("the run was stopped, and so was the input: cut off at byte 10001")
