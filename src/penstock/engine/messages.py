"""The control port as messages: a JSON object in, a JSON object out, whatever carries them.

    {"action": "tune", "nodes": {"volume": {"gain": 0.5}}}     set parameters
    {"action": "change", "ops": [{"remove": {"id": "copy"}}]}  change the graph
    {"action": "validate", "ops": […]}                         see what that would do, and do nothing
    {"action": "show"}                                         the nodes, their links, and what can be set
    {"action": "stop"}                                         end the run early, as SIGTERM does

A message may have an ``id``; its answer carries it along. Every message has one answer: ``{"answer": "tune", "id": …,
"ok": true, "nodes": {…}}``, or ``"ok": false`` with ``error``, a line for people, and ``findings``, each with the path
of what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from penstock.engine.report import nearest
from penstock.errors import ChangeRefused, RunError
from penstock.findings import as_message

if TYPE_CHECKING:
    from penstock.engine.run import Run

__all__ = ["MAX_MESSAGE", "answer", "refusal"]

MAX_MESSAGE: Final = 1 << 20
"""Bytes of a message at most."""

_KEYS: Final = {"tune": ("nodes",), "change": ("ops",), "validate": ("ops",), "show": (), "stop": ()}


async def answer(run: Run, text: bytes | str) -> dict[str, Any]:
    """Do what a message asks, and return the answer; waits until it is done.

    Raises nothing for a message that is wrong: that is said in the answer.
    """
    if len(text) > MAX_MESSAGE:
        return refusal(f"a message has at most {MAX_MESSAGE} bytes")
    try:
        message = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        json.dumps(message, ensure_ascii=False).encode()  # fails at half of a surrogate pair, which is no text
    except _NoNumber as error:
        return refusal(f"{str(error)[:80]}: is no number of JSON, or too large")
    except (ValueError, RecursionError):
        return refusal('a message is a JSON object on one line, such as {"action": "show"}')
    if not isinstance(message, dict):
        return refusal("a message is a JSON object")
    head = {"id": message["id"]} if "id" in message else {}
    wrong = _what_is_wrong(message)
    if wrong:
        return refusal(wrong, **head)
    action = message["action"]
    try:
        done = await _do(run, action, message)
    except ChangeRefused as refused:
        findings = [as_message(finding) for finding in refused.findings]
        return refusal("; ".join(map(str, refused.findings)), answer=action, **head, findings=findings)
    except RunError as error:
        return refusal(str(error), answer=action, **head)
    return {"answer": action, **head, "ok": True, **done}


def refusal(error: str, *, answer: str | None = None, **fields: Any) -> dict[str, Any]:
    """The answer to a message that is not followed."""
    findings = {"findings": fields.pop("findings")} if "findings" in fields else {}
    return {"answer": answer, **fields, "ok": False, "error": error, **findings}


async def _do(run: Run, action: str, message: Mapping[str, Any]) -> dict[str, Any]:
    if action == "tune":
        return {"nodes": await run.control.tune(message["nodes"])}
    if action == "change":
        return await run.control.change(message["ops"])
    if action == "validate":
        return await run.control.validate(message["ops"])
    if action == "show":
        return {"nodes": await run.control.show()}
    run.stop("control")
    return {}


class _NoNumber(ValueError):
    """A number that an answer could not repeat."""


def _no_number(name: str) -> float:
    raise _NoNumber(name)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _NoNumber(text)
    return number


def _what_is_wrong(message: Mapping[str, Any]) -> str:
    """What is wrong with the shape of a message; empty if nothing is."""
    action = message.get("action")
    if not isinstance(action, str) or action not in _KEYS:
        hint = nearest(action, _KEYS) if isinstance(action, str) else ""
        return f"action: must be tune, change, validate, show or stop{hint}"
    keys = ("action", "id", *_KEYS[action])
    for key in message:
        if key not in keys:
            return f"{key[:80]}: unknown key{nearest(key, keys)}"
    if action == "tune" and not isinstance(message.get("nodes"), Mapping):
        return 'nodes: must map nodes to parameters, such as {"volume": {"gain": 0.5}}'
    if "ops" in _KEYS[action] and "ops" not in message:
        return 'ops: must be a list of operations, such as [{"remove": {"id": "copy"}}]'
    return ""
