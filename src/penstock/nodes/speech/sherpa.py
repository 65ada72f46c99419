"""sherpa-onnx behind one door: what is loaded from which files, and that it is tried in another process first.

The library ends the process, without an exception, on a model whose metadata it does not know, and on a language that
a model has not. So a set of files and options is first loaded and used once by a child process; only what passed there
is loaded here. What passed is remembered as long as the files do not change.
Reference: the Python API of sherpa-onnx 2.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from penstock.errors import ConfigurationError, MissingDependency

__all__ = ["RATE_HZ", "ModelSpec", "check", "load", "manner", "try_out"]

RATE_HZ: Final = 16_000  # of everything that listens
TRIAL_TIMEOUT_S: Final = 300
REMEMBERED: Final = 64
POCKET_RATE_HZ: Final = 24_000
POCKET_FRAMES: Final = 25  # of 80 ms
POCKET_FRAMES_A_CHARACTER: Final = 3  # a slow voice needs one

PLACE = re.compile(r"^/\S+?:\w+:\d+ |/\S+\.(?:cc|h):\d+ .*?\) (?=[A-Z])")
SWALLOWED = re.compile(r"Caught exception:\s*(.+?)\s*Return an empty", re.DOTALL)  # the library goes on without text
CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from penstock.nodes.speech.sherpa import try_out; try_out(json.load(sys.stdin))"
)
_passed: dict[str, str] = {}  # what was said


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model: what it does, of which family it is, its files by role and its options.

    Attributes:
        steps: in which a voice is computed, for the families that refine theirs; 0 for others.
        saying: what a voice is told with each sentence, as its family names it, such as the language.
    """

    task: Literal["voice", "recognizer", "activity"]
    family: str
    files: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    num_threads: int = 1
    provider: str = "cpu"
    rules: str = ""
    steps: int = 0
    saying: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """All its files; lexicons and rules may be several, joined by commas as the library wants them."""
        joined = f"{self.files.get('lexicon', '')},{self.rules}".split(",")
        return [*(path for role, path in self.files.items() if role != "lexicon"), *filter(None, joined)]


class _SaidAlready(ConfigurationError):
    """The library has refused, and said why on stderr."""


def check(spec: ModelSpec, who: str) -> str:
    """Try a model in another process, unless it passed before; return what it had to say, such as that it has no GPU.

    Args:
        spec: the model.
        who: the kind of the node, for the message.

    Raises:
        MissingDependency: sherpa-onnx is not installed.
        ConfigurationError: the model cannot be used; the message gives the library's reason.
    """
    _library()
    key = json.dumps([asdict(spec), [_identity(path) for path in spec.paths]])
    if key in _passed:
        return _passed[key]
    command = [sys.executable, "-c", CHILD, json.dumps(sys.path)]
    try:
        child = subprocess.run(  # noqa: S603 - this interpreter and our own code
            command,
            input=json.dumps(asdict(spec)),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TRIAL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"{who}: the model did not load within {TRIAL_TIMEOUT_S} s") from error
    swallowed = SWALLOWED.search(child.stderr)
    if child.returncode or swallowed:
        said = " ".join(swallowed[1].split()) if swallowed else _reason(child.stderr)
        reason = said or f"its process ended with code {child.returncode}"
        raise ConfigurationError(f"{who}: sherpa-onnx cannot use the model in {_place(spec)}: {reason}")
    while len(_passed) >= REMEMBERED:
        del _passed[next(iter(_passed))]
    _passed[key] = _reason(child.stderr)
    return _passed[key]


def load(spec: ModelSpec) -> Any:
    """Load a model that passed ``check``: an ``OfflineTts``, an ``OfflineRecognizer`` or a ``VadModel``.

    Raises:
        ConfigurationError: it cannot be loaded all the same.
    """
    try:
        return _load(spec)
    except RuntimeError as error:
        raise ConfigurationError(f"sherpa-onnx cannot load the model in {_place(spec)}: {error}") from error


