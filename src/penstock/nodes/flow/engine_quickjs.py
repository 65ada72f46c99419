"""A JavaScript engine for one node: QuickJS, without files, network or clocks of the host's.

QuickJS bounds its stack by the thread that made it, so all calls go to one thread of its own. Everything crosses as
JSON text. What a script logs and tells is gathered inside and handed over with each result, because a call that has a
time limit cannot call out. Imports quickjs; the node imports this module when it is prepared.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import quickjs

from penstock.errors import BadData, ConfigurationError

__all__ = ["Outcome", "ScriptEngine"]

STACK_BYTES: Final = 256 << 10
LINES: Final = 100
PRELUDE: Final = """
(() => {
  "use strict";
  const stringify = JSON.stringify, parse = JSON.parse;
  let told = [], logged = [];
  const shown = value => typeof value === "string" ? value : String(stringify(value));
  const log = (...values) => { if (logged.length < LINES) logged.push(values.map(shown).join(" ")); };
  globalThis.console = Object.freeze({log, debug: log, info: log, warn: log, error: log});
  const emit = (event_type, data) => {
    if (told.length < LINES) told.push([String(event_type), data === undefined ? null : data]);
  };
  globalThis.telemetry = Object.freeze({emit});
  globalThis.fetch = () => { throw new Error("fetch is not available to scripts"); };
  return text => {
    const packet = parse(text), given = stringify(packet);
    const returned = globalThis.process(packet);
    const made = returned === undefined ? "null" : stringify(returned);
    const result = stringify({made: made === given ? undefined : made, same: made === given, told, logged});
    told = []; logged = [];
    return result;
  };
})()
""".replace("LINES", str(LINES))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to.

    Attributes:
        same: it returned what it was given.
        made: what it returned otherwise; None to drop the packet.
        told: events, as pairs of type and data.
        logged: lines.
    """

    same: bool
    made: Any
    told: list[tuple[str, Any]]
    logged: list[str]


class ScriptEngine:
    """A script that defines ``process(packet)``, loaded.

    Args:
        source: the script.
        timeout_s: processor time that loading it, and each call, may take.
        memory_bytes: memory of the engine.

    Raises:
        ConfigurationError: it cannot be loaded, or defines no ``process``.
    """

    def __init__(self, source: str, *, timeout_s: float, memory_bytes: int) -> None:
        self._thread = ThreadPoolExecutor(1, "penstock-script")
        self._context: quickjs.Context | None = None
        self._process: Any = None
        try:
            self._thread.submit(self._load, source, timeout_s, memory_bytes).result()
        except BaseException:
            self.close()
            raise

    def call(self, packet: dict[str, Any]) -> Outcome:
        """Call ``process`` with a packet; waits for the engine's thread.

        Raises:
            BadData: the packet is no JSON, or the script failed, took too long or too much memory.
        """
        try:
            text = json.dumps(packet, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadData(f"the packet cannot be given to a script: {error}") from error
        result = json.loads(self._thread.submit(self._call, text).result())
        made = json.loads(result["made"]) if "made" in result else None
        return Outcome(result["same"], made, result["told"], result["logged"])

    def close(self) -> None:
        """End the engine and its thread; waits for a call that is under way. Once only."""
        self._thread.submit(self._unload)
        self._thread.shutdown()

    def _load(self, source: str, timeout_s: float, memory_bytes: int) -> None:
        context = quickjs.Context()
        context.set_memory_limit(memory_bytes)
        context.set_max_stack_size(STACK_BYTES)
        context.set_time_limit(timeout_s)
        try:
            self._process = context.eval(PRELUDE)
            context.eval(source)
            if context.eval("typeof globalThis.process") != "function":
                raise ConfigurationError("the script defines no function process(packet)")
        except (quickjs.JSException, UnicodeError) as error:
            raise ConfigurationError(f"the script cannot be loaded: {_reason(error)}") from error
        self._context = context

    def _call(self, text: str) -> str:
        try:
            return str(self._process(text))
        except quickjs.JSException as error:
            raise BadData(f"the script failed: {_reason(error)}") from error

    def _unload(self) -> None:
        self._process = self._context = None


def _reason(error: BaseException) -> str:
    """The message and the place, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = " ".join(lines[:2]) or type(error).__name__
    if "interrupted" in message:
        message += " (it took longer than timeout_ms)"
    elif "out of memory" in message:
        message += " (it took more than memory_limit_mb)"
    return message
