"""Where the torture happens: a bucket behind a gate, a state directory, and the questions that are asked of both."""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from support.clients import s3_client
from torture.forked import Forked
from torture.gate import Gate, gate_to
from torture.processes import Put, Recovering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.testing.seaweedfs import SeaweedFS

MIB = 1 << 20
MARK = "penstock-incomplete"


@cache
def noise() -> bytes:
    """Bytes of which every stream is a stretch."""
    return random.Random(1).randbytes(42 * MIB)


def stretch(dice: random.Random, size: int) -> memoryview:
    """Some bytes, at a place of their own."""
    data = noise()
    at = dice.randint(0, len(data) - size)
    return memoryview(data)[at : at + size]


@dataclass(frozen=True)
class Found:
    """What is under a key: the bytes, None if there is no object, and whether it is marked as incomplete."""

    body: bytes | None
    marked: bool = False


@dataclass
class Place:
    """A directory of a bucket behind a gate, and a state directory."""

    store: SeaweedFS
    bucket: str
    prefix: str
    gate: Gate
    state: Path
    client: Any

    @property
    def environ(self) -> dict[str, str]:
        """The credentials."""
        return {"AWS_ACCESS_KEY_ID": self.store.access_key_id, "AWS_SECRET_ACCESS_KEY": self.store.secret_access_key}

    @property
    def _environ(self) -> dict[str, str]:
        return {**os.environ, **self.environ}

    def key(self) -> str:
        """A new key."""
        return f"take-{uuid.uuid4().hex[:8]}"

    def put(self, key: str, data: bytes | memoryview, dice: random.Random, *options: str, **how: bool) -> Put:
        """Start a durable put of standard input; ``how`` as for ``Put``."""
        own = ["--endpoint", self.gate.endpoint, "--durability", "crash", "--state", str(self.state)]
        return Put(
            memoryview(data), [f"s3://{self.bucket}/{self.prefix}{key}", *own, *options], self.environ, dice, **how
        )

    def recover(self) -> Recovering:
        """Start a recover."""
        return Recovering(self.state, self.environ)

    def sweep(self) -> int:
        """End what the store has open here and nobody can go on with; returns how many uploads."""
        place = [f"s3://{self.bucket}/{self.prefix}", "--endpoint", self.store.endpoint, "--state", str(self.state)]
        sweeping = Forked(["sweep", *place, "--older-than", "0s", "--all", "--yes", "--json"], self._environ)
        said, _ = sweeping.communicate(60)
        return sum(json.loads(line)["outcome"] == "ended" for line in said.splitlines())

    def recover_all(self, rounds: int = 6) -> list[dict[str, Any]]:
        """Recover until nothing is left to be done, and return all outcomes."""
        outcomes: list[dict[str, Any]] = []
        for _ in range(rounds):
            more, code = self.recover().join()
            outcomes += more
            if code == 0 and not any(one["outcome"] == "busy" for one in more):
                return outcomes
        raise AssertionError(f"recover does not come to an end: {outcomes[-3:]}")

    def found(self, key: str) -> Found:
        """The object under a key, as another client sees it; asked past the gate."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return Found(None)
            raise
        marked = answer["Metadata"].get(MARK) == "true" or self._exists(f"{key}.incomplete")
        return Found(answer["Body"].read(), marked)

    def open_uploads(self, key: str = "") -> list[tuple[str, str]]:
        """Key and id of the uploads that the store has open."""
        answer = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.prefix + key)
        return [(one["Key"].removeprefix(self.prefix), one["UploadId"]) for one in answer.get("Uploads") or []]

    def abort_uploads(self) -> int:
        """Abort all of them behind everybody's back; returns how many."""
        uploads = self.open_uploads()
        for key, upload_id in uploads:
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.prefix + key, UploadId=upload_id)
        return len(uploads)

    def forget(self, key: str) -> None:
        """Make room: delete an object that was looked at."""
        for name in (key, f"{key}.incomplete"):
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + name)

    def left_in_state(self) -> list[str]:
        """The uploads that the state directory still has, in whatever condition."""
        return sorted(
            str(path.relative_to(self.state)) for kind in ("uploads", "aside") for path in self.state.glob(f"{kind}/*")
        )

    def _exists(self, key: str) -> bool:
        return any(
            one["Key"] == self.prefix + key
            for one in self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix + key).get("Contents", ())
        )


@contextmanager
def place_at(store: SeaweedFS, state: Path, dice: random.Random | None = None) -> Iterator[Place]:
    """A new directory of a running store, behind a gate of its own; in one bucket, as another takes it a second."""
    with s3_client(store) as client, gate_to(store.endpoint, dice) as gate:
        yield Place(store, store.make_bucket("torture"), f"{uuid.uuid4().hex[:8]}/", gate, state, client)


def wait_until(condition: Any, timeout_s: float = 30) -> None:
    """Ask again and again, for what another process does and nobody tells of."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)
