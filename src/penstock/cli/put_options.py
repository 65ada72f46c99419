"""The options of ``penstock put``: those of the command, and one for each parameter of the object store writer.

They are made from ``ObjectStoreWriterConfig``, so that name, help and default are said in one place, and when they are
needed, since the models take longer to load than ``penstock --help`` may. A field ``chunk_size`` is ``--chunk-size``,
a field of a group ``--rotate-bytes``, a table is an option that may be repeated. Secrets have no option: other users
of the machine can read a command line.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

__all__ = ["PutCommand", "WriterOption", "parse_parameters", "writer_options"]

COMMAND: Final = "penstock.put.command"
FORMS: Final = ("[OPTIONS] SRC|- URL", "[OPTIONS] URL -- COMMAND [ARGUMENT]...")
ELSEWHERE: Final = {"url", "endpoint", "bucket", "key", "passthrough", "ambient_credentials", "rotate_at"}
"""Parameters that the arguments say, that make no sense for plain bytes, or that are always set."""

TYPES: Final[dict[str, Any]] = {"boolean": bool, "integer": int | None, "number": float | None, "object": list[str]}
METAVARS: Final = {"integer": "NUMBER", "number": "NUMBER", "object": "NAME=VALUE"}


class PutCommand(TyperCommand):
    """``penstock put``: its parameters are made when they are asked for; what stands behind ``--`` is a command."""

    def get_params(self, ctx: Any) -> Any:
        self._declare()
        return super().get_params(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else None
        ctx.meta[COMMAND] = () if end is None else tuple(args[end + 1 :])
        if end == len(args) - 1:
            ctx.fail("no command stands behind '--'")
        return super().parse_args(ctx, args[:end])

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        for form in FORMS:
            formatter.write_usage(ctx.command_path, form)

    def _declare(self) -> None:
        if not self.params:
            declared = _declared()
            self.params, self.callback = list(declared.params), declared.callback


@cache
def _declared() -> Any:
    """The command with all its parameters, as Typer makes it from a function that has them."""
    parameters = [_context(), *_arguments(), *map(_parameter, writer_options()), *_own_options()]

    def put(**given: Any) -> None:
        from penstock.cli.put import PutArguments, put_command

        command = given.pop("ctx").meta[COMMAND]
        own = {name: given.pop(name) for name in PutArguments.__slots__ if name in given}
        verbosity = given.pop("verbose")
        put_command(PutArguments(command=command, parameters=given, **own), verbosity)

    put.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    put.__annotations__ = {one.name: one.annotation for one in parameters}
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(put)
    return typer.main.get_command(app)


def _keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _context() -> inspect.Parameter:
    return _keyword("ctx", typer.Context)


def _arguments() -> Iterator[inspect.Parameter]:
    source = typer.Argument(metavar="SRC|-", help="A file, or - for standard input; not with a command.")
    url = typer.Argument(
        metavar="URL",
        help="Where the object goes, such as s3://takes/{start:%Y/%m/%d}/{uuid}.ogg or file:takes/1.ogg; one that "
        "ends in / takes the name of the file.",
    )
    yield _keyword("source", Annotated[str | None, source], None)
    yield _keyword("url", Annotated[str | None, url], None)


def _own_options() -> Iterator[inspect.Parameter]:
    endpoint = typer.Option("--endpoint", metavar="URL", help="The store of an s3:// URL, if it is not AWS.")
    timeout = typer.Option(
        "--drain-timeout", metavar="SECONDS", min=0.0, help="How long a stopped put may take to end."
    )
    pid = typer.Option(
        "--producer-pid",
        metavar="PID",
        min=1,
        help="The process that feeds standard input: if it has gone at the end of the input, and not with status 0, "
        "the input has failed.",
    )
    yield _keyword("endpoint", Annotated[str | None, endpoint], None)
    yield _keyword("drain_timeout_s", Annotated[float, timeout], 30.0)
    yield _keyword("producer_pid", Annotated[int | None, pid], None)
    yield _keyword("as_json", Annotated[bool, typer.Option("--json", help="Print events as JSON, one a line.")], False)
    verbose = typer.Option("--verbose", "-v", count=True, help="Log more; twice for debugging.")
    yield _keyword("verbose", Annotated[int, verbose], 0)


# -- options from a model ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WriterOption:
    """One parameter of the writer on the command line.

    Attributes:
        path: names of the field, from the outermost group inwards.
        kind: JSON Schema's name of its type.
        metavar: what stands for its value.
        help: the field's description and default.
    """

    path: tuple[str, ...]
    kind: str
    metavar: str
    help: str

    @property
    def name(self) -> str:
        """Its name in Python."""
        return "_".join(self.path)

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")


def writer_options(model: type[BaseModel] | None = None) -> list[WriterOption]:
    """The options that a model has; by default those of the object store writer."""
    from penstock.nodes.objects.config import ObjectStoreWriterConfig

    schema = (model or ObjectStoreWriterConfig).model_json_schema()
    options = list(_options(schema, schema.get("$defs", {}), ()))
    flags = {option.name: option.flag for option in options}
    named = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")
    return [
        WriterOption(one.path, one.kind, one.metavar, named.sub(lambda match: flags.get(match[0], match[0]), one.help))
        for one in options
    ]


def _options(schema: Mapping[str, Any], groups: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[WriterOption]:
    for name, field in schema["properties"].items():
        shape = _shape(field, groups)
        if "_".join((*path, name)) in ELSEWHERE or shape.get("writeOnly"):
            continue
        if "properties" in shape:
            yield from _options(shape, groups, (*path, name))
        else:
            kind = shape.get("type", "string")
            yield WriterOption((*path, name), kind, _metavar(name, kind, shape), _help(field, shape))


def _shape(field: Mapping[str, Any], groups: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a field's value, whether or not it may be left out."""
    if "$ref" in field:
        return _shape(groups[field["$ref"].rsplit("/", 1)[-1]], groups)
    if "format" not in field:  # a size is an integer or a text, but one type to us
        given = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
        if len(given) == 1:
            return _shape(given[0], groups)
    return field


