"""``penstock put``: a file, standard input or the output of a command, streamed into an object.

What is given on the command line is checked here, and told; ``put_run`` does the work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import anyio
from pydantic import ValidationError

from penstock.cli.console import Exit, fail, leave, say, set_up_logging
from penstock.cli.put_options import parse_parameters, writer_options
from penstock.cli.put_progress import FAILED, HumanEvents, JsonEvents
from penstock.cli.put_run import Put
from penstock.cli.put_source import is_regular, is_terminal
from penstock.cli.request import STDIO
from penstock.errors import ConfigurationError
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.stores.resolve import parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PutArguments", "configure", "put_command"]

QUOTED: Final = re.compile(r"\s*(file|https?):", re.IGNORECASE)
"""Schemes of URLs in which ``%`` and two digits are a character."""


@dataclass(frozen=True, slots=True)
class PutArguments:
    """What ``penstock put`` was given.

    Attributes:
        source, url: the two words, in order; with a command there is only the URL, which is then the first.
        command: what stands behind ``--``; empty where nothing does.
        parameters: values of the options of the writer, by their names in Python.
    """

    source: str | None
    url: str | None
    command: tuple[str, ...] = ()
    endpoint: str | None = None
    drain_timeout_s: float = 30.0
    producer_pid: int | None = None
    as_json: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)


def put_command(given: PutArguments, verbosity: int) -> None:
    """Store what comes and end the process with the exit code of the outcome."""
    set_up_logging(verbosity, as_json=given.as_json)
    told = JsonEvents() if given.as_json else HumanEvents(_title(given), bar=not given.command)
    try:
        source, url = _words(given)
        config = configure(given, source, url)
    except ConfigurationError as error:
        if given.as_json:
            told.tell(FAILED, error=str(error), notes=[], exit=int(Exit.USAGE))
            leave(Exit.USAGE)
        fail(error, Exit.USAGE)
    if source is not None and is_terminal(source):
        say("reading from the terminal: end with Ctrl-D")
    try:
        code = anyio.run(Put(source, given, config, told).run)
    except KeyboardInterrupt:  # before it was listened for
        code = 130
    if told.failure is not None:
        say(f"error: standard output: {told.failure.strerror}; events are missing there")
        code = code or int(Exit.FAILED)
    leave(code)


def _title(given: PutArguments) -> str:
    return "standard input" if given.source == STDIO else Path(given.source or "").name


def _words(given: PutArguments) -> tuple[str | None, str]:
    """The source, None for a command, and the URL."""
    if given.command:
        if given.url is not None:
            raise ConfigurationError(f"{given.source} and a command: give one of them, 'put URL -- COMMAND'")
        if given.producer_pid is not None:
            raise ConfigurationError("--producer-pid goes with standard input; a command is watched in any case")
        if not given.source:
            raise ConfigurationError("no URL stands before '--'; write 'put URL -- COMMAND'")
        return None, given.source
    if not given.source or not given.url:
        raise ConfigurationError("a source and a URL are needed: 'put FILE URL', 'put - URL' or 'put URL -- COMMAND'")
    if given.producer_pid is not None and given.source != STDIO:
        raise ConfigurationError("--producer-pid goes with standard input: 'put - URL'")
    return given.source, given.url


def configure(given: PutArguments, source: str | None, url: str) -> ObjectStoreWriterConfig:
    """The parameters of the writer; all that is wrong with them is said in one error.

    The credentials of this machine are used where no others are named. A file that is cut short is of no use, and can
    be sent again: unless ``on_cancel`` is given, a stop then drops what was sent.

    Raises:
        ConfigurationError: an option or the URL is wrong.
    """
    parameters = parse_parameters(given.parameters)
    if source is not None and is_regular(source):
        parameters.setdefault("on_cancel", "abort")
    if parameters.get("resume"):
        _check_resume(given, parameters, source)
    place = _place(url, given.endpoint, source)
    try:
        return ObjectStoreWriterConfig.model_validate({"ambient_credentials": True, **place, **parameters})
    except ValidationError as failure:
        wrong = [_in_words(error) for error in failure.errors(include_url=False, include_input=False)]
        raise ConfigurationError("; ".join(wrong)) from failure


def _check_resume(given: PutArguments, parameters: Mapping[str, Any], source: str | None) -> None:
    if given.command:
        raise ConfigurationError(
            "--resume goes with a file or standard input; a command would send again what is stored already"
        )
    if source is not None and is_regular(source) and "rotate" in parameters:
        raise ConfigurationError("--resume goes on within one object, so of a file it cannot go with --rotate-…")


def _place(url: str, endpoint: str | None, source: str | None) -> dict[str, str]:
    if url.endswith("/"):
        if source is None or source == STDIO:
            raise ConfigurationError(f"'{url}' names no key, and the input has no name that could be one; append a key")
        name = Path(source).name.replace("{", "{{").replace("}", "}}")
        url += quote(name, safe="{}") if QUOTED.match(url) else name
    if endpoint is None:
        return {"url": url}
    location = parse_url(url)
    if location.kind != "s3" or location.endpoint:
        raise ConfigurationError(f"--endpoint goes with an s3:// URL; '{url}' names its store already")
    return {"endpoint": endpoint, "bucket": location.bucket, "key": location.key}


def _in_words(error: Any) -> str:
    """One finding of pydantic, under the name that the parameter has on the command line."""
    path = tuple(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ")
    if not path:
        return str(message)
    flags = {option.path: option.flag for option in writer_options()}
    named = next((flags[path[:end]] for end in range(len(path), 0, -1) if path[:end] in flags), None)
    return f"{named or {'url': 'URL', 'endpoint': '--endpoint'}.get(path[0], path[0])}: {message}"
