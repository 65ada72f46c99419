"""Which uploads are ended, and which are spared whatever their age, on a store and with journals of the test's own."""

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penstock.errors import ConfigurationError, StoreUnavailable
from penstock.stores.base import Capability
from penstock.stores.durable import Spool, StateDirectory, UploadRecord
from penstock.stores.durable.named import Standing, read_names
from penstock.stores.durable.sweep import Sweep, sweep
from penstock.stores.layers.base import Layer
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore

HOUR = 3600.0
KEY = "takes/1.ogg"
NOW = datetime.now(UTC)


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


class Aged(Layer):
    """A store that says that its uploads were opened, and their parts stored, at the times that a test gives."""

    def __init__(self, inner, opened, stored=None) -> None:
        super().__init__(inner)
        self.opened = opened
        self.stored = stored

    async def list_uploads(self, prefix=""):
        async for info in self.inner.list_uploads(prefix):
            yield replace(info, initiated=self.opened)

    async def list_parts(self, key, upload_id):
        return [replace(part, modified=self.stored) for part in await self.inner.list_parts(key, upload_id)]


class Journals:
    """A state directory with the journals of uploads into one store."""

    def __init__(self, path: Path, store) -> None:
        self.state = StateDirectory(path)
        self._store = store

    def begin(self, key=KEY, upload_id="", token="t1"):
        """The journal of an upload, owned by this test."""
        record = UploadRecord(token, key, f"{self._store.url}/{key}", {"kind": "memory"})
        spool = Spool.create(self.state, record)
        if upload_id:
            spool.opening(key, ["before"])
            spool.opened(key, upload_id, marked=False)
        return spool

    def age(self, hours: float) -> None:
        """Let nothing have been written for so long."""
        for path in self.state.path.rglob("*"):
            os.utime(path, (ago(hours).timestamp(),) * 2)

    def set_aside(self, spool) -> None:
        """Set a journal aside as one that nobody can read."""
        spool.kept("its process died")
        lock = self.state.take(Path(spool.place))
        self.state.set_aside(lock, "it is damaged")


@pytest.fixture
def store():
    return MemoryStore("bucket")


@pytest.fixture
def journals(tmp_path, store):
    return Journals(tmp_path / "state", store)


async def swept(store, journals, older=24 * HOUR, **options):
    options = {"dry_run": False, "prefix": "", **options}
    prefix = options.pop("prefix")
    return [one async for one in sweep(store, prefix, journals.state, older_than_s=older, now=lambda: NOW, **options)]


async def outcomes(store, journals, **options) -> list[Sweep]:
    return [one.outcome for one in await swept(store, journals, **options)]


async def upload(store, key=KEY, parts=1) -> str:
    upload_id = await store.create_multipart(key)
    for number in range(1, parts + 1):
        await store.put_part(key, upload_id, number, [b"x" * 10], offset=10 * (number - 1))
    return upload_id


# -- what the store lists -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opened", "stored", "outcome"),
    [
        (30, 23.99, Sweep.ACTIVE),  # 30 hours old, but at work
        (30, 24, Sweep.ENDED),
        (30, 24.01, Sweep.ENDED),
        (23.99, None, Sweep.ACTIVE),
        (24, None, Sweep.ENDED),
    ],
)
async def test_an_upload_is_ended_when_nothing_has_come_for_so_long(store, journals, opened, stored, outcome):
    await upload(store)
    aged = Aged(store, ago(opened), None if stored is None else ago(stored))
    (one,) = await swept(aged, journals, all_ours=True)
    assert one.outcome is outcome
    assert store.open_uploads == [] if outcome is Sweep.ENDED else len(store.open_uploads) == 1
    assert one.idle_s == pytest.approx((stored or opened) * HOUR)


async def test_a_dry_run_says_the_same_and_ends_nothing(store, journals):
    upload_id = await upload(store, parts=3)
    (one,) = await swept(Aged(store, ago(48), ago(47)), journals, all_ours=True, dry_run=True)
    assert one.as_dict() == {
        "outcome": "would end",
        "key": KEY,
        "upload_id": upload_id,
        "idle_s": 47 * HOUR,
        "parts": 3,
        "bytes": 30,
        "reason": "listed by the store",
    }
    assert store.open_uploads == [upload_id]


async def test_what_may_be_of_others_is_ended_only_if_all_are_asked_for(store, journals):
    await upload(store)
    aged = Aged(store, ago(48), ago(48))
    assert await outcomes(aged, journals) == [Sweep.UNKNOWN]
    assert len(store.open_uploads) == 1
    assert await outcomes(aged, journals, take_all=True) == [Sweep.ENDED]
    assert store.open_uploads == []


