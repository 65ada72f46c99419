"""Every way a run of the writer ends, with every policy: what is under the key, what is open, how the output ends.

The rows come from ``support.outcomes``, which the documentation shows; signals to real processes are in
``tests/integration/test_outcomes_of_signals.py``.
"""

import json
import uuid
from dataclasses import dataclass

import anyio
import pytest
from pydantic import Field

from penstock.engine.load import check_text
from penstock.engine.run import Run, RunOptions
from penstock.errors import PermissionDenied
from penstock.nodes.base import Node, NodeConfig, node
from penstock.packets import Binary, Text
from penstock.pins import OutputPin
from penstock.stores.memory import MemoryStore
from support.outcomes import CAME, CASES, EMPTY, ENDS, FAILS, MARKED, NONE, NOTHING, PARTS, SOME, WHOLE
from support.pipelines import Collect, fresh, registry

SIZES = {NOTHING: [], SOME: [1000, 1, 2000], PARTS: [4 << 20, 4 << 20, 4 << 20, 100]}
HERE = [case for case in CASES if case[0].way != "killed"]
PIPELINE = """
nodes:
  source: {{kind: 'test::script', params: {{sizes: {sizes}, then: {then}}}}}
  object:
    kind: core::object_store_writer
    params: {{url: 'memory://{bucket}/k', passthrough: true, on_cancel: {on_cancel}, on_error: {on_error}}}
    needs: source
  kept: {{kind: 'test::collect', needs: object}}
"""


class ScriptConfig(NodeConfig):
    """What to send, and what then."""

    sizes: tuple[int, ...] = Field((), description="Bytes of each packet.")
    then: str = Field("end", description="end, fail, wait or text.")


@node("test::script", outputs=[OutputPin("out")])
class Script(Node[ScriptConfig]):
    """Send packets, then end, fail, wait for the stop, or send what is not bytes."""

    async def run(self, ctx):
        for size in self.config.sizes:
            await ctx.output().send(Binary(bytes(size)))
        if self.config.then == "fail":
            raise OSError("the source broke")
        if self.config.then == "text":
            await ctx.output().send(Text("no bytes"))
        if self.config.then == "wait":
            await ctx.stopping.wait()


class Refusing(MemoryStore):
    """Takes an upload, but never commits."""

    async def put(self, key, body, properties=None, *, if_absent=False, checksum=None):
        raise PermissionDenied("no", operation="put", key=key)

    async def complete_multipart(self, key, upload_id, parts, *, if_absent=False, checksum=None):
        raise PermissionDenied("no", operation="complete_multipart", key=key)


class Gone(Refusing):
    """Does not even abort."""

    async def abort_multipart(self, key, upload_id):
        raise PermissionDenied("no", operation="abort_multipart", key=key)


class Hanging(MemoryStore):
    """Does not answer the first commit."""

    async def put(self, key, body, properties=None, *, if_absent=False, checksum=None):
        await self._hang_once()
        return await super().put(key, body, properties, if_absent=if_absent, checksum=checksum)

    async def complete_multipart(self, key, upload_id, parts, *, if_absent=False, checksum=None):
        await self._hang_once()
        return await super().complete_multipart(key, upload_id, parts, if_absent=if_absent, checksum=checksum)

    async def _hang_once(self):
        if not hasattr(self, "hung"):
            self.hung = True
            await anyio.sleep_forever()


async def until_quiet(run):
    await anyio.wait_all_tasks_blocked()


async def stop(run):
    await anyio.wait_all_tasks_blocked()
    run.stop("SIGTERM")


async def stop_and_abort(run):
    await stop(run)
    await abort(run)


async def abort(run):
    await anyio.wait_all_tasks_blocked()
    run.abort("second signal")


@dataclass(frozen=True)
class Means:
    """How a way to end is brought about."""

    then: str = "end"
    control: object = until_quiet
    store: type = MemoryStore


MEANS = {
    "input_ends": Means(),
    "input_fails": Means(then="fail"),
    "stopped": Means(then="wait", control=stop),
    "cut_short": Means(then="wait", control=abort),
    "cut_at_commit": Means(then="wait", control=stop_and_abort, store=Hanging),
    "store_refuses": Means(store=Refusing),
    "store_is_gone": Means(store=Gone),
    "input_is_not_binary": Means(then="text"),
}


async def end(way, sent, on_cancel, on_error):
    """Run to that end; return the store."""
    means, bucket = MEANS[way], uuid.uuid4().hex
    store = MemoryStore._shared[bucket] = means.store(bucket)
    text = PIPELINE.format(sizes=SIZES[sent], then=means.then, bucket=bucket, on_cancel=on_cancel, on_error=on_error)
    known = registry()
    known.add(Script.kind, Script)
    fresh()
    graph, _ = check_text(text, registry=known)
    run = Run(graph, options=RunOptions())
    async with anyio.create_task_group() as group:
        group.start_soon(means.control, run)
        await run.execute()
        group.cancel_scope.cancel()
    return store


@pytest.mark.parametrize(
    ("row", "sent", "on_cancel", "on_error"),
    HERE,
    ids=[f"{row.way}-{sent.replace(' ', '_')}-{cancel}-{error}" for row, sent, cancel, error in HERE],
)
async def test_a_run_ends_as_the_table_says(row, sent, on_cancel, on_error):
    store = await end(row.way, sent, on_cancel, on_error)
    found = store.read("k")
    expected = {NONE: None, EMPTY: b""}.get(row.object, bytes(sum(SIZES[sent])))
    assert found == expected
    assert row.object in (WHOLE, EMPTY, CAME, MARKED, NONE)
    assert marked(store) == (row.object == MARKED)
    assert len(store.open_uploads) == row.uploads
    # When a run is cut short, whoever reads the output is cut short as well.
    failed = {"UpstreamFailed", "CancelledError"} if row.way.startswith("cut_") else {"UpstreamFailed"}
    assert Collect.ends.get("default") in {ENDS: {"end"}, FAILS: failed}[row.out]


def marked(store):
    """Whether the object, or one beside it, says that it was cut short."""
    if store.read("k.incomplete") is not None:
        return json.loads(store.read("k.incomplete"))["penstock-incomplete"] is True
    return any(one.info.properties.metadata.get("penstock-incomplete") == "true" for one in store._objects.values())


def test_every_combination_of_end_amount_and_policies_is_in_one_row():
    seen = [(row.way, *case) for row, *case in CASES]
    assert len(seen) == len(set(seen))
    complete = {"input_ends", "stopped", "input_fails", "cut_short", "killed", "store_refuses", "input_is_not_binary"}
    assert complete | {"store_is_gone", "cut_at_commit"} == {row.way for row, *_ in CASES}
    for way in complete:
        assert sum(found[0] == way for found in seen) == 3 * 2 * 2, way
