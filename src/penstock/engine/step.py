"""A step: one transform of a stage, with its inbox and its counters."""

from __future__ import annotations

from operator import is_
from time import perf_counter
from typing import TYPE_CHECKING, Any

from penstock.engine.links import check_class
from penstock.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from penstock.engine.links import PacketClasses
    from penstock.engine.record import NodeRecord
    from penstock.nodes.base import Transform
    from penstock.packets import Packet

__all__ = ["Step"]

LARGEST_BATCH = 256


class Step:
    """One transform of a stage: its inbox, its counters, and how many packets it does at a time.

    Attributes:
        error: why the transform failed, once it has.
    """

    __slots__ = (
        "_accepts",
        "_inbox",
        "_position",
        "_process",
        "_quota",
        "_waiting_bytes",
        "error",
        "record",
        "transform",
    )

    def __init__(self, transform: Transform[Any], record: NodeRecord, accepts: PacketClasses = None) -> None:
        self.transform = transform
        self.record = record
        self.error: NodeError | None = None
        self._accepts = accepts
        self._inbox: list[Packet] = []
        self._position = 0
        self._waiting_bytes = 0
        self._quota = 1
        self._process = transform.process

    @property
    def pending(self) -> bool:
        """Whether packets wait in the inbox."""
        return self._position < len(self._inbox)

    def put(self, packets: Sequence[Packet], size: int) -> None:
        """Queue packets of ``size`` bytes in all for this transform."""
        self._inbox += packets
        self._waiting_bytes += size
        self.record.received += len(packets)
        self.record.received_bytes += size

    def clear(self) -> None:
        """Forget what waits in the inbox."""
        self._inbox.clear()
        self._position = self._waiting_bytes = 0

    def work(self, slice_s: float) -> tuple[list[Packet], int]:
        """Process as many waiting packets as fit a quarter of a slice, at least one.

        Returns:
            What they made, and its bytes. If it failed, ``error`` is set, and what it made before is returned.
        """
        batch, batch_bytes = self._take()
        made: list[Packet] = []
        started = perf_counter()
        try:
            check_class(batch[0], self._accepts)
            _apply(self._process, batch, made)
        except Exception as error:  # noqa: BLE001 - whatever it is, it fails the node
            self._fail(error)
        spent = perf_counter() - started
        self._quota = max(1, min(LARGEST_BATCH, int(len(batch) * slice_s / (4 * spent + 1e-9))))
        # Nodes that hand packets on as they are need no counting anew: comparing the lists costs half of it.
        return made, self._sent(made, batch_bytes if _same(made, batch) else _bytes_of(made))

    def finish(
        self, pieces: Iterator[Packet] | None, slice_s: float
    ) -> tuple[list[Packet], int, Iterator[Packet] | None]:
        """Take what the transform still held back, for one slice.

        Returns:
            The packets, their bytes, and the iterator to go on with or None when there is no more.
        """
        deadline = perf_counter() + slice_s
        made: list[Packet] = []
        try:
            if pieces is None:
                pieces = iter(self.transform.finish() or ())
            for packet in pieces:
                made.append(packet)
                if perf_counter() > deadline:
                    break
            else:
                pieces = None
        except Exception as error:  # noqa: BLE001 - whatever it is, it fails the node
            self._fail(error)
            pieces = None
        return made, self._sent(made, _bytes_of(made)), pieces

    def _take(self) -> tuple[list[Packet], int]:
        start, end = self._position, self._position + self._quota
        batch = self._inbox[start:end]
        if end >= len(self._inbox):
            size = self._waiting_bytes
            self.clear()
        else:
            size = _bytes_of(batch)
            self._position = end
            self._waiting_bytes -= size
        return batch, size

    def _fail(self, error: Exception) -> None:
        self.record.errored += 1
        self.error = NodeError(self.record.node_id, error)

    def _sent(self, made: list[Packet], size: int) -> int:
        self.record.sent += len(made)
        self.record.sent_bytes += size
        return size


def _bytes_of(packets: Iterable[Packet]) -> int:
    return sum([packet.size for packet in packets])


def _same(made: list[Packet], batch: list[Packet]) -> bool:
    return len(made) == len(batch) and made[0] is batch[0] and all(map(is_, made, batch))


def _apply(process: Callable[[Packet], Any], batch: list[Packet], out: list[Packet]) -> None:
    append = out.append
    for packet in batch:
        made = process(packet)
        if made is None:
            continue
        if type(made) is list:
            out += made
        else:
            append(made)
