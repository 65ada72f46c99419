"""``penstock recover``: finish what processes have left behind in the state directory."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeGuard

import anyio

from penstock.cli.console import Exit, emit, fail, human_bytes, say, set_up_logging
from penstock.errors import ConfigurationError
from penstock.nodes.objects.durability import DurabilityParameters
from penstock.stores.durable import StateDirectory
from penstock.stores.durable.recover import Recovered, Recovery, recover
from penstock.stores.durable.reopen import open_recorded
from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from pathlib import Path

__all__ = ["RecoverArguments", "in_words", "recover_command", "recovering"]

GRACE_S: Final = 10.0
"""How long a run that has ended waits for an upload that is being recovered beside it."""

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
async def recovering(
    configs: Iterable[object], hurry: anyio.Event, tell: Callable[[Recovered], None] | None = None
) -> AsyncIterator[None]:
    """Recover, beside a run or a put, what others have left in the state directories that its durable nodes use.

    Not where one of them resumes an upload: that must not be finished before. At the end of the block an upload that is
    being recovered has ``GRACE_S`` to come to its end. What is left undone of it, and the others, the next one does. A
    state directory that cannot be read is for those to report who write there.

    Args:
        configs: of the nodes.
        hurry: set by a signal; there is no grace then.
        tell: told what became of each upload, but of those with an owner; by default a line is printed.
    """
    durable = [config for config in configs if is_durable(config)]
    if not durable or any(config.resume for config in durable):
        yield
        return
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        paths = {config.state_directory().path for config in durable}
        work = [_Beside(StateDirectory(path), tell or _say_recovered) for path in paths]
        for one in work:
            group.start_soon(one.run)
        try:
            yield
            await _finish(work, hurry)
        except Exception as error:  # noqa: BLE001 - raised again, out of the group
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _finish(work: Sequence[_Beside], hurry: anyio.Event) -> None:
    """Wait until each has finished its upload, but not long, and not after a signal."""
    with anyio.move_on_after(GRACE_S):
        async with anyio.create_task_group() as group:

            async def cut_short() -> None:
                await hurry.wait()
                group.cancel_scope.cancel()

            group.start_soon(cut_short)
            for one in work:
                one.ending = True
            for one in work:
                await one.done.wait()
            group.cancel_scope.cancel()


class _Beside:
    """The recovery of a state directory beside other work; once ``ending`` is set it begins no other upload."""

    def __init__(self, state: StateDirectory, tell: Callable[[Recovered], None]) -> None:
        self.ending = False
        self.done = anyio.Event()
        self._state = state
        self._tell = tell

    async def run(self) -> None:
        """Recover; what goes wrong there is nothing that may end the work beside it."""
        try:
            with suppress(OSError, ConfigurationError):
                await self._recover()
        except Exception as error:  # noqa: BLE001 - a mistake of ours, or of an ill-behaved store
            logger.error(
                "recovering beside the run broke off; what is left in %s, `penstock recover` finishes",
                self._state.path,
                exc_info=error,
            )
        finally:
            self.done.set()

    async def _recover(self) -> None:
        async with aclosing(recover(self._state, open_recorded)) as outcomes:
            async for one in outcomes:
                if one.outcome is not Recovery.BUSY:
                    self._tell(one)
                if self.ending:
                    return


def is_durable(config: object) -> TypeGuard[DurabilityParameters]:
    return isinstance(config, DurabilityParameters) and config.durability != "none"


def _say_recovered(one: Recovered) -> None:
    say(f"recovered: {in_words(one)}")
