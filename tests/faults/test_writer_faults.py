"""Every request of an upload fails in every way, an upload is cancelled at every step: what is left is asserted."""

import asyncio
import types

import anyio
import pytest

from penstock.errors import PermissionDenied, StoreError, StoreUnavailable, UploadGone
from penstock.stores.base import Capability
from penstock.stores.layers.base import Layer
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, UploadResult, open_upload
from penstock.telemetry import OBJECT_COMMITTED

DATA = bytes(range(45))
PATIENT = RetryPolicy(deadline_s=60, first_wait_s=0)
ONE_TRY = RetryPolicy(deadline_s=0)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(capability=Capability(min_part_bytes=1))


async def upload(store, data: bytes = DATA, retry: RetryPolicy = PATIENT, **options) -> UploadResult:
    options = {"chunk_size": 10, "parts_in_flight": 2, "grace_s": 5, "retry": retry, **options}
    async with open_upload(store, "k", UploadOptions(**options)) as writer:
        for start in range(0, len(data), 7):
            await writer.write(data[start : start + 7])
    return writer.result


@pytest.fixture(autouse=True)
async def no_task_is_left():
    yield
    left = [task for task in asyncio.all_tasks() if "TestRunner" not in repr(task.get_coro())]
    assert left == []


# -- faults that pass ---------------------------------------------------------------------------------

PASSING = ["500", "503", "503:0.001", "timeout", "reset", "lost"]


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("operation", ["create", "put_part", "complete"])
async def test_an_upload_survives_what_passes(store, operation, fault):
    script = FaultScript(**{operation: [fault, fault]})
    result = await upload(FaultLayer(store, script))
    assert store.read("k") == DATA
    assert result.etag == (await store.head("k")).etag
    assert result.retries == (1 if (operation, fault) == ("complete", "lost") else 2)
    assert store.open_uploads == []  # nor one that was opened although the answer was lost


@pytest.mark.parametrize("fault", PASSING)
async def test_a_small_object_survives_what_passes(store, fault):
    result = await upload(FaultLayer(store, FaultScript(put=[fault, fault])), b"small")
    assert (store.read("k"), result.retries) == (b"small", 2)


async def test_an_upload_that_may_have_been_opened_behind_our_back_is_said(store, caplog):
    await upload(FaultLayer(store, FaultScript(create=["lost"], list_uploads=["403"])))
    assert "an upload without parts may be left open under 'k'" in caplog.text


@pytest.mark.parametrize("step", range(1, 6))
@pytest.mark.parametrize("fault", PASSING)
async def test_each_part_may_fail(store, step, fault):
    result = await upload(FaultLayer(store, FaultScript(put_part=["ok"] * (step - 1) + [fault])))
    assert (store.read("k"), store.open_uploads, result.retries) == (DATA, [], 1)


@pytest.mark.parametrize("fault", [*PASSING, "404"])
@pytest.mark.parametrize("operation", ["abort", "list_parts"])
async def test_an_abort_survives_what_passes(store, operation, fault):
    script = FaultScript(put_part=["ok", "403"], **{operation: [fault]})
    with pytest.raises(PermissionDenied):
        await upload(FaultLayer(store, script))
    expected = 1 if (operation, fault) == ("abort", "404") else 0  # 404 counts as gone
    assert store.read("k") is None
    assert len(store.open_uploads) <= expected


# -- faults that stay ---------------------------------------------------------------------------------

STAYING = {
    "500": StoreUnavailable,
    "503": StoreUnavailable,
    "timeout": StoreUnavailable,
    "reset": StoreUnavailable,
    "403": PermissionDenied,
    "404": StoreError,
}


@pytest.mark.parametrize("fault", STAYING)
@pytest.mark.parametrize("operation", ["create", "put_part", "complete"])
async def test_what_stays_fails_the_upload_and_leaves_nothing(store, operation, fault):
    with pytest.raises(STAYING[fault], match=f"{operation}.* 'k'"):
        await upload(FaultLayer(store, FaultScript(**{operation: [fault] * 9})), retry=ONE_TRY)
    assert (store.read("k"), store.open_uploads) == (None, [])


@pytest.mark.parametrize("fault", STAYING)
async def test_what_stays_fails_a_small_object(store, fault):
    with pytest.raises(STAYING[fault], match="put 'k'"):
        await upload(FaultLayer(store, FaultScript(put=[fault])), b"small", ONE_TRY)
    assert store.read("k") is None


async def test_a_part_that_fails_ends_a_body_that_waits_for_something_else(store):
    with pytest.raises(PermissionDenied, match="put_part 'k' part 1"):
        async with open_upload(FaultLayer(store, FaultScript(put_part=["403"])), "k", UploadOptions(10)) as writer:
            await writer.write(bytes(10))
            await anyio.sleep_forever()
    assert store.open_uploads == []


async def test_of_several_errors_the_first_is_reported_and_the_others_are_notes(store):
    async def fail_second(call):
        with anyio.CancelScope(shield=True):
            await first_failed.wait()

    first_failed = asyncio.Event()
    script = FaultScript(put_part=["403", "404"]).before("put_part", 2, fail_second)
    script.before("put_part", 1, lambda call: first_failed.set())
    with pytest.raises(PermissionDenied) as caught:
        await upload(FaultLayer(store, script))
    assert caught.value.__notes__ == ["then: put_part 'k' part 2: 404 No Such Upload"]


# -- a commit of unknown outcome ----------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"small", DATA])
async def test_a_commit_whose_answer_is_lost_for_good_is_settled_by_asking(store, data):
    script = FaultScript(put=["lost"], complete=["lost"])
    result = await upload(FaultLayer(store, script), data, ONE_TRY)
    assert (store.read("k"), store.open_uploads) == (data, [])
    assert result.etag == (await store.head("k")).etag
    assert script.calls["head"] == 1


