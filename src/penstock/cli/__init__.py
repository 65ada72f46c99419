"""The command line: ``penstock run``, ``tune``, ``change``, ``put``, ``check``, ``nodes``, ``inspect`` and others.

Each command is declared here and lives in a module of its own, imported when it is used, so that ``penstock --help``
stays quick. Results go to standard output, talk and progress to standard error. Exit codes: 0 done, 1 failed,
2 wrong usage, 3 pipeline invalid, 4 some items failed, 5 failed but kept (run ``penstock recover``), 130 or 143 after a
signal that was drained.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from penstock import __version__
from penstock.cli.groups import nodes_app, uploads_app
from penstock.cli.options import (
    AllowFetch,
    AnswerOption,
    ControlOption,
    DrainTimeout,
    EndpointOption,
    InputOption,
    JsonDocument,
    JsonOption,
    MetricsPort,
    PipelineFile,
    RegionOption,
    ReportOption,
    ScriptSecret,
    SetOption,
    StateOption,
    TtsFallback,
    UploadsPrefix,
    Verbose,
    decide,
)
from penstock.cli.put_options import PutCommand

__all__ = ["app", "main"]

app = typer.Typer(
    name="penstock",
    help="Carry live media and data into object storage without losing a byte.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(nodes_app, name="nodes")
app.add_typer(uploads_app, name="uploads")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    file: PipelineFile,
    inputs: InputOption = None,
    output: AnswerOption = None,
    overrides: SetOption = None,
    report: ReportOption = None,
    drain_timeout: DrainTimeout = 30.0,
    tts_fallback: TtsFallback = None,
    allow_fetch: AllowFetch = None,
    script_secret: ScriptSecret = None,
    metrics_port: MetricsPort = None,
    control: ControlOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
    verbose: Verbose = 0,
) -> None:
    """Run a pipeline to its end.

    The first SIGINT or SIGTERM lets it drain, a second one cuts it short. Uploads that an earlier run has left in the
    state directory are recovered beside a run with durability. With -o - the answer is on standard
    output, and --json events go to standard error.
    """
    from penstock.cli.run import RunArguments, run_command

    run_command(
        RunArguments(
            file,
            tuple(inputs or ()),
            output,
            tuple(overrides or ()),
            report,
            drain_timeout,
            tts_fallback,
            tuple(allow_fetch or ()),
            tuple(script_secret or ()),
            metrics_port,
            control,
            state,
            as_json,
        ),
        verbose,
    )


@app.command()
def tune(
    socket: Annotated[
        Path,
        typer.Argument(metavar="SOCKET", help="What --control named when the pipeline was run.", show_default=False),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="NODE.PARAM=VALUE", help="Parameters to set; VALUE is YAML.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Set parameters of a pipeline while it runs; all of them at one instant, or none.

    Prints what is in force then. Without changes it shows what can be set. Exit codes: 0 done, 1 no pipeline listens
    there, 3 refused.
    """
    from penstock.cli.tune import tune_command

    tune_command(socket, tuple(changes or ()), as_json=as_json)


