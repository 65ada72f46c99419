"""Every way a run of a durable writer ends, with every policy: what is there, what is left, what is recovered.

The rows come from ``support.durable_outcomes``, which the documentation shows. Signals to real processes are in
``tests/integration/test_durable_signals.py``. Both levels of durability take turns.
"""

import json
import random
from dataclasses import dataclass
from itertools import cycle

import anyio
import pytest
from anyio.lowlevel import checkpoint
from pydantic import Field

import penstock
from penstock.engine.load import check_text
from penstock.engine.run import Run, RunOptions
from penstock.errors import NotFound, PermissionDenied, StoreUnavailable
from penstock.metrics import METERS
from penstock.nodes.base import Node, NodeConfig, node
from penstock.nodes.objects import object_store_writer
from penstock.nodes.objects.object_store_writer import ObjectStoreWriter
from penstock.packets import Binary, Text
from penstock.pins import OutputPin
from penstock.stores.durable import StateDirectory
from penstock.stores.durable.recover import Recovery, recover
from penstock.stores.durable.reopen import open_recorded
from penstock.stores.local import LocalStore
from support.durable_outcomes import (
    DURABLE_CASES,
    DURABLE_ENDINGS,
    EXIT_KEPT,
    KEPT,
    OF_PROCESSES,
    SAME,
    WAITS,
)
from support.outcomes import CAME, EMPTY, MARKED, NONE, NOTHING, PARTS, SOME, WHOLE
from support.pipelines import registry

SIZES = {NOTHING: (), SOME: (1000, 1, 2000), PARTS: (4 << 20, 4 << 20, 100)}
DATA = random.Random(4).randbytes(9 << 20)
PIPELINE = """
nodes:
  source: {{kind: 'test::sender', params: {source}}}
  object:
    kind: core::object_store_writer
    params: {params}
    needs: source
"""


class SenderConfig(NodeConfig):
    """What to send, and what then."""

    sizes: tuple[int, ...] = Field((), description="Bytes of each packet.")
    parts: int = Field(0, description="Parts that are to be stored then.")
    then: str = Field("end", description="end, fail, wait or text.")


@node("test::sender", outputs=[OutputPin("out")])
class Sender(Node[SenderConfig]):
    """Send packets; when all are accepted end, fail, wait for the stop, or send what is not bytes."""

    async def run(self, ctx):
        at = 0
        before = counted()
        for size in self.config.sizes:
            await ctx.output().send(Binary(DATA[at : at + size]))
            at += size
        while not ctx.stopping.is_set() and not reached(before, at, self.config.parts):
            await checkpoint()
        if self.config.then == "fail":
            raise OSError("the source broke")
        if self.config.then == "text":
            await ctx.output().send(Text("no bytes"))
        if self.config.then == "wait":
            await ctx.stopping.wait()


def counted(before=(0, 0)):
    """Bytes that writers have accepted and parts that are stored, since then."""
    reading = METERS.collect()
    names = ("penstock_upload_bytes_total", "penstock_upload_parts_total")
    return tuple(reading.value(name) - then for name, then in zip(names, before, strict=True))


def reached(before, size, parts):
    """Whether they are that many."""
    accepted, stored = counted(before)
    return accepted >= size and stored >= parts


class Refusing(LocalStore):
    """Takes parts, but never commits."""

    async def put(self, key, *arguments, **options):
        raise PermissionDenied("no", operation="put", key=key)

    async def complete_multipart(self, key, *arguments, **options):
        raise PermissionDenied("no", operation="complete_multipart", key=key)


class Gone(Refusing):
    """Does not even abort."""

    async def abort_multipart(self, key, upload_id):
        raise PermissionDenied("no", operation="abort_multipart", key=key)


class Hanging(LocalStore):
    """Does not answer the first commit."""

    hangs = 1
    hung = 0

    async def put(self, *arguments, **options):
        await self._hang()
        return await super().put(*arguments, **options)

    async def complete_multipart(self, *arguments, **options):
        await self._hang()
        return await super().complete_multipart(*arguments, **options)

    async def _hang(self):
        if self.hung < self.hangs:
            self.hung += 1
            await anyio.sleep_forever()


