"""What the stores can do, in words: the table of ``penstock nodes describe core::object_store_writer``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from penstock.nodes.types import Table, show_byte_size
from penstock.stores.properties import ALL_EXTRAS, HTTP_EXTRAS

if TYPE_CHECKING:
    from penstock.stores.base import Capability
    from penstock.stores.catalogue import KnownStore

__all__ = ["store_tables"]

UNBOUNDED: Final = 1 << 59
DAY_S: Final = 86_400.0
VARIES: Final = "varies"

LIMITS: Final = Table(
    "What the stores can do",
    "An S3 store that is not told by `store` is recognised by its host or by what it calls itself. `varies`: known "
    "once the store is opened. What is not there is an error at the start, or made up for as the documentation says.",
    (
        "store",
        "is",
        "a part",
        "parts",
        "object",
        "one PUT",
        "drops unfinished uploads after",
        "an abort leaves nothing",
    ),
    (),
)
PROMISES: Final = Table(
    "What the stores refuse, verify, list and keep",
    "Refuses to overwrite: by itself, also when two writers race. Keeps: beside content type and metadata, `headers` "
    "being cache_control, content_disposition, content_encoding and content_language.",
    ("store", "refuses to overwrite at", "verifies", "lists open uploads", "keeps"),
    (),
)


def store_tables() -> tuple[Table, ...]:
    """Two tables with a row for each kind of store; the records of the first are whole capabilities."""
    from dataclasses import replace

    from penstock.stores.catalogue import known_stores

    stores = known_stores()
    limits = tuple((name, *_limits(store)) for name, store in stores.items())
    promises = tuple((name, *_promises(store)) for name, store in stores.items())
    records = tuple(_record(name, store) for name, store in stores.items())
    return replace(LIMITS, rows=limits, records=records), replace(PROMISES, rows=promises)


def _limits(store: KnownStore) -> tuple[str, ...]:
    can = store.capability
    expiry = can.upload_expiry_s
    return (
        store.title,
        _part(can),
        _count(can.max_parts) if can.multipart else "one, held in memory",
        _size(can.max_object_bytes),
        _size(can.max_put_bytes),
        "" if expiry is None else "24 h" if expiry == DAY_S else f"{expiry / DAY_S:g} days",
        _yes(can.closes_uploads),
    )


def _promises(store: KnownStore) -> tuple[str, ...]:
    can = store.capability
    put = VARIES if "conditional_put" in store.varies else "PUT" if can.conditional_put else ""
    return (
        ", ".join(filter(None, (put, "commit" if can.conditional_complete else ""))) or "nothing",
        ", ".join(can.checksums) or "nothing",
        _yes(can.lists_uploads),
        VARIES if "extras" in store.varies else _extras(can),
    )


def _part(can: Capability) -> str:
    if not can.multipart:
        return ""
    least = f"{_size(can.min_part_bytes)} to " if can.min_part_bytes else "up to "
    return f"{least}{_size(can.max_part_bytes)}{', all equal' if can.equal_parts else ''}"


def _extras(can: Capability) -> str:
    if not can.properties:
        return "nothing"
    if can.extras == ALL_EXTRAS:
        return "headers and all others"
    headers = ["headers"] if can.extras >= HTTP_EXTRAS else sorted(can.extras & HTTP_EXTRAS)
    return ", ".join([*headers, *sorted(can.extras - HTTP_EXTRAS)]) or "nothing else"


def _size(count: int) -> str:
    """A limit to read: exact if a unit fits, to three digits else."""
    if count >= UNBOUNDED:
        return "any"
    shown = show_byte_size(count)
    if len(shown.split()[0]) <= 4:
        return shown if " " in shown else f"{shown} B"
    size, units = float(count), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while size >= 1024:
        size, unit = size / 1024, next(units)
    return f"{size:.4g} {unit}"


def _count(count: int) -> str:
    return "any number" if count >= UNBOUNDED else f"{count:,}"


def _yes(whether: bool) -> str:
    return "yes" if whether else "no"


def _record(name: str, store: KnownStore) -> dict[str, Any]:
    """A capability as plain data; None is what varies."""
    fields = {
        field: sorted(value) if isinstance(value, frozenset) else value
        for field, value in asdict(store.capability).items()
    }
    return {"store": name, "title": store.title, **fields, **dict.fromkeys(store.varies)}
