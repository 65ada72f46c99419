"""A bucket of Google Cloud Storage: ``S3Store`` on Google's XML API, with headers translated at both its edges.

Needs, on the bucket, the role Storage Object User, or storage.objects.{create,get,list,delete} and
storage.multipartUploads.{create,abort,listParts,list}.

What differs from S3: completing an upload cannot be made conditional, a put can (``x-goog-if-generation-match``); ETags
are no digests; an unfinished upload never expires by itself. Bodies and parts are verified by their CRC32C, which goes
along as ``x-goog-hash``; a completion takes none, so what it is to make is compared with the parts before, and with
the answer after. Objects of Content-Encoding ``gzip`` are unpacked for whoever does not accept gzip, and then have
neither size nor ranges: so it is accepted, and the bytes come as they are stored.
References: Cloud Storage, "XML API multipart uploads", "Complete a multipart upload", "Upload an object part", "Quotas
& limits", "Request preconditions", "Transcoding of gzip-compressed files".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from penstock.errors import CredentialsError, StoreError
from penstock.stores.base import Body, Capability, Checksum, MultipartStore, PartInfo, PutResult
from penstock.stores.checksums import checksum_of_parts
from penstock.stores.credentials import CredentialSettings, resolve_credentials, setting
from penstock.stores.google.dialect import from_google
from penstock.stores.google.json_api import AS_STORED, JsonBucket
from penstock.stores.google.resumable import GoogleJsonStore
from penstock.stores.google.signing import BearerSigner, HmacSigner
from penstock.stores.properties import HTTP_EXTRAS
from penstock.stores.s3 import S3Bucket, S3Store
from penstock.stores.s3.errors import S3Operation
from penstock.stores.transport import Origin, Progress, Response, StreamedResponse, ThreadTransport, Transport

if TYPE_CHECKING:
    from penstock.stores.signing import RequestSigner

__all__ = ["CAPABILITY", "ENDPOINT", "GoogleStore", "GoogleTransport", "open_bucket"]

ENDPOINT: Final = "https://storage.googleapis.com"
AMBIENT_TOKEN: Final = "CLOUDSDK_AUTH_ACCESS_TOKEN"  # noqa: S105 - the name of a variable

CAPABILITY = Capability(
    conditional_complete=False,
    checksums=("crc32c", "md5"),
    extras=HTTP_EXTRAS | {"storage_class", "acl", "kms_key_id"},
)


def open_bucket(
    endpoint: str,
    bucket: str,
    settings: CredentialSettings,
    *,
    connections: int = 16,
    capability: Capability | None = None,
    environ: Mapping[str, str],
) -> MultipartStore:
    """Open a bucket; nothing is sent yet.

    Args:
        endpoint: Google's if it is empty; ``json``, or ``json+`` and an origin, for the JSON API.
        bucket: its name.
        settings: an HMAC key as access key id and secret, or a bearer token.
        connections: requests in flight at once.
        capability: what the endpoint can do, where it is not Google's.
        environ: where variables are looked up, those of tokens again for each request.

    Raises:
        ConfigurationError: an argument is malformed, or credentials are missing (``CredentialsError``).
    """
    api, _, origin = endpoint.rpartition("+")
    if "json" in (api, origin):
        place = S3Bucket(origin if api else ENDPOINT, bucket, "path")
        signer = _signer(settings, environ)
        if not isinstance(signer, BearerSigner):
            raise CredentialsError(
                "Google's JSON API takes no HMAC key: set bearer_token_env, or use gs:// without json"
            )
        json_bucket = JsonBucket(place, signer, ThreadTransport(place.origin, connections=connections))
        return GoogleJsonStore(json_bucket, capability)
    place = S3Bucket(endpoint or ENDPOINT, bucket, "path")
    transport = GoogleTransport(ThreadTransport(place.origin, connections=connections))
    return GoogleStore(place, _signer(settings, environ), transport, capability or CAPABILITY)


class GoogleStore(S3Store):
    """See ``MultipartStore``."""

    async def complete_multipart(
        self,
        key: str,
        upload_id: str,
        parts: Sequence[PartInfo],
        *,
        if_absent: bool = False,
        checksum: Checksum | None = None,
    ) -> PutResult:
        """As the protocol says; the checksum is compared with those of the parts, which the store has verified."""
        if checksum is not None:
            joined = checksum_of_parts(checksum.algorithm, parts)
            if joined not in (None, checksum):
                operation = S3Operation("complete_multipart", key, upload_id)
                raise operation.error(StoreError, f"the parts have the checksum {joined}, not {checksum}")
        bare = [replace(part, checksum=None) for part in parts]
        return await super().complete_multipart(key, upload_id, bare, if_absent=if_absent)


class GoogleTransport:
    """A transport whose answers have S3's headers, and objects come as they are stored."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    @property
    def origin(self) -> Origin:
        return self._inner.origin

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = (),
        *,
        progress: Progress | None = None,
    ) -> Response:
        if method == "HEAD":
            headers = {**headers, **AS_STORED}
        response = await self._inner.request(method, target, headers, body, progress=progress)
        return Response(response.status, from_google(response.headers), response.body)

    def stream(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """Of what is streamed only the bytes are looked at."""
        return self._inner.stream(method, target, {**headers, **AS_STORED})

    async def aclose(self) -> None:
        await self._inner.aclose()


def _signer(settings: CredentialSettings, environ: Mapping[str, str]) -> RequestSigner:
    token = partial(setting, settings, "bearer_token", "bearer_token_env", environ)
    hmac_key = any(
        (settings.access_key_id, settings.access_key_id_env, settings.secret_access_key, settings.secret_key_env)
    )
    if token() is not None:
        if hmac_key:
            raise CredentialsError("an HMAC key and a bearer token are given; Google Cloud Storage takes one of them")
        return BearerSigner(lambda: token() or "")
    if hmac_key:
        return HmacSigner(resolve_credentials(settings, environ))
    if settings.ambient_credentials and environ.get(AMBIENT_TOKEN):
        return BearerSigner(lambda: environ.get(AMBIENT_TOKEN, ""))
    raise CredentialsError(
        "no credentials: set access_key_id_env and secret_key_env to the names of environment variables that hold an "
        "HMAC key, or bearer_token_env to one that holds an OAuth token; ambient_credentials: true reads "
        f"{AMBIENT_TOKEN}, and nothing else of Google's"
    )
