"""A chain of transforms without an engine: one call after the other, packet by packet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from penstock.nodes.registry import default_registry
from penstock.packets import Binary, Packet
from penstock.testing.harness import FakeContext


class Chain:
    """Bytes in, bytes out; nodes are prepared at once and freed by ``finish``."""

    def __init__(self, kinds: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self._nodes: list[Any] = []
        for kind, params in kinds:
            cls = default_registry().get(kind)
            node = cls(cls.Config.model_validate(params))
            node.prepare(FakeContext())
            self._nodes.append(node)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes out for these bytes."""
        return (packet.data for packet in self._through([Binary(data)], 0))

    def finish(self) -> Iterator[bytes]:
        """What the nodes have held back."""
        for at, node in enumerate(self._nodes, 1):
            for packet in self._through(node.finish() or [], at):
                yield packet.data
        for node in self._nodes:
            node.close()

    def _through(self, packets: Iterable[Packet], start: int) -> Iterable[Any]:
        for node in self._nodes[start:]:
            made: list[Packet] = []
            for packet in packets:
                result = node.process(packet)
                if result is not None:
                    made += result if isinstance(result, list) else (result,)
            packets = made
        return packets
