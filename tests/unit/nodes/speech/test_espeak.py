import hashlib
import subprocess
import sys
import threading
from itertools import pairwise

import anyio
import numpy as np
import pytest
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import BadData, ConfigurationError, MissingDependency
from penstock.nodes.speech.engine_espeak import PIECE_CHARACTERS, EspeakEngine
from penstock.nodes.speech.espeak import Espeak, EspeakConfig
from penstock.nodes.speech.espeak_library import EspeakLibrary, load_library
from penstock.packets import Binary, Text
from penstock.testing import FakeContext, run_node
from penstock.testing.harness import FakeRun

FOX = "The quick brown fox jumps over the lazy dog."


def spoken(text, voice="en-us", **settings):
    pieces = list(EspeakEngine(voice, **settings).synth(text))
    return np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32)


def seconds(samples):
    return len(samples) / 22_050


def silence_at_end_s(samples):
    loud = np.nonzero(np.abs(samples[:, 0]) > 0.002)[0]
    return seconds(samples[loud[-1] :])


async def test_text_becomes_mono_audio_in_packets_of_a_tenth_of_a_second_without_a_gap():
    packets = (await run_node("speech::espeak", [Text(FOX), Text("And so on.")])).packets
    assert {(p.sample_rate_hz, p.channels, p.samples.dtype.name) for p in packets} == {(22_050, 1, "float32")}
    assert max(p.frames for p in packets) == 2205
    assert all(p.samples.flags.c_contiguous for p in packets)
    assert packets[0].meta.timestamp_us == 0
    for earlier, later in pairwise(packets):
        assert earlier.meta.timestamp_us + earlier.meta.duration_us == later.meta.timestamp_us
        assert earlier.meta.sequence + 1 == later.meta.sequence
    frames = sum(p.frames for p in packets)
    assert packets[-1].meta.timestamp_us + packets[-1].meta.duration_us == frames * 1_000_000 // 22_050
    assert 2.5 < seconds(range(frames)) < 5


def test_speech_lasts_as_long_as_words_at_that_pace_do():
    text = " ".join([FOX] * 5)  # 45 words at 175 a minute: 15.4 s, pauses come on top
    assert 10 < seconds(spoken(text)) < 17


@pytest.mark.parametrize(("speed", "factor"), [(0.5, 2.0), (2.0, 0.5), (4.0, 0.25)])
def test_the_speed_scales_the_duration(speed, factor):
    assert seconds(spoken(FOX, speed=speed)) == pytest.approx(factor * seconds(spoken(FOX)), rel=0.12)


def test_the_samples_are_speech_and_stay_in_range():
    samples = spoken(FOX)
    assert 0.02 < np.sqrt(np.mean(samples**2)) < 0.5
    assert np.abs(samples).max() <= 1


def test_the_pitch_is_heard():
    def crossings(samples):
        return np.count_nonzero(np.diff(np.signbit(samples[:, 0])))

    low, high = (spoken("mmmm, mmmm, mmmm", pitch=pitch) for pitch in (0, 100))
    assert crossings(high) / seconds(high) > 1.2 * crossings(low) / seconds(low)


def test_voices_differ():
    lengths = {voice: len(spoken("Computer Restaurant Information", voice)) for voice in ("en-us", "de", "fr-fr", "es")}
    assert len(set(lengths.values())) == 4


@pytest.mark.parametrize(("name", "same_as"), [("EN-us", "en-us"), ("en_US", "en-us"), ("zh", "cmn"), ("en", "en-gb")])
def test_a_voice_is_found_by_any_of_its_codes(name, same_as):
    assert EspeakEngine(name)._voice == EspeakEngine(same_as)._voice


@pytest.mark.parametrize("voice", ["en-uss", "english", "fr-fe"])
async def test_an_unknown_voice_is_an_error_that_names_the_nearest(voice):
    with pytest.raises(ConfigurationError, match=rf"no voice '{voice}'; the nearest are \w+"):
        await run_node("speech::espeak", voice=voice)


def test_every_voice_in_the_list_can_be_chosen():
    library = load_library()
    assert len(library.voices) > 100
    for identifier in set(library.voices.values()):
        library.speak("", identifier, words_per_minute=175, pitch=50, end_pause=False)


def test_the_pause_of_a_sentence_is_kept_that_of_a_comma_is_shorter_and_an_open_end_has_none():
    assert silence_at_end_s(spoken("This is it.")) > 0.25
    assert 0.1 < silence_at_end_s(spoken("This is it,")) < 0.2
    assert silence_at_end_s(spoken("This is it")) < 0.05
    assert silence_at_end_s(spoken("यह है")) < 0.05  # ends in a combining mark: a word too


def test_the_same_texts_in_a_new_process_give_the_same_samples():
    program = (
        "import hashlib; from penstock.nodes.speech.engine_espeak import EspeakEngine\n"
        "pieces = [p.tobytes() for t in ('One two.', 'Three.') for p in EspeakEngine('en-us').synth(t)]\n"
        "print(hashlib.sha256(b''.join(pieces)).hexdigest())"
    )
    outputs = {subprocess.run([sys.executable, "-c", program], check=True, stdout=-1).stdout for _ in range(2)}
    assert len(outputs) == 1
    assert outputs != {hashlib.sha256(b"").hexdigest().encode() + b"\n"}