def manner(library: Any, spec: ModelSpec, characters: int) -> Any:
    """The ``GenerationConfig`` of a sentence of so many characters, but for who speaks and how fast."""
    how = library.GenerationConfig()
    how.silence_scale = 1.0  # the pauses that the voice makes
    if spec.steps:
        how.num_steps = spec.steps
    how.extra = dict(spec.saying)
    if spec.family == "pocket":  # a model that misses its end would go on for 40 s
        how.extra |= {"max_frames": str(POCKET_FRAMES + POCKET_FRAMES_A_CHARACTER * characters)}
    return how


def try_out(given: dict[str, Any]) -> None:
    """Load a model and use it once, in a process that may end by it. Says on stderr why it cannot be done."""
    try:
        spec = ModelSpec(**given)
        model = _load(spec)
        if spec.task == "voice":
            _try_voice(spec, model)
        elif spec.task == "recognizer":
            stream = model.create_stream()
            stream.accept_waveform(RATE_HZ, [0.0] * RATE_HZ)
            model.decode_stream(stream)
        else:
            model.is_speech([0.0] * model.window_size())
    except _SaidAlready:
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
        sys.exit(str(error).strip() or repr(error))


def _library() -> Any:
    try:
        import sherpa_onnx
    except ImportError as error:
        raise MissingDependency("sherpa-onnx is not installed: pip install 'penstock[speech]'") from error
    return sherpa_onnx


def _load(spec: ModelSpec) -> Any:
    makers = {"voice": _load_voice, "recognizer": _load_recognizer, "activity": _load_activity}
    return makers[spec.task](_library(), spec)


def _load_voice(library: Any, spec: ModelSpec) -> Any:
    model = {
        "vits": library.OfflineTtsVitsModelConfig,
        "kokoro": library.OfflineTtsKokoroModelConfig,
        "matcha": library.OfflineTtsMatchaModelConfig,
        "pocket": library.OfflineTtsPocketModelConfig,
        "supertonic": library.OfflineTtsSupertonicModelConfig,
    }[spec.family](**spec.files, **spec.options)
    config = library.OfflineTtsConfig(
        model=library.OfflineTtsModelConfig(
            **{spec.family: model}, num_threads=spec.num_threads, provider=spec.provider
        ),
        rule_fsts=spec.rules,
        max_num_sentences=1,
    )
    _validate(config)
    return library.OfflineTts(config)


def _load_recognizer(library: Any, spec: ModelSpec) -> Any:
    make = getattr(library.OfflineRecognizer, f"from_{spec.family}")
    return make(**spec.files, **spec.options, num_threads=spec.num_threads, provider=spec.provider)


def _load_activity(library: Any, spec: ModelSpec) -> Any:
    model = {
        "silero": library.SileroVadModelConfig,
        "ten": library.TenVadModelConfig,
    }[spec.family](**spec.files, **spec.options)
    config = library.VadModelConfig(
        **{f"{spec.family}_vad": model}, sample_rate=RATE_HZ, num_threads=spec.num_threads, provider=spec.provider
    )
    _validate(config)
    return library.VadModel.create(config)


def _validate(config: Any) -> None:
    if not config.validate():
        raise _SaidAlready("sherpa-onnx refused the model")


def _try_voice(spec: ModelSpec, model: Any) -> None:
    how, text = manner(_library(), spec, 1), "A."
    if "tokens" in spec.files:
        from penstock.nodes.speech.phonemes import read_tokens

        letter = next((token for token in read_tokens(Path(spec.files["tokens"])) if token.isalpha()), "a")
        how.phoneme_codepoints, text = [[ord(letter)]], ""
    if spec.family == "pocket":
        how.reference_audio, how.reference_sample_rate = [0.0] * POCKET_RATE_HZ, POCKET_RATE_HZ
    if not model.generate(text, how).sample_rate:
        raise _SaidAlready("sherpa-onnx refused the model")


def _identity(path: str) -> list[Any]:
    try:
        found = Path(path).stat()
    except FileNotFoundError:  # the child will say so
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _place(spec: ModelSpec) -> str:
    folders = {str(Path(path).parent) for role, path in spec.files.items() if role != "lexicon"}
    return " and ".join(f"'{folder}'" for folder in sorted(folders))


def _reason(said: str) -> str:
    """The last line of what the library said, without its places in its source."""
    lines = [PLACE.sub("", line).strip() for line in said.splitlines()]
    return next((line for line in reversed(lines) if line), "")
