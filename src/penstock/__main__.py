"""The command line, as ``penstock`` and ``python -m penstock``; an interrupt before a command is at work ends it.

Most of the time until then goes into imports, where an exception would be shown with all that was being imported, or be
taken for something else. So the handler stands before them, and raises none.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

INTERRUPTED = 130
"""128 plus the number of SIGINT."""


def main() -> None:
    """Run a command. A command that has something to clean up sets ``signal.default_int_handler`` again, or its own."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, _leave)
    from penstock.cli import main as command

    command()


def _leave(_number: int, _frame: object) -> NoReturn:
    try:
        sys.stderr.write("interrupted\n")
        sys.stderr.flush()
    except (AttributeError, OSError, RuntimeError, ValueError):
        pass  # it is closed, or in the middle of a line
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
