"""Arguments and options that several commands share, as typer reads them from annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "AllowFetch",
    "AnswerOption",
    "ControlOption",
    "DrainTimeout",
    "EndpointOption",
    "InputOption",
    "JsonDocument",
    "JsonOption",
    "MetricsPort",
    "PipelineFile",
    "RegionOption",
    "ReportOption",
    "ScriptSecret",
    "SetOption",
    "StateOption",
    "TtsFallback",
    "UploadsPrefix",
    "Verbose",
    "decide",
]

PipelineFile = Annotated[Path, typer.Argument(metavar="FILE", help="A pipeline file.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NODE.PARAM=VALUE", help="Set a parameter; VALUE is YAML. Repeatable."),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", metavar="[FIELD=]FILE|-", help="Feed an input field from a file. Repeatable."),
]
AnswerOption = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FILE|-", help="Where the answer of the run goes.")
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the report of the run there, as JSON.")
]
DrainTimeout = Annotated[
    float,
    typer.Option("--drain-timeout", metavar="SECONDS", min=0.0, help="How long a stopped run may take to end."),
]
TtsFallback = Annotated[
    str | None,
    typer.Option(
        "--tts-fallback",
        metavar="ENGINE",
        help="Speak with this engine ('espeak') where a neural voice cannot run.",
        envvar="PENSTOCK_TTS_FALLBACK",
    ),
]
AllowFetch = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-fetch",
        metavar="[METHODS:]URL",
        help="Let scripts fetch there, such as GET,POST:https://host/path*. Repeatable; adds to PENSTOCK_ALLOW_FETCH.",
    ),
]
ScriptSecret = Annotated[
    list[str] | None,
    typer.Option(
        "--script-secret",
        metavar="NAME=VARIABLE@URL",
        help="A secret for headers of scripts, and where it may go. Repeatable; adds to PENSTOCK_SCRIPT_SECRETS.",
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        metavar="PORT",
        min=0,
        max=65535,
        help="Serve metrics for Prometheus there, on loopback, while the run lasts; 0 takes a free port.",
    ),
]
ControlOption = Annotated[
    str | None,
    typer.Option(
        "--control",
        metavar="SOCKET|-",
        help="Make a Unix socket for `penstock tune`, or read messages from standard input, one JSON object a line.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
JsonDocument = Annotated[bool, typer.Option("--json", help="Print a JSON document.")]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="The state directory, by default in the user's home.",
        envvar="PENSTOCK_STATE",
        show_envvar=True,
    ),
]
EndpointOption = Annotated[
    str | None, typer.Option("--endpoint", metavar="URL", help="The store of an s3:// URL, if it is not AWS.")
]
RegionOption = Annotated[str, typer.Option("--region", help="The store's region.")]
UploadsPrefix = Annotated[
    str, typer.Argument(metavar="PREFIX", help="Such as s3://bucket/takes/ or file:recordings/.", show_default=False)
]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log more; twice for debugging.")]


def decide(name: str, what: str) -> Any:
    """An option that decides over uploads by their tokens."""
    return typer.Option(name, metavar="TOKEN", help=f"{what}, whatever its policy says. Repeatable.")
