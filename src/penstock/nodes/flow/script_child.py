"""The process of one script that may fetch: runs it, and asks its parent for what it fetches.

The parent sends lines of JSON on standard input and reads lines of standard output, one at a time, in turns. The system
limits the processor time of a call (`ITIMER_PROF`) and ends the process at the end of it; waiting costs none. Nothing
secret is here: requests are made by the parent.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from penstock.errors import PenstockError
from penstock.nodes.flow.machine_quickjs import Machine

__all__ = ["main"]


def main() -> None:
    """Serve the parent until it closes standard input."""
    signal.signal(
        signal.SIGPROF, signal.SIG_DFL
    )  # ignored and blocked signals are inherited, and the limit is this one
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    given = _receive()
    timeout_s = given["timeout_s"]
    machine = Machine(memory_bytes=given["memory_bytes"], timeout_s=None, host=_ask)
    _limited(timeout_s, machine.load, given["source"])
    while True:
        _limited(timeout_s, machine.call, _receive()["packet"])


def _limited(timeout_s: float, work: Any, text: str) -> None:
    signal.setitimer(signal.ITIMER_PROF, timeout_s)
    try:
        said = {"done": work(text)}
    except PenstockError as error:
        said = {"failed": str(error)}
    signal.setitimer(signal.ITIMER_PROF, 0)
    _send(said)


def _ask(text: str) -> str:
    _send({"asks": text})
    return str(_receive()["answer"])


def _send(message: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def _receive() -> dict[str, Any]:
    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(0)  # the parent has gone, or wants no more; within a call nothing can be raised
    message: dict[str, Any] = json.loads(line)
    return message