class HangingOn(Hanging):
    """Does not answer any commit."""

    hangs = 1000


class Away(LocalStore):
    """Answers for no part, until it is back."""

    back = False
    refused = 0

    async def put_part(self, key, *arguments, **options):
        if not self.back:
            self.refused += 1
            raise StoreUnavailable("503 Slow Down", operation="put_part", key=key, status=503, retryable=True)
        return await super().put_part(key, *arguments, **options)


async def nothing(run, store):
    await checkpoint()


async def stop(run, store):
    run.stop("SIGTERM")


async def abort(run, store):
    run.abort("second signal")


async def stop_and_abort(run, store):
    run.stop("SIGTERM")
    while not store.hung:
        await checkpoint()
    run.abort("second signal")


async def come_back(run, store):
    while store.refused < 3:
        await checkpoint()
    store.back = True


async def stop_when_failed(run, store):
    """A live run goes on without the writer until it is stopped."""
    while not store.refused or METERS.collect().value("penstock_uploads_in_progress"):
        await checkpoint()
    run.stop("SIGTERM")


@dataclass(frozen=True)
class Means:
    """How a way to end is brought about; ``control`` begins when all is accepted, or at once."""

    then: str = "end"
    control: object = nothing
    store: type = LocalStore
    at_once: bool = False
    parts: int = 1
    on_outage: str = "wait"


MEANS = {
    "input_ends": Means(),
    "input_fails": Means(then="fail"),
    "stopped": Means(then="wait", control=stop),
    "cut_short": Means(then="wait", control=abort),
    "rescue_fails": Means(then="fail", store=HangingOn),
    "cut_at_commit": Means(then="wait", control=stop_and_abort, store=Hanging),
    "store_refuses": Means(store=Refusing),
    "store_is_gone": Means(store=Gone),
    "outage_ends": Means(control=come_back, store=Away, at_once=True),
    "outage_fails": Means(then="wait", control=stop_when_failed, store=Away, at_once=True, on_outage="fail"),
    "input_is_not_binary": Means(then="text"),
}
LEVELS = cycle(["crash", "power"])
HERE = [
    pytest.param(row, way, *run, level, id="-".join([way, *run, level]).replace(" ", "_"))
    for row in DURABLE_ENDINGS
    for way in row.ways
    if way not in OF_PROCESSES
    for run, level in zip(row.runs(), LEVELS, strict=False)
]


async def end(tmp_path, monkeypatch, way, sent, **policies):
    """Run to that end; return the report."""
    means = MEANS[way]
    store = means.store(tmp_path / "store")
    monkeypatch.setattr(ObjectStoreWriter, "open_store", lambda _self: store)
    monkeypatch.setattr(object_store_writer, "RESCUE_TIMEOUT_S", 0.1 if way == "rescue_fails" else 10.0)
    parts = means.parts if sent == PARTS else 0
    source = {"sizes": SIZES[sent], "then": means.then, "parts": parts}
    params = {
        "url": f"file:{tmp_path}/store/k",
        "state": str(tmp_path / "state"),
        "on_outage": means.on_outage,
        "retry": {"deadline_s": 0, "first_wait_s": 0.01, "max_wait_s": 0.01},
        **policies,
    }
    known = registry()
    known.add(Sender.kind, Sender)
    text = PIPELINE.format(source=json.dumps(source), params=json.dumps(params))
    graph, _ = check_text(text, registry=known)
    run = Run(graph, options=RunOptions())
    before, size = counted(), sum(SIZES[sent])

    async def control():
        if not means.at_once:
            while not reached(before, size, parts):
                await checkpoint()
            await anyio.wait_all_tasks_blocked()
        await means.control(run, store)

    async with anyio.create_task_group() as group:
        group.start_soon(control)
        report = await run.execute()
        group.cancel_scope.cancel()
    return report


class Found:
    """What a directory holds, by a store of its own."""

    def __init__(self, root):
        self.store = LocalStore(root)

    async def object(self):
        try:
            return b"".join([piece async for piece in self.store.get("k")])
        except NotFound:
            return None

    async def uploads(self):
        return len([one async for one in self.store.list_uploads("")])

    async def marked(self):
        keys = [info.key async for info in self.store.list()]
        assert set(keys) <= {"k", "k.incomplete"}
        if not keys:
            return False
        return "k.incomplete" in keys or "penstock-incomplete" in (await self.store.head("k")).properties.metadata


