"""What ``penstock put`` is to the writer's node: the context of a run of which there is only this one node."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio

from penstock.cli import put_progress as events
from penstock.errors import ChangeRefused
from penstock.findings import Finding
from penstock.telemetry import (
    OBJECT_ABORTED,
    OBJECT_COMMITTED,
    OBJECT_CONTINUED,
    OBJECT_FAILED,
    OBJECT_KEPT,
    OBJECT_RESUMED,
    PART_COMPLETE,
    logger,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.channels import Receiver, Sender
    from penstock.cli.put_progress import PutEvents
    from penstock.cli.put_source import PutSource
    from penstock.nodes.base import RequestPort
    from penstock.packets import Packet

__all__ = ["PutContext"]

INTERVAL_S: Final = 0.1
"""How often progress is told while there is any: twice as often as promised."""

SAID: Final = {
    OBJECT_COMMITTED: events.COMMITTED,
    OBJECT_CONTINUED: events.CONTINUED,
    OBJECT_ABORTED: events.DROPPED,
    OBJECT_FAILED: events.DROPPED,
    OBJECT_KEPT: events.KEPT,
    OBJECT_RESUMED: events.RESUME,
}


@dataclass(frozen=True, slots=True)
class PutRun:
    """See ``penstock.nodes.base.RunInfo``."""

    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    name: str = "put"
    mode: str = "oneshot"
    attributes: Mapping[str, str] = field(default_factory=dict)


class PutContext:
    """A ``NodeContext`` with one input; its events become those of the command.

    Attributes:
        kept: an upload was left in the state directory.
    """

    node_id = "put"
    request: RequestPort | None = None

    def __init__(self, told: PutEvents) -> None:
        self.run = PutRun()
        self.stopping = anyio.Event()
        self.inputs: Mapping[str, Receiver[Packet]] = {}
        self.outputs: Mapping[str, Sender[Packet]] = {}
        self.kept = False
        self._source: PutSource | None = None
        self._told = told
        self._committed = 0
        self._uploaded = 0
        self._said = {events.ACCEPTED: 0, events.UPLOADED: 0}

    def feed(self, source: PutSource) -> None:
        """Let the writer read from ``source``."""
        self._source = source
        self.inputs = {"in": source}

    def input(self, pin: str = "in") -> Receiver[Packet]:
        return self.inputs[pin]

    def output(self, pin: str = "out") -> Sender[Packet]:
        return self.outputs[pin]

    def warn(self, message: str) -> None:
        logger.warning("%s", message)
        self._told.tell(events.WARNING, message=message)

    def report(self, event: str, /, **fields: Any) -> None:
        if event == PART_COMPLETE:
            self._uploaded = self._committed + fields["stored_bytes"]
        elif event == OBJECT_COMMITTED:
            self._committed += fields["size"]
            self._uploaded = self._committed
        elif event == OBJECT_KEPT:
            self.kept = True
        if event in SAID:
            self.show_progress()
            self._told.tell(SAID[event], **fields)
        if event == OBJECT_RESUMED and self._source is not None:
            self._uploaded = fields.get("stored_bytes", 0)
            self._source.skip(fields["offset"])

    def discarded(self, packets: int, reason: str) -> None:
        pass

    def errored(self, packets: int = 1) -> None:
        pass

    async def tune(self, node: str, params: Mapping[str, Any], /) -> None:  # noqa: ARG002
        raise ChangeRefused([Finding("there is no other node", (node,))])

    def recovering(self, reason: str) -> None:
        self._told.tell(events.RECOVERING, reason=reason)

    def running(self) -> None:
        self._told.tell(events.RUNNING)

    def show_progress(self) -> None:
        """Tell what is accepted and uploaded, if that has changed."""
        accepted = max(self._source.accepted if self._source else 0, self._committed)
        for event, count in ((events.ACCEPTED, accepted), (events.UPLOADED, self._uploaded)):
            if count != self._said[event] and self._told.progress(event, count):
                self._said[event] = count

    async def keep_showing_progress(self) -> None:
        """Tell it again and again; to be cancelled."""
        while True:
            await anyio.sleep(INTERVAL_S)
            self.show_progress()
