"""How a run behaves, and what it is called."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["RunOptions", "new_run_id"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run behaves.

    Attributes:
        drain_timeout_s: how long a run that was asked to stop, or a oneshot run that failed, may take to end.
        stop_grace_s: how long a source may take to notice that it should end, before it is cancelled.
        run_id: a name for the run; made up when empty.
    """

    drain_timeout_s: float = 30.0
    stop_grace_s: float = 1.0
    run_id: str = ""


def new_run_id() -> str:
    """A name that sorts by time and does not repeat, safe in file names and object keys."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