async def test_what_has_no_age_is_spared(store, journals):
    await upload(store)
    (one,) = await swept(Aged(store, None), journals, older=0, take_all=True)
    assert (one.outcome, one.idle_s, one.reason) == (Sweep.ACTIVE, None, "the store does not tell how old it is")


async def test_only_keys_under_the_prefix_are_looked_at(store, journals):
    await upload(store, "a/1")
    other = await upload(store, "b/1")
    assert await outcomes(Aged(store, ago(48)), journals, take_all=True, prefix="a/") == [Sweep.ENDED]
    assert store.open_uploads == [other]


async def test_where_there_is_nothing_to_abort_that_is_said(journals):
    store = MemoryStore(capability=Capability(closes_uploads=False, lists_uploads=False, upload_expiry_s=7 * 86400.0))
    await upload(store)
    assert await outcomes(Aged(store, ago(48)), journals, all_ours=True) == [Sweep.EXPIRES]
    assert len(store.open_uploads) == 1


async def test_one_that_cannot_be_ended_does_not_stop_the_others(store, journals):
    first, second, third = [await upload(store, key) for key in ("a", "b", "c")]
    broken = FaultLayer(Aged(store, ago(48)), FaultScript(abort=["403", "ok"], list_parts=["ok", "ok", "404", "503"]))
    found = {one.key: one for one in await swept(broken, journals, take_all=True)}
    assert {key: one.outcome for key, one in found.items()} == {
        "a": Sweep.FAILED,
        "b": Sweep.ENDED,
        "c": Sweep.FAILED,
    }
    assert "403" in found["a"].reason
    assert store.open_uploads == [first, third]
    assert second not in store.open_uploads


async def test_an_abort_after_which_parts_are_left_has_failed(store, journals):
    class Stubborn(Layer):
        async def abort_multipart(self, key, upload_id):
            pass

    await upload(store)
    (one,) = await swept(Stubborn(Aged(store, ago(48))), journals, take_all=True)
    assert (one.outcome, one.reason) == (Sweep.FAILED, "the store still has it after its abort")


async def test_a_store_that_does_not_list_stops_it_before_anything_is_ended(store, journals):
    await upload(store)
    broken = FaultLayer(Aged(store, ago(48)), FaultScript(list_uploads=["503"]))
    with pytest.raises(StoreUnavailable):
        await swept(broken, journals, take_all=True)
    assert len(store.open_uploads) == 1


# -- what journals name -------------------------------------------------------------------------------


async def test_the_upload_of_a_live_process_is_spared_whatever_is_asked_for(store, journals):
    upload_id = await upload(store)
    spool = journals.begin(upload_id=upload_id)
    journals.age(48)
    (one,) = await swept(Aged(store, ago(48), ago(48)), journals, older=0, take_all=True, all_ours=True)
    assert (one.outcome, one.upload_id) == (Sweep.LIVE, upload_id)
    assert store.open_uploads == [upload_id]
    spool.kept("")


async def test_an_upload_that_a_live_process_is_about_to_open_is_spared_but_not_those_that_were_there(store, journals):
    before = await upload(store)
    spool = journals.begin()
    spool.opening(KEY, [before])
    just_now = await upload(store)
    found = await swept(Aged(store, ago(48)), journals, older=0, take_all=True)
    assert [(one.outcome, one.upload_id) for one in found] == [(Sweep.LIVE, ""), (Sweep.ENDED, before)]
    assert store.open_uploads == [just_now]
    spool.kept("")


async def test_an_upload_that_is_opened_while_the_store_lists_is_spared(store, journals):
    class Busy(Aged):
        async def list_uploads(self, prefix=""):
            async for info in super().list_uploads(prefix):
                yield info
            self.spool = journals.begin()
            self.spool.opening(KEY, [])
            upload_id = await upload(store)
            yield replace((await anext(self.inner.list_uploads(KEY))), initiated=self.opened)
            self.spool.opened(KEY, upload_id, marked=False)

    busy = Busy(store, ago(48), ago(48))
    assert await outcomes(busy, journals, older=0, take_all=True) == [Sweep.LIVE]
    assert len(store.open_uploads) == 1
    busy.spool.kept("")


async def test_what_can_be_recovered_is_spared_and_named(store, journals):
    upload_id = await upload(store)
    spool = journals.begin(upload_id=upload_id)
    spool.kept("its process died")
    journals.age(48)
    (one,) = await swept(Aged(store, ago(48), ago(48)), journals, older=0, take_all=True)
    assert one.outcome is Sweep.RECOVERABLE
    assert one.reason == f"run `penstock recover`; it is in {spool.place}"
    assert store.open_uploads == [upload_id]


async def test_what_another_store_or_prefix_has_is_not_told(store, journals):
    journals.begin("other/1", "id").kept("")
    assert await swept(store, journals, prefix="takes/") == []
    assert await swept(MemoryStore("elsewhere"), journals) == []


