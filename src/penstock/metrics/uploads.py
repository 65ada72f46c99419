"""What one upload counts, and how it is read.

``accepted = committed + at risk + kept + dropped`` holds in every reading: the bytes accepted are read once, and they
are in one of the four by how the upload has ended, if it has. A reading from another thread may lag by the part that is
being cut at that moment, but never falls.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from penstock.metrics.reading import Histogram
from penstock.telemetry import LOG_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.metrics.reading import Reading

__all__ = ["UploadMeter", "UploadOutcome"]

UploadOutcome: TypeAlias = Literal["completed", "incomplete", "aborted", "failed", "kept", "abandoned"]
"""Committed; committed and marked as cut short; dropped on purpose or by a cancellation; dropped for an error; left
in the state directory; left by a program that never ended it."""


BECAME: Final = {"completed": "committed", "incomplete": "committed", "kept": "kept"}
"""What became of the bytes of an upload that ended so; of all others, dropped."""


class UploadMeter:
    """The counters of one upload. One task counts; any thread reads, one at a time.

    Args:
        store: the store, as the label of its requests.
        sizes: tells bytes accepted, bytes acknowledged by the store, and parts in flight; must not hold the owner.
        clock: seconds that only rise.
        node: the node that writes; by default that of the log's context, and empty if there is none.
    """

    __slots__ = (
        "_accepted",
        "_begun",
        "_clock",
        "_dropped",
        "_durations",
        "_node",
        "_outcome",
        "_parts",
        "_requests",
        "_retries",
        "_seen",
        "_sizes",
        "_store",
        "_waited_s",
        "_waiting_since",
    )

    def __init__(
        self,
        store: str,
        sizes: Callable[[], tuple[int, int, int]],
        clock: Callable[[], float] = time.monotonic,
        node: str | None = None,
    ) -> None:
        self._store = store
        self._node = LOG_CONTEXT.get({}).get("node", "") if node is None else node
        self._sizes = sizes
        self._clock = clock
        self._accepted = 0
        self._seen = 0
        self._dropped = 0
        self._outcome: UploadOutcome | None = None
        self._begun: dict[int, float] = {}
        self._parts = 0
        self._retries: dict[str, int] = {}
        self._requests: dict[tuple[str, str], int] = {}
        self._durations: dict[str, Histogram] = {}
        self._waited_s = 0.0
        self._waiting_since: float | None = None

    # -- counting -------------------------------------------------------------------------------------

    def part_begun(self, number: int) -> None:
        """The first byte of a part is there."""
        self._begun[number] = self._clock()

    def part_stored(self, number: int) -> None:
        """The store has acknowledged a part."""
        self._parts += 1
        self._begun.pop(number, None)

    def dropped(self, number: int, size: int) -> None:
        """A part was given up."""
        self._dropped += size
        self._begun.pop(number, None)

    def retried(self, reason: str) -> None:
        """A request is about to be tried again."""
        self._retries[reason] = self._retries.get(reason, 0) + 1

    def requested(self, operation: str, outcome: str, seconds: float) -> None:
        """A request has ended."""
        key = (operation, outcome)
        self._requests[key] = self._requests.get(key, 0) + 1
        self._durations.setdefault(operation, Histogram()).observe(seconds)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The input waits for the store as long as the block lasts."""
        self._waiting_since = since = self._clock()
        try:
            yield
        finally:
            self._waiting_since = None
            self._waited_s += self._clock() - since

    def ended(self, outcome: UploadOutcome) -> None:
        """The upload is committed or dropped. What comes later changes nothing."""
        if self._outcome is None:
            self._accepted = self._sizes()[0]
            self._outcome = outcome

    def end(self) -> None:
        """See ``Meter``."""
        self.ended("abandoned")

    # -- reading --------------------------------------------------------------------------------------

    def read(self, into: Reading) -> None:
        """See ``Meter``."""
        outcome = self._outcome
        accepted, acknowledged, in_flight = self._sizes()
        fate = {
            "committed": 0,
            "kept": 0,
            "dropped": self._dropped,
        }  # there from the first, so that it can grow
        if outcome is None:
            self._seen = accepted = max(self._seen, accepted)  # less, while the writer is cutting a part
            at_risk = accepted - self._dropped
            self._read_open(into, at_risk, max(0, at_risk - acknowledged), in_flight)
        else:
            accepted = self._accepted
            fate[BECAME.get(outcome, "dropped")] += accepted - self._dropped
            into.put("penstock_uploads_total", 1, outcome, self._node)
        for name, size in fate.items():
            into.put(f"penstock_upload_{name}_bytes_total", size, self._node)
        into.put("penstock_upload_bytes_total", accepted, self._node)
        into.put("penstock_upload_parts_total", self._parts, self._node)
        into.put("penstock_upload_backpressure_seconds_total", self._waited(), self._node)
        for reason, count in self._retries.copy().items():
            into.put("penstock_upload_retries_total", count, reason, self._node)
        for (operation, result), count in self._requests.copy().items():
            into.put("penstock_object_store_requests_total", count, self._store, operation, result)
        for operation, durations in self._durations.copy().items():
            into.put_histogram("penstock_object_store_request_duration_seconds", durations, self._store, operation)

    def _read_open(self, into: Reading, at_risk: int, unacked: int, in_flight: int) -> None:
        into.put("penstock_uploads_in_progress", 1, self._node)
        into.put("penstock_upload_at_risk_bytes", at_risk, self._node)
        into.put("penstock_upload_unacked_bytes", unacked, self._node)
        into.put("penstock_upload_parts_in_flight", in_flight, self._node)
        begun = min(self._begun.copy().values(), default=None)
        age_s = self._clock() - begun if begun is not None and unacked else 0
        into.put("penstock_upload_oldest_unacked_seconds", age_s, self._node)

    def _waited(self) -> float:
        since = self._waiting_since
        return self._waited_s + (0.0 if since is None else self._clock() - since)

    def __repr__(self) -> str:
        return f"<UploadMeter {self._store} {self._outcome or 'open'} {self._sizes()[0]} bytes>"
