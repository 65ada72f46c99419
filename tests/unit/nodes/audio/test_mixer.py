"""Mixer: the sum of what comes, in step, in time."""

from itertools import pairwise

import anyio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import BadData, ConfigurationError
from penstock.nodes.audio.mixer import Mixer, MixerConfig
from penstock.packets import Audio
from penstock.testing import FakeContext, run_in_virtual_time, run_node
from support.media import audio_packets, heard

KIND = "audio::mixer"


def noise(frames, channels=1, seed=0):
    return np.random.default_rng(seed).standard_normal((frames, channels)).astype(np.float32)


async def mix(inputs, **params):
    return (await run_node(KIND, {f"in_{n}": packets for n, packets in enumerate(inputs)}, **params)).packets


def live(*sources, stop_after=None, tune=None, **params):
    """Mix what the sources send on a virtual clock; return ``(time, packet)`` of all that left, and the context."""

    async def main():
        node = Mixer(MixerConfig.model_validate(params))
        given = {f"in_{number}": Channel(64, 1 << 30) for number in range(len(sources))}
        taken = Channel(1 << 20, 1 << 40)
        ctx = FakeContext(given, {"out": taken})
        await node.prepare(ctx)
        left = []

        async def feed(source, channel):
            await source(channel)
            channel.close()

        async def work():
            await node.run(ctx)
            taken.close()

        async def read():
            while packet := await taken.receive():
                left.append((anyio.current_time(), packet))

        async def stop():
            await anyio.sleep(stop_after)
            ctx.stopping.set()

        async def change():
            await anyio.sleep(tune[0])
            node.tune(MixerConfig.model_validate({**params, **tune[1]}))

        async with anyio.create_task_group() as tasks:
            if tune:
                tasks.start_soon(change)
            for source, channel in zip(sources, given.values(), strict=True):
                tasks.start_soon(feed, source, channel)
            for task in (work, read, *([stop] if stop_after else [])):
                tasks.start_soon(task)
        return left, ctx

    return run_in_virtual_time(main)


def sending(packets, *, start_s=0.0, every_s=0.02, pause=(0, 0.0)):
    """A source that sends a packet every 20 ms, with a pause before one of them."""

    async def source(channel):
        await anyio.sleep(start_s)
        for number, packet in enumerate(packets):
            await anyio.sleep(pause[1] if number == pause[0] else 0)
            await channel.send(packet)
            await anyio.sleep(every_s)

    return source


def constant(value, frames=960, channels=1, rate=48_000):
    return Audio(np.full((frames, channels), value, np.float32), rate)


def levels(left):
    return [round(float(packet.samples.mean()), 3) for _, packet in left]


# -- as they come -------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 4_000), min_size=1, max_size=4), sizes=st.lists(st.integers(1, 1_500), min_size=4)
)
async def test_the_sum_does_not_depend_on_how_the_inputs_are_cut(lengths, sizes):
    sent = [noise(length, seed=number) for number, length in enumerate(lengths)]
    packets = [audio_packets(samples, size) for samples, size in zip(sent, sizes, strict=False)]
    out = await mix(packets, sync_timeout_ms=None)
    expected = np.zeros((max(lengths), 1), np.float32)
    for samples in sent:
        expected[: len(samples)] += samples
    got = heard(out) if out else np.zeros((0, 1), np.float32)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    ends = [packet.meta.timestamp_us + packet.meta.duration_us for packet in out]
    assert [packet.meta.timestamp_us for packet in out[1:]] == ends[:-1]


async def test_packets_of_one_size_stay_as_they_are_cut_and_keep_the_time_of_the_first_input():
    inputs = [audio_packets(noise(4_800), 960, start_us=start) for start in (7_000_000, 9_000_000)]
    out = await mix(inputs)
    assert [packet.frames for packet in out] == [960] * 5
    assert [packet.meta.timestamp_us for packet in out] == [7_000_000 + 20_000 * number for number in range(5)]


