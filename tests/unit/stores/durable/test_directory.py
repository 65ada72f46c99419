"""The state directory: who owns an upload, what is cleared away, and what is not."""

import os
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from penstock.errors import ConfigurationError
from penstock.stores.durable import StateDirectory
from penstock.stores.durable.directory import LEFT_S, default_state_directory
from penstock.stores.durable.lines import Journal
from penstock.stores.durable.locks import Lock
from penstock.stores.durable.record import UploadRecord
from support.spools import new_record

TAKE = """
import sys
from pathlib import Path
from penstock.stores.durable.directory import StateDirectory
lock = StateDirectory(sys.argv[1]).take(Path(sys.argv[1]) / "uploads" / sys.argv[2])
print("none" if lock is None else "taken", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path / "state")


def other_process(state, token="t"):
    """A process that tries to take an upload, says whether it has, and holds it until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", TAKE, state.path, token], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_new_upload_has_a_lock_a_record_and_a_journal(state):
    lock = state.add(new_record())
    assert lock.directory == state.uploads / "t"
    assert names(lock.directory) == ["journal", "lock", "upload.json"]
    assert UploadRecord.read(lock.directory) == new_record(created=UploadRecord.read(lock.directory).created)
    assert Journal.read(lock.directory / "journal")[1] == []


def test_nobody_else_may_look_inside(state):
    before = os.umask(0)
    try:
        lock = state.add(new_record())
        modes = {path.name: path.stat().st_mode & 0o777 for path in (lock.directory, *lock.directory.iterdir())}
        assert modes == {"t": 0o700, "lock": 0o600, "upload.json": 0o600, "journal": 0o600}
        aside = state.set_aside(lock, "damaged")
        assert (aside / "reason.txt").stat().st_mode & 0o777 == 0o600
        assert {path.stat().st_mode & 0o777 for path in (state.uploads, state.aside)} == {0o700}
    finally:
        os.umask(before)


def test_an_upload_has_one_owner_in_one_process(state):
    lock = state.add(new_record())
    assert state.take(lock.directory) is None
    lock.release()
    lock.release()
    again = state.take(lock.directory)
    assert again is not None
    again.release()


def test_an_upload_has_one_owner_among_processes_until_that_ends(state):
    directory = state.add(new_record()).directory  # the lock is let go, as nothing holds it
    with other_process(state) as owner, other_process(state) as late:
        answers = [owner.stdout.readline(), late.stdout.readline()]
        assert sorted(answers) == ["none\n", "taken\n"]
        assert state.take(directory) is None
        owner.kill()
        late.kill()
    lock = state.take(directory)
    assert lock is not None
    lock.release()


def test_an_upload_that_was_removed_meanwhile_cannot_be_taken(state, monkeypatch):
    lock = state.add(new_record())
    directory = lock.directory
    opened = os.open

    def remove_then_open(path, *args, **kwargs):
        descriptor = opened(path, *args, **kwargs)
        if str(path).endswith("t/lock"):
            monkeypatch.undo()
            state.remove(lock)
        return descriptor

    monkeypatch.setattr(os, "open", remove_then_open)
    assert Lock.take(directory) is None
    assert not directory.exists()


def test_a_directory_that_is_gone_cannot_be_taken(state):
    assert state.take(state.uploads / "nothing") is None
    assert Lock.take(state.uploads / "nothing") is None


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")
def test_a_lock_that_cannot_be_taken_for_another_reason_is_an_error_and_leaks_nothing(state, monkeypatch):
    directory = state.add(new_record()).directory
    before = open_files()

    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="No locks available"):
        state.take(directory)
    assert open_files() == before


def test_uploads_are_listed_from_the_oldest(state):
    for age, token in enumerate(["new", "middle", "old"]):
        directory = state.add(new_record(token)).directory
        os.utime(directory / "upload.json", (1000 - age, 1000 - age))
    assert [path.name for path in state.list()] == ["old", "middle", "new"]


def test_a_state_directory_that_is_not_there_has_no_uploads(state):
    assert list(state.list()) == []


@pytest.mark.parametrize(("prefix", "kept"), [(".new-", [".new-young"]), (".old-", [])])
def test_what_is_half_removed_is_cleared_away_and_what_is_half_made_once_it_has_been_left_so(state, prefix, kept):
    state.add(new_record())
    now = time.time()
    for name, age in (("left", LEFT_S + 60), ("young", LEFT_S - 60)):
        directory = state.uploads / f"{prefix}{name}"
        directory.mkdir()
        (directory / "slot-1").write_bytes(b"bytes")
        os.utime(directory, (now - age, now - age))
    assert [path.name for path in state.list()] == ["t"]
    assert names(state.uploads) == [*kept, "t"]


