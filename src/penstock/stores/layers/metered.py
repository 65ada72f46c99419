"""A store whose requests are counted and timed, by operation and outcome. Put it under the retry layer: a try each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from penstock.errors import StoreError
from penstock.stores.layers.base import Call, Layer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.metrics import UploadMeter
    from penstock.stores.base import MultipartStore

__all__ = ["MeteredLayer", "reason_of", "store_label"]

T = TypeVar("T")


def store_label(url: str) -> str:
    """A store as a label of metrics: the host of its URL, or the scheme where there is none; never the bucket."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] if parts.scheme in ("http", "https") else parts.scheme


def reason_of(error: StoreError) -> str:
    """Why a request failed, in one of five words; see the table of docs/metrics.md."""
    if error.status in (429, 503):
        return "throttled"
    if error.status is not None and error.status >= 500:
        return "server_error"
    if not error.retryable:
        return "refused"
    return "no_answer" if error.status is None else "temporary"


class MeteredLayer(Layer):
    """Tells ``meter`` of every request. Listings are not counted: an upload makes none."""

    def __init__(self, inner: MultipartStore, meter: UploadMeter, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(inner)
        self._meter = meter
        self._clock = clock

    async def around(self, call: Call, perform: Callable[[], Awaitable[T]]) -> T:
        started = self._clock()
        outcome = "cancelled"
        try:
            done = await perform()
            outcome = "ok"
        except StoreError as error:
            outcome = reason_of(error)
            raise
        finally:
            self._meter.requested(call.operation, outcome, self._clock() - started)
        return done
