import os
import resource
import shutil
import stat
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from penstock.errors import ConfigurationError, StoreError, StoreFull
from penstock.nodes.files.atomic import AtomicFile

KIB = 1 << 10


@contextmanager
def greatest_file_size(size: int):
    """The kernel refuses to let any file of this process grow beyond ``size``: the nearest thing to a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def is_device(path):
    return stat.S_ISCHR(Path(path).stat().st_mode)


async def write(path, *steps):
    """Write pieces one by one, and call what can be called, inside the block."""
    async with AtomicFile(path, gather_bytes=1) as out:
        for step in steps:
            step() if callable(step) else await out.write([step])


def fail():
    raise ZeroDivisionError


async def test_the_file_appears_whole_at_the_commit_and_not_before(tmp_path):
    target = tmp_path / "take.ogg"
    async with AtomicFile(target, gather_bytes=4) as out:
        await out.write([b"ab", memoryview(b"cdef")])
        assert not target.exists()
        assert len(names(tmp_path)) == 1  # the temporary file
        await out.write([bytearray(b"g")])
    assert target.read_bytes() == b"abcdefg"
    assert names(tmp_path) == ["take.ogg"]
    assert out.accepted == 7


@pytest.mark.parametrize("size", [7, 8, 9])
async def test_pieces_are_gathered_up_to_n_minus_one_n_and_n_plus_one(tmp_path, size):
    async with AtomicFile(tmp_path / "a", gather_bytes=8) as out:
        await out.write([b"x"] * size)
        on_disk = next(tmp_path.iterdir()).stat().st_size
        assert on_disk == (0 if size < 8 else size)


async def test_an_exception_leaves_nothing_and_an_earlier_file_as_it_was(tmp_path):
    target = tmp_path / "take.ogg"
    target.write_bytes(b"earlier")
    with pytest.raises(ZeroDivisionError):
        await write(target, b"later", fail)
    assert target.read_bytes() == b"earlier"
    assert names(tmp_path) == ["take.ogg"]


async def test_a_cancel_leaves_nothing(tmp_path):
    async with anyio.create_task_group() as tasks, AtomicFile(tmp_path / "a", gather_bytes=1) as out:
        await out.write([b"x"])
        tasks.cancel_scope.cancel()
        await anyio.sleep_forever()
    assert names(tmp_path) == []


async def test_discard_after_commit_and_twice_does_nothing(tmp_path):
    out = AtomicFile(tmp_path / "a")
    await out.open()
    await out.write([b"x"])
    await out.commit()
    await out.discard()
    await out.discard()
    assert (tmp_path / "a").read_bytes() == b"x"


async def test_writing_or_committing_what_is_not_open_is_a_mistake_that_is_told(tmp_path):
    out = AtomicFile(tmp_path / "a", gather_bytes=1)
    with pytest.raises(ValueError, match="not open"):
        await out.write([b"x"])
    await out.open()
    await out.discard()
    with pytest.raises(ValueError, match="not open"):
        await out.commit()


async def test_nothing_written_is_an_empty_file(tmp_path):
    async with AtomicFile(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_bytes() == b""


async def test_a_replaced_file_keeps_its_mode_and_a_new_one_takes_the_umask(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch()
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        for path in (old, new):
            async with AtomicFile(path) as out:
                await out.write([b"x"])
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, new)] == [0o640, 0o640]


async def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real/file")
    for content in (b"dangling at first", b"then replaced"):
        async with AtomicFile(link) as out:
            await out.write([content])
        assert link.is_symlink()
        assert (tmp_path / "real" / "file").read_bytes() == content


async def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    for name in ("x" * 255, "é" * 127, "🎤" * 63):
        async with AtomicFile(tmp_path / name):
            pass
        assert (tmp_path / name).exists()


@pytest.mark.parametrize("size", [64 * KIB - 1, 64 * KIB, 64 * KIB + 1])
async def test_a_file_that_may_not_grow_is_a_clear_error_and_leaves_nothing(tmp_path, size):
    target = tmp_path / "a"
    with greatest_file_size(64 * KIB):
        if size <= 64 * KIB:
            await write(target, bytes(size))
            assert target.stat().st_size == size
            return
        with pytest.raises(StoreFull, match=r"write '.*/a': File too large after 10 bytes"):
            await write(target, bytes(10), bytes(size - 10))
    assert names(tmp_path) == []


async def test_a_full_device_is_a_clear_error():
    with pytest.raises(StoreFull, match="write '/dev/full': No space left on device"):
        await write("/dev/full", b"x")


async def test_a_device_is_written_in_place_and_stays():
    async with AtomicFile("/dev/null") as out:
        await out.write([bytes(KIB)])
    assert is_device("/dev/null")


async def test_a_fifo_is_waited_for_written_as_it_comes_and_ended(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    payload = os.urandom(300 * KIB)  # several times what a pipe holds

    async def write():
        async with AtomicFile(fifo) as out:
            await out.write([payload])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        assert await to_thread.run_sync(fifo.read_bytes) == payload
    assert stat.S_ISFIFO(fifo.stat().st_mode)


async def test_a_fifo_that_nobody_reads_can_be_cancelled(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with anyio.move_on_after(0.1) as scope:
        async with AtomicFile(fifo) as out:
            await out.write([b"x"])
    assert scope.cancelled_caught


async def test_a_fifo_whose_reader_stands_still_can_be_cancelled(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with anyio.move_on_after(0.1) as scope:
            async with AtomicFile(fifo) as out:
                await out.write([bytes(300 * KIB)])
        assert scope.cancelled_caught
    finally:
        os.close(reader)


async def test_a_fifo_whose_reader_leaves_is_an_error(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(StoreError, match="Broken pipe"):
        await write(fifo, b"x", lambda: os.close(reader), b"y")


async def test_a_commit_whose_directory_is_gone_fails(tmp_path):
    directory = tmp_path / "d"
    directory.mkdir()
    with pytest.raises(StoreError, match=r"commit '.*d/a': No such file or directory"):
        await write(directory / "a", b"x", lambda: shutil.rmtree(directory))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is a directory"),
        ("no/such/file", "there is no directory '.*no/such'"),
        ("plain/file", "cannot be opened: Not a directory"),
        ("x" * 256, "cannot be opened: File name too long"),
    ],
)
async def test_a_path_that_cannot_be_written_is_said_at_once(tmp_path, path, reason):
    (tmp_path / "plain").touch()
    with pytest.raises(ConfigurationError, match=reason):
        await AtomicFile(tmp_path / path).open()
    assert names(tmp_path) == ["plain"]


async def test_a_directory_that_takes_no_files_is_said_at_once():
    with pytest.raises(ConfigurationError, match="/proc/sys/kernel/x"):
        await AtomicFile("/proc/sys/kernel/x").open()
