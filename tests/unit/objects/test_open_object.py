import io
import threading
import uuid

import anyio
import pytest

import penstock
from penstock.errors import ConfigurationError, CredentialsError, PenstockError
from penstock.stores.memory import MemoryStore
from penstock.telemetry import OBJECT_COMMITTED, PART_COMPLETE


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore.shared(uuid.uuid4().hex)


# -- async --------------------------------------------------------------------------------------------


async def test_an_object_is_written_with_its_properties_and_its_result_told(store):
    events = []
    async with penstock.open_object(
        f"{store.url}/takes/{{seq:03d}}.{{ext}}",
        content_type="audio/ogg",
        metadata={"take": "7"},
        parts_in_flight=2,
        on_event=lambda *event: events.append(event),
    ) as out:
        await out.write(b"a" * (6 << 20))
        await out.write(bytearray(b"b"))
    assert store.read("takes/001.ogg") == b"a" * (6 << 20) + b"b"
    info = await store.head("takes/001.ogg")
    assert (info.properties.content_type, info.properties.metadata["take"]) == ("audio/ogg", "7")
    assert (out.result.key, out.result.size, out.result.parts) == ("takes/001.ogg", (6 << 20) + 1, 2)
    assert [name for name, _ in events] == [PART_COMPLETE, PART_COMPLETE, OBJECT_COMMITTED]


async def test_the_key_takes_attributes(store):
    async with penstock.open_object(f"{store.url}/{{attributes.who}}/x", attributes={"who": "../ada"}) as out:
        await out.write(b"x")
    assert store.read("_ada/x") == b"x"


@pytest.mark.parametrize(
    ("url", "parameters", "message"),
    [
        ("memory://b/k", {"chunk_sise": 1}, "chunk_sise: unknown parameter; did you mean 'chunk_size'"),
        ("memory://b/k", {"chunk_size": 1, "parts_in_flight": 0}, r"chunk_size: .*5242880; parts_in_flight: "),
        ("memory://b/k", {"on_cancel": "abort"}, "on_cancel: belongs to pipelines"),
        ("memory://b", {}, "names no key"),
        ("memory://b/{sek}", {}, "unknown field {sek}; did you mean 'seq'"),
        ("memory://b/{attributes.x}", {}, "the key has the field {attributes.x}, but there is no attribute 'x'"),
        ("gopher://b/k", {}, "names no store"),
        ("memory://b/k", {"endpoint": "http://127.0.0.1:9"}, "endpoint goes with an s3:// URL"),
    ],
)
async def test_a_wrong_argument_is_said_before_anything_is_opened(url, parameters, message):
    with pytest.raises(ConfigurationError, match=message):
        async with penstock.open_object(url, **parameters):
            pytest.fail("the block was entered")


async def test_a_variable_that_is_not_set_is_named_though_ambient_credentials_are_allowed(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(CredentialsError, match="NO_SUCH_KEY"):
        async with penstock.open_object(
            "s3://b/k", endpoint="http://127.0.0.1:9", access_key_id_env="NO_SUCH_KEY", secret_key_env="NO_SUCH_KEY"
        ):
            pytest.fail("the block was entered")


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'open_objekt'"):
        _ = penstock.open_objekt


# -- sync ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 4096, 300_000])
def test_a_file_takes_bytes_in_order_whatever_their_size(store, step):
    data = bytes(range(251)) * (40 if step == 1 else 24_000)
    with penstock.open_object_sync(f"{store.url}/k") as out:
        for start in range(0, len(data), step):
            assert out.write(data[start : start + step]) == len(data[start : start + step])
        assert out.tell() == len(data)
    assert store.read("k") == data
    assert out.result.size == len(data)


def test_a_file_is_a_file(store):
    with penstock.open_object_sync(f"{store.url}/k") as out:
        assert (out.writable(), out.readable(), out.seekable(), out.closed) == (True, False, False, False)
        assert out.name == f"{store.url}/k"
        text = io.TextIOWrapper(out, encoding="utf-8")
        text.write("größe")
        text.close()
        assert out.closed
        with pytest.raises(ValueError, match="closed file"):
            out.write(b"late")
        assert store.read("k") is None
    assert store.read("k") == "größe".encode()


def test_a_file_keeps_what_was_in_a_buffer_that_is_used_again(store):
    buffer = bytearray(b"first")
    with penstock.open_object_sync(f"{store.url}/k") as out:
        out.write(buffer)
        buffer[:] = b"other"
        out.write(memoryview(buffer)[::2])
    assert store.read("k") == b"firstohr"


def test_a_file_tells_what_is_wrong_when_it_is_opened():
    with pytest.raises(ConfigurationError, match="names no key"), penstock.open_object_sync("memory://b"):
        pytest.fail("the block was entered")


def test_a_write_that_was_interrupted_is_not_committed_even_if_the_block_goes_on(store, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    def write_on(out):
        out.write(b"before")
        out.flush()
        with monkeypatch.context() as patch:
            patch.setattr(type(out._session._portal), "call", interrupted)
            with pytest.raises(KeyboardInterrupt):
                out.write(bytes(1 << 20))

    not_committed = pytest.raises(PenstockError, match="'k' was not committed: a write to it was interrupted")
    with not_committed, penstock.open_object_sync(f"{store.url}/k") as out:
        write_on(out)
    assert (store.read("k"), store.open_uploads) == (None, [])


def test_files_of_several_threads_are_written_side_by_side(store):
    def write(n):
        with penstock.open_object_sync(f"{store.url}/{n}") as out:
            for _ in range(50):
                out.write(bytes([n]) * 10_000)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(store.read(str(n)) == bytes([n]) * 500_000 for n in range(8))


async def test_a_file_may_be_written_in_a_thread_beside_a_loop(store):
    def write():
        with penstock.open_object_sync(f"{store.url}/k") as out:
            out.write(b"data")

    await anyio.to_thread.run_sync(write)
    assert store.read("k") == b"data"
