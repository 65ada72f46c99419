"""Find the files of a model in the directory where its archive was unpacked, and say which are missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from penstock.errors import MissingDependency

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PAGE", "find_file", "find_files"]

PAGE: Final = "docs/speech.md"


def find_files(who: str, directory: Path, wanted: Mapping[str, Sequence[str]], archive: str) -> dict[str, str]:
    """Return the path of each wanted file.

    Args:
        who: the kind of the node, for the message.
        directory: where the archive was unpacked.
        wanted: for each role the glob patterns of the file, the preferred first.
        archive: name of an archive that has them all, for the message.

    Raises:
        MissingDependency: the directory or a file of it is missing; the message names them all, and the archive.
    """
    found = {role: _first(directory, patterns) for role, patterns in wanted.items()}
    missing = [patterns[0] for role, patterns in wanted.items() if found[role] is None]
    if not directory.is_dir():
        raise MissingDependency(
            f"{who}: model directory '{directory}' is not there; unpack an archive such as {archive} ({PAGE})"
        )
    if missing:
        raise MissingDependency(
            f"{who}: model directory '{directory}' lacks {', '.join(missing)}; "
            f"an archive such as {archive} has all that is needed ({PAGE})"
        )
    return {role: str(path) for role, path in found.items()}


def find_file(who: str, parameter: str, path: str, way_out: str) -> str:
    """Return the path of a file that a parameter names.

    Raises:
        MissingDependency: it is not there; the message names the parameter and the way out.
    """
    if not Path(path).is_file():
        raise MissingDependency(f"{who}: {parameter} '{path}' is not there; {way_out} ({PAGE})")
    return path


def _first(directory: Path, patterns: Sequence[str]) -> Path | None:
    return next((path for pattern in patterns for path in sorted(directory.glob(pattern)) if path.is_file()), None)
