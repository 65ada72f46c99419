"""Which files a pipeline may touch, and how it is said that one cannot be opened."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import StringConstraints

from penstock.errors import ConfigurationError, PermissionDenied, StoreError, StoreFull

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.nodes.base import NodeContext

__all__ = ["FilePath", "allowed_path", "open_errors", "transfer_errors"]

FilePath = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
"""A path as it stands in a pipeline file; a relative one starts where the process was started."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def allowed_path(ctx: NodeContext, path: str) -> Path:  # noqa: ARG001 - who started the run decides
    """Return the path that a node may open: the one gate that every path of a pipeline passes.

    A run that was started from a shell or from Python is trusted with all that its user may do.
    """
    return Path(path)


@contextmanager
def open_errors(path: Path) -> Iterator[None]:
    """Say why a file cannot be opened, as a ConfigurationError that names it and the way out."""
    try:
        yield
    except FileNotFoundError as error:
        raise ConfigurationError(f"'{path}': {_missing(path)}") from error
    except IsADirectoryError as error:
        raise ConfigurationError(f"'{path}' is a directory; give the path of a file") from error
    except PermissionError as error:
        raise ConfigurationError(
            f"'{path}': this user has no permission; see the file's and directory's mode"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"'{path}' cannot be opened: {error.strerror or error}") from error


def _missing(path: Path) -> str:
    if not path.parent.exists():
        return f"there is no directory '{path.parent}'; create it, or correct the path"
    where = "" if path.is_absolute() else f" in {Path.cwd()}, where the process was started"
    return f"no such file{where}"


@contextmanager
def transfer_errors(operation: str, path: Path, done: int) -> Iterator[None]:
    """Say why a ``read``, ``write`` or ``commit`` failed after ``done`` bytes.

    Raises:
        StoreFull: no space is left, or a quota or the greatest file size is reached.
        PermissionDenied: the system refuses.
        StoreError: any other reason of the operating system.
    """
    try:
        yield
    except OSError as error:
        kind = (
            StoreFull if error.errno in FULL else PermissionDenied if isinstance(error, PermissionError) else StoreError
        )
        reason = f"{error.strerror or error} after {done} bytes"
        raise kind(reason, operation=operation, key=str(path)) from error
