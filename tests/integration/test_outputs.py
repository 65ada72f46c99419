"""Everything that our muxers can write, judged by FFmpeg: what it is, how long, what is heard and when.

Each pair of container and codec is read by the judges of ``support.judges``, by ``penstock inspect`` and by our own
demuxer. The sound is a click track, and what counts is where the clicks are, to the sample.
"""

import json
from functools import cache
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

from penstock.cli import app
from penstock.nodes.containers.muxer import _FILES, _HOLDS, MuxerConfig
from penstock.nodes.containers.segments import samples_of
from penstock.packets import replace
from support.judges import JUDGES
from support.media import audio_packets, click_track, encode, heard, in_pieces, joined, shift_of, through

RATE = 48_000
FRAMES = 96_321  # a length that no codec's frame divides
CLICKS = [3_000, 40_001, 90_000]
TAGS = (("TITLE", "Überfahrt"), ("ARTIST", "Ann Bo"), ("COMMENT", "x=y"), ("DATE", "2026"), ("GENRE", "Folk"))
PCM = ("pcm_s16", "pcm_s24", "pcm_s32", "pcm_f32")
CODECS = _HOLDS | {"ogg": ("opus",), "wav": PCM, "flac": ("flac",), "mp3": ("mp3",), "adts": ("aac",)}
OUTPUTS = [
    (container, codec, mode)
    for container, codecs in CODECS.items()
    for codec in codecs
    for mode in (("stream", "file") if container in _FILES else ("stream",))
]
NO_TAGS = {"mpegts", "adts"}
# Containers that have no way to tell run-in and padding, so that every reader plays both.
UNTOLD = {("mpegts", codec, "stream") for codec in CODECS["mpegts"]} | {
    ("adts", "aac", "stream"),
    ("mp3", "mp3", "stream"),
}
# What is told, and older releases of FFmpeg leave in: there the run-in has times before the start.
NEGATIVE = {
    ("mp4", "aac", "stream"),
    *[("matroska", codec, mode) for codec in ("aac", "mp3") for mode in ("stream", "file")],
}


@cache
def sent():
    return click_track(FRAMES, CLICKS)


@cache
def packets_of(codec):
    """The click track in a codec; Vorbis is encoded by FFmpeg."""
    if codec == "opus":
        packets = encode(sent(), bitrate=128_000)
    elif codec == "vorbis":
        made = JUDGES[0].encode(sent(), RATE, "-c:a", "libvorbis", "-q:a", 8, "-f", "ogg")
        packets = through("containers::demuxer", in_pieces(made, 1_000)).packets
    else:
        name, _, form = codec.partition("_")
        params = {"sample_format": form} if form else {"bitrate": 192_000} if name != "flac" else {}
        packets = through("audio::encoder", audio_packets(sent(), 1_000), codec=name, **params).packets
    told = replace(packets[0].codec, tags=TAGS)
    return [replace(packet, codec=told) for packet in packets]


@cache
def bytes_of(container, codec, mode):
    return joined(through("containers::muxer", packets_of(codec), format=container, mode=mode).packets)


@pytest.fixture
def written(request, tmp_path):
    path = tmp_path / "-".join(request.param)
    path.write_bytes(bytes_of(*request.param))
    return path, *request.param


def run_in_of(codec):
    """Samples that the codec puts in front, and all that its packets hold."""
    packets = packets_of(codec)
    total = sum(samples_of(packet) for packet in packets)
    delay = 312 if codec == "opus" else packets[0].codec.delay
    return delay, total


