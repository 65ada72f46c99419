import asyncio
import base64
import gc
import json
from dataclasses import replace

import anyio
import pytest
from awscrt.checksums import crc64nvme

from penstock.errors import ConfigurationError, StoreError
from penstock.stores.base import Capability, Checksum, ObjectProperties, PutResult
from penstock.stores.layers.base import Layer
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.telemetry import OBJECT_ABORTED, OBJECT_COMMITTED, OBJECT_FAILED, PART_COMPLETE

SMALL = Capability(min_part_bytes=1, max_parts=100, max_object_bytes=1000)
OPTIONS = UploadOptions(chunk_size=10, memory_limit=1000)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(capability=SMALL)


class Gate(Layer):
    """Lets parts through one by one, and remembers how many and how many bytes were waiting at most."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner)
        self.semaphore = anyio.Semaphore(0)
        self.waiting = 0
        self.most_waiting = 0
        self.waiting_bytes = 0
        self.most_bytes = 0

    async def put_part(self, key, upload_id, number, body, *, offset, checksum=None):
        size = sum(map(len, body))
        self.waiting += 1
        self.waiting_bytes += size
        self.most_waiting = max(self.waiting, self.most_waiting)
        self.most_bytes = max(self.waiting_bytes, self.most_bytes)
        try:
            await self.semaphore.acquire()
        finally:
            self.waiting -= 1
            self.waiting_bytes -= size
        return await super().put_part(key, upload_id, number, body, offset=offset, checksum=checksum)


# -- commit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 19, 20, 21, 95])
@pytest.mark.parametrize("step", [1, 3, 10, 1000])
async def test_the_object_is_the_stream_whatever_its_size_and_that_of_its_writes(store, size, step):
    data = bytes(range(size))
    async with open_upload(store, "k", OPTIONS) as upload:
        for start in range(0, size, step):
            await upload.write(data[start : start + step])
    assert store.read("k") == data
    assert store.open_uploads == []
    assert upload.result.size == upload.size == upload.stored_bytes == size
    assert upload.result.parts == (0 if size < 10 else -(-size // 10))


async def test_a_stream_under_one_part_is_one_put_and_an_empty_one_an_empty_object(store):
    script = FaultScript()
    for data in (b"", b"123456789"):
        async with open_upload(FaultLayer(store, script), "k", OPTIONS) as upload:
            await upload.write(data)
        assert store.read("k") == data
    assert script.calls == {"put": 2}


async def test_the_upload_is_opened_when_the_first_part_is_full(store):
    async with open_upload(store, "k", OPTIONS) as upload:
        await upload.write(b"123456789")
        assert store.open_uploads == []
        await upload.write(b"0")
        assert len(store.open_uploads) == 1


async def test_a_small_stream_beyond_the_limit_of_a_put_is_an_upload_of_one_part():
    store = MemoryStore(capability=Capability(min_part_bytes=1, max_put_bytes=4))
    for data in (b"1234", b"12345"):
        async with open_upload(store, "k", OPTIONS) as upload:
            await upload.write(data)
        assert store.read("k") == data
        assert upload.result.parts == len(data) - 4


async def test_the_result_says_what_was_stored(store):
    events = []
    options = UploadOptions(chunk_size=10, properties=ObjectProperties("audio/ogg", {"take": "7"}))
    async with open_upload(store, "takes/7", options, on_event=lambda *event: events.append(event)) as upload:
        await upload.write_many([b"0123456789", b"abc"])
    info = await store.head("takes/7")
    assert info.properties.content_type == "audio/ogg"
    assert info.properties.metadata["take"] == "7"
    assert len(info.properties.metadata["penstock-upload"]) == 32
    result = upload.result
    digest = base64.b64encode(crc64nvme(b"0123456789abc").to_bytes(8, "big")).decode()
    assert (result.url, result.key, result.etag) == ("memory://memory/takes/7", "takes/7", info.etag)
    assert (result.size, result.parts, result.retries, result.incomplete) == (13, 2, 0, False)
    assert result.digest == Checksum("crc64nvme", digest)
    assert result.seconds >= 0
    names = [name for name, _ in events]
    assert names == [PART_COMPLETE, PART_COMPLETE, OBJECT_COMMITTED]
    assert events[-1][1] == result.as_fields()
    assert events[-1][1]["digest"] == f"crc64nvme:{digest}"


async def test_the_digest_is_that_of_the_published_check_value(store):
    async with open_upload(store, "k", UploadOptions()) as upload:
        await upload.write_many([b"1234", b"56789"])
    assert upload.result.digest.value == base64.b64encode(bytes.fromhex("AE8B14860A799888")).decode()


async def test_commit_can_be_done_by_hand_and_ends_writing(store):
    async with open_upload(store, "k", OPTIONS) as upload:
        await upload.write(b"x" * 25)
        result = await upload.commit()
        assert store.read("k") == b"x" * 25
        with pytest.raises(StoreError, match="write 'k': the upload is committed"):
            await upload.write(b"y")
        with pytest.raises(StoreError, match="commit 'k': the upload is committed already"):
            await upload.commit()
        await upload.abort()
    assert upload.result is result
    assert store.read("k") == b"x" * 25


async def test_a_committed_object_survives_an_exception_after_the_commit(store):
    with pytest.raises(ZeroDivisionError):
        async with open_upload(store, "k", OPTIONS) as upload:
            await upload.write(b"x" * 25)
            await upload.commit()
            raise ZeroDivisionError
    assert store.read("k") == b"x" * 25


async def test_an_object_that_is_not_what_was_sent_is_removed_and_said():
    class Corrupting(Layer):
        async def put(self, key, body, properties=None, **_) -> PutResult:
            made = await super().put(key, [b"other"], properties)
            return PutResult(made.etag, None, Checksum("crc64nvme", "AAAAAAAAAAA="))

    store = MemoryStore(capability=SMALL)
    with pytest.raises(StoreError, match=r"the store holds crc64nvme:AAAAAAAAAAA=, but crc64nvme:.* was sent"):
        async with open_upload(Corrupting(store), "k", OPTIONS) as upload:
            await upload.write(b"data")
    assert store.read("k") is None


# -- abort --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, 10, 45])
async def test_an_exception_leaves_neither_object_nor_upload_and_passes_as_it_is(store, size):
    events = []
    error = ValueError("from the body")
    with pytest.raises(ValueError, match="from the body") as caught:
        async with open_upload(store, "k", OPTIONS, on_event=lambda *event: events.append(event)) as upload:
            await upload.write(bytes(size))
            raise error
    assert caught.value is error
    assert (store.read("k"), store.open_uploads) == (None, [])
    assert events[-1][0] == OBJECT_FAILED
    assert events[-1][1]["reason"] == "ValueError: from the body"


async def test_a_cancel_leaves_neither_object_nor_upload(store):
    events = []
    gate = Gate(store)
    with anyio.CancelScope() as scope:
        async with open_upload(gate, "k", OPTIONS, on_event=lambda *event: events.append(event)) as upload:
            await upload.write(bytes(45))
            await anyio.wait_all_tasks_blocked()
            assert gate.waiting == 4
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert (store.read("k"), store.open_uploads, gate.waiting) == (None, [], 0)
    assert [name for name, _ in events] == [OBJECT_ABORTED]


async def test_a_second_native_cancel_does_not_cut_the_abort_short(store):
    script = FaultScript()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def pause(call):
        reached.set()
        await go_on.wait()

    script.before("abort", 1, pause)

    async def upload():
        async with open_upload(FaultLayer(store, script), "k", OPTIONS) as upload:
            await upload.write(bytes(25))
            await asyncio.sleep(3600)

    task = asyncio.create_task(upload())
    await anyio.wait_all_tasks_blocked()
    for _ in range(3):
        task.cancel()
        await reached.wait()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (store.read("k"), store.open_uploads) == (None, [])


async def test_abort_by_hand_stops_the_parts_and_ends_the_upload(store):
    gate = Gate(store)
    async with open_upload(gate, "k", OPTIONS) as upload:
        await upload.write(bytes(35))
        await anyio.wait_all_tasks_blocked()
        assert gate.waiting == 3
        await upload.abort()
        assert (store.open_uploads, gate.waiting) == ([], 0)
        with pytest.raises(StoreError, match="the upload is aborted"):
            await upload.write(b"x")
    assert store.read("k") is None
    assert upload.result is None


async def test_an_upload_that_cannot_be_aborted_is_named_in_a_note(store):
    script = FaultScript(abort=["403"])
    with pytest.raises(ValueError, match="mine") as caught:
        async with open_upload(FaultLayer(store, script), "k", OPTIONS) as upload:
            await upload.write(bytes(10))
            raise ValueError("mine")
    (note,) = caught.value.__notes__
    assert note.startswith(f"upload {store.open_uploads[0]} of 'k' may be left in the store: abort_multipart")


async def test_an_abort_that_hangs_is_given_up_after_its_time(store):
    options = UploadOptions(chunk_size=10, grace_s=0.01)
    with pytest.raises(ValueError, match="mine") as caught:
        async with open_upload(FaultLayer(store, FaultScript(abort=["hang"])), "k", options) as upload:
            await upload.write(bytes(10))
            raise ValueError("mine")
    assert "no answer in 0.01 s" in caught.value.__notes__[0]


async def test_a_cancel_whose_abort_hangs_tells_what_may_be_left(store):
    class Hanging(Layer):
        async def abort_multipart(self, key, upload_id):
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.02)  # as a transport that waits for its thread

    events = []
    options = UploadOptions(chunk_size=10, grace_s=0.05)
    with anyio.CancelScope() as scope:
        async with open_upload(Hanging(store), "k", options, on_event=lambda *event: events.append(event)) as upload:
            await upload.write(bytes(25))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.sleep_forever()
    name, fields = events[-1]
    assert name == OBJECT_ABORTED
    assert fields["left"] == f"upload {store.open_uploads[0]} of 'k' may be left in the store: no answer in 0.05 s"


async def test_an_abort_by_hand_that_fails_raises(store):
    async with open_upload(FaultLayer(store, FaultScript(abort=["403"])), "k", OPTIONS) as upload:
        await upload.write(bytes(10))
        with pytest.raises(StoreError, match="may be left in the store"):
            await upload.abort()


async def test_a_part_that_lands_after_the_abort_is_aborted_too(store):
    """A store on which parts outlive the first abort, as a part under way does on S3."""

    class Late(Layer):
        aborts = 0

        async def abort_multipart(self, key, upload_id):
            self.aborts += 1
            if self.aborts > 1:
                await super().abort_multipart(key, upload_id)

    late = Late(store)
    with pytest.raises(ZeroDivisionError):
        async with open_upload(late, "k", OPTIONS) as upload:
            await upload.write(bytes(10))
            raise ZeroDivisionError
    assert late.aborts == 2
    assert store.open_uploads == []


# -- nobody leaves ------------------------------------------------------------------------------------


async def test_a_closed_generator_aborts(store):
    async def produce():
        async with open_upload(store, "k", OPTIONS) as upload:
            await upload.write(bytes(25))
            yield

    generator = produce()
    await anext(generator)
    await generator.aclose()
    assert (store.read("k"), store.open_uploads) == (None, [])


def test_a_loop_that_stops_commits_nothing(store):
    async def record():
        async with open_upload(store, "k", OPTIONS) as upload:
            await upload.write(bytes(25))
            await asyncio.sleep(3600)

    async def main():
        task = asyncio.create_task(record())
        await anyio.wait_all_tasks_blocked()
        assert len(store.open_uploads) == 1
        return task

    task = asyncio.run(main())
    assert task.cancelled()
    assert (store.read("k"), store.open_uploads) == (None, [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")
def test_a_collected_writer_commits_nothing(store):
    async def main():
        manager = open_upload(store, "k", OPTIONS)
        upload = await manager.__aenter__()
        await upload.write(b"123456789")
        del manager, upload

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    loop.run_until_complete(main())
    gc.collect()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert store.read("k") is None


# -- bounds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 2, 4])
async def test_no_more_parts_are_in_flight_than_allowed(store, slots):
    gate = Gate(store)
    options = UploadOptions(chunk_size=10, memory_limit=1000, parts_in_flight=slots)
    async with open_upload(gate, "k", options) as upload, anyio.create_task_group() as group:
        group.start_soon(upload.write, bytes(200))
        await anyio.wait_all_tasks_blocked()
        assert gate.waiting == slots
        assert upload.size == 10 * (slots + 1)  # one part is full and waits for a slot
        for _ in range(20):
            gate.semaphore.release()
    assert gate.most_waiting == slots
    assert store.read("k") == bytes(200)


@pytest.mark.parametrize(("limit", "flying"), [(10, 1), (19, 1), (20, 2), (29, 2), (30, 3)])
async def test_the_memory_limit_counts_parts_in_flight_and_the_one_being_filled(limit, flying):
    store = MemoryStore(capability=Capability(min_part_bytes=1, max_parts=10_000, max_object_bytes=10_000))
    gate = Gate(store)
    options = UploadOptions(chunk_size=10, memory_limit=limit, parts_in_flight=8)
    async with open_upload(gate, "k", options) as upload, anyio.create_task_group() as group:
        group.start_soon(upload.write, bytes(200))
        await anyio.wait_all_tasks_blocked()
        assert upload.size <= limit
        assert upload.size == 10 * (limit // 10)
        assert gate.waiting == flying
        for _ in range(20):
            gate.semaphore.release()
    assert gate.most_bytes <= limit
    assert store.read("k") == bytes(200)


async def test_parts_grow_so_that_a_stream_fits_the_part_numbers():
    store = MemoryStore(capability=Capability(min_part_bytes=1, max_parts=40, max_object_bytes=4000))
    data = bytes(range(250)) * 16
    async with open_upload(store, "k", UploadOptions(chunk_size=10, memory_limit=500)) as upload:
        await upload.write(data)
    assert store.read("k") == data
    assert upload.result.parts <= 40


@pytest.mark.parametrize("size", [99, 100, 101])
async def test_a_stream_that_outgrows_the_store_fails_and_leaves_nothing(size):
    store = MemoryStore(capability=Capability(min_part_bytes=1, max_parts=10, equal_parts=True))

    async def send():
        async with open_upload(store, "k", OPTIONS) as upload:
            await upload.write(bytes(size))

    if size <= 100:
        await send()
        assert store.read("k") == bytes(size)
    else:
        with pytest.raises(StoreError, match="the object would outgrow 100 bytes; raise chunk_size or memory_limit"):
            await send()
        assert (store.read("k"), store.open_uploads) == (None, [])


async def test_sizes_that_do_not_fit_are_refused_before_anything_is_sent(store):
    with pytest.raises(ConfigurationError, match="memory_limit 9 does not hold one part"):
        async with open_upload(store, "k", UploadOptions(chunk_size=10, memory_limit=9)):
            pass


async def test_a_buffer_may_be_reused_after_write():
    store = MemoryStore(capability=Capability(min_part_bytes=1))
    buffer = bytearray(25_000)
    async with open_upload(store, "k", UploadOptions(chunk_size=100_000, memory_limit=200_000)) as upload:
        for value in range(10):
            buffer[:] = bytes([value]) * len(buffer)
            await upload.write(buffer)
    assert store.read("k") == b"".join(bytes([value]) * len(buffer) for value in range(10))


async def test_two_tasks_cannot_write_at_once(store):
    gate = Gate(store)
    options = UploadOptions(chunk_size=10, parts_in_flight=1)
    async with open_upload(gate, "k", options) as upload, anyio.create_task_group() as group:
        group.start_soon(upload.write, bytes(50))
        await anyio.wait_all_tasks_blocked()
        for attempt in (upload.write(b"x"), upload.commit()):
            with pytest.raises(anyio.BusyResourceError):
                await attempt
        for _ in range(5):
            gate.semaphore.release()
    assert store.read("k") == bytes(50)


# -- cut short ----------------------------------------------------------------------------------------


async def cut_write(upload, data: bytes) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(upload.write, data)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()


async def test_a_write_that_was_cancelled_half_way_cannot_be_committed_as_whole(store):
    gate = Gate(store)
    options = UploadOptions(chunk_size=10, parts_in_flight=1)
    with pytest.raises(StoreError, match="a write was cancelled half-way"):
        async with open_upload(gate, "k", options) as upload:
            await cut_write(upload, bytes(50))
            with pytest.raises(StoreError, match="cut short by a cancelled write"):
                await upload.write(b"x")
    assert (store.read("k"), store.open_uploads) == (None, [])


async def test_a_write_that_was_cancelled_before_it_took_anything_does_no_harm(store):
    gate = Gate(store)
    options = UploadOptions(chunk_size=10, parts_in_flight=2, memory_limit=10)
    async with open_upload(gate, "k", options) as upload:
        await upload.write(bytes(10))
        await cut_write(upload, b"lost")
        gate.semaphore.release()
        await upload.write(b"kept")
        gate.semaphore.release()
    assert store.read("k") == bytes(10) + b"kept"


@pytest.mark.parametrize("size", [0, 5])
async def test_a_small_object_that_is_cut_short_says_so_in_its_metadata(store, size):
    async with open_upload(store, "k", OPTIONS) as upload:
        await upload.write(bytes(size))
        result = await upload.commit(incomplete=True)
    assert (result.incomplete, result.marker) == (True, None)
    assert (await store.head("k")).properties.metadata["penstock-incomplete"] == "true"


async def test_an_upload_that_is_cut_short_is_marked_before_it_can_be_seen(store):
    order = []
    script = FaultScript()
    script.before("complete", 1, lambda call: order.append((store.read("k"), store.read("k.incomplete") is not None)))
    async with open_upload(FaultLayer(store, script), "k", OPTIONS) as upload:
        await upload.write(bytes(25))
        result = await upload.commit(incomplete=True)
    assert order == [(None, True)]
    assert (result.incomplete, result.marker, store.read("k")) == (True, "k.incomplete", bytes(25))
    mark = (await store.head("k.incomplete")).properties.metadata["penstock-upload"]
    assert mark == (await store.head("k")).properties.metadata["penstock-upload"]


@pytest.mark.parametrize("size", [0, 5, 25])
async def test_where_metadata_are_not_kept_the_mark_is_an_object(size):
    forgetful = MemoryStore(capability=replace(SMALL, properties=False))
    async with open_upload(forgetful, "k", OPTIONS) as upload:
        await upload.write(bytes(size))
        result = await upload.commit(incomplete=True)
    assert (result.incomplete, result.marker) == (True, "k.incomplete")
    assert json.loads(forgetful.read("k.incomplete") or b"")["size"] == size


async def test_a_mark_that_cannot_be_put_stops_the_commit():
    forgetful = MemoryStore(capability=replace(SMALL, properties=False))
    with pytest.raises(StoreError, match="403"):
        async with open_upload(FaultLayer(forgetful, FaultScript(put=["403"])), "k", OPTIONS) as upload:
            await upload.write(b"small")
            await upload.commit(incomplete=True)
    assert [info.key async for info in forgetful.list()] == []


async def test_no_mark_stays_behind_when_the_commit_fails(store):
    with pytest.raises(StoreError, match="403"):
        async with open_upload(FaultLayer(store, FaultScript(complete=["403"])), "k", OPTIONS) as upload:
            await upload.write(bytes(25))
            await upload.commit(incomplete=True)
    assert [info.key async for info in store.list()] == []
    assert store.open_uploads == []


async def test_a_cancelled_body_can_still_commit_what_was_accepted(store):
    """What the policy on_error: commit does: parts that the cancellation stopped are sent again."""
    gate = Gate(store)
    with anyio.CancelScope() as scope:
        async with open_upload(gate, "k", OPTIONS) as upload:
            try:
                await upload.write(bytes(range(45)))
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                with anyio.CancelScope(shield=True):
                    for _ in range(5):
                        gate.semaphore.release()
                    await upload.commit(incomplete=True)
                raise
    assert store.read("k") == bytes(range(45))
    assert store.open_uploads == []


# -- small writes -------------------------------------------------------------------------------------


async def test_small_writes_end_with_the_upload_as_large_ones_do(store):
    async with open_upload(store, "k", OPTIONS) as upload:
        await upload.write(b"abc")
        await upload.commit()
        with pytest.raises(StoreError, match="the upload is committed"):
            await upload.write(b"d")
    assert store.read("k") == b"abc"
    async with open_upload(store, "k", OPTIONS) as upload:
        await upload.write(b"abc")
        await upload.abort()
        with pytest.raises(StoreError, match="the upload is aborted"):
            await upload.write(b"d")
    assert store.read("k") == b"abc"


@pytest.mark.parametrize("wrong", [7, "text", [1, 2], None])
async def test_what_is_no_buffer_is_refused(store, wrong):
    with pytest.raises(TypeError):
        async with open_upload(store, "k", OPTIONS) as upload:
            await upload.write(wrong)
    assert (store.read("k"), store.open_uploads) == (None, [])


async def test_a_small_write_after_one_that_was_cut_half_way_is_refused(store):
    with pytest.raises(StoreError, match="cut short by a cancelled write"):
        async with open_upload(store, "k", UploadOptions(chunk_size=500, memory_limit=1000)) as upload:
            with pytest.raises(TypeError):
                await upload.write_many([b"a"] * 256 + [7])  # the first 256 are taken together
            await upload.write(b"d")
    assert (store.read("k"), store.open_uploads) == (None, [])


async def test_a_small_write_tells_of_a_part_that_failed(store):
    raised = []
    with pytest.raises(StoreError, match="part 1"):
        async with open_upload(FaultLayer(store, FaultScript(put_part=["403"])), "k", OPTIONS) as upload:
            await upload.write(bytes(12))
            with anyio.CancelScope(shield=True):  # outlasts the failure, which cancels the body
                await anyio.wait_all_tasks_blocked()
            try:
                await upload.write(b"d")
            except StoreError as error:
                raised.append(error)
                raise
    assert len(raised) == 1
    assert store.open_uploads == []
