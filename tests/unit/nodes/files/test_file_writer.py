import anyio
import pytest
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import BadData, ConfigurationError, StoreFull, UpstreamFailed
from penstock.nodes.files.file_writer import FileWriter, FileWriterConfig
from penstock.packets import Binary, Text
from penstock.testing import FakeContext, run_node


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("stop", [False, True])
async def test_the_file_is_the_packets_joined_also_when_the_run_was_asked_to_stop(tmp_path, stop):
    target = tmp_path / "a"
    target.write_bytes(b"an earlier and longer content")
    await run_node("core::file_writer", [Binary(b"ab"), Binary(memoryview(b"cd"))], path=str(target), stop=stop)
    assert target.read_bytes() == b"abcd"
    assert names(tmp_path) == ["a"]


async def test_an_input_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(UpstreamFailed, match="disk gone"):
        await run_node(
            "core::file_writer", [Binary(bytes(1 << 20))], path=str(tmp_path / "a"), fail_input=OSError("disk gone")
        )
    assert names(tmp_path) == []


async def test_a_cancel_leaves_nothing(tmp_path):
    node, source = FileWriter(FileWriterConfig(path=str(tmp_path / "a"))), Channel(100, 1 << 20)
    ctx = FakeContext({"in": source})
    await node.prepare(ctx)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.run, ctx)
        await source.send(Binary(bytes(1 << 20)))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await node.close()
    assert names(tmp_path) == []


async def test_a_full_device_fails_the_node():
    with pytest.raises(StoreFull, match="No space left on device"):
        await run_node("core::file_writer", [Binary(b"x")], path="/dev/full")


async def test_a_packet_without_bytes_is_refused_rather_than_left_out(tmp_path):
    with pytest.raises(BadData, match="not of Text"):
        await run_node("core::file_writer", [Binary(b"x"), Text("y")], path=str(tmp_path / "a"))
    assert names(tmp_path) == []


async def test_a_path_that_cannot_be_written_is_said_before_the_run(tmp_path):
    with pytest.raises(ConfigurationError, match="is a directory"):
        await run_node("core::file_writer", [Binary(b"x")], path=str(tmp_path))


@pytest.mark.parametrize("params", [{}, {"path": ""}, {"path": "a", "chunk_size": 0}, {"path": "a", "append": True}])
def test_bad_parameters_are_errors(params):
    with pytest.raises(ValidationError):
        FileWriterConfig.model_validate(params)
