import threading

import anyio
import pytest

from penstock.errors import ConfigurationError
from penstock.nodes.registry import default_registry
from penstock.nodes.speech import sherpa
from penstock.nodes.speech.sherpa import ModelSpec, check
from penstock.testing import FakeContext
from support import listening_models, voice_models


@pytest.fixture
def spec(tmp_path):
    options = {"threshold": 0.5, "min_silence_duration": 0.1, "min_speech_duration": 0.1, "window_size": 512}
    return ModelSpec("activity", "silero", {"model": str(listening_models.silero(tmp_path / "vad.onnx"))}, options)


@pytest.fixture(autouse=True)
def nothing_passed_yet(monkeypatch):
    monkeypatch.setattr(sherpa, "_passed", {})


def test_a_model_that_crashes_the_child_is_refused_with_how_it_ended(spec, monkeypatch):
    monkeypatch.setattr(sherpa, "CHILD", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(ConfigurationError, match=r"who: sherpa-onnx cannot use the model in '.*': its process .* -11"):
        check(spec, "who")


def test_a_model_that_does_not_load_in_time_is_refused(spec, monkeypatch):
    monkeypatch.setattr(sherpa, "TRIAL_TIMEOUT_S", 0.2)
    monkeypatch.setattr(sherpa, "CHILD", "import time; time.sleep(60)")
    with pytest.raises(ConfigurationError, match=r"did not load within 0.2 s"):
        check(spec, "who")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", ""),
        ("first\nlast\n\n", "last"),
        (
            "/project/sherpa-onnx/csrc/silero-vad-model.cc:Init:224 Unsupported silero vad model\n",
            "Unsupported silero vad",
        ),
        (
            "Load model from a.onnx failed:/shared/core/graph/model.cc:177 onnx::Model(int, char) No graph.",
            "Load model",
        ),
    ],
)
def test_the_reason_is_the_last_line_without_places_in_the_source(said, reason):
    found = sherpa._reason(said)
    assert found.startswith(reason)
    assert ".cc:" not in found


def test_what_passed_is_remembered_within_a_limit(spec, monkeypatch):
    monkeypatch.setattr(sherpa, "CHILD", "")
    for threads in range(sherpa.REMEMBERED + 10):
        key = ModelSpec("activity", "silero", spec.files, spec.options, num_threads=threads)
        if threads < 3 or threads > sherpa.REMEMBERED:
            check(key, "who")
        else:
            sherpa._passed[str(threads)] = ""
    assert len(sherpa._passed) == sherpa.REMEMBERED


@pytest.mark.parametrize("name", ["piper", "parakeet"])
async def test_a_cancel_of_the_start_does_not_wait_for_the_trial(name, tmp_path, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(sherpa, "check", lambda *_: (begun.set(), go_on.wait(30), "")[-1])
    folder = voice_models.piper(tmp_path) if name == "piper" else listening_models.parakeet(tmp_path)
    cls = default_registry().get(f"plugin::native::{name}")
    node = cls(cls.Config.model_validate({"model_dir": str(folder)}))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.prepare, FakeContext())
            await anyio.to_thread.run_sync(begun.wait, 30)
            tasks.cancel_scope.cancel()
    await node.close()
    go_on.set()
