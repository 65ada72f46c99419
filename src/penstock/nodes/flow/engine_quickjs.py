"""The two ways to run a script: in a thread of its own, or, if it may fetch, in a process of its own.

A call of QuickJS that has a time limit cannot call out, and `fetch` is such a call. So a script that may fetch lives in
a child process, whose processor time the system limits, and which can be ended at any moment, also while it waits.
Blocking: for a worker thread. Imports quickjs; the node imports this module when it is prepared.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from penstock.errors import BadData, ConfigurationError
from penstock.nodes.flow.machine_quickjs import TOO_LONG, Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Outcome", "ProcessEngine", "ScriptEngine", "ThreadEngine", "Told"]

CHILD: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from penstock.nodes.flow.script_child import main; main()"
)
END_TIMEOUT_S: Final = 5.0
INHERITED: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # what the interpreter may need; nothing else is handed on


@dataclass(frozen=True, slots=True)
class Told:
    """What a script has told and logged: events, as pairs of type and data, and lines."""

    events: list[tuple[str, Any]]
    lines: list[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to.

    Attributes:
        same: it returned what it was given.
        made: what it returned otherwise; None to drop the packet.
        told: what it said meanwhile.
    """

    same: bool
    made: Any
    told: Told


class ScriptEngine(Protocol):
    """A script, loaded."""

    def load(self, source: str) -> None:
        """Load a script that defines ``process(packet)``; once, before ``call``.

        Raises:
            ConfigurationError: it cannot be loaded, or defines no ``process``.
        """
        ...

    def call(self, packet: dict[str, Any]) -> Outcome:
        """Call ``process`` with a packet; waits until it has an outcome.

        Raises:
            BadData: the packet is no JSON, or the script failed, took too long or too much memory.
        """
        ...

    def close(self) -> None:
        """End the engine. Idempotent."""
        ...


class ThreadEngine:
    """A script that cannot fetch.

    Args:
        timeout_s: processor time that loading it, and each call, may take.
        memory_bytes: memory of the engine.
        way_out: what ``fetch`` throws.
    """

    def __init__(self, *, timeout_s: float, memory_bytes: int, way_out: str) -> None:
        self._thread = ThreadPoolExecutor(1, "penstock-script")
        self._closed = False
        self._machine: Machine | None = None
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._way_out = way_out

    def load(self, source: str) -> None:
        self._thread.submit(self._load, source).result()

    def call(self, packet: dict[str, Any]) -> Outcome:
        return _outcome(self._thread.submit(self._call, _packet_text(packet)).result())

    def close(self) -> None:
        """End the engine and its thread; waits for a call that is under way."""
        if not self._closed:
            self._closed = True
            self._thread.submit(self._unload)
            self._thread.shutdown()

    def _load(self, source: str) -> None:
        machine = Machine(memory_bytes=self._memory_bytes, timeout_s=self._timeout_s, way_out=self._way_out)
        machine.load(source)
        self._machine = machine

    def _call(self, text: str) -> str:
        assert self._machine is not None  # noqa: S101 - loaded
        return self._machine.call(text)

    def _unload(self) -> None:
        self._machine = None


class ProcessEngine:
    """A script that may fetch.

    Args:
        timeout_s: processor time that loading it, and each call, may take; waiting for an answer takes none.
        memory_bytes: memory of the engine.
        answer: makes a request of ``fetch`` and returns its answer, or an object with ``error``.
        tell: is given what the script told before a request.

    Raises:
        ConfigurationError: the process cannot be started.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        memory_bytes: int,
        answer: Callable[[dict[str, Any]], dict[str, Any]],
        tell: Callable[[Told], None],
    ) -> None:
        self._limits = {"timeout_s": timeout_s, "memory_bytes": memory_bytes}
        self._answer = answer
        self._tell = tell
        self._closed = False
        self._child = _started()

    def load(self, source: str) -> None:
        try:
            self._turn({"source": source, **self._limits})
        except BadData as error:
            raise ConfigurationError(str(error).replace("the script failed", "the script cannot be loaded")) from error

    def call(self, packet: dict[str, Any]) -> Outcome:
        return _outcome(self._turn({"packet": _packet_text(packet)}))

    def close(self) -> None:
        """End the process at once, also while a thread waits for it: that one fails."""
        if self._closed:
            return
        self._closed = True
        self._child.kill()
        self._child.wait(END_TIMEOUT_S)
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _turn(self, message: dict[str, Any]) -> str:
        """Send a message, make the requests that come, and return the outcome."""
        while True:
            said = self._exchange(message)
            if "asks" not in said:
                break
            with _broken():
                asks = json.loads(said["asks"])
                told, asked = _told(asks), asks["asked"]
            self._tell(told)
            message = {"answer": json.dumps(self._answer(asked))}
        if "failed" in said:
            raise BadData(said["failed"])
        return str(said["done"])

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        sending, receiving = self._child.stdin, self._child.stdout
        assert sending is not None  # noqa: S101 - pipes
        assert receiving is not None  # noqa: S101
        try:
            sending.write(json.dumps(message).encode() + b"\n")
            sending.flush()
            line = receiving.readline()
        except (OSError, ValueError):  # it has ended, or was closed
            line = b""
        if not line.endswith(b"\n"):
            raise BadData(f"the script failed: {self._end()}")
        said: dict[str, Any] = json.loads(line)
        return said

    def _end(self) -> str:
        """Why the process has ended."""
        if self._closed:
            return "the run has ended"
        code = self._child.wait(END_TIMEOUT_S)
        return f"interrupted {TOO_LONG}" if code == -signal.SIGPROF else f"its process ended with code {code}"


def _started() -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter and our own code
            [sys.executable, "-I", "-c", CHILD, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in INHERITED if name in os.environ},
            start_new_session=True,  # a signal of the terminal is for the run, which decides
        )
    except OSError as error:
        raise ConfigurationError(f"the process of the script cannot be started: {error}") from error


def _packet_text(packet: dict[str, Any]) -> str:
    try:
        return json.dumps(packet, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadData(f"the packet cannot be given to a script: {error}") from error


def _outcome(text: str) -> Outcome:
    with _broken():
        result = json.loads(text)
        made = json.loads(result["made"]) if "made" in result else None
        return Outcome(bool(result["same"]), made, _told(result))


def _told(result: dict[str, Any]) -> Told:
    return Told([(str(event_type), data) for event_type, data in result["told"]], [*map(str, result["logged"])])


@contextmanager
def _broken() -> Iterator[None]:
    """A script can change what JSON all objects have, and with it the messages in which it is told of."""
    try:
        yield
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise BadData("the script failed: it broke the JSON of what is around it, such as toJSON") from error
