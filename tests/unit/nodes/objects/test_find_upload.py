"""The upload that ``resume`` goes on with: others are not in its way, and whoever only looks at it is waited for."""

import os

import pytest

import penstock
from penstock.errors import ConfigurationError
from penstock.nodes.objects import journaling
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.stores.durable import StateDirectory
from penstock.stores.durable.locks import Holder, Lock
from penstock.stores.durable.named import read_names


class Died(Exception):
    pass


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path / "state")


def config(tmp_path, state, name="take"):
    return ObjectStoreWriterConfig(
        url=f"file:{tmp_path}/objects/{name}", durability="crash", state=state.path, resume=True, on_crash="keep"
    )


async def leave(tmp_path, state, data, name="take"):
    """An upload whose input did not end."""
    url = f"file:{tmp_path}/objects/{name}"
    with pytest.raises(Died):
        async with penstock.open_object(url, durability="crash", state=state.path, on_crash="keep") as out:
            await out.write(data)
            raise Died
    (directory,) = (
        one for one in state.list() if (one / "journal").exists() and name in (one / "upload.json").read_text()
    )
    return directory


async def found(tmp_path, state):
    spool = await journaling.find_upload(config(tmp_path, state))
    try:
        return spool and spool.history.size_accepted
    finally:
        if spool is not None:
            spool.kept("only looked at")


async def test_the_one_of_the_place_is_found(tmp_path, state):
    await leave(tmp_path, state, b"other", "another")
    await leave(tmp_path, state, b"four")
    assert await found(tmp_path, state) == 4


@pytest.mark.parametrize("file", ["upload.json", "journal"])
async def test_a_damaged_one_is_warned_of_and_passed_by(tmp_path, state, caplog, file):
    await leave(tmp_path, state, b"four")
    damaged = await leave(tmp_path, state, b"later", "another")
    os.truncate(damaged / file, 7)
    os.utime(damaged / "upload.json")
    assert await found(tmp_path, state) == 4
    assert (f"{damaged} cannot be resumed" in caplog.text) == (file == "upload.json")
    assert damaged.exists()


async def test_where_all_are_damaged_nothing_is_found(tmp_path, state, caplog):
    damaged = await leave(tmp_path, state, b"four")
    os.truncate(damaged / "journal", 7)
    assert await found(tmp_path, state) is None
    assert "run `penstock recover`" in caplog.text


@pytest.mark.parametrize("purpose", ["recover", "sweep"])
async def test_one_that_is_looked_at_is_waited_for(tmp_path, state, monkeypatch, purpose):
    directory = await leave(tmp_path, state, b"four")
    lock = state.take(directory, purpose)

    async def let_go(_seconds):
        lock.release()

    monkeypatch.setattr(journaling.anyio, "sleep", let_go)
    assert await found(tmp_path, state) == 4


async def test_one_that_is_held_on_is_told_of_with_its_holder(tmp_path, state, monkeypatch):
    monkeypatch.setattr(journaling, "PATIENCE_S", 0.05)
    directory = await leave(tmp_path, state, b"four")
    lock = state.take(directory, "recover")
    with pytest.raises(ConfigurationError, match=rf"{directory} .*process {os.getpid()} \(to recover\) has held it"):
        await found(tmp_path, state)
    lock.release()


async def test_one_that_is_written_is_another_ones(tmp_path, state):
    directory = await leave(tmp_path, state, b"four")
    lock = state.take(directory)
    assert await found(tmp_path, state) is None
    lock.release()


async def test_those_of_other_places_are_not_locked_as_who_wants_them_would_begin_anew(tmp_path, state, monkeypatch):
    directory = await leave(tmp_path, state, b"four")
    await leave(tmp_path, state, b"other", "another")
    taken = []
    real = StateDirectory.take

    def take(self, path, *words):
        taken.append(path)
        return real(self, path, *words)

    monkeypatch.setattr(StateDirectory, "take", take)
    await found(tmp_path, state)
    assert taken == [directory]


async def test_a_text_that_is_just_being_written_over_a_longer_one_is_understood(tmp_path, state):
    directory = await leave(tmp_path, state, b"four")
    (directory / "lock").write_text("9 sweep\n recover\n")
    assert Holder.of(directory) == Holder(9, "sweep")


async def test_one_that_has_been_recovered_meanwhile_is_over(tmp_path, state, monkeypatch):
    directory = await leave(tmp_path, state, b"four")
    lock = state.take(directory, "recover")

    async def finish(_seconds):
        state.remove(lock)

    monkeypatch.setattr(journaling.anyio, "sleep", finish)
    assert await found(tmp_path, state) is None


async def test_a_lock_says_who_holds_it(tmp_path, state):
    directory = await leave(tmp_path, state, b"four")
    read_names(state)
    assert Holder.of(directory) == Holder(os.getpid(), "sweep")
    for purpose in ("recover", "write"):
        with_lock = Lock.take(directory, purpose)
        assert Holder.of(directory) == Holder(os.getpid(), purpose)
        with_lock.release()
    for text in ("", "4711", "4711 juggle", "x write", "4711 write too"):
        (directory / "lock").write_text(text)
        assert Holder.of(directory) is None
