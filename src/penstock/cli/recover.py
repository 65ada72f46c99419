"""``penstock recover``: finish what processes have left behind in the state directory."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeGuard

import anyio

from penstock.cli.console import Exit, emit, fail, human_bytes, say, set_up_logging
from penstock.errors import ConfigurationError
from penstock.nodes.objects.durability import DurabilityParameters
from penstock.stores.durable import StateDirectory
from penstock.stores.durable.recover import Recovered, Recovery, recover
from penstock.stores.durable.reopen import open_recorded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

__all__ = ["RecoverArguments", "in_words", "recover_command", "recovering"]

IN_WORDS: Final = {
    Recovery.COMMITTED: "committed",
    Recovery.MARKED: "committed, marked as incomplete",
    Recovery.ABORTED: "aborted",
    Recovery.EMPTY: "dropped, as it was empty",
    Recovery.KEPT: "kept",
    Recovery.SET_ASIDE: "set aside",
    Recovery.BUSY: "left alone",
}


@dataclass(frozen=True, slots=True)
class RecoverArguments:
    """The options of ``penstock recover``, as given."""

    state: Path | None = None
    dry_run: bool = False
    commit: tuple[str, ...] = ()
    abort: tuple[str, ...] = ()
    as_json: bool = False


def recover_command(arguments: RecoverArguments, verbosity: int) -> None:
    """Recover, tell of every upload, and end with 5 if something is still kept, 4 if something was set aside.

    A state directory that cannot be read is wrong usage.
    """
    set_up_logging(verbosity, as_json=arguments.as_json)
    try:
        outcomes = anyio.run(_recover, arguments)
    except ConfigurationError as error:
        fail(error, Exit.USAGE, as_json=arguments.as_json)
    if not outcomes and not arguments.as_json:
        say(f"nothing is to be recovered in {StateDirectory(arguments.state).path}")
    failed = {one.outcome for one in outcomes if one.failed}
    code = Exit.KEPT if Recovery.KEPT in failed else Exit.PARTIAL if failed else Exit.DONE
    raise SystemExit(int(code))


async def _recover(arguments: RecoverArguments) -> list[Recovered]:
    outcomes = []
    decisions = {
        **dict.fromkeys(arguments.commit, Recovery.MARKED),
        **dict.fromkeys(arguments.abort, Recovery.ABORTED),
    }
    state = StateDirectory(arguments.state)
    unknown = [token for token in decisions if not (state.uploads / token).is_dir()]
    if unknown:
        raise ConfigurationError(f"there is no upload {', '.join(unknown)} in {state.path}")
    async for one in recover(state, open_recorded, dry_run=arguments.dry_run, decisions=decisions):
        outcomes.append(one)
        if arguments.as_json:
            emit(one.as_dict())
        else:
            say(in_words(one, dry_run=arguments.dry_run))
    return outcomes


def in_words(one: Recovered, *, dry_run: bool = False) -> str:
    """What became of an upload, in a line."""
    where = one.url or one.token
    done = IN_WORDS[one.outcome]
    reason = f": {one.reason}" if one.reason else ""
    return f"{where}: {'would be ' if dry_run else ''}{done}, {human_bytes(one.size)}{reason}"


@asynccontextmanager
async def recovering(configs: Iterable[object], tell: Callable[[Recovered], None] | None = None) -> AsyncIterator[None]:
    """Recover, beside a run or a put, what others have left in the state directories that its durable nodes use.

    Not where one of them resumes an upload: that must not be finished before. What is left undone of it, the next one
    does. A state directory that cannot be read is for those to report who write there.

    Args:
        configs: of the nodes.
        tell: told what became of each upload, but of those with an owner; by default a line is printed.
    """
    durable = [config for config in configs if is_durable(config)]
    if not durable or any(config.resume for config in durable):
        yield
        return
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        for path in {config.state_directory().path for config in durable}:
            group.start_soon(_recover_beside, StateDirectory(path), tell or _say_recovered)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again, out of the group
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


def is_durable(config: object) -> TypeGuard[DurabilityParameters]:
    return isinstance(config, DurabilityParameters) and config.durability != "none"


async def _recover_beside(state: StateDirectory, tell: Callable[[Recovered], None]) -> None:
    with suppress(OSError, ConfigurationError):
        async for one in recover(state, open_recorded):
            if one.outcome is not Recovery.BUSY:
                tell(one)


def _say_recovered(one: Recovered) -> None:
    say(f"recovered: {in_words(one)}")