async def test_mono_goes_left_and_right_and_wider_streams_keep_their_channels():
    six = np.zeros((960, 6), np.float32) + np.arange(6, dtype=np.float32)
    (out,) = await mix([[constant(1.0)], [constant(10.0, channels=2)], [Audio(six, 48_000)]])
    assert out.samples[0].tolist() == [11, 12, 2, 3, 4, 5]


async def test_the_channels_of_the_output_only_grow():
    inputs = [[constant(1.0)] * 3, [constant(1.0), constant(1.0, channels=2), constant(1.0)]]
    out = await mix(inputs)
    assert [packet.channels for packet in out] == [1, 2, 2]


async def test_what_comes_in_is_not_changed_and_nothing_is_clipped():
    packet = constant(0.9)
    (out,) = await mix([[packet], [packet]])
    assert out.samples.max() == pytest.approx(1.8)
    assert packet.samples.max() == pytest.approx(0.9)


def test_an_input_that_brings_nothing_is_waited_for_once_and_joins_again():
    first = sending([constant(1.0)] * 20)
    second = sending([constant(10.0)] * 6, pause=(3, 0.2))
    left, ctx = live(first, second, sync_timeout_ms=100)
    assert ctx.events == [("audio.missing", {"pin": "in_1", "waited_ms": 100.0})]
    assert sum(packet.frames for _, packet in left) == 20 * 960
    loud = [time for (time, _), level in zip(left, levels(left), strict=True) if level == 11]
    assert len(loud) == 6
    assert loud[:3] == pytest.approx([0, 0.02, 0.04])
    assert loud[3] == pytest.approx(0.26, abs=0.021)  # without waiting another 100 ms for it
    waited = [time for time, _ in left]
    assert max(after - before for before, after in pairwise(waited)) == pytest.approx(0.12)


def test_without_a_timeout_the_others_wait_for_ever():
    left, ctx = live(sending([constant(1.0)] * 4), sending([constant(10.0)] * 4, pause=(2, 60)), sync_timeout_ms=None)
    assert levels(left) == [11] * 4
    assert ctx.events == []


def test_an_input_that_never_comes_does_not_hold_what_is_there():
    left, _ = live(sending([constant(1.0)] * 4), sending([], start_s=5.0), sync_timeout_ms=50)
    assert levels(left) == [1] * 4
    assert left[0][0] == pytest.approx(0.05)


@pytest.mark.parametrize(("timeout_ms", "first_s"), [(200, 0.2), (50, 0.1), (None, 5.0)])
def test_a_timeout_that_is_tuned_holds_for_the_wait_that_is_on(timeout_ms, first_s):
    sources = (sending([constant(1.0)] * 4), sending([constant(10.0)], start_s=5.0))
    left, _ = live(*sources, sync_timeout_ms=1_000, tune=(0.1, {"sync_timeout_ms": timeout_ms}))
    assert left[0][0] == pytest.approx(first_s)


async def test_different_rates_are_an_error_that_says_what_to_do():
    with pytest.raises(BadData, match="'in_1' brings 44100 Hz into a mix of 48000 Hz: put an audio::resampler"):
        await mix([[constant(1.0)], [constant(1.0, rate=44_100)]])


async def test_more_inputs_or_channels_than_were_named_are_an_error():
    with pytest.raises(ConfigurationError, match="2 inputs are connected, and num_inputs is 1"):
        await mix([[constant(1.0)], [constant(1.0)]], num_inputs=1)
    with pytest.raises(BadData, match="'in_0' brings 2 channels into a mix of 1"):
        await mix([[constant(1.0, channels=2)]], channels=1)


def test_what_waits_for_the_others_is_bounded():
    async def endless(channel):
        await channel.send_many([constant(1.0)] * 1_000)

    held = []

    async def late(channel):
        await anyio.sleep(10)
        held.append(channel)

    async def main():
        node = Mixer(MixerConfig(sync_timeout_ms=None))
        given = {"in_0": Channel(10), "in_1": Channel(10)}
        await node.prepare(ctx := FakeContext(given, {"out": Channel(10)}))
        with anyio.move_on_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(node.run, ctx)
                tasks.start_soon(endless, given["in_0"])
        return node._lanes[0].frames

    assert run_in_virtual_time(main) == 48_000


