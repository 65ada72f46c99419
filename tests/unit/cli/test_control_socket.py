"""The socket of ``--control``: what goes on there neither ends the run nor touches what is not its own."""

import asyncio
import json
import socket

import anyio
import pytest

from penstock.cli import control
from penstock.engine.run import Run
from support.pipelines import run_text

TEXT = "steps: [{kind: 'test::source', params: {forever: true}}, {kind: 'test::dial'}, {kind: 'test::collect'}]"


async def ask(client, **message):
    await client.send(json.dumps(message).encode() + b"\n")
    return json.loads(await client.receive())


async def test_several_programs_talk_at_once_and_each_gets_its_own_answers(tmp_path):
    async def talk(run: Run) -> None:
        path = tmp_path / "live.sock"
        async with control.controlled(run, str(path), None):
            one, other = await anyio.connect_unix(path), await anyio.connect_unix(path)
            assert (await ask(other, action="show", id=1))["id"] == 1
            tuned = await ask(one, action="tune", id=2, nodes={"step_1": {"mark": 3}})
            assert (tuned["id"], tuned["nodes"]["step_1"]["mark"]) == (2, 3)
            shown = await ask(other, action="show", id=3)
            assert shown["nodes"]["step_1"]["params"]["mark"] == 3
        for client in (one, other):
            await client.aclose()
        assert not path.exists()
        run.stop("test")

    assert (await run_text(TEXT, control=talk)).ok


async def test_a_connection_that_cannot_be_had_does_not_end_the_run(tmp_path, monkeypatch):
    class Full:
        """A listener that has no descriptor for the first who connects."""

        def __init__(self, inner):
            self.inner = inner
            self.tries = 0

        async def accept(self):
            self.tries += 1
            if self.tries == 1:
                raise anyio.BrokenResourceError from OSError(24, "Too many open files")
            return await self.inner.accept()

    async def talk(run: Run) -> None:
        monkeypatch.setattr(control, "RETRY_S", 0)
        async with await anyio.create_unix_listener(tmp_path / "live.sock") as inner:
            full = Full(inner)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(control._Port(run, full).serve)
                client = await anyio.connect_unix(tmp_path / "live.sock")
                assert (await ask(client, action="show"))["ok"]
                tasks.cancel_scope.cancel()
            await client.aclose()
        assert full.tries > 1
        run.stop("test")

    assert (await run_text(TEXT, control=talk)).ok


async def test_what_has_come_in_the_place_of_the_socket_stays(tmp_path):
    path = tmp_path / "live.sock"
    async with control.controlled(None, str(path), None):
        path.unlink()
        path.write_text("a file")
    assert path.read_text() == "a file"


@pytest.mark.parametrize("who", ["one that is connected", "one that connects"])
async def test_a_client_that_comes_or_goes_as_the_run_ends_leaves_no_trace(tmp_path, who):
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    path = tmp_path / "live.sock"
    with socket.socket(socket.AF_UNIX) as client:
        async with control.controlled(None, str(path), None):
            if who == "one that is connected":
                client.connect(str(path))
            await anyio.wait_all_tasks_blocked()
            client.close() if who == "one that is connected" else client.connect(str(path))
            await asyncio.sleep(0)  # the end of the block and the news of the client come in one turn of the loop
    assert complaints == []


async def test_what_is_asked_as_the_run_ends_is_answered(tmp_path):
    async def talk(run: Run) -> None:
        async with control.controlled(run, str(tmp_path / "live.sock"), None):
            client = await anyio.connect_unix(tmp_path / "live.sock")
            await client.send(b'{"action": "show", "id": 1}\n{"action": "show", "id": 2}')
        lines = (await client.receive()).splitlines()
        assert [json.loads(line)["id"] for line in lines] == [1, 2]
        await client.aclose()
        run.stop("test")

    assert (await run_text(TEXT, control=talk)).ok


async def test_one_that_does_not_read_its_answers_does_not_hold_up_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "GRACE_S", 0.01)

    async def talk(run: Run) -> None:
        async with control.controlled(run, str(tmp_path / "live.sock"), None):
            client = await anyio.connect_unix(tmp_path / "live.sock")
            with anyio.move_on_after(0.2):
                while True:
                    await client.send(b'{"action": "show"}\n' * 1000)
        await client.aclose()
        run.stop("test")

    with anyio.fail_after(10):
        assert (await run_text(TEXT, control=talk)).ok
