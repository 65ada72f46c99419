"""The seam between stores and HTTP: one request in, one response out, bodies as lists of buffers.

``base`` is the contract; ``threads`` the default implementation, on the standard library alone.
"""

from penstock.stores.transport.base import (
    Origin,
    Progress,
    Response,
    StreamedResponse,
    Transport,
    TransportError,
    parse_origin,
)
from penstock.stores.transport.threads import ThreadTransport

__all__ = [
    "Origin",
    "Progress",
    "Response",
    "StreamedResponse",
    "ThreadTransport",
    "Transport",
    "TransportError",
    "parse_origin",
]