def _metavar(name: str, kind: str, shape: Mapping[str, Any]) -> str:
    from penstock.nodes.types import SIZE_FORMAT

    if shape.get("format") == SIZE_FORMAT:
        return "SIZE"
    if "enum" in shape:
        return "|".join(map(str, shape["enum"]))
    if name.endswith("_env"):
        return "VARIABLE"
    return "SECONDS" if name.endswith("seconds") else METAVARS.get(kind, "TEXT")


def _help(field: Mapping[str, Any], shape: Mapping[str, Any]) -> str:
    from penstock.nodes.types import SIZE_FORMAT, show_byte_size

    text = str(field.get("description", ""))
    default = field.get("default")
    if shape.get("type") == "object":
        text += " Repeatable."
    if not default:
        return text
    shown = show_byte_size(default) if shape.get("format") == SIZE_FORMAT else default
    return f"{text}  [default: {shown}]"


def _parameter(option: WriterOption) -> inspect.Parameter:
    kind = TYPES.get(option.kind, str | None)
    metavar = None if kind is bool else option.metavar
    declared = typer.Option(option.flag, metavar=metavar, help=option.help, show_default=False)
    unset: Any = {"boolean": False, "object": []}.get(option.kind)
    return _keyword(option.name, Annotated[kind, declared], unset)


def parse_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the writer from the values of their options, as a pipeline file would hold them.

    Raises:
        ConfigurationError: an entry of a table is not ``NAME=VALUE``, or given twice.
    """
    parameters: dict[str, Any] = {}
    for option in writer_options():
        value = given.get(option.name)
        if value is None or value is False or value == []:
            continue
        group = parameters
        for name in option.path[:-1]:
            group = group.setdefault(name, {})
        group[option.path[-1]] = _table(option.flag, value) if option.kind == "object" else value
    return parameters


def _table(flag: str, entries: list[str]) -> dict[str, str]:
    table: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"{flag} {entry}: write NAME=VALUE")
        if name in table:
            raise ConfigurationError(f"{flag} {name}: given twice")
        table[name] = value
    return table
