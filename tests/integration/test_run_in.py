"""What an encoder puts in front and behind: taken off wherever FFmpeg knows it, and left where nobody can."""

import struct

import pytest

from support.judges import JUDGES
from support.media import click_track, heard, in_pieces, shift_of, through

RATE = 44_100
FRAMES = 60_001
CLICKS = [5_000, 30_001]
MP3 = ["-c:a", "libmp3lame", "-f", "mp3"]
AAC = ["-c:a", "aac", "-b:a", "192k"]
# name: (arguments of ffmpeg, rate, samples of run-in that are heard, whether the end is exact)
TOLD = {
    "lame": ([*MP3, "-b:a", "192k"], RATE, 0, True),
    "lame-variable": ([*MP3, "-q:a", "2"], RATE, 0, True),
    "lame-mpeg-2": ([*MP3, "-b:a", "96k"], 22_050, 0, True),
    "lame-no-id3": ([*MP3, "-b:a", "192k", "-id3v2_version", "0"], RATE, 0, True),
    "edit-list": ([*AAC, "-f", "mp4"], RATE, 0, True),
    "edit-list-fragments": ([*AAC, "-movflags", "frag_keyframe+delay_moov", "-f", "mp4"], RATE, 0, True),
}
UNTOLD = {
    "mp3-without-a-tag": ([*MP3, "-b:a", "192k", "-write_xing", "0"], RATE, 1_105, False),
    "mp3-in-ts": (["-c:a", "libmp3lame", "-b:a", "192k", "-f", "mpegts"], RATE, 1_105, False),
    "adts": ([*AAC, "-f", "adts"], RATE, 1_024, False),
    "aac-in-ts": ([*AAC, "-f", "mpegts"], RATE, 1_024, False),
}
CASES = TOLD | UNTOLD


def made(tmp_path, arguments, rate, channels):
    sent = click_track(FRAMES, CLICKS, channels)
    source, path = tmp_path / "source", tmp_path / "made"
    source.write_bytes(sent.tobytes())
    raw = ("-f", "f32le", "-ar", rate, "-ac", channels, "-i", source)
    JUDGES[0].run(*raw, "-metadata", "title=x", *arguments, path)
    return sent, path


def sound_of(data):
    audio = through("audio::decoder", through("containers::demuxer", in_pieces(data, 3_000)).packets).packets
    return audio[0].meta.timestamp_us, heard(audio)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_run_in_and_padding_are_what_ffmpeg_takes_them_for(name, channels, tmp_path):
    arguments, rate, late, exact = CASES[name]
    sent, path = made(tmp_path, arguments, rate, channels)
    start_us, ours = sound_of(path.read_bytes())
    theirs = JUDGES[0].decode(path, channels)
    assert start_us == 0
    assert [shift_of(ours, sent, click, 1_300) for click in CLICKS] == [late] * len(CLICKS)
    assert [shift_of(theirs, sent, click, 1_300) for click in CLICKS] == [late] * len(CLICKS)
    assert len(ours) == FRAMES if exact else len(ours) == len(theirs)
    assert 0 <= len(theirs) - len(ours) < 1_024  # FFmpeg plays the padding of a fragmented MP4


def with_itunes_tag(data, priming, padding, frames):
    """An MP4 whose ``moov`` comes last, with the comment by which iTunes tells run-in and padding."""
    text = f" 00000000 {priming:08X} {padding:08X} {frames:016X}" + " 00000000" * 8
    mean, name = b"\0\0\0\0com.apple.iTunes", b"\0\0\0\0iTunSMPB"
    parts = [(b"mean", mean), (b"name", name), (b"data", struct.pack(">II", 1, 0) + text.encode())]
    inside = b"".join(struct.pack(">I", 8 + len(body)) + kind + body for kind, body in parts)
    comment = struct.pack(">I", 8 + len(inside)) + b"----" + inside
    at = data.index(b"ilst") + 4
    data = bytearray(data[:at] + comment + data[at:])
    for box in (b"moov", b"udta", b"meta", b"ilst"):
        start = data.rindex(box) - 4
        size = int.from_bytes(data[start : start + 4], "big") + len(comment)
        data[start : start + 4] = size.to_bytes(4, "big")
    return bytes(data)


def test_the_comment_of_itunes_tells_the_run_in_where_there_is_no_edit_list(tmp_path):
    sent, path = made(tmp_path, [*AAC, "-use_editlist", "0", "-f", "mp4"], RATE, 2)
    plain = path.read_bytes()
    tagged = with_itunes_tag(plain, 1_024, 415, FRAMES)
    for data, late in ((plain, 1_024), (tagged, 0)):
        path.write_bytes(data)
        start_us, ours = sound_of(data)
        assert start_us == 0
        assert [shift_of(ours, sent, click, 1_300) for click in CLICKS] == [late] * 2
        assert [shift_of(JUDGES[0].decode(path, 2), sent, click, 1_300) for click in CLICKS] == [late] * 2


@pytest.mark.parametrize("name", CASES)
def test_the_run_in_goes_along_into_another_container(name, tmp_path):
    arguments, rate, late, exact = CASES[name]
    sent, path = made(tmp_path, arguments, rate, 2)
    packets = through("containers::demuxer", in_pieces(path.read_bytes(), 3_000)).packets
    for mode in ("stream", "file"):
        again = through("containers::muxer", packets, format="matroska", mode=mode).packets
        _, ours = sound_of(b"".join(bytes(packet.data) for packet in again))
        assert [shift_of(ours, sent, click, 1_300) for click in CLICKS] == [late] * 2
        assert len(ours) == FRAMES or not exact
