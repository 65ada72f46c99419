import os

import anyio
import pytest
from anyio import to_thread
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import ConfigurationError
from penstock.nodes.files.file_reader import BLOCK_BYTES, FileReader, FileReaderConfig
from penstock.packets import Binary
from penstock.testing import FakeContext, run_node


def make(path, **params):
    return FileReader(FileReaderConfig(path=str(path), **params))


def join(packets):
    return b"".join(bytes(packet.data) for packet in packets)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1])
async def test_the_packets_are_the_file_again_cut_at_chunk_size(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    packets = (await run_node("core::file_reader", path=str(tmp_path / "a"), chunk_size=10)).packets
    assert join(packets) == content
    assert all(packet.size == 10 for packet in packets[:-1])
    assert len(packets) == -(-size // 10)


async def test_a_chunk_larger_than_a_block_is_one_packet(tmp_path):
    (tmp_path / "a").write_bytes(bytes(2 * BLOCK_BYTES + 5))
    packets = (await run_node("core::file_reader", path=str(tmp_path / "a"), chunk_size=2 * BLOCK_BYTES)).packets
    assert [packet.size for packet in packets] == [2 * BLOCK_BYTES, 5]


async def test_a_stop_ends_the_stream_and_leaves_the_descriptor_closed():
    node, output = make("/dev/zero"), Channel(4)
    ctx = FakeContext({}, {"out": output})
    await node.prepare(ctx)
    fd = node._fd
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.run, ctx)
        assert (await output.receive()).data == bytes(8192)
        ctx.stopping.set()

        async def drain():
            while await output.receive_many():
                pass

        tasks.start_soon(drain)
        await anyio.wait_all_tasks_blocked()
        output.close()
    await node.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


async def test_a_stop_before_the_start_sends_nothing(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    assert (await run_node("core::file_reader", path=str(tmp_path / "a"), stop=True)).packets == []


async def test_a_fifo_is_waited_for_and_read_as_it_comes(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    node, output = make(fifo), Channel()
    ctx = FakeContext({}, {"out": output})
    await node.prepare(ctx)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.run, ctx)
        writer = await to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        os.write(writer, b"first")
        assert (await output.receive()).data == b"first"
        os.write(writer, b"second")
        assert (await output.receive()).data == b"second"
        os.close(writer)
    await node.close()


@pytest.mark.parametrize("writer_comes", [False, True])
async def test_a_stop_ends_the_wait_for_a_fifo(tmp_path, writer_comes):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    node = make(fifo)
    ctx = FakeContext({}, {"out": Channel()})
    await node.prepare(ctx)
    writer = os.open(fifo, os.O_WRONLY) if writer_comes else None
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.run, ctx)
            await anyio.wait_all_tasks_blocked()
            ctx.stopping.set()
    await node.close()
    if writer is not None:
        os.close(writer)


async def test_a_slow_receiver_holds_the_reader_back(tmp_path):
    (tmp_path / "a").write_bytes(bytes(1 << 20))
    node, output = make(tmp_path / "a"), Channel(8)
    ctx = FakeContext({}, {"out": output})
    await node.prepare(ctx)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.run, ctx)
        await output.receive_many(1)
        await anyio.wait_all_tasks_blocked()
        assert output.statistics().sent <= 9
        tasks.cancel_scope.cancel()
    await node.close()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing", "no such file"),
        ("no/such/file", "there is no directory"),
        ("", "is a directory; give the path of a file"),
        ("plain/x", "cannot be opened: Not a directory"),
    ],
)
async def test_a_path_that_cannot_be_read_is_said_before_the_run(tmp_path, path, reason):
    (tmp_path / "plain").touch()
    with pytest.raises(ConfigurationError, match=reason):
        await run_node("core::file_reader", path=str(tmp_path / path))


async def test_a_relative_path_that_is_missing_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=f"'a': no such file in {tmp_path}"):
        await run_node("core::file_reader", path="a")


async def test_a_file_that_the_system_refuses_is_said_before_the_run():
    with pytest.raises(ConfigurationError, match="no permission"):
        await run_node("core::file_reader", path="/proc/sys/vm/compact_memory")  # write-only, even for root


async def test_a_read_that_fails_names_the_file_and_the_offset():
    with pytest.raises(Exception, match=r"read '/proc/self/mem': Input/output error after 0 bytes"):
        await run_node("core::file_reader", path="/proc/self/mem")


@pytest.mark.parametrize(
    "params", [{}, {"path": ""}, {"path": "a\0b"}, {"path": "a", "chunk_size": 0}, {"path": "a", "chunksize": 1}]
)
def test_bad_parameters_are_errors(params):
    with pytest.raises(ValidationError):
        FileReaderConfig.model_validate(params)


async def test_packets_carry_bytes_that_any_consumer_can_use(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    packets = (await run_node("core::file_reader", path=str(tmp_path / "a"), chunk_size=4)).packets
    assert all(isinstance(packet, Binary) and memoryview(packet.data).contiguous for packet in packets)
