"""Which uploads the journals of a state directory name, and who still goes on with them.

Read without a lock and as far as it can be read: a journal that is being written, or is damaged, still names what it
names.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING

from penstock.errors import ConfigurationError
from penstock.stores.durable.lines import DamagedJournal, read_line
from penstock.stores.durable.record import UploadRecord

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from penstock.stores.durable.directory import StateDirectory

__all__ = ["JournalNames", "Names", "Standing", "read_names"]


class Standing(IntEnum):
    """Who goes on with an upload; of several that are said of one the greatest counts."""

    LEFT = 0  # nobody: its journal was set aside, or has gone on with another upload
    RECOVERABLE = 1  # whoever recovers or resumes it
    LIVE = 2  # the process that owns it


@dataclass(frozen=True, slots=True)
class JournalNames:
    """What one journal names.

    Attributes:
        place: its directory.
        standing: who goes on with it.
        touched: when it was last written.
        url: its object, for people; empty where that cannot be read.
        key: the object's key, likewise.
        upload_id: the store's handle of its present upload; empty if there is none.
        uploads: key and handle of every upload that it has opened.
        others: if it is about to open one, those that were open under ``key`` already, as far as is known.
    """

    place: Path
    standing: Standing
    touched: datetime
    url: str = ""
    key: str = ""
    upload_id: str = ""
    uploads: tuple[tuple[str, str], ...] = ()
    others: frozenset[str] | None = None

    def standing_of(self, upload_id: str) -> Standing:
        """Who goes on with one of ``uploads``: what a recovery has to go by is the present one alone."""
        left = self.standing is Standing.RECOVERABLE and upload_id != self.upload_id
        return Standing.LEFT if left else self.standing

    def opens(self, key: str, upload_id: str) -> bool:
        """Whether an upload may be the one that it is about to open."""
        expected = self.standing is not Standing.LEFT and self.others is not None
        return expected and key == self.key and upload_id not in (self.others or ())


class Names:
    """All that the journals of a state directory name.

    Args:
        journals: what each names.
    """

    def __init__(self, journals: Iterable[JournalNames]) -> None:
        self.journals = tuple(journals)
        self._named: dict[tuple[str, str], tuple[Standing, JournalNames]] = {}
        for journal in self.journals:
            for key, upload_id in journal.uploads:
                standing = journal.standing_of(upload_id)
                for handle in {upload_id, listed_handle(upload_id)}:
                    known = self._named.get((key, handle))
                    if known is None or known[0] < standing:
                        self._named[key, handle] = standing, journal

    def find(self, key: str, upload_id: str) -> tuple[Standing, JournalNames] | None:
        """Who goes on with an upload, and the journal that says so; None if no journal names it."""
        opening = next((journal for journal in self.journals if journal.opens(key, upload_id)), None)
        return (opening.standing, opening) if opening else self._named.get((key, upload_id))

    def left(self, prefix: str) -> list[tuple[str, str, JournalNames]]:
        """Key and handle, as it was given, of the uploads under ``prefix`` that nobody goes on with."""
        return [
            (key, upload_id, journal)
            for journal in self.journals
            for key, upload_id in journal.uploads
            if key.startswith(prefix) and self._named[key, upload_id] == (Standing.LEFT, journal)
        ]


def listed_handle(upload_id: str) -> str:
    """The handle as a listing has it: on Azure ours carries, behind a tilde, what goes with the object."""
    return upload_id.partition("~")[0]


def read_names(state: StateDirectory) -> Names:
    """Read every journal that is there, those set aside included.

    Raises:
        ConfigurationError: one cannot be read, so that its upload could not be told from one that was left.
    """
    try:
        found = [_read(path, _standing(state, path)) for path in state.list()]
        # Listed only now: what is being set aside meanwhile is found here if it was not there.
        aside = sorted(state.aside.iterdir()) if state.aside.is_dir() else []
        found += [_read(path, Standing.LEFT) for path in aside]
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or state.path} cannot be read: {error.strerror or error}; "
            "without it nobody knows which uploads are still needed"
        ) from error
    return Names(journal for journal in found if journal is not None)


def _standing(state: StateDirectory, directory: Path) -> Standing:
    lock = state.take(directory, "sweep")
    if lock is None:
        return Standing.LIVE
    lock.release()
    return Standing.RECOVERABLE


def _read(directory: Path, standing: Standing) -> JournalNames | None:
    """What a journal names; None if it has gone meanwhile."""
    try:
        told = (path for path in directory.iterdir() if path.name != "lock")  # in which we have just written
        touched = max(map(_modified, [directory, *told]))
    except FileNotFoundError:
        return None
    record = None
    lines: list[bytes] = []
    with suppress(FileNotFoundError, DamagedJournal):
        lines = (directory / "journal").read_bytes().split(b"\n")
    with suppress(FileNotFoundError, DamagedJournal):
        record = UploadRecord.read(directory)
    uploads: dict[tuple[str, str], None] = {}
    key, upload_id, others = record.key if record else "", "", None
    for fields in filter(None, map(read_line, lines)):
        event = fields.get("event")
        if event == "opening":
            key, others = fields.get("key", key), frozenset(fields.get("others") or ())
        elif event == "opened":
            key, upload_id, others = fields.get("key", key), fields.get("upload_id", ""), None
            uploads[key, upload_id] = None
        elif event == "gone":
            upload_id = ""
    url = record.url if record else ""
    return JournalNames(directory, standing, touched, url, key, upload_id, tuple(uploads), others)


def _modified(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:  # a slot that was given up just now
        return datetime.fromtimestamp(0, UTC)
