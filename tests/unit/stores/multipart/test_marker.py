"""The object that marks another as incomplete, where another writer has put one before."""

import json

import pytest

from penstock.errors import StoreUnavailable
from penstock.stores.base import Capability
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart.marker import MOST_BEFORE, Marker

THEIRS = json.dumps({"object": "k", "size": 1, "penstock-upload": "theirs", "penstock-incomplete": True}).encode()


@pytest.fixture(params=[True, False], ids=["conditional", "unconditional"])
def store(request):
    return MemoryStore(capability=Capability(min_part_bytes=1, conditional_put=request.param))


def holder(store):
    body = store.read("k.incomplete")
    return None if body is None else json.loads(body)["penstock-upload"]


def marks(store):
    """The tokens of the objects that are marked."""
    record = json.loads(store.read("k.incomplete"))
    return {one["penstock-upload"] for one in (record, *record.get("before", ()))}


async def test_a_marker_comes_and_goes(store):
    marker = Marker(store, "ours")
    await marker.put("k", 5)
    assert (marker.key, holder(store)) == ("k.incomplete", "ours")
    await marker.drop()
    assert (marker.key, holder(store)) == (None, None)


async def test_that_of_another_object_still_says_so_and_comes_back_if_ours_does_not_come(store):
    await store.put("k.incomplete", [THEIRS])
    marker = Marker(store, "ours")
    await marker.put("k", 5)
    assert (holder(store), marks(store)) == ("ours", {"ours", "theirs"})
    await marker.drop()
    assert store.read("k.incomplete") == THEIRS


async def test_that_of_another_object_is_forgotten_once_ours_is_there(store):
    await store.put("k.incomplete", [THEIRS])
    marker = Marker(store, "ours")
    await marker.put("k", 5)
    await marker.settle()
    assert (marker.key, marks(store)) == ("k.incomplete", {"ours"})
    await marker.drop()
    assert holder(store) is None


async def test_a_process_that_goes_on_puts_back_what_was_there_before_its_predecessor(store):
    await store.put("k.incomplete", [THEIRS])
    await Marker(store, "ours").put("k", 5)
    marker = Marker(store, "ours")
    await marker.put("k", 9)
    assert marks(store) == {"ours", "theirs"}
    await marker.drop()
    assert store.read("k.incomplete") == THEIRS


async def test_one_that_another_has_put_over_ours_is_not_removed(store):
    marker = Marker(store, "ours")
    await marker.put("k", 5)
    await store.put("k.incomplete", [THEIRS])
    await marker.drop()
    assert holder(store) == "theirs"


@pytest.mark.parametrize("size", [5, 9])
async def test_one_that_a_process_before_has_put_is_ours(store, size):
    await Marker(store, "ours").put("k", 5)
    marker = Marker(store, "ours")
    await marker.put("k", size)
    assert json.loads(store.read("k.incomplete"))["size"] == size
    await marker.drop()
    assert holder(store) is None


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]"])
async def test_what_is_no_marker_comes_back_too(store, body):
    await store.put("k.incomplete", [body])
    marker = Marker(store, "ours")
    await marker.put("k", 5)
    await marker.drop()
    assert store.read("k.incomplete") == body


def may_not_read(store):
    return FaultLayer(store, FaultScript(get=["403"] * 9))


async def test_credentials_that_only_write_are_enough(store):
    marker = Marker(may_not_read(store), "ours")
    await marker.put("k", 5)
    assert holder(store) == "ours"
    await marker.put("k", 9)
    assert json.loads(store.read("k.incomplete"))["size"] == 9
    await marker.drop()
    known = store.capability.conditional_put  # the store itself has said that there was none
    assert holder(store) == (None if known else "ours")


async def test_credentials_that_only_write_take_away_no_mark_of_another(store):
    await store.put("k.incomplete", [THEIRS])
    marker = Marker(may_not_read(store), "ours")
    await marker.put("k", 5)
    assert (holder(store), json.loads(store.read("k.incomplete"))["before"]) == ("ours", [None])
    await marker.drop()  # the object that is there may be incomplete, whoever has made it
    assert json.loads(store.read("k.incomplete"))["before"] == [None]


async def test_a_mark_that_nobody_could_read_goes_with_its_object(store):
    await store.put("k.incomplete", [THEIRS])
    marker = Marker(may_not_read(store), "ours")
    await marker.put("k", 5)
    await marker.settle()
    assert marks(store) == {"ours"}
    assert "before" not in json.loads(store.read("k.incomplete"))


async def test_a_mark_that_could_not_be_put_takes_none_away(store):
    await store.put("k.incomplete", [THEIRS])
    faulty = FaultLayer(store, FaultScript(get=["403"] * 9, put=["503"]))
    marker = Marker(faulty, "ours")
    with pytest.raises(StoreUnavailable):
        await marker.put("k", 5)
    await marker.drop()
    assert store.read("k.incomplete") == THEIRS


async def crash_all(store, count):
    for number in range(count):
        await Marker(store, f"crashed {number}").put("k", number)


async def test_those_of_processes_that_crash_one_after_the_other_stand_side_by_side(store):
    await store.put("k.incomplete", [THEIRS])
    await crash_all(store, 3)
    assert marks(store) == {"theirs", "crashed 0", "crashed 1", "crashed 2"}
    for number in (2, 1, 0):
        marker = Marker(store, f"crashed {number}")
        marker.resume("k")
        await marker.drop()
    assert store.read("k.incomplete") == THEIRS


@pytest.mark.parametrize("count", [MOST_BEFORE, MOST_BEFORE + 1, MOST_BEFORE + 2, 100])
async def test_many_crashes_do_not_make_it_longer_for_ever(store, count):
    await crash_all(store, count)
    record = json.loads(store.read("k.incomplete"))
    assert len(record["before"]) == min(count - 1, MOST_BEFORE)
    assert (record["before"][-1] is None) == (count - 1 > MOST_BEFORE)  # there were more, which nobody knows
    assert len(store.read("k.incomplete")) < 3000


async def test_one_of_before_that_holds_the_text_of_another_is_read_as_well(store):
    older = json.dumps({"penstock-upload": "middle", "before": THEIRS.decode()})
    await store.put("k.incomplete", [older.encode()])
    marker = Marker(store, "ours")
    await marker.put("k", 5)
    assert marks(store) == {"ours", "middle", "theirs"}
    await marker.drop()
    assert marks(store) == {"middle", "theirs"}


async def test_one_that_still_names_the_object_before_does_no_harm(store):
    await store.put("k.incomplete", [THEIRS])
    faulty = FaultLayer(
        store, FaultScript(put=["ok", "ok", "503"] if store.capability.conditional_put else ["ok", "503"])
    )
    marker = Marker(faulty, "ours")
    await marker.put("k", 5)
    await marker.settle()
    assert (marker.key, marks(store)) == ("k.incomplete", {"ours", "theirs"})


async def test_a_marker_that_cannot_be_put_stops_the_commit(store):
    with pytest.raises(StoreUnavailable):
        await Marker(FaultLayer(store, FaultScript(put=["503"])), "ours").put("k", 5)