@pytest.mark.parametrize("data", [b"small", DATA])
async def test_nothing_is_claimed_when_the_store_cannot_be_asked(store, data):
    script = FaultScript(put=["lost"], complete=["lost"], head=["403"] * 2)
    with pytest.raises(StoreUnavailable) as caught:
        await upload(FaultLayer(store, script), data, ONE_TRY)
    assert "whether the object was committed could not be found out: head 'k': 403" in caught.value.__notes__[0]
    assert store.open_uploads == []


async def test_an_older_object_of_the_same_size_is_not_taken_for_ours(store):
    await upload(store)
    before = await store.head("k")
    with pytest.raises(StoreUnavailable):
        await upload(FaultLayer(store, FaultScript(complete=["timeout"])), DATA[::-1], ONE_TRY)
    assert (await store.head("k")) == before
    assert store.open_uploads == []


async def test_without_metadata_the_etag_tells_whose_object_it_is(store):
    class Forgetful(Layer):
        """A store that keeps no user metadata."""

        async def create_multipart(self, key, properties=None, **_):
            return await super().create_multipart(key)

    for data, lost in ((DATA, "lost"), (DATA[::-1], "timeout")):
        attempt = upload(FaultLayer(Forgetful(store), FaultScript(complete=[lost])), data, ONE_TRY)
        if lost == "lost":
            assert (await attempt).size == len(DATA)
        else:
            with pytest.raises(StoreUnavailable):
                await attempt
    assert store.read("k") == DATA


async def test_an_upload_that_vanished_is_an_error_not_an_object(store):
    async def sweep(call):
        await store.abort_multipart("k", call.upload_id)

    with pytest.raises(UploadGone):
        await upload(FaultLayer(store, FaultScript().before("complete", 1, sweep)))
    assert store.read("k") is None


# -- hanging ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["create", "put_part", "complete", "put"])
async def test_a_request_that_hangs_ends_with_its_cancellation(store, operation):
    script = FaultScript(**{operation: ["hang"] * 9})
    data = b"small" if operation == "put" else DATA
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: upload(FaultLayer(store, script), data, grace_s=0.01))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert (store.read("k"), store.open_uploads) == (None, [])


# -- cancelled at every step --------------------------------------------------------------------------


@types.coroutine
def counting(work, at_step):
    """Run a coroutine and call ``at_step`` each time it is suspended."""
    steps = work.__await__()
    error = None
    while True:
        try:
            waits_for = steps.send(None) if error is None else steps.throw(error)
        except StopIteration as stop:
            return stop.value
        error = None
        at_step()
        try:
            yield waits_for
        except BaseException as thrown:  # noqa: BLE001 - thrown into the coroutine
            error = thrown


class Checkpoints(Layer):
    """Counts a step before and after each request, in whatever task it is."""

    def __init__(self, inner, at_step) -> None:
        super().__init__(inner)
        self.at_step = at_step

    async def around(self, call, perform):
        self.at_step()
        await anyio.lowlevel.checkpoint()
        result = await perform()
        self.at_step()
        await anyio.lowlevel.checkpoint()
        return result


async def cancelled_at(n: int, store: MemoryStore, data: bytes, *, native: bool, inside: bool) -> bool:
    """Upload with a cancellation at step ``n``; whether the upload came to that step."""
    count = 0
    scope = anyio.CancelScope()

    def step() -> None:
        nonlocal count
        if count == n:
            task.cancel() if native else scope.cancel()
        count += 1

    async def run() -> None:
        target = Checkpoints(store, step) if inside else store
        with scope:
            await (upload(target, data) if inside else counting(upload(target, data), step))

    task = asyncio.create_task(run())
    await asyncio.wait({task})
    if not task.cancelled():
        assert task.exception() is None
    return count > n


@pytest.mark.parametrize("data", [b"", b"small", DATA[:10], DATA], ids=["empty", "small", "one part", "five parts"])
@pytest.mark.parametrize("native", [False, True], ids=["scope", "native"])
@pytest.mark.parametrize("inside", [False, True], ids=["caller", "requests"])
async def test_a_cancel_at_any_step_leaves_the_whole_object_or_none(data, native, inside):
    before = asyncio.all_tasks()
    reached = True
    n = 0
    while reached:
        store = MemoryStore(capability=Capability(min_part_bytes=1))
        reached = await cancelled_at(n, store, data, native=native, inside=inside)
        assert store.read("k") in {None, data}, f"step {n}"
        assert store.open_uploads == [], f"step {n}"
        assert asyncio.all_tasks() == before, f"step {n}"
        n += 1
    assert store.read("k") == data
    assert n > (2 if len(data) < 10 else 5)


@pytest.mark.parametrize("data", [b"small", DATA])
async def test_a_commit_that_a_cancel_came_too_late_for_is_reported_as_one(store, data):
    events = []
    script = FaultScript()
    for operation in ("put", "complete"):
        script.after(operation, 1, lambda call: cancel_and_wait())

    async def cancel_and_wait() -> None:
        scope.cancel()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        async with open_upload(
            FaultLayer(store, script), "k", UploadOptions(10), on_event=lambda *event: events.append(event)
        ) as writer:
            await writer.write(data)
    assert scope.cancelled_caught
    assert store.read("k") == data
    assert events[-1] == (OBJECT_COMMITTED, writer.result.as_fields())
    assert writer.result.etag == (await store.head("k")).etag
