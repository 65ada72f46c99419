"""A recording that is cut into objects at boundaries: every object plays alone, and together they are the recording."""

import numpy as np
import pytest

from penstock.media.probe import probe
from penstock.testing import run_node
from support.media import click_track, encode, ffmpeg, in_pieces, shift_of, through

CLICKS = [3_000, 61_000, 140_000]


@pytest.mark.parametrize(
    ("kind", "params", "extension"),
    [
        ("containers::ogg::muxer", {"page_duration_ms": 200}, "ogg"),
        ("containers::mp4::muxer", {"mode": "stream", "frag_duration_ms": 200}, "mp4"),
        ("containers::mp4::muxer", {"mode": "file"}, "mp4"),
        ("containers::webm::muxer", {"streaming_mode": "live"}, "webm"),
        ("containers::webm::muxer", {"streaming_mode": "file"}, "webm"),
        ("containers::muxer", {"format": "matroska"}, "mkv"),
    ],
)
async def test_objects_cut_at_boundaries_play_alone_and_make_the_whole(kind, params, extension, tmp_path):
    sent = click_track(192_000, CLICKS)
    muxed = through(kind, encode(sent, bitrate=128_000), segment_seconds=1, **params).packets
    (tmp_path / "takes").mkdir()
    await run_node(
        "core::object_store_writer",
        muxed,
        endpoint=tmp_path.as_uri(),
        bucket="takes",
        key="{seq:03d}." + extension,
        rotate={"bytes": "1 KiB", "at": "boundary"},
    )
    objects = sorted((tmp_path / "takes").glob(f"*.{extension}"))
    assert len(objects) in {4, 5}
    sounds = []
    for path in objects:
        assert probe(path, decode=True).audio.errors == 0
        out = ffmpeg("-v", "error", "-i", path, "-f", "f32le", "-")
        assert out.stderr == b""
        theirs = np.frombuffer(out.stdout, np.float32).reshape(-1, 2)
        packets = through("containers::demuxer", in_pieces(path.read_bytes(), 10_000)).packets
        ours = np.concatenate([one.samples for one in through("audio::decoder", packets).packets])
        assert 0 <= len(theirs) - len(ours) < 960  # ffmpeg decodes the padding at the end of an MP4
        sounds.append(theirs[: len(ours)])
    together = np.concatenate(sounds)
    assert len(together) == len(sent)
    assert [shift_of(together, sent, click) for click in CLICKS] == [0, 0, 0]
