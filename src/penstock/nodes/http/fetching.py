"""A GET request that follows redirects, each hop under the same rules. Blocking: for a worker thread.

Reference: RFC 9110 §15.4 (redirection), RFC 9112 §8 (incomplete messages).
"""

from __future__ import annotations

import http.client
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from penstock.errors import BadData, NotFound, PermissionDenied, StoreError, StoreUnavailable
from penstock.nodes.http.line import REDIRECTS, Line, checked_url, redirected, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Fetch"]

REFUSALS: Final = {401: PermissionDenied, 403: PermissionDenied, 404: NotFound, 410: NotFound}
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Fetch:
    """One resource, read as it comes.

    Attributes:
        content_type: its media type, if the server says.
    """

    def __init__(self, *, allow_private: bool, max_redirects: int, timeout_s: float, max_size: int | None) -> None:
        self.content_type: str | None = None
        self._allow_private = allow_private
        self._max_redirects = max_redirects
        self._timeout_s = timeout_s
        self._max_size = max_size
        self._line = Line()
        self._answer: http.client.HTTPResponse | None = None
        self._url = ""
        self._done = 0

    def open(self, url: str) -> None:
        """Send the request, follow redirects, and read the head of the answer.

        Raises:
            ConfigurationError: a hop leads to an address that is not public, or is no URL that can be fetched.
            StoreError: the server refuses, cannot be reached, or redirects too often.
            BadData: the resource is larger than ``max_size``, or coded in a way that was not asked for.
        """
        parts = checked_url(url)
        for _ in range(self._max_redirects + 1):
            self._url = shown(parts)
            with self._errors():
                answer = self._line.ask(parts, allow_private=self._allow_private, timeout_s=self._timeout_s)
            if answer.status not in REDIRECTS:
                self._check(answer)
                self._answer = answer
                return
            parts = redirected(parts, answer.headers.get("Location", ""))
        raise StoreError(f"more than {self._max_redirects} redirects", operation="fetch", key=shown(checked_url(url)))

    def read(self, limit: int) -> bytes:
        """Return what has come, at most ``limit`` bytes; waits for the first. Empty at the end.

        Raises:
            StoreUnavailable: the answer broke off.
            BadData: more than ``max_size`` bytes came.
        """
        answer = self._answer
        assert answer is not None  # noqa: S101 - open
        with self._errors():
            data = answer.read1(limit)
        self._done += len(data)
        if self._max_size is not None and self._done > self._max_size:
            raise BadData(f"'{self._url}' is larger than max_size, {self._max_size} bytes")
        if not data and answer.length:
            missing = f"the answer broke off after {self._done} bytes, {answer.length} before its end"
            raise StoreUnavailable(missing, operation="fetch", key=self._url, retryable=True)
        return data

    def close(self) -> None:
        """End the connection for good; a thread that waits in ``open`` or ``read`` returns from it. Idempotent."""
        self._line.close()

    def _check(self, answer: http.client.HTTPResponse) -> None:
        status = answer.status
        if status != 200:
            kind = REFUSALS.get(status, StoreUnavailable if status in PASSING else StoreError)
            reason = f"the server answered {status} {answer.reason}".rstrip()
            raise kind(reason, operation="fetch", key=self._url, status=status, retryable=status in PASSING)
        coding = answer.headers.get("Content-Encoding", "identity")
        if coding.lower() != "identity":
            raise BadData(f"'{self._url}' is coded as '{coding}', which was not asked for")
        if self._max_size is not None and answer.length is not None and answer.length > self._max_size:
            raise BadData(f"'{self._url}' has {answer.length} bytes, more than max_size, {self._max_size}")
        self.content_type = answer.headers.get("Content-Type")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = f"{type(error).__name__}: {error} after {self._done} bytes"
            raise StoreUnavailable(reason, operation="fetch", key=self._url, retryable=True) from error