def test_other_files_in_the_state_directory_are_left_alone(state):
    state.add(new_record())
    (state.uploads / "notes.txt").write_text("mine")
    (state.uploads / ".hidden").mkdir()
    os.utime(state.uploads / ".hidden", (0, 0))
    assert [path.name for path in state.list()] == ["t"]
    assert names(state.uploads) == [".hidden", "notes.txt", "t"]


def test_an_upload_that_is_over_leaves_nothing(state):
    lock = state.add(new_record())
    (lock.directory / "slot-1").write_bytes(b"bytes")
    state.remove(lock)
    assert names(state.uploads) == []
    state.remove(lock)


def test_what_cannot_be_read_is_set_aside_whole_and_with_its_reason(state):
    lock = state.add(new_record())
    before = {path.name: path.read_bytes() for path in lock.directory.iterdir()}
    aside = state.set_aside(lock, "the journal is damaged")
    after = {path.name: path.read_bytes() for path in aside.iterdir()}
    assert after == {**before, "reason.txt": b"the journal is damaged\n"}
    assert list(state.list()) == []


def test_a_name_that_is_set_aside_again_gets_a_place_of_its_own(state):
    places = [state.set_aside(state.add(new_record()), f"reason {count}") for count in range(3)]
    assert [place.name for place in places] == ["t", "t-2", "t-3"]
    assert [(place / "reason.txt").read_text() for place in places] == ["reason 0\n", "reason 1\n", "reason 2\n"]


def test_a_full_disk_does_not_keep_what_is_damaged_in_the_way(state, monkeypatch):
    lock = state.add(new_record())

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("builtins.open", full)
    aside = state.set_aside(lock, "damaged")
    monkeypatch.undo()
    assert names(aside) == ["journal", "lock", "upload.json"]


def test_a_state_directory_that_cannot_be_written_is_said_with_the_way_out(tmp_path):
    (tmp_path / "state").write_text("a file")
    state = StateDirectory(tmp_path / "state")
    with pytest.raises(ConfigurationError, match=r"cannot be written: Not a directory; choose another \(--state"):
        state.add(new_record())


def test_a_state_directory_that_cannot_be_read_is_said_with_the_way_out(state):
    state.path.mkdir()
    state.uploads.write_text("a file")
    with pytest.raises(ConfigurationError, match="state cannot be read: Not a directory; choose another"):
        list(state.list())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_state_directory_of_somebody_else_is_said_with_the_way_out(state):
    state.add(new_record()).release()
    try:
        os.seteuid(65534)
        with pytest.raises(ConfigurationError, match="cannot be read: Permission denied"):
            list(state.list())
        with pytest.raises(ConfigurationError, match="cannot be written: Permission denied"):
            state.add(new_record("u"))
    finally:
        os.seteuid(0)


def test_an_upload_that_could_not_be_made_leaves_nothing(state, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "create", full)
    with pytest.raises(ConfigurationError, match="cannot be written: No space left on device"):
        state.add(new_record())
    assert names(state.uploads) == []


def test_the_default_is_the_users_state_directory(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("PENSTOCK_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_state_directory() == tmp_path / ".local" / "state" / "penstock"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert default_state_directory() == tmp_path / "xdg" / "penstock"
    monkeypatch.setenv("PENSTOCK_STATE", str(tmp_path / "own"))
    assert StateDirectory().path == tmp_path / "own"


async def test_of_many_that_take_at_once_one_has_it(state):
    directory = state.add(new_record()).directory
    taken = []
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(anyio.to_thread.run_sync, lambda: taken.append(state.take(directory)))
    assert sum(lock is not None for lock in taken) == 1


def test_what_its_maker_has_left_half_made_is_cleared_at_once_and_what_it_is_making_is_not(tmp_path):
    state = StateDirectory(tmp_path)
    for name in ("left", "live"):
        (state.uploads / f".new-{name}").mkdir(parents=True)
        (state.uploads / f".new-{name}" / "upload.json").touch()
    live = Lock.take(state.uploads / ".new-live")
    assert list(state.list()) == []
    assert [path.name for path in state.uploads.iterdir()] == [".new-live"]
    live.release()
    assert list(state.list()) == []
    assert list(state.uploads.iterdir()) == []
