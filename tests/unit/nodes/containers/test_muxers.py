"""The muxers of all containers: what goes in comes out, for us and for ffmpeg; and stretches that play alone."""

import io
import tempfile
import wave

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.errors import BadData, RunError
from penstock.media.probe import probe
from penstock.nodes.containers.muxer import Muxer, MuxerConfig
from penstock.nodes.containers.segments import samples_of
from penstock.nodes.containers.webm_muxer import WebmMuxer, WebmMuxerConfig
from penstock.packets import Codec, EncodedAudio, PacketMeta, replace
from penstock.testing.harness import FakeContext
from support.containers import CLICKS, FRAMES, RATE, file_of, recording
from support.media import (
    click_track,
    encode,
    ffmpeg,
    ffmpeg_facts,
    heard,
    in_pieces,
    joined,
    shift_of,
    sound_of,
    stretches,
    through,
)

KIND = "containers::muxer"
# format of the output, file that the packets come from, whether run-in and padding can be told
EXACT = [
    *[("mp4", name) for name in ("opus.webm", "first.m4a", "a.flac")],
    *[("webm", name) for name in ("opus.webm", "vorbis.ogg")],
    *[("matroska", name) for name in ("opus.webm", "first.m4a", "a.mp3", "a.flac", "vorbis.ogg")],
    *[("wav", name) for name in ("pcm.wav", "wide.wav", "float.wav")],
    ("flac", "a.flac"),
    ("ogg", "opus.webm"),
]
UNTOLD = [
    ("mpegts", "opus.webm"),
    ("mpegts", "first.m4a"),
    ("mpegts", "a.mp3"),
    ("mp3", "a.mp3"),
    ("adts", "first.m4a"),
]


def packets_of(name):
    return through("containers::demuxer", in_pieces(file_of(name), 1_000)).packets


def decoded_by_ffmpeg(data, path):
    path.write_bytes(data)
    out = ffmpeg("-v", "error", "-i", path, "-f", "f32le", "-")
    return np.frombuffer(out.stdout, np.float32).reshape(-1, 2)


@pytest.mark.parametrize(("container", "name"), EXACT)
def test_what_goes_in_comes_out(container, name, tmp_path):
    packets = packets_of(name)
    source = heard(through("audio::decoder", packets).packets)
    for mode in ("stream", "file") if container in {"mp4", "webm", "matroska"} else ("stream",):
        result = through(KIND, packets, format=container, mode=mode)
        assert result.context.warnings == []
        data = joined(result.packets)
        np.testing.assert_array_equal(sound_of(data), source)
        theirs = decoded_by_ffmpeg(data, tmp_path / "a")
        frame = 1_024 if container == "mp4" else 0  # ffmpeg decodes the padding at the end of an MP4
        assert 0 <= len(theirs) - len(source) <= frame
        if "opus" not in name:
            error = theirs[: len(source)] - source
            assert np.sqrt(np.mean(error**2)) <= 1e-3 * np.sqrt(np.mean(source**2))  # -60 dB
        assert probe(tmp_path / "a").audio.codec_name == packets[0].codec.name


@pytest.mark.parametrize(("container", "name"), UNTOLD)
def test_a_container_that_cannot_tell_run_in_and_padding_has_them_heard(container, name, tmp_path):
    packets = packets_of(name)
    data = joined(through(KIND, packets, format=container).packets)
    source = heard(through("audio::decoder", packets).packets)
    out, theirs = sound_of(data), decoded_by_ffmpeg(data, tmp_path / "a")
    assert len(out) == len(theirs)
    assert len(source) < len(out) <= len(source) + 1_105 + 1_152
    late = shift_of(out, source, CLICKS[1] if "opus" not in name else 32_654, 1_300)
    assert late == {"opus.webm": 0, "first.m4a": 1_024, "a.mp3": 1_105}[name] or name == "opus.webm"


@pytest.mark.parametrize(("container", "name"), [*EXACT, *UNTOLD])
def test_stretches_play_alone_and_together_are_the_whole(container, name, tmp_path):
    packets = packets_of(name)
    source = heard(through("audio::decoder", packets).packets)
    parts = stretches(through(KIND, packets, format=container, segment_seconds=0.4).packets)
    assert len(parts) >= 3
    sounds = [sound_of(part) for part in parts]
    for part, sound in zip(parts, sounds, strict=True):
        assert 0 <= len(decoded_by_ffmpeg(part, tmp_path / "a")) - len(sound) <= 1_024
    together = np.concatenate(sounds)
    if (container, name) in EXACT and name != "a.mp3":
        assert len(together) == len(source)
        clicks = [round(click * 48_000 / RATE) for click in CLICKS] if "opus" in name else CLICKS
        assert [shift_of(together, source, click) for click in clicks] == [0, 0, 0]
    if name in {"pcm.wav", "wide.wav", "float.wav", "a.flac", "vorbis.ogg"}:
        np.testing.assert_array_equal(together, source)
    elif "opus" in name and container != "mpegts":
        assert np.abs(together - source).max() < 0.02  # the decoder has run up


