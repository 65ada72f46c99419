"""The object that marks another as incomplete, where another writer has put one before."""

import json

import pytest

from penstock.errors import StoreUnavailable
from penstock.stores.base import Capability
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart.marker import Marker

THEIRS = json.dumps({"object": "k", "size": 1, "penstock-upload": "theirs", "penstock-incomplete": True}).encode()


@pytest.fixture(params=[True, False], ids=["conditional", "unconditional"])
def store(request):
    return MemoryStore(capability=Capability(min_part_bytes=1, conditional_put=request.param))


def holder(store):
    body = store.read("k.incomplete")
    return None if body is None else json.loads(body)["penstock-upload"]


def marks(store):
    """The tokens of the objects that are marked."""
    found, text = set(), store.read("k.incomplete")
    while text is not None:
        record = json.loads(text)
        found.add(record["penstock-upload"])
        text = record.get("before")
    return found


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


async def test_credentials_that_only_write_are_enough(store):
    marker = Marker(FaultLayer(store, FaultScript(get=["403"] * 9)), "ours")
    await marker.put("k", 5)
    assert holder(store) == "ours"
    await marker.drop()
    assert holder(store) is None


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
