"""What went wrong between us and a server, in a line, and whether trying again makes sense."""

from __future__ import annotations

import http.client
import socket
import ssl

from penstock.stores.transport.base import Origin, TransportError
from penstock.stores.transport.wire import PeerSpoke

__all__ = ["translate"]


def translate(error: Exception, origin: Origin) -> TransportError:
    """Say in a line what went wrong between us and ``origin``, and whether trying again makes sense."""
    if isinstance(error, ssl.SSLError):
        return _translate_tls(error, origin)
    if isinstance(error, socket.gaierror):
        temporary = error.errno == socket.EAI_AGAIN
        return TransportError(f"the host of {origin} is not known: {error.strerror}", retryable=temporary)
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return TransportError(f"{origin} closed the connection before its answer was complete")
    if isinstance(error, http.client.HTTPException):
        return TransportError(f"{origin} does not answer in HTTP/1.1: {type(error).__name__}", retryable=False)
    if isinstance(error, PeerSpoke):
        return TransportError(f"{origin} closed the connection while a request was being sent")
    if isinstance(error, TimeoutError):
        return TransportError(f"{origin}: {error}")
    if isinstance(error, OSError):
        return TransportError(f"{origin}: {error.strerror or error}")
    return TransportError(f"the connections to {origin} have been closed", retryable=False)


def _translate_tls(error: ssl.SSLError, origin: Origin) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        way_out = "if its authority is your own, name its PEM file in SSL_CERT_FILE or AWS_CA_BUNDLE"
        message = f"the certificate of {origin} is not trusted: {error.verify_message}; {way_out}"
        return TransportError(message, retryable=False)
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, ssl.SSLEOFError) or "unexpected eof" in reason:
        return TransportError(f"{origin} cut the TLS connection")
    hint = "; is it an http:// endpoint?" if "wrong version" in reason or "record layer" in reason else ""
    return TransportError(f"no TLS with {origin}: {reason}{hint}", retryable=False)