@pytest.mark.parametrize(("container", "name"), [("wav", "pcm.wav"), ("flac", "a.flac"), ("mp3", "a.mp3")])
def test_stretches_that_are_files_tell_their_own_length(container, name, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    packets = packets_of(name)
    result = through(KIND, packets, format=container, mode="file", segment_seconds=0.4)
    assert list(tmp_path.iterdir()) == []
    parts = stretches(result.packets)
    lengths = [round(probe(io.BytesIO(part)).audio.duration_s * RATE) for part in parts]
    assert lengths == [len(sound_of(part)) for part in parts]
    assert len(parts) == 4
    # The padding at the end of an MP3 can be told only beside a run-in.
    assert FRAMES <= sum(lengths) <= FRAMES + (1_152 if container == "mp3" else 0)


def test_a_click_at_the_very_start_of_a_stretch_is_heard():
    sent = click_track(48_000 * 2 - 700, [48_000 - 312 + 10])
    packets = encode(sent, bitrate=128_000)
    parts = stretches(through("containers::ogg::muxer", packets, segment_seconds=1).packets)
    sound = [sound_of(part) for part in parts]
    assert [len(part) for part in sound] == [48_000 - 312, 48_000 - 388]
    assert shift_of(np.concatenate(sound), sent, 48_000 - 312 + 10) == 0


@pytest.mark.parametrize("mode", ["live", "file"])
@pytest.mark.parametrize("channels", [1, 2])
def test_webm_is_right_to_the_sample_for_ffmpeg_too(mode, channels, tmp_path):
    sent = click_track(96_321, CLICKS, channels)
    path = tmp_path / "a.webm"
    result = through("containers::webm::muxer", encode(sent, bitrate=128_000), streaming_mode=mode)
    path.write_bytes(joined(result.packets))
    out = ffmpeg("-v", "warning", "-i", path, "-f", "f32le", "-")
    assert out.stderr == b""
    out = np.frombuffer(out.stdout, np.float32).reshape(-1, channels)
    assert len(out) == len(sent)
    assert [shift_of(out, sent, click) for click in CLICKS] == [0, 0, 0]
    if mode == "file":
        assert ffmpeg_facts(path)["duration_s"] == pytest.approx(len(sent) / 48_000, abs=0.02)
    assert {packet.content_type for packet in result.packets} == {"audio/webm"}


def test_clusters_leave_while_the_input_is_coming():
    node = WebmMuxer(WebmMuxerConfig(cluster_duration_ms=100))
    node.prepare(FakeContext())
    held = most = 0
    for packet in encode(click_track(240_000, []), complexity=0):
        held = 0 if node.process(packet) else held + 1
        most = max(most, held)
    node.close()
    assert most <= 6


def test_a_webm_file_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for ended in (True, False):
        node = WebmMuxer(WebmMuxerConfig(streaming_mode="file"))
        node.prepare(FakeContext())
        assert [node.process(packet) for packet in encode(click_track(9_600, []))] == [[]] * 11
        assert len(list(tmp_path.iterdir())) == 1
        if ended:
            assert sum(len(piece.data) for piece in node.finish()) > 1_000
        node.close()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("container", "name"), [("wav", "pcm.wav"), ("flac", "a.flac"), ("mp3", "a.mp3")])
