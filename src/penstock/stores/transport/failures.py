"""What went wrong between us and a server, in a line, and whether trying again makes sense."""

from __future__ import annotations

import http.client
import socket
import ssl

from penstock.stores.transport.base import Origin, TransportError
from penstock.stores.transport.wire import PeerSpoke
from penstock.stores.verdicts import NO_ANSWER, Breakdown, Then

__all__ = ["failure", "translate"]


def translate(error: Exception, origin: Origin) -> TransportError:
    """Say in a line what went wrong between us and ``origin``, and whether trying again makes sense."""
    if isinstance(error, ssl.SSLError):
        return _translate_tls(error, origin)
    if isinstance(error, socket.gaierror):
        kind = Breakdown.LOOKUP_FAILED if error.errno == socket.EAI_AGAIN else Breakdown.UNKNOWN_HOST
        return failure(kind, f"the host of {origin} is not known: {error.strerror}")
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return failure(Breakdown.CUT, f"{origin} closed the connection before its answer was complete")
    if isinstance(error, http.client.HTTPException):
        return failure(Breakdown.NOT_HTTP, f"{origin} does not answer in HTTP/1.1: {type(error).__name__}")
    if isinstance(error, PeerSpoke):
        return failure(Breakdown.CUT, f"{origin} closed the connection while a request was being sent")
    if isinstance(error, TimeoutError):
        return failure(Breakdown.STALLED, f"{origin}: {error}")
    if isinstance(error, OSError):
        return failure(Breakdown.CUT, f"{origin}: {error.strerror or error}")
    return failure(Breakdown.CLOSED, f"the connections to {origin} have been closed")


def failure(kind: Breakdown, message: str) -> TransportError:
    """The error for a breakdown of this kind; whether it may pass is in the table of ``verdicts``."""
    return TransportError(message, retryable=NO_ANSWER[kind].then is Then.AGAIN)


def _translate_tls(error: ssl.SSLError, origin: Origin) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        way_out = "if its authority is your own, name its PEM file in SSL_CERT_FILE or AWS_CA_BUNDLE"
        message = f"the certificate of {origin} is not trusted: {error.verify_message}; {way_out}"
        return failure(Breakdown.NOT_TRUSTED, message)
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, ssl.SSLEOFError) or "unexpected eof" in reason:
        return failure(Breakdown.TLS_CUT, f"{origin} cut the TLS connection")
    hint = "; is it an http:// endpoint?" if "wrong version" in reason or "record layer" in reason else ""
    return failure(Breakdown.TLS_FAILED, f"no TLS with {origin}: {reason}{hint}")
