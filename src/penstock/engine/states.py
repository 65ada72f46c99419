"""The life of a node: its states, the transitions between them, and why it stopped.

The states and their names are StreamKit's, so that its clients can show them. One transition is added: a node may
fail while it initialises, because that is where a wrong bucket or password is found.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["IllegalTransition", "NodeState", "StopReason", "check_transition"]


class NodeState(StrEnum):
    """Where a node is in its life."""

    CREATING = "creating"
    INITIALIZING = "initializing"
    READY = "ready"
    RUNNING = "running"
    RECOVERING = "recovering"
    DEGRADED = "degraded"
    FAILED = "failed"
    STOPPED = "stopped"


class StopReason(StrEnum):
    """Why a node stopped without failing."""

    COMPLETED = "completed"  # a source had no more
    INPUT_CLOSED = "input_closed"  # everything that came in was worked off
    OUTPUT_CLOSED = "output_closed"  # nobody takes what it makes
    SHUTDOWN = "shutdown"  # the run was cut short
    NO_INPUTS = "no_inputs"
    UNKNOWN = "unknown"


class IllegalTransition(AssertionError):
    """A bug: a node took a step that its state does not allow."""


_NEXT: Final[dict[NodeState, frozenset[NodeState]]] = {
    NodeState.CREATING: frozenset({NodeState.INITIALIZING, NodeState.FAILED}),
    NodeState.INITIALIZING: frozenset({NodeState.READY, NodeState.RUNNING, NodeState.FAILED}),
    NodeState.READY: frozenset({NodeState.RUNNING, NodeState.FAILED}),
    NodeState.RUNNING: frozenset({NodeState.RECOVERING, NodeState.DEGRADED, NodeState.FAILED}),
    NodeState.RECOVERING: frozenset({NodeState.RUNNING, NodeState.DEGRADED, NodeState.FAILED}),
    NodeState.DEGRADED: frozenset({NodeState.FAILED}),
    NodeState.FAILED: frozenset(),
    NodeState.STOPPED: frozenset(),
}


def check_transition(old: NodeState, new: NodeState) -> None:
    """Accept a step from ``old`` to ``new``; from anywhere but the two final states a node may stop.

    Raises:
        IllegalTransition: the step is not in the table.
    """
    if new is NodeState.STOPPED and old not in (NodeState.FAILED, NodeState.STOPPED):
        return
    if new not in _NEXT[old]:
        raise IllegalTransition(f"a node cannot go from {old} to {new}")
