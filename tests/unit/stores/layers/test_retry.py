import anyio
import pytest

from penstock.errors import PermissionDenied, StoreError, StoreUnavailable, UploadGone
from penstock.stores.base import Capability, MultipartStore
from penstock.stores.layers.base import Layer
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.retry import RetryLayer, RetryPolicy
from penstock.stores.memory import MemoryStore


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleeps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        await anyio.lowlevel.checkpoint()


def retrying(script: FaultScript, *, draw: float = 1.0, **policy: float) -> tuple[RetryLayer, Time, MemoryStore]:
    time = Time()
    memory = MemoryStore(capability=Capability(min_part_bytes=1))
    layer = RetryLayer(
        FaultLayer(memory, script), RetryPolicy(**policy), clock=lambda: time.now, sleep=time.sleep, draw=lambda: draw
    )
    return layer, time, memory


def test_layers_are_multipart_stores():
    assert isinstance(Layer(MemoryStore()), MultipartStore)
    assert isinstance(RetryLayer(MemoryStore()), MultipartStore)


@pytest.mark.parametrize("fault", ["500", "503", "timeout", "reset", "lost"])
async def test_what_passes_is_tried_again(fault):
    layer, time, memory = retrying(FaultScript(put=[fault, fault]))
    await layer.put("k", [b"data"])
    assert memory.read("k") == b"data"
    assert len(time.sleeps) == 2


@pytest.mark.parametrize(("fault", "error"), [("403", PermissionDenied), ("404", UploadGone)])
async def test_what_does_not_pass_is_raised_at_once(fault, error):
    script = FaultScript(list_parts=[fault])
    layer, time, _ = retrying(script)
    with pytest.raises(error):
        await layer.list_parts("k", "id")
    assert time.sleeps == []
    assert script.calls["list_parts"] == 1


@pytest.mark.parametrize("draw", [0.0, 0.25, 1.0])
async def test_waits_double_up_to_their_bound_and_are_drawn_from_zero(draw):
    layer, time, _ = retrying(FaultScript(head=["500"] * 5), draw=draw, first_wait_s=1, max_wait_s=5)
    with pytest.raises(StoreError):
        await layer.head("k")  # the sixth try: not found
    assert time.sleeps == [bound * draw for bound in (1, 2, 4, 5, 5)]


async def test_what_the_store_asked_for_is_the_least_wait():
    layer, time, _ = retrying(FaultScript(put=["503:7.5", "503:0.1"]), first_wait_s=1)
    await layer.put("k", [])
    assert time.sleeps == [7.5, 2.0]


@pytest.mark.parametrize(("deadline", "tries"), [(2.9, 2), (3.0, 3), (3.1, 3), (0, 1)])
async def test_no_wait_goes_past_the_deadline(deadline, tries):
    script = FaultScript(put=["500"] * 9)
    layer, _, _ = retrying(script, first_wait_s=1, deadline_s=deadline)  # waits 1 s, 2 s, 4 s
    with pytest.raises(StoreUnavailable):
        await layer.put("k", [])
    assert script.calls["put"] == tries


async def test_the_error_says_how_often_and_how_long_it_was_tried():
    layer, _, _ = retrying(FaultScript(put_part=["503"] * 9), first_wait_s=1, deadline_s=8)
    with pytest.raises(StoreUnavailable) as caught:
        await layer.put_part("takes/1.ogg", "id", 7, [], offset=0)
    assert str(caught.value) == "put_part 'takes/1.ogg' part 7: 503 Slow Down (4 tries in 7.0 s)"
    assert caught.value.part_number == 7


async def test_a_failure_at_the_first_try_is_reported_as_it_is():
    layer, _, _ = retrying(FaultScript(put=["403"]))
    with pytest.raises(PermissionDenied) as caught:
        await layer.put("k", [])
    assert str(caught.value) == "put 'k': 403 Access Denied"


async def test_retries_are_told():
    told = []
    script = FaultScript(put=["500", "reset", "ok"])
    time = Time()
    layer = RetryLayer(
        FaultLayer(MemoryStore(), script),
        RetryPolicy(first_wait_s=1),
        on_retry=lambda *what: told.append(what),
        clock=lambda: time.now,
        sleep=time.sleep,
        draw=lambda: 1.0,
    )
    await layer.put("k", [])
    assert [(str(call), error.status, tries, wait) for call, error, tries, wait in told] == [
        ("put 'k'", 500, 1, 1.0),
        ("put 'k'", None, 2, 2.0),
    ]


async def test_a_cancel_ends_the_wait():
    script = FaultScript(put=["503:3600"])
    layer = RetryLayer(FaultLayer(MemoryStore(), script), RetryPolicy(deadline_s=7200))
    async with anyio.create_task_group() as group:
        group.start_soon(layer.put, "k", [])
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert script.calls["put"] == 1


async def test_a_broken_get_goes_on_behind_the_last_byte():
    script = FaultScript(get=["reset", "lost", "lost", "ok"])
    layer, _, memory = retrying(script)
    data = bytes(range(256)) * (3 << 12)  # three pieces of the memory store
    await memory.put("k", [data])
    assert b"".join([piece async for piece in layer.get("k", start=5)]) == data[5:]
    assert script.calls["get"] == 4


async def test_a_get_that_breaks_behind_its_last_byte_is_done():
    script = FaultScript(get=["lost"])
    layer, _, memory = retrying(script)
    await memory.put("k", [b"0123"])
    assert [piece async for piece in layer.get("k", start=1, end=3)] == [b"12"]
    assert script.calls["get"] == 1


async def test_a_listing_is_tried_again_until_its_first_item():
    layer, _, memory = retrying(FaultScript(list=["503", "reset"]))
    await memory.put("a", [])
    await memory.put("b", [])
    assert [info.key async for info in layer.list()] == ["a", "b"]
    broken, _, memory = retrying(FaultScript(list=["lost"]))
    await memory.put("a", [])
    with pytest.raises(StoreUnavailable):
        [info async for info in broken.list()]


@pytest.mark.parametrize("name", ["deadline_s", "first_wait_s", "max_wait_s"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_policy_is_made_of_finite_times(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number of seconds, 0 or more"):
        RetryPolicy(**{name: value})


def test_the_first_wait_is_no_longer_than_the_longest():
    RetryPolicy(first_wait_s=20, max_wait_s=20)
    with pytest.raises(ValueError, match=r"first_wait_s, 20\.1 s, is longer than max_wait_s, 20 s"):
        RetryPolicy(first_wait_s=20.1, max_wait_s=20)


async def test_a_deadline_of_zero_is_one_try_also_without_a_wait():
    script = FaultScript(put=["500"])
    layer, _, _ = retrying(script, first_wait_s=0, deadline_s=0)
    with pytest.raises(StoreUnavailable):
        await layer.put("k", [])
    assert script.calls["put"] == 1