def test_the_same_text_again_lasts_equally_long_within_a_hundredth():
    lengths = [len(spoken(FOX)) for _ in range(5)]
    assert max(lengths) < 1.01 * min(lengths)


@pytest.mark.parametrize("text", ["", " \n\t", "\0", "\x01\x02", "\x7f\x80"])
def test_nothing_to_speak_gives_nothing(text):
    assert len(spoken(text)) == 0


@pytest.mark.parametrize(
    "text", ["a\0b", "a\x01+10sb", "\ud800 a", "😀🎤 👩‍👩‍👧", "[[h@'loU]]", "<b>&amp;</b>", "\u200d\u202e", "…"]
)
def test_odd_text_is_spoken_without_harm(text):
    assert seconds(spoken(text)) < 20
    assert np.isfinite(spoken(text)).all()


def test_a_control_character_commands_nothing():
    assert len(spoken("a \x01100s b")) == pytest.approx(len(spoken("a  100s b")), abs=50)


def test_a_very_long_text_comes_in_pieces_that_are_computed_one_by_one():
    pieces = EspeakEngine("en-us").synth(f"{FOX} " * 20_000)  # 900,000 characters, fourteen hours
    first = [next(pieces) for _ in range(3)]
    assert all(1 < seconds(piece) < 60 for piece in first)


def test_a_very_long_word_is_cut():
    assert all(seconds(piece) < 60 for piece in EspeakEngine("en-us").synth("antidisestablishment" * 200))


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_text_up_to_the_length_of_a_piece_is_one(extra):
    text = ("word " * PIECE_CHARACTERS)[: PIECE_CHARACTERS + extra - 1] + "."
    assert len(list(EspeakEngine("en-us").synth(text))) == (2 if extra == 1 else 1)


async def test_a_cancel_in_the_middle_of_a_long_text_ends_it_within_a_piece():
    source, output = Channel(name="text"), Channel()
    node, ctx = Espeak(EspeakConfig()), FakeContext({"in": source}, {"out": output})
    await node.prepare(ctx)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.run, ctx)
            await source.send(Text(f"{FOX} " * 20_000))
            await output.receive()
            tasks.cancel_scope.cancel()
    await node.close()


async def test_a_slow_receiver_holds_the_voice_back():
    source, output = Channel(name="text"), Channel(4)
    node, ctx = Espeak(EspeakConfig()), FakeContext({"in": source}, {"out": output})
    await node.prepare(ctx)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.run, ctx)
        await source.send(Text(f"{FOX} " * 2000))
        await output.receive_many(1)
        await anyio.wait_all_tasks_blocked()
        assert output.statistics().sent == 5
        tasks.cancel_scope.cancel()


def test_two_voices_in_two_threads_do_not_disturb_each_other():
    alone = {voice: len(spoken(FOX, voice)) for voice in ("en-us", "de")}
    lengths = {voice: [] for voice in alone}

    def speak(voice):
        lengths[voice] += [len(spoken(FOX, voice)) for _ in range(20)]

    threads = [threading.Thread(target=speak, args=(voice,)) for voice in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for voice, expected in alone.items():
        assert lengths[voice] == pytest.approx([expected] * 20, rel=0.01)


async def test_a_packet_that_is_no_text_is_refused():
    with pytest.raises(BadData, match="not Binary"):
        await run_node("speech::espeak", [Binary(b"x")])


async def test_without_the_wheel_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    load_library.cache_clear()
    with pytest.raises(MissingDependency, match=r"pip install 'penstock\[tts\]'"):
        await run_node("speech::espeak")


def test_a_library_that_is_not_one_and_a_path_too_long_are_told(tmp_path):
    (tmp_path / "lib.so").write_bytes(b"no library")
    with pytest.raises(MissingDependency, match="cannot be loaded"):
        EspeakLibrary(str(tmp_path / "lib.so"), "data")
    with pytest.raises(MissingDependency, match="shorter path"):
        EspeakLibrary(str(tmp_path / "lib.so"), "d" * 160)


@pytest.mark.parametrize(
    "params", [{"speed": 0.49}, {"speed": 4.01}, {"speed": "1"}, {"pitch": 101}, {"pitch": -1}, {"voice": ""}, {"v": 1}]
)
def test_bad_parameters_are_errors(params):
    with pytest.raises(ValidationError):
        EspeakConfig.model_validate(params)


async def test_a_oneshot_run_without_a_word_to_say_is_an_error_and_a_live_one_is_not():
    with pytest.raises(BadData, match="there is nothing to say"):
        await run_node("speech::espeak", [Text("  \n")])
    silent: Channel[Text] = Channel()
    silent.close()
    ctx = FakeContext({"in": silent}, {"out": Channel(8)}, run=FakeRun(mode="dynamic"))
    node = Espeak(EspeakConfig())
    await node.prepare(ctx)
    await node.run(ctx)
