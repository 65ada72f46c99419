"""``--metrics-port``: the metrics of a command, for as long as it lasts."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from penstock.cli.console import Exit, emit, fail, say
from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["serve_metrics"]


@contextmanager
def serve_metrics(port: int | None, *, as_json: bool) -> Iterator[None]:
    """Serve metrics on loopback while the block lasts, and say where, on standard error; nothing without a port.

    Ends the process if they cannot be served: nobody would notice a run that is not watched.
    """
    if port is None:
        yield
        return
    try:
        from penstock.metrics.prometheus import serving
    except ImportError:
        fail("--metrics-port needs a library: pip install 'penstock[metrics]'", Exit.USAGE, as_json=as_json)
    with ExitStack() as stack:
        try:
            url = stack.enter_context(serving(port))
        except ConfigurationError as error:
            fail(error, Exit.USAGE, as_json=as_json)
        if as_json:
            emit({"event": "metrics.served", "url": url}, sys.stderr)
        else:
            say(f"metrics on {url}")
        yield