def inspected(path):
    ran = CliRunner().invoke(app, ["inspect", str(path), "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)["media"]


every_output = pytest.mark.parametrize("written", OUTPUTS, indirect=True, ids="-".join)
every_judge = pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)


@pytest.mark.parametrize("mode", ["stream", "file"])
def test_inspect_says_how_long_the_sound_is_where_the_container_does_not(mode, tmp_path):
    path = tmp_path / "a.flac"
    path.write_bytes(bytes_of("flac", "flac", mode))
    page = CliRunner().invoke(app, ["inspect", str(path)]).stdout
    told = "2.007 s" if mode == "file" else "not told by the container"
    assert f"duration   {told}\n" in page
    assert "flac, 48000 Hz, stereo, 96321 samples decoded, 2.007 s\n" in page


def test_every_container_is_here():
    assert set(CODECS) == set(get_args(MuxerConfig.model_fields["format"].annotation))


@every_judge
@every_output
def test_ffmpeg_and_inspect_agree_on_what_was_written(written, judge):
    path, container, codec, mode = written
    theirs = judge.facts(path)
    media = inspected(path)
    ours = media["streams"][0]
    assert (theirs.codec, theirs.sample_rate, theirs.channels) == (
        ours["codec_name"],
        ours["sample_rate"],
        ours["channels"],
    )
    assert (ours["codec_name"].partition("_")[0], ours["sample_rate"]) == (codec.partition("_")[0], RATE)
    if container not in NO_TAGS:
        told = {name.lower(): value for name, value in TAGS}
        assert told.items() <= theirs.tags.items()
        assert told.items() <= dict((*media["tags"], *ours["tags"])).items()
    _, total = run_in_of(codec)
    frame = max(samples_of(packet) for packet in packets_of(codec))
    for duration in (theirs.duration_s, media["duration_s"]):
        if duration is None:  # a stream whose length nobody knew when its header left
            assert mode == "stream"
            assert container in {"webm", "matroska", "flac"}
        elif (container, codec, mode) == ("matroska", "mp3", "stream"):  # FFmpeg guesses by the bit rate
            assert duration * RATE == pytest.approx(total, rel=0.02)
        else:  # of what is heard, or with run-in and padding
            assert FRAMES - frame <= duration * RATE <= total + frame


@every_judge
@every_output
def test_every_click_is_heard_where_it_was(written, judge):
    path, container, codec, mode = written
    output = (container, codec, mode)
    out = judge.decode(path, 2)
    delay, total = run_in_of(codec)
    late = [shift_of(out, sent(), click, 1_300) for click in CLICKS]
    if output in UNTOLD:
        assert (late, len(out)) == ([delay] * 3, total)
    elif output in NEGATIVE and late[0]:
        assert late == [delay] * 3
        assert judge.facts(path).start_s == pytest.approx(-delay / RATE, abs=1e-3)
    else:
        assert late == [0, 0, 0]
        # Of the padding at the end of an MP4 FFmpeg plays what is left of the last packet.
        assert 0 <= len(out) - FRAMES <= (total - delay - FRAMES if container == "mp4" else 0)


@every_output
def test_our_demuxer_hears_every_click_where_it_was(written):
    _, container, codec, mode = written
    packets = through("containers::demuxer", in_pieces(written[0].read_bytes(), 999)).packets
    out = heard(through("audio::decoder", packets).packets)
    delay, total = run_in_of(codec)
    untold = (container, codec, mode) in UNTOLD
    assert [shift_of(out, sent(), click, 1_300) for click in CLICKS] == [delay if untold else 0] * 3
    assert len(out) == (total if untold else FRAMES)
    direct = heard(through("audio::decoder", packets_of(codec)).packets)
    direct = heard(through("audio::decoder", packets_of(codec)).packets)
    np.testing.assert_array_equal(out[delay:][:FRAMES] if untold else out, direct)
    tags = {(name.upper(), value) for name, value in packets[0].codec.tags}
    assert container in NO_TAGS or set(TAGS) <= tags


@pytest.mark.parametrize("output", [one for one in OUTPUTS if one[1] not in {"opus", "vorbis"}], ids="-".join)
def test_mono_at_another_rate_is_right_as_well(output, tmp_path):
    container, codec, mode = output
    mono, rate = click_track(50_001, CLICKS[:2], 1), 44_100
    name, _, form = codec.partition("_")
    params = {"sample_format": form} if form else {}
    packets = through("audio::encoder", audio_packets(mono, 1_000, rate), codec=name, **params).packets
    path = tmp_path / "a"
    path.write_bytes(joined(through("containers::muxer", packets, format=container, mode=mode).packets))
    facts = JUDGES[0].facts(path)
    assert (facts.codec.partition("_")[0], facts.sample_rate, facts.channels) == (name, rate, 1)
    out = JUDGES[0].decode(path, 1)
    untold, delay = output in UNTOLD, packets[0].codec.delay
    assert [shift_of(out, mono, click, 1_300) for click in CLICKS[:2]] == [delay if untold else 0] * 2
    assert 0 <= len(out) - len(mono) <= (delay + 1_152 if untold else 1_024 if container == "mp4" else 0)
