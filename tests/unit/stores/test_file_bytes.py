"""Bytes that lie in a file: a view as any other, from which the file is found only when it is all of it."""

import errno
import os
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock.errors import SpoolError
from penstock.stores.checksums import CHOICES, checksum_of, crc_of
from penstock.stores.file_bytes import file_behind, file_view, in_steps

DATA = random.Random(5).randbytes(40_000)


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "bytes"
    made.write_bytes(DATA)
    return made


def descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(("start", "size"), [(0, 1), (0, 40_000), (4096, 35_904), (4096, 4097), (100, 5000)])
def test_a_view_is_the_bytes_of_the_file(path, start, size):
    with file_view(path, start, size) as view:
        assert bytes(view) == DATA[start : start + size]
        assert b"".join(map(bytes, in_steps(view, 1000))) == bytes(view)


def test_the_file_is_found_behind_a_whole_view_alone(path):
    with file_view(path, 4096, 8192) as view, ExitStack() as stack:
        assert file_behind(view).start == 4096
        parts = [view[1:], view[:-1], view[::-1], view[::2], view.cast("H")[1:], memoryview(bytes(8192))]
        for part in parts:
            stack.enter_context(part)
            assert file_behind(part) is None
        assert file_behind(stack.enter_context(view[:])).descriptor == file_behind(view).descriptor
    assert file_behind(b"bytes") is file_behind(bytearray(2)) is None


def test_a_view_that_does_not_begin_with_a_page_is_no_whole_one(path):
    with file_view(path, 4097, 100) as view:
        assert file_behind(view) is None
        assert bytes(view) == DATA[4097:4197]


@pytest.mark.parametrize("step", [9_999, 10_000, 10_001, 20_000, 3333])
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_steps_are_the_piece_again(step, wrap):
    steps = [bytes(part) for part in in_steps(wrap(DATA[:10_000]), step)]
    assert b"".join(steps) == DATA[:10_000]
    assert [len(one) for one in steps[:-1]] == [step] * (len(steps) - 1)


@pytest.mark.parametrize("algorithm", CHOICES)
def test_a_checksum_of_a_file_is_that_of_its_bytes(path, algorithm):
    with file_view(path, 4096, 35_904) as view:
        assert checksum_of(algorithm, [b"a", view]) == checksum_of(algorithm, [b"a" + DATA[4096:]])
        if algorithm != "md5":
            assert crc_of(algorithm, [view]) == crc_of(algorithm, [DATA[4096:]])


def test_a_file_that_is_too_short_has_no_view(path):
    before = descriptors()
    with pytest.raises(ValueError, match="greater than file size"), file_view(path, 4096, 35_905):
        pass
    assert descriptors() == before


def test_a_file_that_is_cut_off_meanwhile_is_named(path):
    with file_view(path, 4096, 30_000) as view:
        os.truncate(path, 10_000)
        with pytest.raises(SpoolError, match="bytes is cut off at byte 10000"):
            list(in_steps(view))


def test_a_disk_that_fails_is_an_error_and_not_the_end_of_the_process(path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", fail)
    with file_view(path, 4096, 30_000) as view, pytest.raises(SpoolError, match="cannot be read: Input/output"):
        list(in_steps(view))


def test_the_file_is_open_as_long_as_somebody_looks_at_it(path):
    before = descriptors()
    with file_view(path, 0, 5000) as view:
        other = view[:]
    assert bytes(other) == DATA[:5000]
    assert descriptors() > before
    other.release()
    del other, view
    assert descriptors() == before
