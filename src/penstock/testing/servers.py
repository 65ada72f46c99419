"""Real servers for tests: one of a kind serves all processes of a test run, and ends with the last of them.

A server lives in a directory. Whoever uses it holds a shared lock on the file ``lease`` there, and finds it by
``server.json``; a keeper process (``penstock.testing.keeper``) puts an end to the program when nobody holds the lease
any more. Where a server cannot start, the test fails, unless the variable PENSTOCK_TEST_OFFLINE is 1: then it is
skipped.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

__all__ = ["Program", "ask", "free_ports", "of_this_run", "running"]

START_TIMEOUT_S = 60.0

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Program:
    """How to start a server.

    Attributes:
        command: program and arguments.
        environ: all of its environment.
        facts: what its users have to know, as JSON can hold it; ``running`` adds the ``pid`` of its keeper.
        ready: asked again and again until it says that the server can be used; may raise what a connection raises.
    """

    command: list[str]
    environ: Mapping[str, str]
    facts: dict[str, Any]
    ready: Callable[[], bool]


@contextmanager
def of_this_run(
    factory: pytest.TempPathFactory, name: str, join: Callable[[Path], AbstractContextManager[S]]
) -> Iterator[S]:
    """Join the server that all processes of this pytest run share; for a session fixture.

    Args:
        factory: pytest's ``tmp_path_factory``.
        name: of the server, as a test report shows it.
        join: takes the server's directory.
    """
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with ExitStack() as stack:
        try:
            server = stack.enter_context(join(shared / name.lower()))
        except (OSError, RuntimeError) as error:
            if os.environ.get("PENSTOCK_TEST_OFFLINE") == "1":
                pytest.skip(f"no {name}: {error}")
            pytest.fail(f"{name} does not start: {error}")
        yield server


@contextmanager
def running(directory: Path, prepare: Callable[[Path], Program]) -> Iterator[dict[str, Any]]:
    """Join the server that lives in ``directory``, or start it; yield its facts.

    Args:
        directory: made if it is not there.
        prepare: gets a new directory for the data of the server and says how to start it.

    Raises:
        RuntimeError: it does not start, tried twice.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lease, record = directory / "lease", directory / "server.json"
    with lease.open("ab") as held, (directory / "start").open("ab") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(held, fcntl.LOCK_SH)  # waits for a keeper that is just putting an end to the server before
        if not record.exists():
            try:
                facts = _start(directory, lease, record, prepare)
            except RuntimeError:
                facts = _start(directory, lease, record, prepare)
            record.write_text(json.dumps(facts))
        facts = json.loads(record.read_text())
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield facts


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]


def _start(directory: Path, lease: Path, record: Path, prepare: Callable[[Path], Program]) -> dict[str, Any]:
    home = directory / f"run-{uuid.uuid4().hex[:8]}"
    home.mkdir()
    program = prepare(home)
    keeper = Path(__file__).with_name("keeper.py")
    command = [sys.executable, "-I", str(keeper), str(lease), str(record), *program.command]
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=home, env=program.environ, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_ready(program, process, home)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    process.returncode = 0  # the keeper outlives us on purpose; nobody waits for it here
    return {**program.facts, "pid": process.pid}


def _wait_until_ready(program: Program, process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended while starting; see {home / 'output'}")
        try:
            if program.ready():
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.05)
    raise RuntimeError(f"it was not ready in {START_TIMEOUT_S:g} s; see {home / 'output'}")


def ask(
    origin: str, method: str, target: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Send one request to ``http://HOST:PORT``; return status and body of the answer. Waits 10 s for it at most.

    Raises:
        OSError, http.client.HTTPException: there is none.
    """
    connection = http.client.HTTPConnection(origin.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
