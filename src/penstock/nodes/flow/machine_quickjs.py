"""A script loaded into QuickJS: no files, no processes, no network but by the function it is given.

For one thread, the one that made it: QuickJS bounds its stack by that. Everything crosses as JSON text. A call that has
a time limit cannot call out: so where there is a function for requests, time must be limited by somebody else.
"""

from __future__ import annotations

import json
from time import process_time
from typing import TYPE_CHECKING, Any, Final

import quickjs

from penstock.errors import BadData, ConfigurationError
from penstock.nodes.flow.script_prelude import PRELUDE

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TOO_LONG", "Machine"]

STACK_BYTES: Final = 256 << 10
TOO_LONG: Final = "(it took longer than timeout_ms)"


class Machine:
    """A script that defines ``process(packet)``.

    Args:
        memory_bytes: memory it may take.
        timeout_s: processor time that loading and each call may take; None where another one limits it.
        host: takes a request of ``fetch`` as JSON and returns the answer as JSON; must not raise.
        way_out: what ``fetch`` throws without ``host``.
    """

    def __init__(
        self, *, memory_bytes: int, timeout_s: float | None, host: Callable[[str], str] | None = None, way_out: str = ""
    ) -> None:
        self._context = context = quickjs.Context()
        context.set_memory_limit(memory_bytes)
        context.set_max_stack_size(STACK_BYTES)
        self._timeout_s = timeout_s
        if host is not None:
            context.add_callable("host", host)
        made = context.eval(PRELUDE.replace("WAY_OUT", json.dumps(way_out)))
        pair = made(context.get("host"))
        if host is not None:
            context.eval("delete globalThis.host")
        first, second = context.eval("pair => pair[0]"), context.eval("pair => pair[1]")
        self._begin, self._result = first(pair), second(pair)

    def load(self, source: str) -> None:
        """Evaluate the script.

        Raises:
            ConfigurationError: it cannot be loaded, or defines no ``process``.
        """
        try:
            self._limit(self._timeout_s)
            self._context.eval(source)
            if self._context.eval("typeof globalThis.process") != "function":
                raise ConfigurationError("the script defines no function process(packet)")
        except (quickjs.JSException, UnicodeError) as error:
            raise ConfigurationError(f"the script cannot be loaded: {_reason(error)}") from error

    def call(self, text: str) -> str:
        """Call ``process``, and wait for its promise if it returns one.

        Raises:
            BadData: the script failed, or took too long or too much memory.
        """
        end = None if self._timeout_s is None else process_time() + self._timeout_s
        try:
            self._limit(self._timeout_s)
            result: Any = self._begin(text)
            while result is None:
                self._limit(None if end is None else end - process_time())
                more = self._context.execute_pending_job()
                result = self._result()
                if result is None and not more:
                    raise BadData("the script failed: process returned a promise that nothing will ever settle")
        except quickjs.JSException as error:
            raise BadData(f"the script failed: {_reason(error)}") from error
        return str(result)

    def _limit(self, seconds: float | None) -> None:
        if seconds is not None:
            self._context.set_time_limit(max(seconds, 0.0))


def _reason(error: BaseException) -> str:
    """The message and the place, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = " ".join(lines[:2]) or type(error).__name__
    if "interrupted" in message:
        message += f" {TOO_LONG}"
    elif "out of memory" in message:
        message += " (it took more than memory_limit_mb)"
    return message
