"""``penstock uploads``: what is under way in a store, or was left there."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import anyio

from penstock.cli.console import Exit, emit, fail, human_bytes, say
from penstock.cli.place import locate
from penstock.errors import ConfigurationError, PenstockError, UploadGone
from penstock.stores.layers.retry import RetryLayer, RetryPolicy
from penstock.stores.resolve import open_location

if TYPE_CHECKING:
    from penstock.stores.base import Capability, MultipartStore, UploadInfo

__all__ = ["ListArguments", "OpenUpload", "human_age", "list_command"]

RETRY: Final = RetryPolicy(deadline_s=10.0)


@dataclass(frozen=True, slots=True)
class ListArguments:
    """The options of ``penstock uploads list``, as given."""

    prefix: str
    endpoint: str | None = None
    region: str = "us-east-1"
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """An unfinished upload; ``age_s`` is None where the store does not tell when it was opened."""

    key: str
    upload_id: str
    age_s: int | None
    parts: int
    bytes: int


def list_command(arguments: ListArguments) -> None:
    """Print the unfinished uploads whose key starts with the prefix; exit with 1 if the store cannot be asked."""
    try:
        count, capability = anyio.run(_list, arguments)
    except ConfigurationError as error:
        fail(error, Exit.USAGE, as_json=arguments.as_json)
    except PenstockError as error:
        fail(error, as_json=arguments.as_json)
    _conclude(arguments.prefix, count, capability)


def _conclude(prefix: str, count: int, capability: Capability) -> None:
    """Say what is not on the list; of a store that does not list them all, "none" would be taken for its word."""
    if not capability.multipart:
        say(f"no upload is open under {prefix}: the store has no multipart upload")
    elif not capability.lists_uploads:
        say(
            f"{'more' if count else 'some'} may be open under {prefix}, as the store does not list every upload: "
            "those that durable puts and runs of this machine have begun are told by `penstock recover --dry-run`"
        )
    elif not count:
        say(f"no upload is open under {prefix}")


async def _list(arguments: ListArguments) -> tuple[int, Capability]:
    """Print them; returns how many there are, and what the store can do."""
    location = locate(arguments.prefix, arguments.endpoint)
    opened = open_location(location, region=arguments.region)
    count = 0
    try:
        store = RetryLayer(opened, RETRY)
        await store.check()
        if not store.capability.multipart:
            return 0, store.capability
        async for info in store.list_uploads(location.key):
            with suppress(UploadGone):  # it ended meanwhile
                found = await _measure(store, info)
                if arguments.as_json:
                    emit(asdict(found))
                else:
                    _print(found, header=not count)
                count += 1
        return count, store.capability
    finally:
        await opened.aclose()


async def _measure(store: MultipartStore, info: UploadInfo) -> OpenUpload:
    parts = await store.list_parts(info.key, info.upload_id)
    age_s = None if info.initiated is None else max(0, round((datetime.now(UTC) - info.initiated).total_seconds()))
    return OpenUpload(info.key, info.upload_id, age_s, len(parts), sum(part.size for part in parts))


def _print(found: OpenUpload, *, header: bool) -> None:
    rows = [("age", "parts", "size", "key", "upload id")] if header else []
    age = "?" if found.age_s is None else human_age(found.age_s)
    rows.append((age, str(found.parts), human_bytes(found.bytes), found.key, found.upload_id))
    for row in rows:
        sys.stdout.write("{:>8} {:>6} {:>10}  {}  {}\n".format(*row))


def human_age(seconds: int) -> str:
    """The two largest units of a time: ``3d 4h``."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((index for index, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count}{unit}" for count, unit in units[first : first + 2])
