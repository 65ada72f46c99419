"""Start and end what a benchmark needs: the null server with its certificate, and a process per measurement."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from workload import Job

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 120


class Failed(Exception):
    """A contender did not store the object; says why."""


@dataclass(frozen=True)
class Server:
    """A null server that runs."""

    endpoint: str
    ca_file: str | None


@contextmanager
def null_server(*options: str, tls: bool = False) -> Iterator[Server]:
    """A null server in a process of its own, ended with the block; see there for ``options``."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        arguments, ca_file = _certificate(Path(directory)) if tls else ([], None)
        command = [sys.executable, str(HERE / "null_server.py"), *options, *arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                port = int(process.stdout.readline())
                yield Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", ca_file)
            finally:
                process.terminate()


def _certificate(directory: Path) -> tuple[Sequence[str], str]:
    """Options for a server certificate of 127.0.0.1, and the file of the authority that vouches for it."""
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    chain, key, ca_file = directory / "chain.pem", directory / "key.pem", directory / "ca.pem"
    for pem in issued.cert_chain_pems:
        pem.write_to_path(chain, append=True)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca_file)
    return ["--cert", str(chain), "--key", str(key)], str(ca_file)


def run(contender: str, job: Job) -> dict[str, float]:
    """Measure one upload, and see that the object has its size.

    Raises:
        Failed: it has not, or the contender reported an error.
    """
    environment = dict(os.environ)
    if job.ca_file:
        environment |= {"SSL_CERT_FILE": job.ca_file, "AWS_CA_BUNDLE": job.ca_file}
    command = [sys.executable, str(HERE / "measure.py"), json.dumps([contender, asdict(job)])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"not done in {TIMEOUT_S} s") from error
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or ["no output"])[-1][:200])
    if not contender.startswith("(") and stored_bytes(job) != job.size:
        raise Failed(f"the object has {stored_bytes(job)} bytes instead of {job.size}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def stored_bytes(job: Job) -> int:
    """Size of the object that the server knows."""
    context = ssl.create_default_context(cafile=job.ca_file) if job.tls else None
    request = urllib.request.Request(f"{job.endpoint}/{job.bucket}/{job.key}", method="HEAD")
    with urllib.request.urlopen(request, context=context) as response:
        return int(response.headers["content-length"])
