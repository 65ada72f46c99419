"""What the two http nodes share: they need a request, and a field is called ``media`` unless it is given a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext, RequestPort

__all__ = ["DEFAULT_FIELD", "request_of"]

DEFAULT_FIELD: Final = "media"


def request_of(ctx: NodeContext, kind: str) -> RequestPort:
    """Return the request that the run answers.

    Raises:
        ConfigurationError: the run answers none.
    """
    if ctx.request is None:
        raise ConfigurationError(f"{kind} is an end of a request and its answer: it needs 'mode: oneshot'")
    return ctx.request
