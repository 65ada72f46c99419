"""Who we are to Google Cloud Storage: an HMAC key, whose signature goes with each request, or an OAuth token.

The signature is that of AWS Signature Version 4 under other names. It speaks for the head of a request; bodies are not
hashed. An OAuth token lives for an hour, so it is asked for again with each request: who renews it in the environment
is heard.
References: Cloud Storage, "Signatures" (V4 signing process), "Canonical requests", "HMAC keys".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from penstock.errors import CredentialsError
from penstock.stores.base import Body
from penstock.stores.credentials import Credentials
from penstock.stores.google.dialect import to_google
from penstock.stores.signing import TIMESTAMP, UNSIGNED_PAYLOAD, Clock, SourceSigner

__all__ = ["GOOGLE", "BearerSigner", "HmacSigner", "Scheme", "authorization"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """The names in which signatures of one kind differ.

    Attributes:
        prefix: of algorithm and signing key: ``GOOG4``.
        service, terminator: last in the scope of the signature.
    """

    prefix: str
    service: str
    terminator: str


GOOGLE = Scheme("GOOG4", "storage", "goog4_request")
LOCATION = "auto"


class HmacSigner(SourceSigner):
    """Signs with an HMAC key."""

    async def headers(self, method: str, url: str, headers: Mapping[str, str], body: Body = ()) -> dict[str, str]:  # noqa: ARG002
        """As ``penstock.stores.signing.Signer.headers``, in Google's words."""
        credentials = await self._source.credentials()
        moment = self.clock.now().strftime(TIMESTAMP)
        said = to_google(method, headers) | {"x-goog-date": moment, "x-goog-content-sha256": UNSIGNED_PAYLOAD}
        signed = authorization(GOOGLE, credentials, LOCATION, method, url, said, moment)
        return said | {"authorization": signed}

    def _made(self, headers: Mapping[str, str], credentials: Credentials) -> bool:
        """An HMAC key has no session token."""
        return f"Credential={credentials.access_key_id}/" in headers["authorization"]


class BearerSigner:
    """Shows an OAuth token.

    Args:
        token: called for each request; raises CredentialsError where there is none.
    """

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token
        self.clock = Clock()

    async def renew(self, refused: Mapping[str, str]) -> None:
        """See ``RequestSigner.renew``: the token is asked for with each request, and may have changed."""
        if refused["authorization"] == f"Bearer {self._token()}":
            raise CredentialsError("there is no newer one where it came from: name a variable, and renew what it holds")

    async def headers(self, method: str, url: str, headers: Mapping[str, str], body: Body = ()) -> dict[str, str]:  # noqa: ARG002
        """As ``penstock.stores.signing.Signer.headers``, in Google's words."""
        return to_google(method, headers) | {"authorization": f"Bearer {self._token()}"}


def authorization(
    scheme: Scheme,
    credentials: Credentials,
    location: str,
    method: str,
    url: str,
    headers: Mapping[str, str],
    moment: str,
) -> str:
    """The Authorization header of a request whose body is not signed; all of ``headers`` are, and the host.

    Args:
        scheme: whose signature.
        credentials: an HMAC key; its session token is not looked at.
        location: of the bucket, or ``auto``.
        method: ``GET``, ``PUT`` …
        url: percent-encoded as it will be sent, its query sorted.
        headers: names in lower case.
        moment: the time of the request as in its date header, ``20260930T235959Z``.
    """
    parts = urlsplit(url)
    lines = sorted({**headers, "host": parts.netloc}.items())
    names = ";".join(name for name, _ in lines)
    head = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in lines)
    canonical = f"{method}\n{parts.path}\n{parts.query}\n{head}\n{names}\n{UNSIGNED_PAYLOAD}"
    scope = f"{moment[:8]}/{location}/{scheme.service}/{scheme.terminator}"
    algorithm = f"{scheme.prefix}-HMAC-SHA256"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"{scheme.prefix}{credentials.secret_access_key}".encode()
    for step in scope.split("/"):
        key = _mac(key, step)
    signature = _mac(key, f"{algorithm}\n{moment}\n{scope}\n{digest}").hex()
    return f"{algorithm} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
