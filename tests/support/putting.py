"""``penstock put`` as a process: started, fed, watched, and ended with the test."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from awscrt.checksums import crc64nvme

PENSTOCK = [sys.executable, "-m", "penstock"]


def put(*arguments: object, stdin: bytes = b"", env: dict[str, str] | None = None, cwd: Path | None = None):
    """Run it to its end."""
    return subprocess.run(
        [*PENSTOCK, "put", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )


@contextmanager
def putting(*arguments: object, stdin=subprocess.PIPE, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A running put, with its events; it does not outlive a test that fails."""
    command = [*PENSTOCK, "put", *map(str, arguments), "--json"]
    if "--" in command:
        command = [*PENSTOCK, "put", "--json", *map(str, arguments)]
    streams = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, bufsize=0, **{**streams, **options}) as running:
        try:
            yield running
        finally:
            running.kill()


def wait_for(running: subprocess.Popen[bytes], name: str, **least: int) -> dict[str, Any]:
    """Read events until one of this name comes, with fields of at least these values."""
    seen = []
    while line := running.stdout.readline():
        event = json.loads(line)
        seen.append(event)
        if event["event"] == name and all(event[field] >= value for field, value in least.items()):
            return event
    pytest.fail(f"no event {name} {least} came, but {seen[-3:]}; {running.stderr.read()!r}")


def rest_of(running: subprocess.Popen[bytes]) -> tuple[list[dict[str, Any]], int]:
    """The events that are still to come, and the exit code."""
    events = [json.loads(line) for line in running.stdout.read().splitlines()]
    return events, running.wait(timeout=30)


def events_of(ended: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    """All events of a put that has ended."""
    return [json.loads(line) for line in ended.stdout.splitlines()]


def digest_of(data: bytes) -> str:
    """The digest as events tell it, by a library that is not ours."""
    return "crc64nvme:" + base64.b64encode(crc64nvme(data).to_bytes(8, "big")).decode()


def files_in(directory: Path) -> list[str]:
    """The objects of a local store, and whatever else was left there but for the folder of its uploads."""
    names = [str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()]
    return sorted(names)
