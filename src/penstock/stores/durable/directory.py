"""The state directory: one directory for each upload that is under way, and those that nobody can read.

::

    STATE/uploads/TOKEN/lock          locked (flock) while a process owns the upload
    STATE/uploads/TOKEN/upload.json   what it is to become
    STATE/uploads/TOKEN/journal       what has happened
    STATE/uploads/TOKEN/slot-N        bytes that the store has not acknowledged
    STATE/aside/TOKEN/                what could not be read, with the reason in reason.txt

A name that begins with a dot is of a directory that is being made or removed, and holds nothing that counts.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from penstock.errors import ConfigurationError
from penstock.stores.durable.lines import Journal, reserve_for
from penstock.stores.durable.locks import Lock
from penstock.stores.durable.syncing import sync_directory
from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.stores.durable.locks import Purpose
    from penstock.stores.durable.record import UploadRecord

__all__ = ["StateDirectory", "default_state_directory"]

MAKING: Final = ".new-"
REMOVING: Final = ".old-"

LEFT_S: Final = 3600.0
"""Age from which what is half made has been left so; what is half removed anybody may remove."""


def default_state_directory() -> Path:
    """``PENSTOCK_STATE``, or the place for the state of programs in the user's home (XDG Base Directory)."""
    named = os.environ.get("PENSTOCK_STATE")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "penstock"
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "penstock"


class StateDirectory:
    """Where uploads are kept.

    Args:
        path: the directory; made when it is needed.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path) if path is not None else default_state_directory()

    @property
    def uploads(self) -> Path:
        """The directory of uploads."""
        return self.path / "uploads"

    @property
    def aside(self) -> Path:
        """The directory of what could not be read."""
        return self.path / "aside"

    def add(self, record: UploadRecord) -> Lock:
        """Make the directory of an upload, and lock it.

        Raises:
            ConfigurationError: it cannot be made.
        """
        making = self.uploads / f"{MAKING}{record.token}"
        try:
            self.uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
            making.mkdir(mode=0o700)
            lock = Lock.take_new(making)
            record.write(making)
            Journal.create(making / "journal", reserve_for(record.url))
            lock.directory = making.rename(self.uploads / record.token)
            sync_directory(lock.directory)
            sync_directory(self.uploads)
        except OSError as error:
            shutil.rmtree(making, ignore_errors=True)
            reason = error.strerror or str(error)
            raise ConfigurationError(
                f"the state directory {self.path} cannot be written: {reason}; choose another (--state, PENSTOCK_STATE)"
            ) from error
        return lock

    def list(self) -> Iterator[Path]:
        """The directories of uploads, the oldest first; what was left half made or half removed is cleared away.

        Raises:
            ConfigurationError: the state directory cannot be read.
        """
        try:
            found = list(self.uploads.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigurationError(
                f"the state directory {self.path} cannot be read: {error.strerror}; choose another, or let this user "
                "read it (--state, PENSTOCK_STATE)"
            ) from error
        whole = [path for path in found if path.is_dir() and not path.name.startswith(".")]
        for path in found:
            if path.name.startswith(REMOVING) or (path.name.startswith(MAKING) and _is_left(path)):
                shutil.rmtree(path, ignore_errors=True)
        yield from sorted(whole, key=_born)

    def take(self, directory: Path, purpose: Purpose = "write") -> Lock | None:
        """Lock the directory of an upload; None if it has an owner, or is gone."""
        return Lock.take(directory, purpose) if directory.exists() else None

    def remove(self, lock: Lock) -> None:
        """Remove the directory of an upload that is over."""
        removing = self.uploads / f"{REMOVING}{lock.directory.name}"
        try:
            lock.directory.rename(removing)
        except FileNotFoundError:
            pass
        except OSError as error:  # whoever recovers it finds that it is over
            logger.warning("%s is over, but cannot be removed: %s", lock.directory, error)
        shutil.rmtree(removing, ignore_errors=True)
        lock.release()

    def set_aside(self, lock: Lock, reason: str) -> Path:
        """Move the directory of an upload out of the way, with the reason; nothing of it is deleted."""
        self.aside.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = self.aside / lock.directory.name
        count = 1
        while target.exists():
            count += 1
            target = self.aside / f"{lock.directory.name}-{count}"
        with (  # a full disk must not keep it in the way
            suppress(OSError),
            open(lock.directory / "reason.txt", "w", encoding="utf-8", opener=_for_us) as file,
        ):
            file.write(reason + "\n")
        lock.directory.rename(target)
        lock.release()
        return target


def _for_us(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_left(making: Path) -> bool:
    """Whether whoever was making an upload's directory is gone.

    It is if the lock is free though it was taken once, which it was if there is a record; or after an hour.
    """
    if _age_s(making) > LEFT_S:
        return True
    with suppress(OSError):
        if (making / "upload.json").exists() and (lock := Lock.take(making, "sweep")) is not None:
            lock.release()
            return True
    return False


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _born(path: Path) -> float:
    try:
        return (path / "upload.json").stat().st_mtime
    except OSError:
        return 0.0
