"""A store that tries again: exponential backoff with full jitter under a deadline.

Only errors that say ``retryable`` are tried again; what that means is decided where a store translates its errors.
The wait before try n+1 is drawn evenly from 0 to ``min(max_wait_s, first_wait_s * 2**n)``, which spreads out clients
that failed together (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), and is never shorter
than what the store asked for (``Retry-After``, RFC 9110 §10.2.3).

A request whose answer was lost may have had its effect; trying again is safe for every store method but two, whose
callers must know: a second ``complete_multipart`` then raises ``UploadGone``, a second conditional ``put``
``AlreadyExists``.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio

from penstock.errors import StoreError
from penstock.stores.layers.base import Call, Layer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from penstock.stores.base import MultipartStore

__all__ = ["RetryLayer", "RetryPolicy"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often to try.

    Attributes:
        deadline_s: seconds from the start of a call after which no further try begins; 0 is one try.
        first_wait_s: upper bound of the first wait.
        max_wait_s: upper bound of every wait that the store has not asked for.

    Raises:
        ValueError: a time is negative or not finite, or ``first_wait_s`` is longer than ``max_wait_s``.
    """

    deadline_s: float = 120.0
    first_wait_s: float = 0.2
    max_wait_s: float = 20.0

    def __post_init__(self) -> None:
        for name in ("deadline_s", "first_wait_s", "max_wait_s"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a finite number of seconds, 0 or more, not {value}")
        if self.first_wait_s > self.max_wait_s:
            raise ValueError(f"first_wait_s, {self.first_wait_s:g} s, is longer than max_wait_s, {self.max_wait_s:g} s")

    def wait_s(self, tries: int, error: StoreError, draw: float) -> float:
        """Seconds to wait after ``tries`` failed tries, for a ``draw`` between 0 and 1."""
        bound = min(self.max_wait_s, self.first_wait_s * 2.0 ** min(tries - 1, 60))
        return max(draw * bound, error.retry_after_s or 0.0)


class RetryLayer(Layer):
    """Tries retryable failures again.

    A cancellation ends the wait or the call it meets. Listings are tried again until their first item has come;
    ``get`` goes on behind the last byte that has come, however often it breaks, the deadline counting anew each time.

    Args:
        inner: the store to wrap.
        policy: how long and how often.
        on_retry: told of every failed try that another one follows: call, error, tries so far, seconds to wait.
        clock, sleep, draw: time and chance, for tests to replace.
    """

    def __init__(
        self,
        inner: MultipartStore,
        policy: RetryPolicy | None = None,
        *,
        on_retry: Callable[[Call, StoreError, int, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(inner)
        self.policy = policy or RetryPolicy()
        self._on_retry = on_retry
        self._clock = clock
        self._sleep = sleep
        self._draw = draw

    async def around(self, call: Call, perform: Callable[[], Awaitable[T]]) -> T:
        started = self._clock()
        tries = 0
        while True:
            try:
                return await perform()
            except StoreError as error:
                tries += 1
                await self._wait_or_raise(call, error, tries, started)

    async def around_items(self, call: Call, iterate: Callable[[], AsyncIterator[T]]) -> AsyncIterator[T]:
        started = self._clock()
        tries = 0
        begun = False
        while True:
            try:
                async for item in iterate():
                    begun = True
                    yield item
            except StoreError as error:
                if begun:
                    raise
                tries += 1
                await self._wait_or_raise(call, error, tries, started)
            else:
                return

    async def get(
        self, key: str, *, start: int = 0, end: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        started = self._clock()
        tries = 0
        first = start
        while True:
            try:
                async for piece in self.inner.get(key, start=start, end=end, if_match=if_match):
                    start += len(piece)
                    started, tries = self._clock(), 0
                    yield piece
            except StoreError as error:
                if first < start == end:
                    return
                tries += 1
                await self._wait_or_raise(Call("get", key), error, tries, started)
            else:
                return

    async def _wait_or_raise(self, call: Call, error: StoreError, tries: int, started: float) -> None:
        """Wait before the next try, or raise ``error`` with what was tried in its message."""
        elapsed_s = self._clock() - started
        wait_s = self.policy.wait_s(tries, error, self._draw())
        deadline_s = self.policy.deadline_s
        if not error.retryable or deadline_s == 0 or elapsed_s + wait_s > deadline_s:
            if tries > 1:
                error.args = (f"{error} ({tries} tries in {elapsed_s:.1f} s)",)
            raise error
        if self._on_retry is not None:
            self._on_retry(call, error, tries, wait_s)
        await self._sleep(wait_s)
