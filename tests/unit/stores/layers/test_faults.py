import anyio
import pytest

from penstock.errors import NotFound, PermissionDenied, StoreUnavailable, UploadGone
from penstock.stores.base import Capability
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore


def faulty(script: FaultScript) -> tuple[FaultLayer, MemoryStore]:
    memory = MemoryStore(capability=Capability(min_part_bytes=1))
    return FaultLayer(memory, script), memory


@pytest.mark.parametrize(
    ("outcome", "error", "retryable", "status"),
    [
        ("500", StoreUnavailable, True, 500),
        ("503", StoreUnavailable, True, 503),
        ("timeout", StoreUnavailable, True, None),
        ("reset", StoreUnavailable, True, None),
        ("403", PermissionDenied, False, 403),
        ("404", NotFound, False, 404),
    ],
)
async def test_a_failed_put_has_no_effect(outcome, error, retryable, status):
    store, memory = faulty(FaultScript(put=[outcome]))
    with pytest.raises(error) as caught:
        await store.put("k", [b"x"])
    assert (caught.value.retryable, caught.value.status) == (retryable, status)
    assert memory.read("k") is None
    await store.put("k", [b"x"])  # the script has ended
    assert memory.read("k") == b"x"


async def test_a_lost_answer_is_that_of_a_call_that_was_done():
    store, memory = faulty(FaultScript(put=["lost"]))
    with pytest.raises(StoreUnavailable, match="reset"):
        await store.put("k", [b"x"])
    assert memory.read("k") == b"x"


async def test_404_of_an_upload_says_that_it_is_gone():
    store, _ = faulty(FaultScript(complete=["404"]))
    with pytest.raises(UploadGone):
        await store.complete_multipart("k", "id", [])


async def test_the_store_may_ask_to_be_left_alone():
    store, _ = faulty(FaultScript(head=["503:2.5"]))
    with pytest.raises(StoreUnavailable) as caught:
        await store.head("k")
    assert caught.value.retry_after_s == 2.5


async def test_a_hanging_call_ends_when_it_is_cancelled():
    store, memory = faulty(FaultScript(put=["hang"]))
    async with anyio.create_task_group() as group:
        group.start_soon(store.put, "k", [b"x"])
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert memory.read("k") is None


async def test_hooks_run_before_and_after_the_step_they_name():
    seen = []
    script = FaultScript(put=["ok", "500"])
    store, memory = faulty(script)

    async def look(call):
        seen.append(("before", memory.read("k")))

    script.before("put", 1, look).after("put", 1, lambda call: seen.append(("after", memory.read("k"))))
    script.after("put", 2, lambda call: seen.append("never"))
    await store.put("k", [b"x"])
    with pytest.raises(StoreUnavailable):
        await store.put("k", [b"y"])
    assert seen == [("before", None), ("after", b"x")]


async def test_the_script_keeps_a_log_of_calls():
    script = FaultScript(put_part=["ok", "timeout"])
    store, _ = faulty(script)
    upload_id = await store.create_multipart("k")
    await store.put_part("k", upload_id, 1, [b"x"], offset=0)
    with pytest.raises(StoreUnavailable):
        await store.put_part("k", upload_id, 2, [b"x"], offset=1)
    assert [(str(call), outcome) for call, outcome in script.log] == [
        ("create_multipart 'k'", "ok"),
        ("put_part 'k' part 1", "ok"),
        ("put_part 'k' part 2", "timeout"),
    ]
    assert script.calls["put_part"] == 2


async def test_a_lost_get_breaks_behind_its_first_piece():
    store, memory = faulty(FaultScript(get=["lost"]))
    await memory.put("k", [b"x" * (2 << 20)])
    pieces = store.get("k")
    assert await anext(pieces)
    with pytest.raises(StoreUnavailable):
        await anext(pieces)


@pytest.mark.parametrize("script", [{"putt": ["ok"]}, {"put": ["okay"]}])
def test_a_script_with_a_wrong_word_is_refused(script):
    with pytest.raises(ValueError, match="unknown"):
        FaultScript(**script)
