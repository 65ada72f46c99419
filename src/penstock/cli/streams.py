"""The standard streams, made fit for use: none is missing, all text can be shown, and a result that is lost is told.

A process may be started with some of them closed. The next file or socket would then get that descriptor, and what is
meant for the person would be written into it. Reference: POSIX.1-2024, ``exec`` ("file descriptors 0, 1, and 2").
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING

from penstock.cli.console import Exit, say, silence

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["prepare_streams", "results_arrive"]


def prepare_streams() -> None:
    """Open those of the standard streams that are closed: to read or write there fails, but talk is dropped.

    Characters that the encoding of standard output lacks are escaped there, as Python does on standard error.
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
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


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
