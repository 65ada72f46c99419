"""Whatever is tuned whenever, a running pipeline loses, repeats and reorders nothing, and nothing clicks."""

import anyio
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.engine.load import check_text
from penstock.engine.run import Run
from penstock.errors import ChangeRefused, RunError
from penstock.packets import EncodedAudio
from penstock.testing import run_in_virtual_time
from support.media import audio_packets, decode, tone
from support.pipelines import Collect, Given, fresh, registry

TEXT = """
nodes:
  source: {kind: 'test::given'}
  pace: {kind: 'core::pacer', params: {speed: 10}, needs: source}
  volume: {kind: 'audio::gain', needs: pace}
  heard: {kind: 'test::collect', params: {name: heard}, needs: volume}
  encoder: {kind: 'audio::opus::encoder', params: {complexity: 0}, needs: volume}
  end: {kind: 'test::collect', needs: encoder}
"""

GAINS = st.fixed_dictionaries({"volume": st.fixed_dictionaries({"gain": st.floats(0, 4)})})
SPEEDS = st.fixed_dictionaries({"pace": st.fixed_dictionaries({"speed": st.floats(1, 1000)})})
CODINGS = st.fixed_dictionaries(
    {
        "encoder": st.fixed_dictionaries(
            {},
            optional={
                "bitrate": st.integers(6_000, 300_000),
                "application": st.sampled_from(["audio", "voip", "lowdelay"]),
                "frame_duration_ms": st.sampled_from([2.5, 10, 20, 60, 15]),
            },
        )
    }
)
CHANGES = st.one_of(GAINS, SPEEDS, CODINGS, st.builds(lambda a, b, c: {**a, **b, **c}, GAINS, SPEEDS, CODINGS))


async def tuned_run(sent, steps):
    """Send audio, and make each change that long after the one before; return what was refused."""
    fresh()
    Given.packets = audio_packets(sent, 700)
    run = Run(check_text(TEXT, registry=registry())[0])
    refused = []

    async def change():
        for after_s, changes in steps:
            await anyio.sleep(after_s)
            try:
                await run.control.tune(changes)
            except ChangeRefused as refusal:
                refused.append(str(refusal))
            except RunError:
                return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(change)
        assert (await run.execute()).ok
        tasks.cancel_scope.cancel()
    return refused


@settings(max_examples=25)
@given(steps=st.lists(st.tuples(st.floats(0, 0.05), CHANGES), max_size=10))
def test_random_changes_lose_no_packet_and_no_sample(steps):
    sent = np.ones((48_000, 1), np.float32)
    refused = run_in_virtual_time(lambda: tuned_run(sent, steps))
    heard, coded = Collect.kept["heard"], Collect.kept["default"]
    assert [packet.meta for packet in heard] == [packet.meta for packet in Given.packets]
    assert len(decode(coded)) == len(sent)
    assert [packet.meta.sequence for packet in coded if isinstance(packet, EncodedAudio)] == list(range(len(coded)))
    gained = np.concatenate([packet.samples for packet in heard])[:, 0]
    assert np.abs(np.diff(gained)).max() <= 4 / 480 + 1e-6
    assert all("40 or 60" in one or "lowdelay" in one or "has stopped" in one for one in refused)


def test_a_gain_that_moves_makes_no_sound_of_its_own():
    sent = tone(48_000, 1_000)
    steps = [(0.01, {"volume": {"gain": gain}}) for gain in (0.5, 1.5, 0.0, 1.0)]
    assert run_in_virtual_time(lambda: tuned_run(sent, steps)) == []
    gained = np.concatenate([packet.samples for packet in Collect.kept["heard"]])[:, 0]
    assert len(set(np.abs(gained[np.abs(sent[:, 0]) > 0.49]).round(1))) > 3  # it has moved
    assert above_db(gained, 3_000) < -70
    hard = sent[:, 0] * np.repeat([1, 0.5, 1.5, 0, 1], 9_600)
    assert above_db(hard, 3_000) > -55


def above_db(samples, hertz):
    """How much of one second of sound is above a frequency, in dB of the whole."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    return 10 * np.log10(power[hertz:].sum() / power.sum())
