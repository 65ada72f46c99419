"""How bytes begin tells what they are, to the nodes and to the person."""

import pytest

from penstock.media.formats import FORMATS, TELLING_BYTES, detect, sniff


@pytest.mark.parametrize(
    ("opening", "name", "words"),
    [
        (b"OggS\0\2", "ogg", "Ogg"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "wav", "RIFF/WAV"),
        (b"RIFF\x24\0\0\0AVI LIST", None, "RIFF"),
        (b"fLaC\0\0\0\x22", "flac", "FLAC"),
        (b"ID3\4\0", "mp3", "MP3 (an ID3 tag)"),
        (b"\x1aE\xdf\xa3", "matroska", "WebM or Matroska"),
        (b"\0\0\0\x18ftypisom", "mp4", "MP4"),
        (b"\0\0\0\x18stypmsdh", "mp4", "MP4"),
        (b"\0\0\1\0moof", "mp4", "MP4"),
        (b"\0\0\1\0moov", "mp4", "MP4"),
        (b"\xff\xfb\x90\0", "mp3", "MP3 or AAC (an MPEG frame)"),
        (b"\xff\xf1\x50\x80", "adts", "MP3 or AAC (an MPEG frame)"),
        (b"\x1f\x8b\x08", None, "gzip"),
        (b"PK\3\4", None, "a ZIP archive"),
        (b"hello", None, "text starting 'hello'"),
    ],
)
def test_what_bytes_are_is_told_by_their_beginning(opening, name, words):
    assert detect(opening) == name
    assert name is None or name in FORMATS
    assert sniff(opening) == f"this is {words}"


@pytest.mark.parametrize("short", [0, 1])
def test_a_transport_stream_is_known_by_the_marks_of_two_packets(short):
    stream = (b"G" + bytes(187)) * 2
    assert detect(stream[: TELLING_BYTES - short]) == (None if short else "mpegts")


def test_bytes_that_nobody_knows_are_shown():
    assert detect(b"\x01\x02") is None
    assert sniff(b"\x01\x02") == "the bytes 01 02 stand"
