"""A server that speaks Google's JSON API for tests: gcp-storage-emulator, from PyPI.

Import the fixture into a ``conftest.py``: ``from penstock.testing.gcs import gcs``. It listens on loopback and keeps
objects in memory. What it lacks, beside Google's service, is listed in ``LACKS`` and taken off what its store can do;
it looks at no credentials. See ``penstock.testing.servers`` for what happens where it cannot start.
"""

from __future__ import annotations

import json
import os
import sysconfig
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from penstock.stores.base import Capability
from penstock.stores.credentials import CredentialSettings
from penstock.stores.google.resumable import CAPABILITY
from penstock.testing.servers import Program, ask, free_ports, of_this_run, running

__all__ = ["LACKS", "GoogleEmulator", "gcs", "running_gcs"]

LACKS: Final = {
    "conditional_put": "it does not look at ifGenerationMatch",
    "closes_uploads": "it cannot cancel an upload: DELETE is answered with 501",
}
"""What the emulator cannot do, by the field of ``Capability``; the XML API is not there at all but for single puts."""


@dataclass(frozen=True, slots=True)
class GoogleEmulator:
    """A running server.

    Attributes:
        origin: ``http://127.0.0.1:PORT``.
    """

    origin: str
    pid: int = 0

    @property
    def endpoint(self) -> str:
        """As ``penstock.stores.resolve.open_store`` takes it."""
        return f"gs+json+{self.origin}"

    @property
    def credentials(self) -> CredentialSettings:
        """Any token will do."""
        return CredentialSettings(bearer_token="of-nobody")  # noqa: S106

    @property
    def capability(self) -> Capability:
        """What it can do: what Google can, without ``LACKS``."""
        return replace(CAPABILITY, conditional_put=False, closes_uploads=False)

    def make_bucket(self) -> str:
        """Create a bucket of a new name, and return it."""
        name = f"test-{uuid.uuid4().hex[:16]}"
        status = self.request("POST", "/storage/v1/b?project=test", json.dumps({"name": name}))
        if status != 200:
            raise RuntimeError(f"the bucket '{name}' was not made: status {status}")
        return name

    def request(self, method: str, target: str, body: str | None = None) -> int:
        """Send a request and return its status."""
        return ask(self.origin, method, target, body, {"Content-Type": "application/json"})[0]


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleEmulator]:
    """The server of this test run, started when the first test asks for it."""
    with of_this_run(tmp_path_factory, "gcp-storage-emulator", running_gcs) as server:
        yield server


@contextmanager
def running_gcs(directory: Path) -> Iterator[GoogleEmulator]:
    """Join the server that lives in ``directory``, or start it; it ends with the last process that uses it.

    Raises:
        RuntimeError: it does not start, tried twice.
    """
    with running(directory, _prepare) as facts:
        yield GoogleEmulator(**facts)


def _prepare(home: Path) -> Program:
    program = Path(sysconfig.get_path("scripts")) / "gcp-storage-emulator"
    if not program.exists():
        raise RuntimeError(
            "the program 'gcp-storage-emulator' is not there; install it by: pip install gcp-storage-emulator"
        )
    [port] = free_ports(1)
    server = GoogleEmulator(f"http://127.0.0.1:{port}")
    options = ["--host", "127.0.0.1", "--port", str(port), "--in-memory", "--quiet"]
    environ = {"HOME": str(home), "PATH": os.defpath}
    return Program(
        [str(program), "start", *options], environ, {"origin": server.origin}, lambda: server.request("GET", "/") == 200
    )