@app.command()
def change(
    socket: Annotated[
        Path,
        typer.Argument(metavar="SOCKET", help="What --control named when the pipeline was run.", show_default=False),
    ],
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="Operations, in YAML.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only see whether it could be done, and what.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Change the graph of a pipeline while it runs: all that a file asks for at one instant, or nothing.

    The file has a list of operations under 'ops': add, remove, connect, disconnect, tune. Prints what was done. Exit
    codes: 0 done, 1 no pipeline listens there, 3 refused.
    """
    from penstock.cli.change import change_command

    change_command(socket, file, dry_run=dry_run, as_json=as_json)


@app.command(cls=PutCommand)
def put() -> None:
    """Stream a file, standard input or the output of a command into an object.

    The object appears when all of the input has been stored. A command that ends with another status than 0, or by a
    signal, is a failed input: --on-error. The first SIGINT or SIGTERM is passed on to the command and lets the rest
    drain (--on-cancel, which for a file is abort), a second one cuts it short. Credentials of an s3:// URL come from
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the other usual places.
    """


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Pipeline files.", show_default=False)],
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read pipelines and say all that is wrong with them, without running anything."""
    from penstock.cli.check import check_command

    check_command(files, tuple(overrides or ()), as_json=as_json)


@app.command()
def graph(
    file: PipelineFile,
    form: Annotated[str, typer.Option("--format", metavar="text|mermaid|dot", help="How to draw it.")] = "text",
    overrides: SetOption = None,
) -> None:
    """Draw the graph of a pipeline."""
    from penstock.cli.check import graph_command

    graph_command(file, form, tuple(overrides or ()))


@app.command()
def schema() -> None:
    """Print the JSON Schema of pipeline files, for editors."""
    from penstock.cli.nodes import schema_command

    schema_command()


@app.command()
def inspect(
    target: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="A file, or an object: file:///dir/key, s3://bucket/key.")
    ],
    endpoint: EndpointOption = None,
    region: RegionOption = "us-east-1",
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="REPORT", help="Verify size and digest against the report of a run."),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Do not look for media: size and digests only.")] = False,
    as_json: JsonDocument = False,
) -> None:
    """Show the codec, duration, size and digest of a media file or object, and verify that it decodes.

    Credentials of an s3:// URL come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the other usual places.
    """
    from penstock.cli.inspect import InspectArguments, inspect_command

    inspect_command(InspectArguments(target, endpoint, region, against, plain, as_json))


@app.command()
def recover(
    state: StateOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    commit: Annotated[list[str] | None, decide("--commit", "Commit this one, marked as incomplete")] = None,
    abort: Annotated[list[str] | None, decide("--abort", "Give this one up")] = None,
    as_json: JsonOption = False,
    verbose: Verbose = 0,
) -> None:
    """Finish the uploads that processes have left behind in the state directory.

    What was accepted under durability is sent, completed and verified; what its input did not end is marked, kept or
    dropped, as on_crash says. Uploads of live processes are left alone. Exit codes: 0 done, 4 something had to be set
    aside, 5 something is still kept, as its store does not take it.
    """
    from penstock.cli.recover import RecoverArguments, recover_command

    recover_command(RecoverArguments(state, dry_run, tuple(commit or ()), tuple(abort or ()), as_json), verbose)


@app.command()
def sweep(
    prefix: UploadsPrefix,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than",
            metavar="TIME",
            help="How long nothing must have come for an upload: 90m, 24h, 7d, 1h30m. Longer than a stream may pause.",
            show_default=False,
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="End them. Without it only what would be done is said.")] = False,
    take_all: Annotated[
        bool, typer.Option("--all", help="Those too that may be of other programs, as no journal here names them.")
    ] = False,
    endpoint: EndpointOption = None,
    region: RegionOption = "us-east-1",
    state: StateOption = None,
    as_json: JsonOption = False,
    verbose: Verbose = 0,
) -> None:
    """End the uploads in a store that nobody goes on with, and whose parts are billed until they are ended.

    First those that journals in the state directory name, then those that the store lists. Spared are uploads of live
    processes with durability, those that `penstock recover` can still finish, and whatever is not idle for as long as
    --older-than says. S3 stores and Google do not tell whose an upload is: there only those are ended that a journal
    names, unless --all is given. In Azure there is nothing to end: it drops what was left. Exit codes: 0 done, 1 the
    store cannot be asked, 4 some could not be ended.
    """
    from penstock.cli.sweep import SweepArguments, sweep_command

    sweep_command(SweepArguments(prefix, older_than, yes, take_all, endpoint, region, state, as_json), verbose)


def main() -> None:
    """Entry point of the ``penstock`` command."""
    from penstock.cli.streams import prepare_streams, results_arrive

    prepare_streams()
    # Without this numpy's BLAS, which nothing here uses, starts a thread for every core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with results_arrive():
        app()
