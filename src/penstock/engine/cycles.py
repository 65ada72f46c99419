"""The order of a graph's nodes, and its cycles.

A node that faces the network on both sides (``transport::moq::peer``) may feed itself: what it sends out is not what
comes back. So edges into such nodes do not count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from heapq import heappop, heappush

__all__ = ["MAX_CYCLES", "sort_nodes"]

MAX_CYCLES = 20


def sort_nodes(
    sources: Mapping[str, Sequence[str]], loops_at: Collection[str] = ()
) -> tuple[list[str], list[list[str]]]:
    """Order nodes so that packets flow forward, as near to the given order as that allows.

    Args:
        sources: for each node, the nodes that feed it.
        loops_at: nodes through which a cycle may run.

    Returns:
        All nodes in order, and disjoint cycles, each in the direction of flow and beginning with the node that
        stands first in ``sources``. Every cycle shares a node with one of these, if they are not ``MAX_CYCLES``.
    """
    waiting: dict[str, set[str]] = {
        name: set() if name in loops_at else set(fed_by) for name, fed_by in sources.items()
    }
    feeds: dict[str, list[str]] = {name: [] for name in sources}
    for name, fed_by in waiting.items():
        for source in fed_by:
            feeds[source].append(name)
    rank = {name: index for index, name in enumerate(sources)}
    ready = [(rank[name], name) for name in sources if not waiting[name]]
    order: list[str] = []
    cycles: list[list[str]] = []
    while waiting:
        if not ready:
            if len(cycles) == MAX_CYCLES:
                return [*order, *waiting], cycles
            cycle = _cycle(waiting, rank)
            cycles.append(cycle)
            for name in cycle:
                waiting[name].clear()
                heappush(ready, (rank[name], name))
        _, name = heappop(ready)
        order.append(name)
        del waiting[name]
        for target in feeds[name]:
            fed_by_waiting = waiting.get(target)
            if fed_by_waiting and name in fed_by_waiting:
                fed_by_waiting.discard(name)
                if not fed_by_waiting:
                    heappush(ready, (rank[target], target))
    return order, cycles


def _cycle(waiting: Mapping[str, set[str]], rank: Mapping[str, int]) -> list[str]:
    """Walk upstream from a waiting node until a node comes again: each is fed by another one that waits."""
    name = next(iter(waiting))
    seen: dict[str, int] = {}
    path: list[str] = []
    while name not in seen:
        seen[name] = len(path)
        path.append(name)
        name = min(waiting[name], key=rank.__getitem__)
    cycle = path[seen[name] :][::-1]
    first = cycle.index(min(cycle, key=rank.__getitem__))
    return cycle[first:] + cycle[:first]
