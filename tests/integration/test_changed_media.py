"""A recording is added to a live pipeline and taken away again: what was recorded is a whole file that plays."""

from pathlib import Path

import anyio
import numpy as np
import pytest

from penstock.engine.load import check_text
from penstock.engine.run import Run
from penstock.media.probe import probe
from penstock.nodes.base import NoConfig, Node, NodeContext, node
from penstock.packets import Audio, PacketMeta
from penstock.pins import OutputPin, RawAudioType
from support.judges import JUDGES
from support.media import tone
from support.pipelines import Collect, collected, fresh, registry

FRAME = 960
TEXT = """
nodes:
  voice: {kind: 'test::tone'}
  volume: {kind: 'audio::gain', needs: voice}
  encoder: {kind: 'audio::opus::encoder', params: {complexity: 0}, needs: volume}
  live: {kind: 'test::collect', needs: encoder}
"""


@node("test::tone", outputs=[OutputPin("out", RawAudioType(48_000, 1))])
class Tone(Node[NoConfig]):
    """A tone for as long as it is wanted, some times quicker than life."""

    async def run(self, ctx: NodeContext) -> None:
        samples, at = tone(48_000, 440), 0
        while not ctx.stopping.is_set():
            part = np.roll(samples, -at * FRAME, axis=0)[:FRAME]
            await ctx.output().send(Audio(part, 48_000, PacketMeta(at * 20_000, 20_000)))
            at += 1
            await anyio.sleep(0.002)


def recorder(name: str, folder: Path, **params) -> list[dict]:
    url = {"url": (folder / f"{name}.ogg").as_uri()}
    return [
        {"add": {"id": f"{name}_ogg", "kind": "containers::ogg::muxer", "params": {"channels": 1}, "needs": "encoder"}},
        {
            "add": {
                "id": name,
                "kind": "core::object_store_writer",
                "params": url | params,
                "needs": f"{name}_ogg",
            }
        },
    ]


async def live(control):
    fresh()
    kinds = registry()
    kinds.add("test::tone", Tone)
    run = Run(check_text(TEXT, registry=kinds)[0])
    async with anyio.create_task_group() as group:
        group.start_soon(control, run)
        report = await run.execute()
        group.cancel_scope.cancel()
    return report


@pytest.mark.parametrize("removed", [["take_ogg"], ["take_ogg", "take"], ["take"]])
@pytest.mark.parametrize("durability", ["none", "crash"])
async def test_a_recording_is_added_and_removed_and_is_whole(removed, durability, tmp_path, monkeypatch):
    """Of the three ways to take it away, the last leaves the muxer behind, whose tail then goes nowhere."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    async def control(run: Run) -> None:
        await collected(20)
        await run.control.change(recorder("take", tmp_path, durability=durability, on_cancel="abort"))
        await collected(100)
        await run.control.change([{"remove": {"id": name}} for name in removed])
        while not run.records["take"].ended:
            await collected(len(Collect.kept["default"]) + 1)
        committed.append((tmp_path / "take.ogg").exists())
        await run.control.change(recorder("second", tmp_path))
        await collected(len(Collect.kept["default"]) + 50)
        run.stop("test")

    committed: list[bool] = []
    report = await live(control)
    report.raise_for_outcome()
    assert committed == [True]
    sent = report.nodes["voice"]["stats"]["sent"]
    assert len(Collect.kept["default"]) == report.nodes["encoder"]["stats"]["sent"] == sent + 1  # the look-ahead
    assert [one["key"] for one in report.objects] == ["take.ogg", "second.ogg"]
    for name in ("take", "second"):
        path = tmp_path / f"{name}.ogg"
        found = probe(path, decode=True).audio
        assert (found.codec_name, found.errors) == ("opus", 0)
        muxed = report.nodes[f"{name}_ogg"]["stats"]["received"]
        whole = name == "second" or "take_ogg" in removed
        assert 40 * FRAME < found.samples <= muxed * FRAME
        for judge in JUDGES:
            heard = judge.decode(path, 1)
            assert judge.facts(path).codec == "opus"
            if whole:
                assert (muxed - 1) * FRAME <= len(heard) + 312 <= muxed * FRAME + 960
            assert 0.2 < np.sqrt(np.mean(heard[2 * FRAME :] ** 2)) < 0.5


async def test_a_writer_that_is_removed_with_an_upload_under_way_commits_it(tmp_path):
    async def control(run: Run) -> None:
        await collected(10)
        raw = {"id": "raw", "kind": "core::json_serialize", "params": {"newline_delimited": True}, "needs": "volume"}
        url = (tmp_path / "raw.json").as_uri()
        writer = {"id": "writer", "kind": "core::object_store_writer", "params": {"url": url, "chunk_size": 5 << 20}}
        await run.control.change([{"add": raw}, {"add": {**writer, "needs": "raw"}}])
        while run.records["writer"].received_bytes < 6 << 20:
            await collected(len(Collect.kept["default"]) + 1)
        await run.control.change([{"remove": {"id": "writer"}}])
        await collected(len(Collect.kept["default"]) + 5)
        run.stop("test")

    report = await live(control)
    report.raise_for_outcome()
    (made,) = report.objects
    data = (tmp_path / "raw.json").read_bytes()
    assert (made["parts"], made["size"]) == (2, len(data))
    assert data.endswith(b"\n")
    assert len(data) == report.nodes["writer"]["stats"]["received_bytes"]
