"""Whatever is done around it, a stream arrives whole and in order: random changes of a graph that runs."""

import asyncio
import random

import pytest

from penstock.engine.run import Run
from penstock.errors import ChangeRefused
from support.pipelines import Collect, collected, run_text

TEXT = """
nodes:
  source: {kind: 'test::source', params: {SOURCE}}
  n0: {kind: 'core::passthrough', needs: source}
  n1: {kind: 'core::passthrough', needs: n0}
  n2: {kind: 'test::dial', needs: n1}
  end: {kind: 'test::collect', needs: n2}
"""
KINDS = ["core::passthrough", "core::passthrough", "test::dial", "test::dial_in_a_thread", "core::pacer"]
BATCHES = 25


class Editor:
    """Makes up batches, and knows the graph that they should have led to."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.chain = ["source", "n0", "n1", "n2", "end"]
        self.taps: dict[str, str] = {}
        self.fresh: dict[str, str] = {}
        self.count = 3

    def batch(self) -> list[dict]:
        self.taps |= self.fresh
        self.fresh = {}
        ops = [*self.dice.choice([self.insert, self.take_out, self.replace, list])()]
        for _ in range(self.dice.randrange(3)):
            ops += self.dice.choice([self.tap, self.untap])()
        return ops or self.tap()

    def new(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def insert(self) -> list[dict]:
        at = self.dice.randrange(len(self.chain) - 1)
        before, after, name = self.chain[at], self.chain[at + 1], self.new()
        self.chain.insert(at + 1, name)
        return [
            {"disconnect": {"from": before, "to": after}},
            {"add": {"id": name, "kind": self.dice.choice(KINDS), "needs": before}},
            {"connect": {"from": name, "to": after}},
        ]

    def take_out(self) -> list[dict]:
        """Take one node or two out of the chain; what reads from them ends with them."""
        if len(self.chain) < 3:
            return self.insert()
        first = self.dice.randrange(1, len(self.chain) - 1)
        last = min(first + self.dice.randrange(2), len(self.chain) - 2)
        gone = self.chain[first : last + 1]
        del self.chain[first : last + 1]
        ops = [{"remove": {"id": name}} for name in gone]
        return [*ops, {"connect": {"from": self.chain[first - 1], "to": self.chain[first]}}]

    def replace(self) -> list[dict]:
        if len(self.chain) < 3:
            return self.insert()
        at = self.dice.randrange(1, len(self.chain) - 1)
        name = self.chain[at]
        for tap in [tap for tap, where in self.taps.items() if where == name]:
            self.taps[tap] = ""
        return [
            {"remove": {"id": name}},
            {"add": {"id": name, "kind": self.dice.choice(KINDS), "needs": self.chain[at - 1]}},
            {"connect": {"from": name, "to": self.chain[at + 1]}},
        ]

    def tap(self) -> list[dict]:
        where, mode = self.dice.choice(self.chain[:-1]), self.dice.choice(["reliable", "best_effort"])
        name = f"{mode}_{self.new()}"
        self.fresh[name] = where
        needs = {"node": where, "mode": mode}
        return [{"add": {"id": name, "kind": "test::collect", "params": {"name": name}, "needs": needs}}]

    def untap(self) -> list[dict]:
        if not self.taps:
            return []
        name, where = self.taps.popitem()
        if where and self.dice.random() < 0.5:
            return [{"disconnect": {"from": where, "to": name}}] if where in self.chain else []
        return [{"remove": {"id": name}}]


def numbers(name: str) -> list[int]:
    return [int.from_bytes(packet.data[-4:], "big") for packet in Collect.kept.get(name, [])]


@pytest.mark.parametrize("seed", range(8))
async def test_a_stream_arrives_whole_whatever_is_changed_around_it(seed):
    editor = Editor(seed)
    source = "forever: true" if seed % 2 else "packets: 1000000"  # one at a time, or as many as are taken
    made = []

    async def control(run: Run) -> None:
        for _ in range(BATCHES):
            await collected(len(Collect.kept.get("default", ())) + editor.dice.randrange(4))
            ops = editor.batch()
            before = dict(run.records)
            with pytest.raises(ChangeRefused):  # a batch that is wrong at its end
                await run.control.change([*ops, {"remove": {"id": "nobody"}}])
            assert run.records == before
            await run.control.change(ops)
            made.append(ops)
            assert list(run.graph.nodes) == [name for name in run.graph.nodes if not run.records[name].removed]
            path = ["end"]
            while into := run.graph.into(path[0]):
                path.insert(0, into[0].source)
            assert path == editor.chain
        run.stop("test")

    tasks = asyncio.all_tasks()
    report = await run_text(TEXT.replace("SOURCE", source), control=control)
    report.raise_for_outcome()
    assert asyncio.all_tasks() == tasks
    assert numbers("default") == list(range(report.nodes["source"]["stats"]["sent"]))
    for name in Collect.kept:
        found = numbers(name)
        assert found == sorted(set(found)), name
        assert not found or "best" in name or found[-1] - found[0] == len(found) - 1, name
    assert {node["state"] for node in report.nodes.values()} == {"stopped"}
    assert set(Collect.ends.values()) == {"end"}
    assert len(made) == BATCHES