# -- by the clock -------------------------------------------------------------------------------------


def before_the_tick(packets, **how):
    """A live source whose packets come shortly before the mixer wants them."""
    return sending(packets, every_s=0.0199, **how)


def test_a_frame_leaves_at_every_tick_once_the_jitter_buffer_is_full():
    left, _ = live(before_the_tick([constant(1.0)] * 10), clocked={"jitter_buffer_frames": 3})
    times = [time for time, _ in left]
    assert times == pytest.approx([0.0398 + 0.02 * number for number in range(10)])
    assert levels(left) == [1] * 10


def test_an_input_that_runs_dry_gathers_a_cushion_again():
    left, _ = live(before_the_tick([constant(1.0)] * 10, pause=(5, 0.1)), clocked={"jitter_buffer_frames": 2})
    got = levels(left)
    assert got.count(1) == 10
    assert got == [1] * 5 + [0] * 5 + [1] * 5


def test_inputs_come_and_go_and_silence_is_sent_between():
    left, _ = live(
        before_the_tick([constant(1.0)] * 5),
        before_the_tick([constant(10.0)] * 5, start_s=0.2001),
        clocked={"jitter_buffer_frames": 1},
    )
    got = levels(left)
    assert got[:5] == [1] * 5
    assert got.count(10) == 5
    assert set(got[5 : got.index(10)]) == {0}


def test_without_silence_ticks_without_sound_are_left_out_and_timestamps_say_so():
    left, _ = live(
        before_the_tick([constant(1.0)] * 2),
        before_the_tick([constant(10.0)] * 2, start_s=1.001),
        clocked={"jitter_buffer_frames": 1, "generate_silence": False},
    )
    assert levels(left) == [1, 1, 10, 10]
    stamps = [packet.meta.timestamp_us for _, packet in left]
    assert stamps == [round(time * 1e6) for time, _ in left]


def test_silence_leaves_before_the_first_input_when_the_channels_are_known():
    left, _ = live(sending([constant(1.0)], start_s=0.051), clocked={"jitter_buffer_frames": 1}, channels=2)
    assert levels(left) == [0, 0, 0, 1]
    assert {packet.channels for _, packet in left} == {2}


def test_a_file_is_mixed_in_real_time_without_loss():
    samples = noise(48_000)
    left, _ = live(sending(audio_packets(samples, 1_024), every_s=0), clocked={})
    np.testing.assert_array_equal(heard(packet for _, packet in left)[:48_000], samples)
    assert left[-1][0] == pytest.approx(0.98)


def test_a_stop_lets_the_rest_through_without_the_clock():
    left, _ = live(sending([constant(1.0, frames=48_000)] * 20, every_s=0), stop_after=1.5, clocked={})
    assert sum(packet.frames for _, packet in left) == 20 * 48_000
    assert left[-1][0] == pytest.approx(1.5)


@pytest.mark.slow
def test_the_clock_does_not_drift_in_an_hour():
    frame = {"sample_rate": 44_100, "frame_samples_per_channel": 4_096, "jitter_buffer_frames": 1}
    count = 3_600 * 44_100 // 4_096
    packet = constant(1.0, 4_096, rate=44_100)
    left, _ = live(sending([packet] * count, every_s=0), clocked=frame)
    assert left[-1][0] == pytest.approx((count - 1) * 4_096 / 44_100, abs=1e-6)
    assert left[-1][1].meta.timestamp_us == (count - 1) * 4_096 * 1_000_000 // 44_100


@pytest.mark.parametrize(
    "params",
    [{"num_inputs": 0}, {"sync_timeout_ms": -1}, {"clocked": {"sample_rate": 0}}, {"clocked": {"rate": 1}}],
)
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        MixerConfig.model_validate(params)
