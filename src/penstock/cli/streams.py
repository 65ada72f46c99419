"""The standard streams, made fit for use: each descriptor below 3 is taken, and a result that is lost is a failure.

A process may be started with some of them closed. The next file or socket would then get that descriptor, and what is
meant for the person would be written into it. Reference: POSIX.1-2024, ``exec`` ("file descriptors 0, 1, and 2").
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.cli.console import Exit, say, silence

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["open_closed_streams", "results_arrive"]


def open_closed_streams() -> None:
    """Open those of the standard streams that are closed: to read or write there fails, but talk is dropped.

    Call it before anything else opens a file.
    """
    for descriptor, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # the lowest free descriptor is this one
    sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


@contextmanager
def results_arrive() -> Iterator[None]:
    """End the process with an error if what the block printed on standard output could not be written.

    A reader that has gone (``| head``) need not be told.
    """
    ended: SystemExit | None = None
    try:
        try:
            yield
        except SystemExit as wish:
            ended = wish
        sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)
        if error.errno != errno.EPIPE:
            say(f"error: standard output: {error.strerror}")
        raise SystemExit(int(Exit.FAILED)) from None
    if ended is not None:
        raise ended
