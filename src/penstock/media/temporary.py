"""A temporary file in which a container is built whose header only the end knows."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TemporaryFile", "not_written"]


class TemporaryFile:
    """A file that has no name any more when its first piece leaves, so that nothing remains of it whatever happens.

    Attributes:
        path: where it is being built.
    """

    def __init__(self, suffix: str, name: str) -> None:
        """Make it in ``TMPDIR``, empty.

        Raises:
            RunError: it cannot be made; ``name`` is what the message calls it.
        """
        try:
            handle, path = tempfile.mkstemp(prefix="penstock-", suffix=f".{suffix}")
        except OSError as error:
            raise not_written(name, error) from error
        os.close(handle)
        self.path = Path(path)

    def pieces(self, size: int) -> Iterator[bytes]:
        """Give what is in it, in pieces of at most ``size`` bytes."""
        with self.path.open("rb") as file:
            self.path.unlink()
            while piece := file.read(size):
                yield piece

    def remove(self) -> None:
        """Remove it; may come at any time, also twice."""
        self.path.unlink(missing_ok=True)


def not_written(name: str, error: OSError) -> RunError:
    """The error for a file that cannot be written where temporary files are."""
    reason = error.strerror or str(error)
    return RunError(f"the {name} file cannot be written in {tempfile.gettempdir()}: {reason} (TMPDIR moves it)")