OBJECTS = {WHOLE: bytes, CAME: bytes, MARKED: bytes, EMPTY: lambda _: b"", NONE: lambda _: None, WAITS: lambda _: None}
OUTCOMES = {
    WHOLE: Recovery.COMMITTED,
    CAME: Recovery.COMMITTED,
    EMPTY: Recovery.COMMITTED,
    MARKED: Recovery.MARKED,
    WAITS: Recovery.KEPT,
    NONE: Recovery.ABORTED,
}


@pytest.mark.parametrize(("row", "way", "sent", "on_cancel", "on_error", "on_crash", "durability"), HERE)
async def test_a_durable_run_ends_as_the_table_says(
    tmp_path, monkeypatch, row, way, sent, on_cancel, on_error, on_crash, durability
):
    policies = {"durability": durability, "on_cancel": on_cancel, "on_error": on_error, "on_crash": on_crash}
    with anyio.fail_after(20):
        report = await end(tmp_path, monkeypatch, way, sent, **policies)
    there, state = Found(tmp_path / "store"), StateDirectory(tmp_path / "state")
    left = list(state.list())
    size = report.kept[0]["size"] if way == "outage_fails" and report.kept else sum(SIZES[sent])
    assert size or sent == NOTHING
    accepted = DATA[:size]
    assert await there.object() == OBJECTS[row.object](accepted)
    assert await there.marked() == (row.object == MARKED)
    assert await there.uploads() == row.open_uploads(sent)
    assert bool(report.kept) == (row.left == KEPT and way != "store_is_gone")
    assert (bool(report.kept) and not report.ok) == (row.exit == EXIT_KEPT)
    assert len(left) == (row.left == KEPT)

    found = [one async for one in recover(state, open_recorded)]
    if row.recovered == SAME:
        assert found == []
        return
    assert [one.outcome for one in found] == [OUTCOMES[row.recovered]]
    assert not found[0].failed
    assert await there.object() == OBJECTS[row.recovered](accepted)
    assert await there.marked() == (row.recovered == MARKED)
    assert await there.uploads() == (row.open_uploads(sent) if row.recovered == WAITS else 0)
    assert len(list(state.list())) == (row.recovered == WAITS)
    assert not state.aside.exists()
    if row.recovered == WAITS:
        await go_on(tmp_path, size, durability)
        assert await there.object() == DATA
        assert list(state.list()) == []
    assert await there.uploads() == 0


async def go_on(tmp_path, size, durability):
    """Resume what waits at its byte, and end it."""
    offsets = []
    async with penstock.open_object(
        f"file:{tmp_path}/store/k",
        durability=durability,
        state=str(tmp_path / "state"),
        resume=True,
        on_event=lambda name, fields: offsets.append(fields["offset"]) if name == "object.resumed" else None,
    ) as out:
        assert offsets == [size]
        await out.write(DATA[size:])


def test_every_combination_of_end_amount_and_policies_is_in_one_row():
    assert len(DURABLE_CASES) == len(set(DURABLE_CASES))
    complete = {"input_ends", "stopped", "input_fails", "cut_short", "killed", "store_refuses", "input_is_not_binary"}
    some = {"rescue_fails", "cut_at_commit", "store_is_gone", "outage_ends", "outage_fails", "killed_at_commit"}
    assert complete | some == {way for way, *_ in DURABLE_CASES} == set(MEANS) | OF_PROCESSES
    for way in complete:
        assert sum(found[0] == way for found in DURABLE_CASES) == 3 * 3 * 3 * 3, way
    for way in ("outage_ends", "outage_fails"):
        assert sum(found[0] == way for found in DURABLE_CASES) == 3 * 3 * 3, way


def test_the_runs_meet_every_value_of_every_policy_with_every_amount():
    for row in DURABLE_ENDINGS:
        for column in (1, 2, 3):
            met = {(run[0], run[column]) for run in row.runs()}
            assert met == {(case[0], case[column]) for case in row.cases()}, row
