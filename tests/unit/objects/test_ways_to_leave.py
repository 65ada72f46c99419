"""Every way to leave the block of ``open_object`` and of ``open_object_sync``, and what the store then holds."""

import asyncio
import gc
import signal
import subprocess
import sys
import uuid

import anyio
import pytest

import penstock
from penstock.errors import StoreError
from penstock.stores.memory import MemoryStore
from support.outcomes import WAYS, WHOLE

DATA = bytes(6 << 20)  # more than a part, so that an upload is open


class Expected(Exception):
    """Raised by a block on purpose."""


# -- with an event loop -------------------------------------------------------------------------------


async def leave_cleanly(url):
    async with penstock.open_object(url) as out:
        await out.write(DATA)


async def raise_in_the_block(url):
    with pytest.raises(Expected):
        async with penstock.open_object(url) as out:
            await out.write(DATA)
            raise Expected


async def cancel_the_scope(url):
    with anyio.CancelScope() as scope:
        async with penstock.open_object(url) as out:
            await out.write(DATA)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def cancel_the_task(url):
    open_now = asyncio.Event()

    async def write():
        async with penstock.open_object(url) as out:
            await out.write(DATA)
            open_now.set()
            await anyio.sleep_forever()

    task = asyncio.create_task(write())
    await open_now.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def fail_beside_it(url):
    async def write(task_status):
        async with penstock.open_object(url) as out:
            await out.write(DATA)
            task_status.started()
            await anyio.sleep_forever()

    async def fail():
        raise Expected

    with pytest.raises(ExceptionGroup):
        async with anyio.create_task_group() as tasks:
            await tasks.start(write)
            tasks.start_soon(fail)


async def close_the_generator(url):
    async def produce():
        async with penstock.open_object(url) as out:
            await out.write(DATA)
            yield

    generator = produce()
    await anext(generator)
    await generator.aclose()


async def write_forever(url, open_now):
    async with penstock.open_object(url) as out:
        await out.write(DATA)
        open_now.set()
        await anyio.sleep_forever()


def stop_the_loop(url):
    async def main():
        open_now = asyncio.Event()
        main.task = asyncio.create_task(write_forever(url, open_now))
        await open_now.wait()

    asyncio.run(main())
    assert main.task.cancelled()


def interrupt(url):
    async def main():
        async with penstock.open_object(url) as out:
            await out.write(DATA)
            signal.raise_signal(signal.SIGINT)
            await anyio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


def forget_it(url):
    """The loop is closed and the writer collected, with nobody left to await anything."""

    async def main():
        manager = penstock.open_object(url)
        out = await manager.__aenter__()
        await out.write(DATA)

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    loop.run_until_complete(main())
    gc.collect()
    loop.close()
    gc.collect()


# -- without one --------------------------------------------------------------------------------------


def leave_the_file_cleanly(url):
    with penstock.open_object_sync(url) as out:
        out.write(DATA)


def raise_beside_the_file(url):
    with pytest.raises(Expected), penstock.open_object_sync(url) as out:
        out.write(DATA)
        raise Expected


def close_the_file_and_raise(url):
    with pytest.raises(Expected), penstock.open_object_sync(url) as out:
        out.write(DATA)
        out.close()
        raise Expected


def interrupt_the_file(url):
    with pytest.raises(KeyboardInterrupt), penstock.open_object_sync(url) as out:
        out.write(DATA)
        signal.raise_signal(signal.SIGINT)


def close_the_generator_of_the_file(url):
    def produce():
        with penstock.open_object_sync(url) as out:
            out.write(DATA)
            yield

    generator = produce()
    next(generator)
    generator.close()


def forget_the_file(url):
    manager = penstock.open_object_sync(url)
    out = manager.__enter__()
    out.write(DATA)
    ended = manager._session._ended
    del manager, out
    gc.collect()
    ended.result(timeout=10)  # the abort goes on in the thread of the loop


def leave_the_interpreter(url):
    script = f"""
import penstock, sys
manager = penstock.open_object_sync("{url}")
out = manager.__enter__()
out.write(bytes(6 << 20))
out.flush()
sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (7, "")


ONE_BY_ONE = [(way, row) for row in WAYS for way in row.ways]
IN_A_DIRECTORY = {"leave_the_interpreter"}  # another process does not see our memory


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize(("way", "row"), ONE_BY_ONE, ids=[way for way, _ in ONE_BY_ONE])
def test_a_way_to_leave_has_the_outcome_that_the_documentation_says(way, row, tmp_path):
    name = uuid.uuid4().hex
    left = globals()[way](f"file:{tmp_path}/k" if way in IN_A_DIRECTORY else f"memory://{name}/k")
    if asyncio.iscoroutine(left):
        asyncio.run(left)
    store = MemoryStore.shared(name)
    assert store.read("k") == (DATA if row.object == WHOLE else None)
    assert len(store.open_uploads) == row.uploads
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("face", ["async", "sync"])
def test_what_fails_for_good_is_raised_from_the_block(face):
    """The object would outgrow the store: its largest has ten parts of five mebibytes."""
    name = uuid.uuid4().hex
    MemoryStore._shared[name] = MemoryStore(name, _small())
    with pytest.raises(StoreError, match="would outgrow 10485760 bytes"):
        if face == "sync":
            with penstock.open_object_sync(f"memory://{name}/k") as out:
                out.write(bytes(11 << 20))
        else:
            asyncio.run(_write(f"memory://{name}/k", bytes(11 << 20)))
    assert (MemoryStore.shared(name).read("k"), MemoryStore.shared(name).open_uploads) == (None, [])


def _small():
    from penstock.stores.base import Capability

    return Capability(max_parts=2, equal_parts=True)


async def _write(url, data):
    async with penstock.open_object(url) as out:
        await out.write(data)
