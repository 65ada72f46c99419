"""The lock of an upload: whoever holds it owns the upload, and the file says who that is."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Holder", "Lock", "Purpose", "why_locked"]

Purpose: TypeAlias = Literal["write", "recover", "sweep"]
"""What an upload is locked for: to write to it, to finish it, or only to see whether somebody does."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock."""

    process: int
    purpose: Purpose

    @classmethod
    def of(cls, directory: Path) -> Holder | None:
        """Who has taken the lock of ``directory`` last; None if that is not known."""
        try:
            first, _, _ = (directory / "lock").read_text("ascii").partition("\n")  # behind it may be rests of another
            process, purpose = first.split()
            return next(cls(int(process), known) for known in get_args(Purpose) if known == purpose)
        except (OSError, ValueError, StopIteration):
            return None

    def __str__(self) -> str:
        return f"process {self.process} (to {self.purpose})"


DOES: Final = {"write": "writes to it", "recover": "recovers it", "sweep": "looks at it, for a sweep"}


def why_locked(directory: Path) -> str:
    """Who keeps others from an upload, in words; the file may still name one before, who has gone."""
    holder = Holder.of(directory)
    if holder is None or not _is_there(holder.process):
        return "another process holds it"
    return f"process {holder.process} {DOES[holder.purpose]}"


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # that of another user
        return True
    except (OSError, OverflowError):
        return False
    return True


class Lock:
    """The lock of an upload, held; it goes with the process."""

    __slots__ = ("_descriptor", "directory")

    def __init__(self, directory: Path, descriptor: int) -> None:
        self.directory = directory
        self._descriptor = descriptor

    @classmethod
    def take_new(cls, directory: Path) -> Lock:
        """Lock a directory that nobody knows yet.

        Raises:
            OSError: it cannot be locked, as its file system has no locks.
        """
        lock = cls.take(directory)
        if lock is None:
            raise OSError("no lock can be taken there")
        return lock

    @classmethod
    def take(cls, directory: Path, purpose: Purpose = "write") -> Lock | None:
        """Lock ``directory``, and say there what for; None if it is gone or another holds it.

        Raises:
            OSError: it cannot be locked.
        """
        try:
            descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == (directory / "lock").stat().st_ino:  # not removed meanwhile
                _sign(descriptor, purpose)
                return cls(directory, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @property
    def held(self) -> bool:
        """Whether it has not been let go."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Let it go. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.release()


def _sign(descriptor: int, purpose: Purpose) -> None:
    with suppress(OSError):  # it is for people and for those who wait; a disk may be full
        text = f"{os.getpid()} {purpose}\n".encode()
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))
