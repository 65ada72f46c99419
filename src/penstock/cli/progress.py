"""What a person, or a program, sees of a run while it goes on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self, TextIO

from penstock.cli.console import emit, human_bytes, say, silence
from penstock.telemetry import (
    NODE_STATE,
    NODE_STATS,
    NODE_WARNING,
    OBJECT_ABORTED,
    OBJECT_COMMITTED,
    OBJECT_CONTINUED,
    OBJECT_FAILED,
    OBJECT_KEPT,
    OBJECT_RESUMED,
    RUN_STOPPING,
)

if TYPE_CHECKING:
    from types import TracebackType

    from rich.status import Status

    from penstock.engine.events import Event

__all__ = ["HumanProgress", "JsonProgress"]


class JsonProgress:
    """Every event as a JSON line.

    Attributes:
        failure: why events could not be written any more; the run goes on without them.
    """

    def __init__(self, stream: TextIO) -> None:
        self.failure: OSError | None = None
        self._stream = stream

    def __call__(self, event: Event) -> None:
        try:
            emit(event.as_dict(), self._stream)
        except OSError as error:
            self.failure = error
            silence(self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class HumanProgress:
    """Warnings, objects and failures as lines on standard error; on a terminal also a line that moves."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._status: Status | None = None
        self._bytes: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        fields = event.fields
        if event.name == NODE_WARNING:
            say(f"warning: {event.node}: {fields['message']}")
        elif event.name == NODE_STATE and fields["state"] == "recovering":
            say(f"{event.node}: recovering: {fields.get('reason', '')}")
        elif event.name == OBJECT_COMMITTED:
            say(f"committed {fields['url']}, {human_bytes(fields['size'])}, {fields['digest']}")
        elif event.name == OBJECT_CONTINUED:
            more = "get no older" if "limit_s" in fields else "grow no more"
            say(f"{event.node}: '{fields['continues']}' can {more}; it goes on in '{fields['key']}'")
        elif event.name in (OBJECT_ABORTED, OBJECT_FAILED):
            say(f"dropped {fields['url']}: {fields['left'] or 'nothing was stored'}")
        elif event.name == OBJECT_KEPT:
            say(f"kept {human_bytes(fields['size'])} of {fields['url']} in {fields['place']}: {fields['reason']}")
        elif event.name == OBJECT_RESUMED:
            say(f"{event.node}: {fields['url']} goes on at byte {fields['offset']}")
        elif event.name == RUN_STOPPING:
            say(f"stopping ({fields['reason']}): draining; once more cuts it short")
        elif event.name == NODE_STATS and self._status is not None:
            self._bytes[event.node or ""] = fields["received_bytes"]
            self._status.update(f"{self._name}: {human_bytes(max(self._bytes.values()))} through")

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.status import Status

            self._status = Status(f"{self._name}: starting", console=Console(stderr=True))
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
