"""Inputs of a mixer come and go while it runs: what the others bring is added up without a gap, to the sample."""

import anyio
import numpy as np
import pytest

from penstock.channels import Channel
from penstock.engine.load import check_text
from penstock.engine.run import Run
from penstock.errors import ChangeRefused, ConfigurationError
from penstock.nodes.audio.mixer import Mixer, MixerConfig
from penstock.nodes.base import NoConfig, Node, NodeContext, node
from penstock.packets import Audio
from penstock.pins import OutputPin, RawAudioType
from penstock.testing import FakeContext, run_in_virtual_time
from support.pipelines import Collect, collected, fresh, registry

FRAMES = 240
TEXT = """
nodes:
  one: {kind: 'test::voice'}
  two: {kind: 'test::voice'}
  mix: {kind: 'audio::mixer', params: {PARAMS}, needs: {in_0: one}}
  idle: {kind: 'core::sink', needs: two}
  end: {kind: 'test::collect', needs: mix}
"""


@node("test::voice", outputs=[OutputPin("out", RawAudioType(48_000, 1))])
class Voice(Node[NoConfig]):
    """Say something else in every sample, for ever, and remember it."""

    said: dict[str, list[np.ndarray]] = {}  # noqa: RUF012

    async def run(self, ctx: NodeContext) -> None:
        said = self.said[ctx.node_id] = []
        dice = np.random.default_rng(len(self.said))
        while not ctx.stopping.is_set():
            said.append(dice.standard_normal((FRAMES, 1)).astype(np.float32))
            await ctx.output().send(Audio(said[-1], 48_000))
            await anyio.sleep(0.001)


@node("test::mute", outputs=[OutputPin("out", RawAudioType(48_000, 1))])
class Mute(Node[NoConfig]):
    """Say nothing."""

    async def run(self, ctx: NodeContext) -> None:
        await ctx.stopping.wait()


async def mixed(control, params="sync_timeout_ms: null"):
    """Run two voices, of which one is mixed from the start; return what was heard, what each said, and the report."""
    fresh()
    Voice.said.clear()
    kinds = registry()
    kinds.add("test::voice", Voice)
    kinds.add("test::mute", Mute)
    run = Run(check_text(TEXT.replace("PARAMS", params), registry=kinds)[0])
    async with anyio.create_task_group() as group:
        group.start_soon(control, run)
        report = await run.execute()
        group.cancel_scope.cancel()
    heard = np.concatenate([packet.samples for packet in Collect.kept["default"]])
    return heard, {name: np.concatenate(said) for name, said in Voice.said.items()}, report


def place(part: np.ndarray, whole: np.ndarray) -> int:
    """Where the first sample of ``part`` is in ``whole``."""
    return int(np.flatnonzero(np.isclose(whole[:, 0], part[0, 0], atol=1e-5))[0])


async def test_a_voice_is_added_from_one_sample_on_and_leaves_at_another():
    async def control(run: Run) -> None:
        await collected(20)
        await run.control.change([{"connect": {"from": "two", "to": "mix.in_1"}}])
        await collected(60)
        await run.control.change([{"disconnect": {"from": "two", "to": "mix.in_1"}}])
        await collected(100)
        run.stop("test")

    heard, said, report = await mixed(control)
    report.raise_for_outcome()
    assert len(heard) == len(said["one"])  # no gap
    added = heard - said["one"]
    (loud,) = np.nonzero(np.abs(added[:, 0]) > 0)
    first, last = loud[0], loud[-1]
    begin = place(added[first : last + 1], said["two"])
    assert begin % FRAMES == 0  # from the first sample of a packet on
    assert begin > 0
    expected = said["one"].copy()
    expected[first : last + 1] += said["two"][begin : begin + last + 1 - first]
    np.testing.assert_array_equal(heard, expected)
    assert (last + 1 - first) % FRAMES == 0
    assert 30 * FRAMES < last + 1 - first < 80 * FRAMES
    assert report.nodes["mix"]["stats"]["received"] == (len(heard) + last + 1 - first) // FRAMES


async def test_nobody_waits_for_a_new_input_that_brings_nothing():
    async def control(run: Run) -> None:
        await collected(10)
        mute = {"add": {"id": "mute", "kind": "test::mute"}}
        await run.control.change([mute, {"connect": {"from": "mute", "to": "mix.in_7"}}])
        await collected(60)
        run.stop("test")

    heard, said, report = await mixed(control)
    assert report.ok
    assert len(heard) == len(said["one"])


async def test_the_last_input_may_be_exchanged_for_another():
    async def control(run: Run) -> None:
        await collected(10)
        await run.control.change(
            [
                {"disconnect": {"from": "one", "to": "mix.in_0"}},
                {"connect": {"from": "two", "to": "mix.in_0"}},
            ]
        )
        await collected(40)
        await run.control.change(
            [{"disconnect": {"from": "two", "to": "mix.in_0"}}, {"connect": {"from": "one", "to": "mix.in"}}]
        )
        await collected(80)
        run.stop("test")

    heard, said, report = await mixed(control, "num_inputs: 1")
    report.raise_for_outcome()
    at = 0
    for name in ("one", "two", "one"):
        rest = heard[at:]
        begin = place(rest, said[name])
        part = said[name][begin : begin + len(rest)]
        same = int(np.argmin(np.append(np.isclose(part[:, 0], rest[: len(part), 0]), False)))
        assert same >= 10 * FRAMES, name
        at += same
    assert at == len(heard)


async def test_more_inputs_than_num_inputs_are_refused():
    async def control(run: Run) -> None:
        await collected(5)
        with pytest.raises(
            ChangeRefused, match="'mix' takes no other input while it runs: 2 inputs are connected, and"
        ):
            await run.control.change([{"connect": {"from": "two", "to": "mix.in_1"}}])
        run.stop("test")

    assert (await mixed(control, "num_inputs: 1"))[2].ok


def test_a_mix_by_the_clock_takes_inputs_and_lets_them_go():
    async def main():
        mixer = Mixer(MixerConfig.model_validate({"clocked": {"jitter_buffer_frames": 2}}))
        channels = {"in_0": Channel(64, 1 << 30)}
        taken = Channel(1 << 20, 1 << 40)
        ctx = FakeContext(channels, {"out": taken})
        await mixer.prepare(ctx)

        async def speak(channel, value, packets):
            for _ in range(packets):
                await channel.send(Audio(np.full((960, 1), value, np.float32), 48_000))
                await anyio.sleep(0.02)
            channel.close()

        async def join():
            await anyio.sleep(0.5)
            mixer.check_connect(["in_0", "in_1"])
            ctx.inputs["in_1"] = Channel(64, 1 << 30)
            mixer.connect("in_1")
            await speak(ctx.inputs["in_1"], 0.25, 20)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(speak, channels["in_0"], 0.5, 100)
            tasks.start_soon(join)
            await mixer.run(ctx)
        with pytest.raises(ConfigurationError, match="come to its end"):
            mixer.check_connect(["in_2"])
        taken.close()
        return [float(packet.samples.mean()) for packet in await taken.receive_many()]

    levels = run_in_virtual_time(main)
    assert [level for level in levels if level] == [0.5] * levels.index(0.75) + [0.75] * 20 + [0.5] * (
        80 - levels.index(0.75)
    )
