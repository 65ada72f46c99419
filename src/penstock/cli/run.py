"""``penstock run``: one pipeline, from its file to its exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from penstock.cli.console import Exit, fail, human_bytes, leave, say, set_up_logging, show_findings
from penstock.cli.control import controlled
from penstock.cli.metrics import serve_metrics
from penstock.cli.progress import HumanProgress, JsonProgress
from penstock.cli.request import STDIO, CommandLineRequest, parse_inputs
from penstock.engine.graph import HTTP_INPUT, HTTP_OUTPUT
from penstock.engine.load import load_pipeline
from penstock.engine.outcome import Outcome, RunReport
from penstock.engine.run import Run, RunOptions
from penstock.engine.signals import drain_on_signals
from penstock.errors import ConfigurationError, PenstockError, PipelineInvalid, root_cause
from penstock.nodes.files.atomic import AtomicFile
from penstock.nodes.flow.script_rules import ALLOW_VARIABLE, SECRETS_VARIABLE, check_allowed, check_secrets
from penstock.nodes.http.request import DEFAULT_FIELD
from penstock.nodes.speech.neural import FALLBACK_VARIABLE, FALLBACKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from penstock.engine.graph import Graph

__all__ = ["RunArguments", "load_or_exit", "run_command"]

STATE_VARIABLE = "PENSTOCK_STATE"
STORING_KINDS = frozenset({"core::file_writer", "core::object_store_writer"})


@dataclass(frozen=True, slots=True)
class RunArguments:
    """The options of ``penstock run``, as given."""

    file: Path
    inputs: tuple[str, ...] = ()
    output: str | None = None
    overrides: tuple[str, ...] = ()
    report: Path | None = None
    drain_timeout_s: float = 30.0
    tts_fallback: str | None = None
    allow_fetch: tuple[str, ...] = ()
    script_secrets: tuple[str, ...] = ()
    metrics_port: int | None = None
    control: str | None = None
    state: Path | None = None
    as_json: bool = False


def run_command(arguments: RunArguments, verbosity: int) -> None:
    """Run a pipeline and end the process with the exit code of its outcome."""
    set_up_logging(verbosity, as_json=arguments.as_json)
    if arguments.tts_fallback:
        if arguments.tts_fallback not in FALLBACKS:
            fail(f"--tts-fallback {arguments.tts_fallback}: there is {' or '.join(FALLBACKS)}", Exit.USAGE)
        os.environ[FALLBACK_VARIABLE] = arguments.tts_fallback
    _allow(ALLOW_VARIABLE, arguments.allow_fetch, check_allowed)
    _allow(SECRETS_VARIABLE, arguments.script_secrets, check_secrets)
    if arguments.state is not None:
        os.environ[STATE_VARIABLE] = str(arguments.state)
    # No node multiplies matrices, and numpy's threads for that spin for a while when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    graph = load_or_exit(arguments.file, arguments.overrides, as_json=arguments.as_json)
    try:
        inputs = parse_inputs(arguments.inputs)
        _check_request(graph, inputs, arguments.output)
        _check_standard_input(inputs, arguments.control)
    except ConfigurationError as error:
        fail(error, Exit.USAGE, as_json=arguments.as_json)
    oneshot = graph.mode == "oneshot"
    request = CommandLineRequest(inputs, arguments.output, trigger=_is_triggered(graph)) if oneshot else None
    try:
        with serve_metrics(arguments.metrics_port, as_json=arguments.as_json):
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # from now on there is something to clean up
            code = anyio.run(_execute_and_report, graph, request, arguments)
    except KeyboardInterrupt:
        code = 130
    except (PenstockError, ExceptionGroup) as error:  # a group of one: it went through the tasks beside the run
        cause = root_cause(error)
        if not isinstance(cause, PenstockError):
            raise
        fail(cause, as_json=arguments.as_json)
    leave(code)


def _allow(variable: str, given: tuple[str, ...], check: Callable[[str], object]) -> None:
    """Add what was given to a variable that holds a list separated by spaces, for the nodes of this process."""
    if not given:
        return
    text = " ".join((os.environ.get(variable, ""), *given)).strip()
    try:
        check(text)
    except ValueError as error:
        fail(f"{variable}: {error}", Exit.USAGE)
    os.environ[variable] = text


def load_or_exit(file: Path, overrides: tuple[str, ...], *, as_json: bool = False) -> Graph:
    """Load a pipeline; print what is wrong with it, and end the process if it cannot run."""
    try:
        graph, warnings = load_pipeline(file, overrides=overrides)
    except PipelineInvalid as error:
        show_findings(error.findings, as_json=as_json, stream=sys.stderr)
        raise SystemExit(int(Exit.INVALID)) from None
    show_findings(warnings, as_json=as_json, stream=sys.stderr)
    return graph


def _check_request(graph: Graph, inputs: Mapping[str, str], output: str | None) -> None:
    """See that what the pipeline asks of a request is given, and that what is given is asked for."""
    fields = _input_fields(graph)
    for field, required in fields.items():
        if required and field not in inputs and not _is_triggered(graph):
            example = "-i FILE" if field == DEFAULT_FIELD else f"-i {field}=FILE"
            raise ConfigurationError(f"the pipeline reads the input '{field}': give it with {example} ('-' is stdin)")
    for field in inputs:
        if field not in fields:
            known = f"it reads {', '.join(map(repr, fields))}" if fields else "it reads none"
            raise ConfigurationError(f"the pipeline has no input '{field}': {known}")
    kinds = {node.kind for node in graph.nodes.values()}
    if output == "":
        raise ConfigurationError("the file for the answer has no name: -o ''")
    if output is not None and HTTP_OUTPUT not in kinds:
        raise ConfigurationError(f"the pipeline has no {HTTP_OUTPUT}, so there is no answer for -o {output}")
    if output is None and HTTP_OUTPUT in kinds and not kinds & STORING_KINDS:
        raise ConfigurationError("the pipeline answers with data: say where it goes with -o FILE, or -o - for stdout")


def _check_standard_input(inputs: Mapping[str, str], control: str | None) -> None:
    if control == STDIO and STDIO in inputs.values():
        raise ConfigurationError("standard input cannot both feed a field and control the run: use --control SOCKET")


def _is_triggered(graph: Graph) -> bool:
    """Whether the pipeline asks for the push of a button instead of data."""
    client = graph.spec.client
    return client is not None and client.input is not None and client.input.type == "trigger"


def _input_fields(graph: Graph) -> dict[str, bool]:
    """The input fields that a pipeline reads, and whether each is required."""
    fields: dict[str, bool] = {}
    for node in graph.nodes.values():
        if node.kind != HTTP_INPUT:
            continue
        config = node.config.model_dump()
        if config["fields"] is None:
            fields[config["field"] or DEFAULT_FIELD] = config["required"]
        else:
            fields.update({field["name"]: field["required"] for field in config["fields"]})
    return fields


async def _execute_and_report(graph: Graph, request: CommandLineRequest | None, arguments: RunArguments) -> int:
    """Run, and write the report; that it cannot be written is said before the run, as far as it is known then.

    Raises:
        PenstockError: the report or the answer cannot be written.
    """
    if arguments.report is None:
        return (await _execute(graph, request, arguments))[0]
    async with AtomicFile(arguments.report) as file:
        code, report = await _execute(graph, request, arguments)
        await file.write([f"{json.dumps(report.as_dict(), indent=2, default=str)}\n".encode()])
    return code


async def _execute(graph: Graph, request: CommandLineRequest | None, arguments: RunArguments) -> tuple[int, RunReport]:
    run = Run(graph, request=request, options=RunOptions(drain_timeout_s=arguments.drain_timeout_s))
    stream = sys.stderr if arguments.output == STDIO else sys.stdout
    progress = JsonProgress(stream) if arguments.as_json else HumanProgress(graph.spec.name or arguments.file.name)
    run.events.subscribe(progress)
    with progress:
        async with drain_on_signals(run) as watch, _recovering(graph, watch.came):
            async with controlled(run, arguments.control, stream):
                report = await run.execute()
            answered = await request.finish(keep=report.ok) if request is not None else None
    if not arguments.as_json:
        _summarise(report, answered, arguments.output)
    code = Exit.DONE if report.ok else Exit.KEPT if report.kept else Exit.FAILED
    if code is Exit.KEPT:
        return code, report
    if report.outcome in (Outcome.STOPPED, Outcome.CANCELLED) and watch.first is not None:
        return 128 + watch.first, report
    if isinstance(progress, JsonProgress) and progress.failure is not None:
        say(f"error: standard output: {progress.failure.strerror}; events are missing there, the run {report.outcome}")
        code = Exit.FAILED
    return code, report


def _recovering(graph: Graph, hurry: anyio.Event) -> AbstractAsyncContextManager[None]:
    """Recover, beside a run with durability, what others have left; for any other run none of it is imported."""
    configs = [node.config for node in graph.nodes.values()]
    if all(getattr(config, "durability", "none") == "none" for config in configs):
        return nullcontext()
    from penstock.cli.recover import recovering

    return recovering(configs, hurry)


def _summarise(report: RunReport, answered: int | None, output: str | None) -> None:
    if report.error is not None:
        say(f"error: {report.error}")
        for note in getattr(report.error.__cause__, "__notes__", ()):
            say(f"  note: {note}")
    elif answered is None:
        if output not in (None, STDIO):
            say(f"{output} was not written: the answer is not complete")
    elif output is None and answered:
        say(f"the answer, {human_bytes(answered)}, was not kept; -o FILE keeps it")
    elif output not in (None, STDIO):
        say(f"wrote {output}, {human_bytes(answered)}")
    if report.kept:
        say("what was accepted is kept in the state directory: run `penstock recover`")
    say(f"{report.outcome.value} in {report.seconds:.2f} s")
