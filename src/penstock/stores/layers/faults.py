"""A store that fails on schedule: faults are scripts, not dice.

``FaultScript(put_part=["ok", "timeout", "503", "ok"], complete=["lost"])`` says what becomes of the first, second …
call of each method; calls beyond the list go through. An outcome is one of

=============  =====================================================================================================
``ok``         the call goes through
``500``        not done; StoreUnavailable, retryable
``503``        not done; StoreUnavailable, retryable; ``503:2.5`` asks to be left alone for 2.5 s
``timeout``    not done; StoreUnavailable, retryable, without a status
``reset``      the same for a connection that broke
``403``        not done; PermissionDenied
``404``        not done; UploadGone for a method of an upload, NotFound otherwise
``lost``       **done**, but the answer is lost as by ``reset``; a ``get`` breaks behind its first piece
``hang``       not done; waits until it is cancelled
=============  =====================================================================================================
"""

from __future__ import annotations

import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import anyio

from penstock.errors import NotFound, PermissionDenied, StoreError, StoreUnavailable, UploadGone
from penstock.stores.layers.base import Call, Layer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from penstock.stores.base import MultipartStore

__all__ = ["FaultLayer", "FaultScript"]

T = TypeVar("T")
Hook: TypeAlias = "Callable[[Call], Awaitable[None] | None]"

OPERATIONS: Final = frozenset(
    {
        *("check", "put", "head", "get", "list", "delete"),
        *("create_multipart", "put_part", "list_parts", "complete_multipart", "abort_multipart", "list_uploads"),
    }
)
SHORT: Final = {"create": "create_multipart", "complete": "complete_multipart", "abort": "abort_multipart"}
OUTCOMES: Final = frozenset(["ok", "500", "503", "timeout", "reset", "403", "404", "lost", "hang"])


class FaultScript:
    """What becomes of each call, by method, and what was called.

    Methods go by their names in ``MultipartStore``; ``create``, ``complete`` and ``abort`` are short for the multipart
    ones.

    Attributes:
        calls: how often each method was called.
        log: every call with its outcome, in order.
    """

    def __init__(self, **outcomes: Sequence[str]) -> None:
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[Call, str]] = []
        self._outcomes: dict[str, Sequence[str]] = {}
        self._hooks: dict[tuple[str, str, int], Hook] = {}
        for name, steps in outcomes.items():
            for step in steps:
                if step.partition(":")[0] not in OUTCOMES:
                    raise ValueError(f"{name}: unknown outcome '{step}'; known: {', '.join(sorted(OUTCOMES))}")
            self._outcomes[_operation(name)] = steps

    def before(self, operation: str, nth: int, hook: Hook) -> FaultScript:
        """Call ``hook``, and await what it returns, before call number ``nth`` (from 1) of a method is begun."""
        self._hooks["before", _operation(operation), nth] = hook
        return self

    def after(self, operation: str, nth: int, hook: Hook) -> FaultScript:
        """The same once the call has taken effect, before its answer is given; not for calls that are not done."""
        self._hooks["after", _operation(operation), nth] = hook
        return self

    def begin(self, call: Call) -> tuple[str, int]:
        """Count a call; its outcome and its number."""
        self.calls[call.operation] += 1
        nth = self.calls[call.operation]
        steps = self._outcomes.get(call.operation, ())
        outcome = steps[nth - 1] if nth <= len(steps) else "ok"
        self.log.append((call, outcome))
        return outcome, nth

    async def run_hook(self, when: str, call: Call, nth: int) -> None:
        """Run the hook of this step, if there is one."""
        hook = self._hooks.get((when, call.operation, nth))
        if hook is not None:
            waiting = hook(call)
            if inspect.isawaitable(waiting):
                await waiting

    def __repr__(self) -> str:
        return f"<FaultScript {dict(self._outcomes)} after {dict(self.calls)}>"


class FaultLayer(Layer):
    """Follows a ``FaultScript``."""

    def __init__(self, inner: MultipartStore, script: FaultScript) -> None:
        super().__init__(inner)
        self.script = script

    async def around(self, call: Call, perform: Callable[[], Awaitable[T]]) -> T:
        outcome, nth = self.script.begin(call)
        await self.script.run_hook("before", call, nth)
        await _fail(call, outcome)
        result = await perform()
        await self.script.run_hook("after", call, nth)
        if outcome == "lost":
            raise _error(call, "reset")
        return result

    async def around_items(self, call: Call, iterate: Callable[[], AsyncIterator[T]]) -> AsyncIterator[T]:
        outcome, nth = self.script.begin(call)
        await self.script.run_hook("before", call, nth)
        await _fail(call, outcome)
        async for item in iterate():
            yield item
            if outcome == "lost":
                raise _error(call, "reset")
        await self.script.run_hook("after", call, nth)


async def _fail(call: Call, outcome: str) -> None:
    if outcome == "hang":
        await anyio.sleep_forever()
    if outcome not in {"ok", "lost"}:
        raise _error(call, outcome)


def _error(call: Call, outcome: str) -> StoreError:
    kind, _, after = outcome.partition(":")
    where: dict[str, Any] = {
        "operation": call.operation,
        "key": call.key,
        "upload_id": call.upload_id,
        "part_number": call.part_number,
    }
    match kind:
        case "500":
            return StoreUnavailable("500 Internal Error", status=500, retryable=True, **where)
        case "503":
            wait_s = float(after) if after else None
            return StoreUnavailable("503 Slow Down", status=503, retryable=True, retry_after_s=wait_s, **where)
        case "timeout":
            return StoreUnavailable("no answer in time", retryable=True, **where)
        case "403":
            return PermissionDenied("403 Access Denied", status=403, code="AccessDenied", **where)
        case "404" if call.upload_id is not None:
            return UploadGone("404 No Such Upload", status=404, code="NoSuchUpload", **where)
        case "404":
            return NotFound("404 Not Found", status=404, **where)
        case _:
            return StoreUnavailable("the connection was reset", retryable=True, **where)


def _operation(name: str) -> str:
    name = SHORT.get(name, name)
    if name not in OPERATIONS:
        raise ValueError(f"unknown method '{name}'; known: {', '.join(sorted(OPERATIONS))}")
    return name
