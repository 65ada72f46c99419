"""``penstock sweep``: end the uploads in a store that nobody goes on with."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from penstock.cli.console import Exit, emit, fail, human_bytes, say, set_up_logging
from penstock.cli.duration import parse_duration
from penstock.cli.place import locate
from penstock.cli.uploads import RETRY, human_age
from penstock.errors import ConfigurationError, PenstockError
from penstock.stores.durable import StateDirectory
from penstock.stores.durable.sweep import Sweep, Swept, sweep
from penstock.stores.layers.retry import RetryLayer
from penstock.stores.resolve import open_location

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.stores.base import MultipartStore

__all__ = ["SweepArguments", "sweep_command"]

ALL_OURS: Final = {"local", "azure", "memory"}
"""Kinds of store whose listing shows none but our uploads: their form is ours alone."""

IN_WORDS: Final = {
    Sweep.ENDED: "ended",
    Sweep.WOULD_END: "would be ended",
    Sweep.EXPIRES: "left to expire",
    Sweep.FAILED: "not ended",
    Sweep.RECOVERABLE: "spared, as it can be recovered",
    Sweep.LIVE: "spared, as it is under way",
    Sweep.ACTIVE: "spared, as it is not old enough",
    Sweep.UNKNOWN: "spared, as it may be of others",
}


@dataclass(frozen=True, slots=True)
class SweepArguments:
    """The options of ``penstock sweep``, as given."""

    prefix: str
    older_than: str
    yes: bool = False
    take_all: bool = False
    endpoint: str | None = None
    region: str = "us-east-1"
    state: Path | None = None
    as_json: bool = False


def sweep_command(arguments: SweepArguments, verbosity: int) -> None:
    """Sweep, tell of every upload, and end with 4 if some could not be ended, 1 if the store cannot be asked."""
    set_up_logging(verbosity, as_json=arguments.as_json)
    try:
        older_than_s = parse_duration(arguments.older_than)
    except ValueError as error:
        fail(f"--older-than: {error}", Exit.USAGE, as_json=arguments.as_json)
    try:
        counted = anyio.run(_sweep, arguments, older_than_s)
    except ConfigurationError as error:
        fail(error, Exit.USAGE, as_json=arguments.as_json)
    except PenstockError as error:
        fail(error, as_json=arguments.as_json)
    if not arguments.as_json:
        _conclude(arguments, counted)
    if counted[Sweep.FAILED]:
        raise SystemExit(int(Exit.PARTIAL))


async def _sweep(arguments: SweepArguments, older_than_s: int) -> Counter[Sweep]:
    location = locate(arguments.prefix, arguments.endpoint)
    state = StateDirectory(arguments.state)
    opened = open_location(location, region=arguments.region)
    counted: Counter[Sweep] = Counter()
    try:
        store = RetryLayer(opened, RETRY)
        await store.check()
        _say_what_is_not_seen(store, state)
        async for one in sweep(
            store,
            location.key,
            state,
            older_than_s=older_than_s,
            all_ours=location.kind in ALL_OURS,
            take_all=arguments.take_all,
            dry_run=not arguments.yes,
        ):
            counted[one.outcome] += 1
            emit(one.as_dict()) if arguments.as_json else _print(one)
    finally:
        await opened.aclose()
    return counted


def _say_what_is_not_seen(store: MultipartStore, state: StateDirectory) -> None:
    if not store.capability.lists_uploads:
        say(
            f"warning: {store.url} does not list every upload; of the others only those are seen that journals in "
            f"{state.path} name"
        )


def _print(one: Swept) -> None:
    facts = [f"{IN_WORDS[one.outcome]}: {one.key}"]
    if one.upload_id:
        facts.append(f"upload {one.upload_id}")
    if one.idle_s is not None:
        facts.append(f"idle for {human_age(round(one.idle_s))}")
    if one.parts is not None and one.bytes is not None:
        facts.append(f"{one.parts} parts, {human_bytes(one.bytes)}")
    reason = f" ({one.reason})" if one.reason else ""
    sys.stdout.write(f"{', '.join(facts)}{reason}\n")


def _conclude(arguments: SweepArguments, counted: Counter[Sweep]) -> None:
    if not counted:
        say(f"no upload is open under {arguments.prefix}")
    if counted[Sweep.WOULD_END]:
        say(f"to be ended, which --yes does: {counted[Sweep.WOULD_END]}")
    if counted[Sweep.UNKNOWN]:
        say(
            f"idle, but perhaps of other programs, which the store does not tell: {counted[Sweep.UNKNOWN]}; "
            "--all takes them too"
        )