def test_a_plain_file_leaves_nothing_behind(container, name, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for ended in (True, False):
        node = Muxer(MuxerConfig(format=container, mode="file"))
        node.prepare(FakeContext())
        assert all(node.process(packet) == [] for packet in packets_of(name))
        assert len(list(tmp_path.iterdir())) == 1
        if ended:
            assert len(b"".join(bytes(piece.data) for piece in node.finish())) > 10_000
        node.close()
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(RunError, match=rf"the {container.upper()} file cannot be written in .*TMPDIR moves it"):
        through(KIND, packets_of(name), format=container, mode="file")


def test_lost_packets_are_replaced_in_webm():
    packets = encode(click_track(96_000, []))
    data = joined(through("containers::webm::muxer", [*packets[:40], *packets[44:]]).packets)
    assert len(sound_of(data)) == 96_000


def test_a_wav_with_its_sizes_is_read_by_the_standard_library(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(joined(through(KIND, packets_of("pcm.wav"), format="wav", mode="file").packets))
    with wave.open(str(path)) as file:
        assert file.getnframes() == FRAMES
        samples = np.frombuffer(file.readframes(FRAMES), "<i2").reshape(-1, 2) / 32_768
    assert np.abs(samples - recording()).max() < 1 / 32_000


def test_what_a_container_cannot_hold_is_refused_with_the_way_out():
    for container, message in (("webm", "webm container holds opus, vorbis and was given aac"), ("wav", "holds pcm")):
        with pytest.raises(BadData, match=f"{message}.*encode it before"):
            through(KIND, packets_of("first.m4a"), format=container)
    with pytest.raises(BadData, match="takes Opus or Vorbis and was given aac"):
        through("containers::webm::muxer", packets_of("first.m4a"))
    with pytest.raises(BadData, match="audio_codec is opus and the input is aac"):
        through("containers::mp4::muxer", packets_of("first.m4a"), audio_codec="opus")


def test_a_second_stream_begins_a_container_of_its_own_only_if_it_may():
    packets = [*encode(click_track(9_600, [])), *encode(click_track(9_600, []))]
    with pytest.raises(BadData, match=r"a second stream begins.*set segment_seconds"):
        through("containers::webm::muxer", packets)
    parts = stretches(through("containers::webm::muxer", packets, segment_seconds=60).packets)
    assert [len(sound_of(part)) for part in parts] == [9_600, 9_600]


@pytest.mark.parametrize("container", ["mp4", "webm", "matroska", "ogg"])
@pytest.mark.parametrize("seconds", [0, 0.5])
def test_opus_of_a_network_transport_needs_no_header(container, seconds):
    packets = encode(click_track(96_000, [30_000]))
    bare = Codec("opus", 0, 2)
    live = [replace(packet, codec=bare) for packet in packets]
    parts = stretches(through(KIND, live, format=container, segment_seconds=seconds).packets)
    assert len(parts) == (5 if seconds else 1)
    assert sum(len(sound_of(part)) for part in parts) == 96_000 + 312  # what the header would have told


@pytest.mark.parametrize("container", ["ogg", "mpegts", "adts"])
def test_only_containers_that_have_more_to_tell_have_a_file_mode(container):
    MuxerConfig(format="mp4", mode="file")
    with pytest.raises(ValidationError, match=f"mode must be stream: {container} has nothing that a file would add"):
        MuxerConfig(format=container, mode="file")


@pytest.mark.parametrize(
    "params", [{"video_width": 640}, {"video_height": 1}, {"channels": 3}, {"streaming_mode": "x"}]
)
def test_webm_parameters_that_are_not_supported_are_refused(params):
    with pytest.raises(ValidationError):
        WebmMuxerConfig.model_validate(params)


def test_declarations_that_do_not_fit_are_warnings():
    result = through("containers::webm::muxer", encode(click_track(960, [], 1)), channels=2, sample_rate=44_100)
    assert result.context.warnings == [
        "channels is 2, but the stream has 1 and stays so",
        "sample_rate is 44100, but the stream has 48000 and stays so",
    ]


@pytest.mark.parametrize(("container", "name"), EXACT)
def test_ffmpeg_and_our_probe_agree(container, name, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(joined(through(KIND, packets_of(name), format=container).packets))
    theirs = ffmpeg("-i", path, "-f", "null", "-").stderr.decode()
    theirs = next(line for line in theirs.splitlines() if "Stream #0:0" in line)
    ours = probe(path).audio
    for fact in (f"Audio: {ours.codec_name}", f"{ours.sample_rate} Hz", "stereo" if ours.channels == 2 else "?"):
        assert fact in theirs


def test_without_packets_there_is_no_output_and_a_warning():
    for kind, params in (("containers::webm::muxer", {}), (KIND, {"format": "flac"})):
        result = through(kind, [], **params)
        assert result.packets == []
        assert "no packet arrived" in result.context.warnings[0]


def test_the_run_in_of_opus_is_told_beside_its_header_where_players_look():
    packets = encode(click_track(9_600, []))
    told = bytes.fromhex("56aa83") + (312 * 1_000_000_000 // 48_000).to_bytes(3, "big")  # CodecDelay (RFC 9559)
    for container, mode in (("webm", "stream"), ("webm", "file"), ("matroska", "stream"), ("matroska", "file")):
        assert joined(through(KIND, packets, format=container, mode=mode).packets).count(told) == 1
    data = joined(through(KIND, packets, format="mpegts").packets)
    # The control header of Opus in MPEG-TS: mark and flags, the size of the packet, then how much to trim at its start.
    head = data.index(b"\x7f\xf0") + 2
    while data[head] == 0xFF:
        head += 1
    assert int.from_bytes(data[head + 1 : head + 3], "big") == 312
    assert data.index(b"\x7f\xe8") > head  # trimmed at the end


@pytest.mark.parametrize(("duration_us", "samples"), [(None, 1_024), (21_333, 1_024), (42_667, 2_048), (30_000, 1_024)])
def test_a_frame_of_aac_is_as_long_as_it_says_if_there_are_such(duration_us, samples):
    codec = Codec("aac", 48_000, 2, b"\x11\x90")
    assert samples_of(EncodedAudio(b"x", codec, PacketMeta(0, duration_us))) == samples
