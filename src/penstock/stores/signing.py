"""Signatures on S3 requests: AWS Signature Version 4, computed by botocore.

Bodies are not hashed by default (``UNSIGNED-PAYLOAD``), in the clear or under TLS: hashing costs nearly as much as
sending, and guards against nothing that a checksum does not. The head, with key, query and metadata, is always signed.
Reference: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol

import anyio
import anyio.to_thread

from penstock.errors import CredentialsError
from penstock.stores.base import Body
from penstock.stores.credentials import Credentials, CredentialsSource

__all__ = ["TIMESTAMP", "Clock", "RequestSigner", "Signer", "SourceSigner", "sign"]

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
TIMESTAMP = "%Y%m%dT%H%M%SZ"


class Clock:
    """What time it is, by the clock of this machine or by that of a store."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The time to sign by."""
        return datetime.now(UTC) + self._ahead

    def follow(self, theirs: datetime) -> None:
        """Go by a store's clock from now on, which shows ``theirs``."""
        self._ahead = theirs - datetime.now(UTC)


class RequestSigner(Protocol):
    """Says to a store who we are."""

    @property
    def clock(self) -> Clock:
        """By which requests are signed."""
        ...

    async def renew(self, refused: Mapping[str, str]) -> None:
        """Get newer credentials than those by which the headers ``refused`` were made.

        Raises:
            CredentialsError: there are none; says why, and the way out.
        """
        ...

    async def headers(self, method: str, url: str, headers: Mapping[str, str], body: Body = ()) -> dict[str, str]:
        """Return ``headers`` with whatever says it added; see ``Signer.headers``."""
        ...


class SourceSigner:
    """What signers with a source of credentials have in common."""

    def __init__(self, source: CredentialsSource) -> None:
        self._source = source
        self._renewing = anyio.Lock()
        self.clock = Clock()

    async def renew(self, refused: Mapping[str, str]) -> None:
        """See ``RequestSigner.renew``: of several requests that were refused together, one renews for all."""
        async with self._renewing:
            if self._made(refused, await self._source.credentials()):
                await self._source.renew()
                if self._made(refused, await self._source.credentials()):
                    raise CredentialsError("there are no newer credentials where they came from")

    def _made(self, headers: Mapping[str, str], credentials: Credentials) -> bool:
        """Whether ``headers`` were signed with ``credentials``, as far as headers tell."""
        sent = {name.lower(): value for name, value in headers.items()}
        same_key = f"Credential={credentials.access_key_id}/" in sent.get("authorization", "")
        return same_key and sent.get("x-amz-security-token") == credentials.session_token


class Signer(SourceSigner):
    """Signs the requests of one store.

    Args:
        source: where the credentials come from.
        region: part of what is signed; the store refuses another than its own.
        sign_payloads: hash the bodies too, for a store or policy that demands it.
    """

    def __init__(self, source: CredentialsSource, region: str, *, sign_payloads: bool = False) -> None:
        super().__init__(source)
        self._region = region
        self._sign_payloads = sign_payloads

    async def headers(self, method: str, url: str, headers: Mapping[str, str], body: Body = ()) -> dict[str, str]:
        """Return ``headers`` with date, hash, token and signature added.

        Args:
            method: ``GET``, ``PUT`` …
            url: with its query, percent-encoded as it will be sent.
            headers: all that will be signed; Host follows from the URL.
            body: looked at only where payloads are signed.

        Raises:
            CredentialsError: there are no credentials.
        """
        credentials = await self._source.credentials()
        payload = await anyio.to_thread.run_sync(_sha256, body) if self._sign_payloads else UNSIGNED_PAYLOAD
        return sign(credentials, self._region, method, url, headers, payload, self.clock.now())


def sign(
    credentials: Credentials,
    region: str,
    method: str,
    url: str,
    headers: Mapping[str, str],
    payload: str,
    moment: datetime | None = None,
) -> dict[str, str]:
    """Sign one request; see ``Signer.headers``.

    ``payload`` is the hexadecimal SHA-256 of the body, or ``UNSIGNED-PAYLOAD``; ``moment`` is in UTC, by default now.
    """
    signer_class, request_class, credentials_class = _botocore()
    request = request_class(method=method, url=url, headers=dict(headers))
    request.context |= {"payload": payload, "moment": moment}
    given = credentials_class(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
    signer_class(given, "s3", region).add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}


def _sha256(body: Body) -> str:
    digest = hashlib.sha256()
    for piece in body:
        digest.update(piece)
    return digest.hexdigest()


@cache
def _botocore() -> tuple[Any, Any, Any]:
    """Import botocore, which takes a tenth of a second, when the first request is signed."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import ReadOnlyCredentials

    # At level DEBUG it logs what it signs, session tokens included.
    logging.getLogger("botocore.auth").setLevel(logging.INFO)

    class PayloadGiven(S3SigV4Auth):
        """botocore would hash a body in one piece, as of now; ours is a list, hashed or not by our own rule."""

        def payload(self, request: Any) -> Any:
            return request.context["payload"]

        def _modify_request_before_signing(self, request: Any) -> None:
            """The first step after botocore has looked at the clock of this machine."""
            if request.context["moment"] is not None:
                request.context["timestamp"] = request.context["moment"].strftime(TIMESTAMP)
            super()._modify_request_before_signing(request)  # type: ignore[no-untyped-call]

    return PayloadGiven, AWSRequest, ReadOnlyCredentials
