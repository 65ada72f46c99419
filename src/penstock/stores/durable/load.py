"""Read what a journal's directory says of its upload, and check what it holds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from penstock.stores.base import PartInfo
from penstock.stores.durable.lines import DamagedJournal, Journal, reserve_for
from penstock.stores.durable.record import UploadRecord
from penstock.stores.durable.slots import read_slot
from penstock.stores.durable.spool import Spool
from penstock.stores.multipart.journal import History, StoredPart, WaitingPart

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.stores.durable.directory import StateDirectory
    from penstock.stores.durable.limits import SpoolLimits
    from penstock.stores.durable.locks import Lock
    from penstock.stores.durable.slots import Found, Slot

__all__ = ["load_spool"]

READERS: Final = 2
"""Slots that are read at once: a disk has some to read while another is checked."""


def load_spool(state: StateDirectory, lock: Lock, limits: SpoolLimits | None = None) -> Spool:
    """Take over an upload whose directory is locked; reads every byte that is in it.

    Raises:
        DamagedJournal: something in it is not as it was written, in a way that a crash does not explain.
        OSError: it cannot be read.
    """
    directory = lock.directory
    record = UploadRecord.read(directory)
    reserve = reserve_for(record.url)
    journal, events = Journal.read(directory / "journal", reserve, after_power_loss=record.after_power_loss)
    history, lost = _history(events)
    history.after_power_loss = record.after_power_loss
    history.latest = datetime.fromtimestamp(journal.path.stat().st_mtime, UTC)
    history.created = datetime.fromisoformat(record.created)
    slots = _slots(directory, history, record)
    _require_lost(lost, history, slots)
    history.waiting = {part: WaitingPart(part, slot.size, slot, slot.crc) for part, slot in slots.items()}
    return Spool(state, lock, record, limits, history=history, journal=journal, slots=slots)


def _history(events: list[dict[str, Any]]) -> tuple[History, dict[int, StoredPart]]:
    """What has happened; and the parts of which the store had acknowledged any before it lost the upload."""
    history = History()
    lost: dict[int, StoredPart] = {}
    try:
        for fields in events:
            if fields["event"] == "gone":
                lost |= history.stored
            _apply(history, fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedJournal(f"the journal has an event that is not of this version: {error!r}") from error
    return history, lost


def _require_lost(lost: dict[int, StoredPart], history: History, slots: dict[int, Slot]) -> None:
    """See that what the store has lost is still here, or is there again; an upload that was dropped needs nothing.

    Raises:
        DamagedJournal: it is not; the message says which bytes.
    """
    over = history.dropped or history.committed is not None or history.ended == "aborted"
    missing = [] if over else sorted(lost.keys() - history.stored.keys() - slots.keys())
    if missing:
        first, last = lost[missing[0]], lost[missing[-1]]
        raise DamagedJournal(
            f"the store has lost bytes {first.offset} to {last.offset + last.info.size - 1}, which it had acknowledged"
        )


def _apply(history: History, fields: dict[str, Any]) -> None:
    event = fields["event"]
    if event == "opening":
        others = fields["others"]
        history.key, history.opening = fields["key"], True
        history.others = None if others is None else frozenset(others)
    elif event == "opened":
        history.key, history.upload_id, history.marked = fields["key"], fields["upload_id"], fields["marked"]
        history.opening = fields.get("strays", False)
    elif event == "stored":
        info = PartInfo(fields["part"], fields["size"], fields["etag"])
        crcs = {name: int(value, 16) for name, value in fields["crcs"].items()}
        history.stored[info.number] = StoredPart(info, fields["offset"], crcs)
    elif event == "gap":
        history.gaps[fields["part"]] = fields["size"]
    elif event == "gone":
        history.upload_id = None
        history.stored.clear()
    elif event == "ended":
        history.ended, history.size, history.digest = fields["how"], fields["size"], fields["digest"]
    elif event == "resumed":
        history.ended = history.size = history.digest = None
    elif event == "committing":
        history.key, history.committing = fields["key"], True
    elif event == "committed":
        history.committed = fields["result"]
    elif event == "dropped":
        history.dropped = True
    elif event != "kept":
        raise ValueError(event)


def _slots(directory: Path, history: History, record: UploadRecord) -> dict[int, Slot]:
    """The slots that hold a part, by its number.

    After a power loss the end of what was not synced may be missing; otherwise nothing may. A part that the store has
    acknowledged may be anything: the next one was being written over it.

    Raises:
        DamagedJournal: bytes that were accepted are not as they were written.
    """
    slots: dict[int, Slot] = {}
    for path, found in _found(directory, after_power_loss=record.after_power_loss):
        if found is None or found.part in history.gaps:
            continue
        if found.doubtful and not record.after_power_loss:  # the latest may have been of another part
            raise DamagedJournal(f"a checkpoint of {path.name} is damaged")
        if found.part not in history.stored:
            if found.missing and not record.after_power_loss:
                raise DamagedJournal(f"{path.name} does not hold part {found.part} as it was written")
            history.missing += found.missing
        if found.slot is not None and not (found.missing and found.part in history.stored):
            slots[found.part] = found.slot
    return slots


def _found(directory: Path, *, after_power_loss: bool) -> list[tuple[Path, Found | None]]:
    """What the slots hold, in the order of their names.

    Raises:
        DamagedJournal: one is not as it was written.
    """
    paths = [path for path in sorted(directory.glob("slot-*")) if path.name.removeprefix("slot-").isdecimal()]
    with ThreadPoolExecutor(READERS) as readers:
        try:
            found = list(readers.map(partial(read_slot, after_power_loss=after_power_loss), paths))
        except ValueError as error:
            raise DamagedJournal(str(error)) from error
    return list(zip(paths, found, strict=True))
