"""The documentation is true: its snippets run, its links lead somewhere, what it names exists."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from penstock import errors
from penstock.cli.console import Exit
from penstock.cli.request import parse_inputs
from penstock.cli.run import _check_request
from penstock.engine.changes import plan_change
from penstock.engine.load import check_text, load_pipeline
from penstock.errors import PipelineInvalid
from penstock.metrics import METRICS
from penstock.nodes.base import NoConfig, Node, node
from penstock.nodes.builtin import BUILTIN
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.objects.retry import RetryConfig
from penstock.nodes.registry import Registry, default_registry
from penstock.packets import Text
from penstock.pins import ANY, OutputPin
from penstock.testing import run_node

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WRITTEN = [page for page in PAGES if page.parent.name != "nodes" and page.name != "cli.md"]
SAMPLES = sorted((ROOT / "samples").rglob("*.yml"))
FENCE = re.compile(r"(?:<!-- (?P<note>[^>]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Snippet:
    """A fenced block. The comment before it may set variables (``env: A=1``) or name its file (``findings: a.yml``)."""

    page: str
    language: str
    text: str
    note: str = ""

    def __str__(self):
        return f"{self.page}: {self.text.strip().splitlines()[0][:40]}"


def snippets(language, pages=WRITTEN):
    found = []
    for page in pages:
        for match in FENCE.finditer(page.read_text()):
            if match["language"] == language:
                name = str(page.relative_to(ROOT))
                found.append(Snippet(name, language, match["text"], match["note"] or ""))
    return found


def without_fences(page):
    return FENCE.sub("", page.read_text())


def named(pages=WRITTEN):
    return [(page, code) for page in pages for code in CODE.findall(without_fences(page))]


YAML = snippets("yaml")


@pytest.mark.parametrize("snippet", [one for one in YAML if one.note.partition(" ")[0] in ("", "env:")], ids=str)
def test_a_pipeline_in_the_documentation_is_sound(snippet):
    env = dict([snippet.note.removeprefix("env: ").split("=")] if snippet.note else [])
    _, warnings = check_text(snippet.text, env=env)
    assert warnings == []


def test_changes_of_a_graph_can_be_made_one_after_the_other():
    changes = [one for one in YAML if one.note.startswith("change: ")]
    graph, _ = load_pipeline(ROOT / changes[0].note.split()[1])
    names = list(graph.nodes)
    for snippet in changes:
        change = plan_change(yaml.safe_load(snippet.text)["ops"], graph)
        assert change.warnings == ()
        graph = change.graph
    assert list(graph.nodes) == names


@pytest.mark.parametrize("snippet", [one for one in YAML if one.note.startswith("findings")], ids=str)
def test_a_pipeline_with_errors_has_those_that_are_shown(snippet):
    shown = next(one for one in snippets("text", [ROOT / snippet.page]) if one.text.startswith("take.yml"))
    with pytest.raises(PipelineInvalid) as caught:
        check_text(snippet.text, file=snippet.note.removeprefix("findings: "), env={})
    assert [str(finding) for finding in caught.value.findings] == shown.text.splitlines()


@node("test::any", outputs=[OutputPin("out", ANY)])
class Anything(Node[NoConfig]):
    """Stands before every example."""

    async def run(self, ctx): ...


def around(example):
    """The example of a kind in the least pipeline that it fits."""
    text = "".join(f"  {line}\n" for line in example.splitlines())
    text = f"nodes:\n  upstream: {{kind: 'test::any'}}\n{text}"
    if "streamkit::" in example:
        text = f"mode: oneshot\n{text}"
    if "streamkit::http_input" in example:
        text += "  answer: {kind: 'streamkit::http_output', needs: http_input}\n"
    if "target_node: volume" in example:
        text += "  volume: {kind: 'audio::gain', needs: upstream}\n"
    return text


@pytest.mark.parametrize("snippet", snippets("yaml", sorted((ROOT / "docs" / "nodes").glob("*.md"))), ids=str)
def test_the_example_of_a_kind_is_sound(snippet):
    registry = Registry({**BUILTIN, "test::any": Anything})
    graph, _ = check_text(around(snippet.text), registry=registry, env={})
    assert len(graph.nodes) > 1


@pytest.mark.parametrize("snippet", snippets("python"), ids=str)
async def test_a_python_snippet_runs(snippet):
    names: dict = {"__name__": "snippet"}
    exec(compile(snippet.text, snippet.page, "exec"), names)
    if "record" in names:
        await names["record"]()
    if "Shout" in names:
        result = await run_node(names["Shout"](names["Shout"].Config()), [Text("over here")])
        assert [packet.text for packet in result.packets] == ["OVER HERE"]


def test_the_generated_pages_are_up_to_date():
    command = [sys.executable, str(ROOT / "scripts" / "generate_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_fences(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{target}: there is no such file"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings], target


# -- what is named exists -----------------------------------------------------------------------------


def test_the_files_and_tests_that_are_named_exist():
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for page, code in named():
        if re.fullmatch(r"[\w/]+\.(py|yml|sh)", code) and ("/" in code or code.endswith(".py")):
            places = [ROOT / code, ROOT / "src" / "penstock" / code]
            assert any(place.exists() for place in places), f"{page.name}: {code}"
        elif re.fullmatch(r"test_\w+", code):
            assert f"def {code}(" in tests, f"{page.name}: {code}"


def test_the_errors_that_are_named_exist():
    for page, code in named():
        if re.fullmatch(r"[A-Z]\w+Error|UpstreamFailed|ChannelClosed|RunCancelled|BadData|UploadGone", code):
            assert hasattr(errors, code), f"{page.name}: {code}"


def test_the_metrics_that_are_named_exist():
    for page in WRITTEN:
        for name in re.findall(r"\bpenstock_(?:uploads?|object_store|node)_\w+", page.read_text()):
            assert re.sub("_bucket$", "", name) in METRICS, f"{page.name}: {name}"


def test_the_exit_codes_are_those_of_the_command_line():
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    codes = [int(code) for code in re.findall(r"^\| (\d) \|", architecture, re.MULTILINE)]
    assert codes == [Exit.DONE, Exit.FAILED, Exit.USAGE, Exit.INVALID, Exit.PARTIAL, Exit.KEPT]
    for word in ("0 done", "1 failed", "2 wrong", "3 pipeline invalid", "5 failed but kept", "130 or 143"):
        assert word in " ".join((ROOT / "README.md").read_text().split())


def test_the_lenient_kinds_are_those_that_are_listed():
    text = (ROOT / "docs" / "pipeline-files.md").read_text()
    paragraph = re.search(r"the \*lenient\* kinds.*?A bad value", text, re.DOTALL)
    registry = default_registry()
    lenient = {kind for kind in BUILTIN if registry.get(kind).Config.lenient_extra}
    assert paragraph is not None
    assert {code for code in CODE.findall(paragraph[0]) if "::" in code} == lenient


def test_the_writers_parameters_that_are_named_exist():
    text = without_fences(ROOT / "docs" / "object-store-writer.md")
    words = {word for word in CODE.findall(text) if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)}
    known = {
        *ObjectStoreWriterConfig.model_fields,
        *RetryConfig.model_fields,
        "open_object",
        "open_upload",
        "session_id",
    }
    assert words - known == set()
    assert {"on_error", "on_cancel", "memory_limit", "chunk_size", "parts_in_flight"} <= words


# -- the README, as a new user reads it ---------------------------------------------------------------


@pytest.mark.slow
def test_the_first_pipeline_of_the_readme_runs_as_pasted(tmp_path):
    readme = (ROOT / "README.md").read_text()
    pipeline = next(one for one in YAML if one.page == "README.md")
    (tmp_path / "hello.yml").write_text(pipeline.text)
    commands = [
        line.strip() for line in re.findall(r"^    (?:echo .*\| )?penstock .*hello\.ogg$", readme, re.MULTILINE)
    ]
    assert len(commands) == 2
    for command in commands:
        shell = command.replace("penstock ", f"{shlex.quote(sys.executable)} -m penstock ")
        done = subprocess.run(["bash", "-euc", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "opus, 48000 Hz, mono" in done.stdout
    assert (tmp_path / "hello.ogg").read_bytes() == (tmp_path / "recordings" / "hello.ogg").read_bytes()


def test_the_commands_of_the_readme_have_the_options_they_are_shown_with():
    readme = (ROOT / "README.md").read_text().replace("\\\n", " ")
    for line in re.findall(r"penstock (\w+)([^|\n`]*)", readme):
        command, rest = line[0], line[1].partition(" -- ")[0]  # what follows is another program's
        if command not in {"run", "put", "recover", "check", "graph", "inspect", "schema"}:
            continue
        shown = subprocess.run(
            [sys.executable, "-m", "penstock", command, "--help"], capture_output=True, text=True, check=True
        ).stdout
        for option in re.findall(r"(?<=[ \[])--?[a-z][a-z-]*", rest):
            assert re.search(rf"(?<!\w){re.escape(option)}\b", shown), f"penstock {command} {option}"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_every_sample_is_sound_and_is_run_by_an_integration_test(sample):
    graph, warnings = check_text(sample.read_bytes(), file=sample.name, env={})
    assert graph.spec.name
    assert warnings == []
    integration = "".join(path.read_text() for path in (ROOT / "tests" / "integration").glob("*.py"))
    assert f'"{sample.name}"' in integration, f"no integration test runs {sample.name}"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_command_at_the_head_of_a_sample_is_not_refused(sample):
    graph, _ = check_text(sample.read_bytes(), file=sample.name, env={})
    head = re.sub(r"\\\n#\s*", "", sample.read_text())
    for command in re.findall(r"^# +penstock run (.*?)&?$", head, re.MULTILINE):
        words = shlex.split(command)
        assert (ROOT / words[0]) == sample
        given = {flag: [after for word, after in pairwise(words) if word == flag] for flag in ("-i", "-o")}
        _check_request(graph, parse_inputs(tuple(given["-i"])), next(iter(given["-o"]), None))


def test_the_json_schema_is_printed_as_the_page_says():
    done = subprocess.run([sys.executable, "-m", "penstock", "schema"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["title"] == "penstock pipeline"
