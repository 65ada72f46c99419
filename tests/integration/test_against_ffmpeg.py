"""Whole conversions beside ffmpeg's own of the same input: the sound is the same, to -60 dB or closer."""

import numpy as np
import pytest

from support.containers import FILES, file_of
from support.judges import JUDGES
from support.media import audio_packets, click_track, heard, in_pieces, joined, through, tone

RATE = 48_000
FRAMES = 60_001
SAME_DB = -60
NEWER_DB = -25
"""The encoders of the wheel are a release of their own: theirs and ours are both this far from the recording."""

CONVERSIONS = {  # codec: our parameters, ffmpeg's, container, and how near the two must be
    "opus": ({"bitrate": 128_000}, ["-c:a", "libopus", "-b:a", "128k", "-vbr", "constrained"], "ogg", SAME_DB),
    "aac": ({"bitrate": 192_000}, ["-c:a", "aac", "-b:a", "192k"], "mp4", SAME_DB),
    "mp3": ({"bitrate": 192_000}, ["-c:a", "libmp3lame", "-b:a", "192k"], "mp3", SAME_DB),
    "flac": ({}, ["-c:a", "flac", "-sample_fmt", "s16"], "flac", -150),
    "pcm": ({"sample_format": "s24"}, ["-c:a", "pcm_s24le"], "wav", -120),
}


def difference_db(ours, theirs):
    return 20 * np.log10(np.sqrt(np.mean((ours - theirs) ** 2)) / np.sqrt(np.mean(theirs**2)) + 1e-9)


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)
@pytest.mark.parametrize("codec", CONVERSIONS)
def test_a_conversion_sounds_like_that_of_ffmpeg(codec, judge, tmp_path):
    params, theirs, container, limit = CONVERSIONS[codec]
    sent = tone(FRAMES, 440, channels=2, level=0.3) + 0.3 * click_track(FRAMES, [20_000, 50_000])
    mode = "file" if container in {"mp4", "mp3"} else "stream"
    packets = through("audio::encoder", audio_packets(sent, 1_000), codec=codec, **params).packets
    (tmp_path / "ours").write_bytes(joined(through("containers::muxer", packets, format=container, mode=mode).packets))
    (tmp_path / "source").write_bytes(sent.tobytes())
    raw = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", tmp_path / "source")
    judge.run(*raw, *theirs, "-f", container, tmp_path / "theirs")
    ours, theirs = judge.decode(tmp_path / "ours", 2), judge.decode(tmp_path / "theirs", 2)
    assert len(ours) == len(theirs)
    lossy = limit == SAME_DB
    assert difference_db(ours, theirs) <= (NEWER_DB if lossy and judge.name == "wheel" else limit)
    assert not lossy or difference_db(ours[:FRAMES], sent) < NEWER_DB


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)
@pytest.mark.parametrize("name", FILES)
def test_what_is_decoded_of_a_file_is_what_ffmpeg_decodes(name, judge, tmp_path):
    """Opus by the same library: FFmpeg has a decoder of its own, 50 dB from libopus in a click."""
    path = tmp_path / name
    path.write_bytes(file_of(name))
    packets = through("containers::demuxer", in_pieces(file_of(name), 1_000)).packets
    ours = heard(through("audio::decoder", packets).packets)
    theirs = judge.decode(path, 2, *(["-c:a", "libopus"] if "opus" in name else []))
    # Older releases leave the run-in in where a fragmented MP4 or Matroska tells it, all play the padding of an MP4.
    run_in = 1_024 if name in {"frag.mp4", "aac.mkv"} and len(theirs) - len(ours) >= 1_024 else 0
    theirs = theirs[run_in:]
    assert 0 <= len(theirs) - len(ours) <= (1_024 if FILES[name][0] == "mp4" else 0)
    assert difference_db(ours, theirs[: len(ours)]) <= (SAME_DB if "opus" in name else -120)
