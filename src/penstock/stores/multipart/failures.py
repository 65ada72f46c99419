"""Of several errors the first is the one to report; the others become its notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from penstock.errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Failures"]


class Failures:
    """The errors of one piece of work done by several tasks.

    Attributes:
        first: the error that came first; a cancellation is none, as it is what other errors lead to.
    """

    __slots__ = ("first",)

    def __init__(self) -> None:
        self.first: BaseException | None = None

    def note(self, error: BaseException) -> None:
        """Remember ``error`` if it is the first."""
        if self.first is None and not isinstance(error, anyio.get_cancelled_exc_class()):
            self.first = error

    def blame(self, outcome: BaseException) -> BaseException:
        """The error to raise for ``outcome``, which is what a task group made of all errors."""
        first = self.first
        if first is None:
            return outcome
        for other in _others(outcome, first):
            first.add_note(f"then: {describe(other)}")
        return first


def _others(error: BaseException, first: BaseException) -> Iterator[BaseException]:
    if error is first or isinstance(error, anyio.get_cancelled_exc_class()):
        return
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _others(member, first)
    else:
        yield error
