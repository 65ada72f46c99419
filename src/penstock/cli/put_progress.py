"""What a person, or a program, sees of ``penstock put`` while it goes on."""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Any, Protocol, Self

from penstock.cli.console import emit, human_bytes, say, silence

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress

__all__ = [
    "ACCEPTED",
    "COMMITTED",
    "CONTINUED",
    "DROPPED",
    "FAILED",
    "KEPT",
    "RECOVERED",
    "RECOVERING",
    "RESUME",
    "RUNNING",
    "STOPPING",
    "UPLOADED",
    "WARNING",
    "HumanEvents",
    "JsonEvents",
    "PutEvents",
]

ACCEPTED = "accepted"
UPLOADED = "uploaded"
COMMITTED = "committed"
CONTINUED = "continued"
DROPPED = "dropped"
KEPT = "kept"
RESUME = "resume"
RECOVERED = "recovered"
RECOVERING = "recovering"
RUNNING = "running"
STOPPING = "stopping"
WARNING = "warning"
FAILED = "failed"


class PutEvents(Protocol):
    """Who is told what happens; entered for as long as it does."""

    failure: OSError | None
    """Why events could not be written any more; the upload goes on without them."""

    def tell(self, event: str, **fields: Any) -> None:
        """Something has happened."""

    def expect(self, count: int | None) -> None:
        """So many bytes are to come, if that is known."""

    def progress(self, event: str, count: int) -> bool:
        """So many bytes are accepted or uploaded; false if nobody can take that now, and it has to be said again."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class JsonEvents:
    """Every event as a JSON line on standard output.

    Progress is left out while a pipe there is full, since whoever does not read must not stop the upload.
    """

    def __init__(self) -> None:
        self.failure: OSError | None = None

    def tell(self, event: str, **fields: Any) -> None:
        if self.failure is None:
            try:
                emit({"event": event, **fields})
            except OSError as error:
                self.failure = error
                silence(sys.stdout)

    def expect(self, count: int | None) -> None:
        pass

    def progress(self, event: str, count: int) -> bool:
        _, writable, _ = select.select([], [sys.stdout.fileno()], [], 0)
        if writable:
            self.tell(event, bytes=count)
        return bool(writable)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class HumanEvents:
    """What matters as lines on standard error; on a terminal, if ``bar``, also a bar that moves.

    Args:
        name: what is being sent.
        bar: whether a bar may be shown.
    """

    def __init__(self, name: str, *, bar: bool) -> None:
        self.failure: OSError | None = None
        self._total: int | None = None
        self._name = name
        self._wanted = bar
        self._bar: Progress | None = None

    def tell(self, event: str, **fields: Any) -> None:
        if event == WARNING:
            self._say(f"warning: {fields['message']}")
        elif event == RECOVERING:
            self._say(f"recovering: {fields['reason']}")
        elif event == STOPPING:
            self._say(f"stopping ({fields['signal']}): draining; once more cuts it short")
        elif event == COMMITTED:
            mark = ", marked as incomplete" if fields["incomplete"] else ""
            self._say(f"committed {fields['url']}, {human_bytes(fields['size'])}, {fields['digest']}{mark}")
        elif event == CONTINUED:
            more = "get no older" if "limit_s" in fields else "grow no more"
            self._say(f"'{fields['continues']}' can {more}; it goes on in '{fields['key']}'")
        elif event == DROPPED:
            self._say(f"dropped {fields['url']}: {fields['left'] or 'nothing was stored'}")
        elif event == KEPT:
            self._say(
                f"kept {fields['url']}, {human_bytes(fields['size'])}: {fields['reason']}; run `penstock recover`"
            )
        elif event == RESUME:
            found = f"{fields['url']} goes on at byte {fields['offset']}"
            self._say(found if fields["found"] else f"nothing of {fields['url']} was interrupted; it begins anew")
        elif event == RECOVERED:
            self._say(f"recovered: {fields['line']}")
        elif event == FAILED:
            self._say("\n  note: ".join([f"error: {fields['error']}", *fields["notes"]]))

    def _say(self, line: str) -> None:
        if self._bar is None:
            say(line)
        else:  # above the bar
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def expect(self, count: int | None) -> None:
        self._total = count

    def progress(self, event: str, count: int) -> bool:
        if self._bar is not None:
            task = self._bar.task_ids[0]
            if event == ACCEPTED:
                self._bar.update(task, completed=count, total=self._total)
            else:
                self._bar.update(task, stored=f"{human_bytes(count)} stored")
        return True

    def __enter__(self) -> Self:
        if self._wanted and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.add_task(self._name, total=None, stored="nothing stored")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TextColumn("{task.fields[stored]}", markup=False),
        console=Console(stderr=True),
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    )
