"""What is done to the files of a process that is dead: a bit is another, the end is missing, the disk is full."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

FILES = ("upload.json", "journal", "slot-1", "slot-2", "slot-3")


def flip(path: Path, dice: Random) -> bool:
    """Change a bit; False if the file has none."""
    size = path.stat().st_size
    if not size:
        return False
    at = dice.randrange(size)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << dice.randrange(8)]))
    return True


def cut(path: Path, dice: Random) -> bool:
    """Take a byte or more from the end; False if there is none."""
    size = path.stat().st_size
    if not size:
        return False
    os.truncate(path, dice.randrange(size))
    return True


HARMS = {"flip": flip, "cut": cut}


def harm(directory: Path, dice: Random) -> str:
    """Flip or cut one file of an upload's directory, and return which and how; empty if there was none."""
    here = [name for name in FILES if (directory / name).exists()]
    if not here:
        return ""
    name, how = dice.choice(here), dice.choice(sorted(HARMS))
    return f"{how} {name}" if HARMS[how](directory / name, dice) else ""


def fill(directory: Path, leave: int) -> Path:
    """Take all room of the file system but ``leave`` bytes, with a file that is returned."""
    disk = os.statvfs(directory)
    path = directory / "filler"
    path.write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - leave)))
    return path
