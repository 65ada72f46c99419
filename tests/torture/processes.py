"""The processes that are tortured: puts that are fed, and recovers."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torture.forked import Forked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from random import Random

PIECES = (1, 100, 4096, 65536, 1 << 20)


class Put:
    """``penstock put -`` with a feeder: what it was given, and what it has said.

    Args:
        data: the input.
        arguments: of the command, behind ``put -``.
        environ: what is added to the environment.
        dice: draws the sizes of writes.
        endless: the input does not end behind the data.
        resume: the data begin where it says that it goes on.

    Attributes:
        accepted: bytes that it has last said to have accepted.
        events: all that it has said.
        fed: the input has ended, or nobody takes it any more.
    """

    def __init__(
        self,
        data: memoryview,
        arguments: list[str],
        environ: Mapping[str, str],
        dice: Random,
        *,
        endless: bool = False,
        resume: bool = False,
    ) -> None:
        self.data = data
        self.accepted = 0
        self.events: list[dict[str, Any]] = []
        self.fed = threading.Event()
        self.started = time.monotonic()
        self._changed = threading.Condition()
        self._sizes = [dice.randint(1, dice.choice(PIECES)) for _ in range(64)]
        self._endless, self._resume = endless, resume
        command = ["put", "-", *arguments, "--json", *(["--resume"] if resume else [])]
        self.process = Forked(command, {**os.environ, **environ})
        self.complaints = b""
        works = (self._feed, self._listen, self._listen_to_complaints)
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 60) -> bool:
        """Wait until ``condition`` holds or it has ended; return whether it holds."""
        with self._changed:
            self._changed.wait_for(lambda: condition() or self.process.poll() is not None, timeout_s)
            return condition()

    def has_said(self, event: str) -> bool:
        """Whether it has told of such an event."""
        return any(one["event"] == event for one in list(self.events))

    def kill(self) -> int:
        """SIGKILL; returns the exit code, which is another one if it was too late."""
        self.process.kill()
        return self.join()

    def join(self, timeout_s: float = 120) -> int:
        """Wait for its end, and for all that it has said."""
        try:
            code = self.process.wait(timeout_s)
        finally:
            self.process.kill()
            for thread in self._threads:
                thread.join(10)
            for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                with suppress(OSError):
                    stream.close()
        return code

    def end_input(self) -> None:
        """Close the input of an endless one."""
        self._threads[0].join(60)
        self.process.stdin.close()

    def _feed(self) -> None:
        at, turn = 0, 0
        if self._resume and self.wait_for(lambda: self.has_said("resume")):
            at = next(one["offset"] for one in self.events if one["event"] == "resume")
        with suppress(OSError, ValueError):
            while at < len(self.data):
                size = self._sizes[turn % len(self._sizes)]
                at += self.process.stdin.write(self.data[at : at + size])
                turn += 1
            if not self._endless:
                self.process.stdin.close()
        self._note(self.fed.set)

    def _listen(self) -> None:
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "accepted":
                self.accepted = event["bytes"]
            self._note(lambda event=event: self.events.append(event))
        self.process.wait()
        self._note(lambda: None)

    def _listen_to_complaints(self) -> None:
        self.complaints = self.process.stderr.read()

    def _note(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()


@dataclass
class Recovering:
    """``penstock recover``, running."""

    state: Path
    environ: Mapping[str, str]
    process: Forked = field(init=False)

    def __post_init__(self) -> None:
        self.process = Forked(["recover", "--state", str(self.state), "--json"], {**os.environ, **self.environ})

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.communicate()

    def join(self, timeout_s: float = 120) -> tuple[list[dict[str, Any]], int]:
        """Its outcomes and its exit code."""
        said, complaints = self.process.communicate(timeout_s)
        outcomes = [json.loads(line) for line in said.splitlines()]
        if b"Traceback" in complaints:
            raise AssertionError(complaints.decode())
        return outcomes, self.process.returncode