async def test_the_upload_of_a_journal_that_was_set_aside_is_ended_as_it_is_ours(store, journals):
    upload_id = await upload(store)
    journals.set_aside(journals.begin(upload_id=upload_id))
    journals.age(48)
    (one,) = await swept(Aged(store, ago(48), ago(48)), journals)
    assert one.outcome is Sweep.ENDED
    assert "named in" in one.reason
    assert store.open_uploads == []
    assert await swept(store, journals) == []
    assert len(list(journals.state.aside.iterdir())) == 1  # nothing of it is deleted


async def test_a_journal_that_was_set_aside_lately_keeps_its_upload_for_a_while(store, journals):
    upload_id = await upload(store)
    journals.set_aside(journals.begin(upload_id=upload_id))
    (one,) = await swept(Aged(store, ago(48), ago(48)), journals)
    assert one.outcome is Sweep.ACTIVE
    assert store.open_uploads == [upload_id]


@pytest.mark.parametrize("damage", ["upload.json is gone", "upload.json is damaged", "a line is damaged"])
async def test_a_damaged_journal_still_names_its_upload(store, journals, damage):
    upload_id = await upload(store)
    journals.set_aside(journals.begin(upload_id=upload_id))
    (directory,) = journals.state.aside.iterdir()
    if damage == "a line is damaged":
        data = bytearray((directory / "journal").read_bytes())
        data[3] ^= 1
        (directory / "journal").write_bytes(data)
    elif damage == "upload.json is damaged":
        (directory / "upload.json").write_text("{")
    else:
        (directory / "upload.json").unlink()
    journals.age(48)
    assert await outcomes(Aged(store, ago(48), ago(48)), journals) == [Sweep.ENDED]


async def test_journals_are_gone_by_where_the_store_does_not_list(journals):
    store = MemoryStore("bucket", capability=Capability(lists_uploads=False))

    class Silent(Aged):
        async def list_uploads(self, prefix=""):
            for nothing in ():
                yield nothing

    upload_id = await upload(store)
    await upload(store, "takes/2.ogg")
    journals.set_aside(journals.begin(upload_id=upload_id))
    journals.age(48)
    found = await swept(Silent(store, None, ago(48)), journals)
    assert [(one.outcome, one.key) for one in found] == [(Sweep.ENDED, KEY)]
    assert upload_id not in store.open_uploads


async def test_an_upload_that_a_journal_has_given_up_for_another_is_ended_and_the_present_one_spared(store, journals):
    first, second = await upload(store), await upload(store)
    spool = journals.begin(upload_id=first)
    spool.gone()
    spool.opening(KEY, [])
    spool.opened(KEY, second, marked=False)
    aged = Aged(store, ago(48), ago(48))
    assert await outcomes(aged, journals, older=0) == [Sweep.LIVE]  # while it has an owner neither is touched
    spool.kept("its process died")
    journals.age(48)
    assert await outcomes(aged, journals) == [Sweep.RECOVERABLE, Sweep.ENDED]
    assert store.open_uploads == [second]


async def test_of_two_journals_that_name_one_upload_the_one_that_needs_it_counts(store, journals):
    upload_id = await upload(store)
    spool = journals.begin(upload_id=upload_id)
    shutil.copytree(spool.place, journals.state.aside / "copy")
    journals.age(48)
    assert await outcomes(Aged(store, ago(48), ago(48)), journals, take_all=True) == [Sweep.LIVE]
    spool.kept("")
    journals.age(48)
    assert await outcomes(Aged(store, ago(48), ago(48)), journals, take_all=True) == [Sweep.RECOVERABLE]
    assert store.open_uploads == [upload_id]


async def test_a_journal_that_cannot_be_read_stops_it_before_anything_is_ended(store, journals, monkeypatch):
    await upload(store)
    spool = journals.begin()
    read = Path.read_bytes

    def refuse(path):
        if path.name == "journal":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigurationError, match=r"journal cannot be read: Permission denied"):
        await swept(Aged(store, ago(48)), journals, take_all=True)
    assert len(store.open_uploads) == 1
    spool.kept("")


async def test_a_state_directory_that_is_not_there_names_nothing(store, tmp_path):
    assert read_names(StateDirectory(tmp_path / "none")).journals == ()
    assert not (tmp_path / "none").exists()


async def test_a_handle_that_carries_properties_is_known_in_the_listing_that_has_its_token_alone(store, journals):
    spool = journals.begin(upload_id="0123~eJyr")
    names = read_names(journals.state)
    for handle in ("0123", "0123~eJyr"):
        standing, _ = names.find(KEY, handle)
        assert standing is Standing.LIVE
    assert names.find(KEY, "0124") is None
    spool.kept("")
