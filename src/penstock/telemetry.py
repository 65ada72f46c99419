"""How it is seen: the names of events and log fields, the context of a log line, and one JSON formatter.

Logging is the standard library's, under the logger ``penstock``; a library imposes no other. Context (run, node, key)
travels in context variables, so that a store's log line says whose it is without the store knowing.
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "AUDIO_LOUDNESS",
    "AUDIO_MISSING",
    "LINK_ADDED",
    "LINK_REMOVED",
    "LOG_CONTEXT",
    "NODE_ADDED",
    "NODE_REMOVED",
    "NODE_STATE",
    "NODE_STATS",
    "NODE_TELEMETRY",
    "NODE_TUNED",
    "NODE_WARNING",
    "OBJECT_ABORTED",
    "OBJECT_COMMITTED",
    "OBJECT_CONTINUED",
    "OBJECT_FAILED",
    "OBJECT_GAP",
    "OBJECT_KEPT",
    "OBJECT_RESUMED",
    "OBJECT_RETRYING",
    "PART_COMPLETE",
    "RUN_FINISHED",
    "RUN_STARTED",
    "RUN_STOPPING",
    "JsonFormatter",
    "context",
    "logger",
]

# Events of a run, as subscribers, `--json` and the server's event stream see them.
RUN_STARTED: Final = "run.started"
RUN_STOPPING: Final = "run.stopping"
RUN_FINISHED: Final = "run.finished"
NODE_ADDED: Final = "node.added"
NODE_REMOVED: Final = "node.removed"
LINK_ADDED: Final = "link.added"
LINK_REMOVED: Final = "link.removed"
NODE_STATE: Final = "node.state"
NODE_STATS: Final = "node.stats"
NODE_TELEMETRY: Final = "node.telemetry"
NODE_TUNED: Final = "node.tuned"
NODE_WARNING: Final = "node.warning"
PART_COMPLETE: Final = "object.part"
OBJECT_COMMITTED: Final = "object.committed"
OBJECT_CONTINUED: Final = "object.continued"
OBJECT_ABORTED: Final = "object.aborted"
OBJECT_FAILED: Final = "object.failed"
OBJECT_GAP: Final = "object.gap"
OBJECT_KEPT: Final = "object.kept"
OBJECT_RESUMED: Final = "object.resumed"
OBJECT_RETRYING: Final = "object.retrying"
AUDIO_LOUDNESS: Final = "audio.loudness"
AUDIO_MISSING: Final = "audio.missing"

logger = logging.getLogger("penstock")

LOG_CONTEXT: ContextVar[dict[str, str]] = ContextVar("penstock_log_context")


@contextmanager
def context(**fields: str) -> Iterator[None]:
    """Add fields to every log line of this task and those it starts, for the length of a ``with``."""
    token = LOG_CONTEXT.set({**LOG_CONTEXT.get({}), **fields})
    try:
        yield
    finally:
        LOG_CONTEXT.reset(token)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, msg, logger, the context, and what was passed as ``extra={"fields": …}``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **LOG_CONTEXT.get({}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
