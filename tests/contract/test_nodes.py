"""Every node that the registry knows keeps the contract of nodes."""

import json
import subprocess
import sys

import pytest

from penstock.nodes.base import Transform
from penstock.nodes.builtin import BUILTIN
from penstock.nodes.registry import BrokenPlugin, default_registry
from penstock.packets import Binary
from penstock.pins import TEXT, EncodedAudioType
from penstock.testing import run_node
from penstock.testing.nodes import AwaitingNodeContract, NodeCase, NodeContract, usual_case, usual_packets
from penstock.testing.request import FakeRequest
from support import listening_models
from support.containers import file_of
from support.web import file_server

FILES_OF = {
    "audio::flac::decoder": "a.flac",
    "audio::mp3::decoder": "a.mp3",
    "containers::demuxer": "opus.webm",
    "containers::wav::demuxer": "pcm.wav",
}
HEAVY = ["av", "awscrt", "boto3", "botocore", "espeakng_loader", "fastapi", "numpy", "quickjs", "rich"]
HEAVY += ["sherpa_onnx", "soxr", "typer"]


def is_transform(kind):
    """A kind that cannot be loaded counts as one, so that the suite runs and says so."""
    try:
        return issubclass(default_registry().get(kind), Transform)
    except BrokenPlugin:
        return True


TRANSFORMS = [kind for kind in default_registry() if is_transform(kind)]
OTHERS = [kind for kind in default_registry() if kind not in TRANSFORMS]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A directory of small speech models."""
    folder = tmp_path_factory.mktemp("models")
    listening_models.silero(folder / "silero_vad.onnx")
    listening_models.whisper(folder / "whisper")
    listening_models.sense_voice(folder / "sense-voice")
    listening_models.parakeet(folder / "parakeet")
    listening_models.moonshine(folder / "moonshine")
    return folder


class TestTransforms(NodeContract):
    @pytest.fixture(params=TRANSFORMS)
    def kind(self, request):
        return request.param

    @pytest.fixture
    async def case(self, kind, node_class, models):
        if kind == "containers::ogg::demuxer":
            ogg = await run_node("containers::ogg::muxer", usual_packets(EncodedAudioType("opus")))
            return NodeCase(node_class.example, {"in": ogg.packets})
        if kind in FILES_OF:
            return NodeCase(node_class.example, {"in": [Binary(file_of(FILES_OF[kind]))]})
        if kind == "plugin::native::vad":
            usual = usual_case(node_class)
            return NodeCase({"model_path": str(models / "silero_vad.onnx")}, usual.packets)
        return usual_case(node_class)


@pytest.fixture
def served(tmp_path):
    """The URL of a file on a server of the test's own."""
    (tmp_path / "a").write_bytes(bytes(100_000))
    with file_server(tmp_path) as url:
        yield f"{url}/a"


class TestNodesThatAwait(AwaitingNodeContract):
    @pytest.fixture(params=OTHERS)
    def kind(self, request):
        return request.param

    @pytest.fixture
    def case(self, request, kind, node_class, tmp_path, monkeypatch, models):
        monkeypatch.setenv("PENSTOCK_TTS_FALLBACK", "espeak")
        match kind:
            case "core::file_reader":
                (tmp_path / "a").write_bytes(bytes(100_000))
                return NodeCase({"path": str(tmp_path / "a")})
            case "core::file_writer":
                return NodeCase({"path": str(tmp_path / "a")}, {"in": [Binary(b"x")]})
            case "core::object_store_reader":
                (tmp_path / "a").write_bytes(bytes(100_000))
                return NodeCase({"url": f"{tmp_path.as_uri()}/a", "chunk_size": 10_000})
            case "core::object_store_writer":
                (tmp_path / "bucket").mkdir()
                place = {"endpoint": tmp_path.as_uri(), "bucket": "bucket", "key": "a"}
                return NodeCase(place, {"in": [Binary(b"x")]})
            case "plugin::native::whisper":
                activity = str(models / "silero_vad.onnx")
                params = {"model_path": str(models / "whisper"), "vad_model_path": activity}
                return NodeCase(params, usual_case(node_class).packets)
            case "plugin::native::sensevoice" | "plugin::native::parakeet" | "plugin::native::moonshine":
                name = kind.rpartition("::")[2].replace("sensevoice", "sense-voice")
                params = {"model_dir": str(models / name), "use_vad": False}
                return NodeCase(params, usual_case(node_class).packets)
            case "plugin::native::pocket-tts":
                return NodeCase(node_class.example, {"in": usual_packets(TEXT)})
            case "transport::http::fetcher":
                url = request.getfixturevalue("served")
                return NodeCase({"url": url, "allow_private": True})
            case "streamkit::http_input":
                return NodeCase(node_class.example, {}, lambda: FakeRequest(media=[b"a", b"b"]))
            case "streamkit::http_output":
                return NodeCase(node_class.example, {"in": [Binary(b"x")]}, FakeRequest)
            case _:
                return usual_case(node_class)


def test_importing_all_nodes_imports_no_heavy_library():
    places = [place.partition(":")[0] for place in BUILTIN.values()]
    program = (
        "import importlib, json, sys\n"
        f"for place in {places!r}:\n"
        "    importlib.import_module(place)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
