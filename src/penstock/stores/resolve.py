"""From what a person writes to a store: URLs and endpoints are parsed first, without I/O, and opened afterwards.

=====================================  ==========================================================
``https://host:port`` and a bucket     an S3 store
``s3://bucket/key``                    Amazon S3, or AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL if set
``file:///dir`` and ``file:rel/dir``   a directory; a bucket, if there is one, is a directory in it
``memory://`` and a bucket             memory of this process, shared under that name
=====================================  ==========================================================
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from penstock.errors import ConfigurationError
from penstock.stores.credentials import CredentialSettings, resolve_credentials

if TYPE_CHECKING:
    from penstock.stores.base import Capability, MultipartStore
    from penstock.stores.s3 import Addressing, StoreKind

__all__ = ["Location", "open_store", "parse_endpoint", "parse_url"]

SUPPORTED = "http://, https://, s3://, file: and memory:// are supported"
PLANNED = {"gs": "Google Cloud Storage", "gcs": "Google Cloud Storage", "az": "Azure Blob", "azure": "Azure Blob"}


@dataclass(frozen=True, slots=True)
class Location:
    """A place for objects, parsed.

    Attributes:
        kind: which store serves it.
        endpoint: the origin of an S3 store, empty for Amazon's; the directory of a local one; empty for memory.
        bucket: bucket, directory in the endpoint (may be empty), or name of the memory.
        key: the object, where the URL named one.
    """

    kind: Literal["s3", "local", "memory"]
    endpoint: str
    bucket: str
    key: str = ""


def parse_endpoint(endpoint: str, bucket: str) -> Location:
    """Read an endpoint and a bucket that are given apart.

    Raises:
        ConfigurationError: the scheme is not supported, or a part is missing or too much.
    """
    scheme, rest = _split(endpoint)
    if scheme in ("http", "https"):
        return Location("s3", endpoint.strip(), _required(bucket, endpoint))
    if scheme == "file":
        return Location("local", _directory(endpoint), bucket)
    if rest.strip("/"):
        raise ConfigurationError(
            f"the endpoint '{endpoint}' names a bucket; give it as `bucket`, or all of it as `url`"
        )
    if scheme == "s3":
        return Location("s3", "", _required(bucket, endpoint))
    return Location("memory", "", _required(bucket, endpoint))


def parse_url(url: str) -> Location:
    """Read a URL that names store, bucket and key at once; the key may hold ``{fields}``, and may be empty.

    The bucket of a ``file:`` URL is the directory before the last slash, or before the first field: what a template
    fills in stays inside it.

    Raises:
        ConfigurationError: the scheme is not supported, or the bucket is missing.
    """
    scheme, rest = _split(url)
    if scheme == "file":
        head, brace, tail = _directory(url).partition("{")
        directory, slash, name = head.rpartition("/")
        return Location("local", directory + slash or ".", "", name + brace + tail)
    if scheme in ("http", "https"):
        host, _, path = rest.removeprefix("//").partition("/")
        bucket, _, key = path.partition("/")
        return Location("s3", f"{scheme}://{host}", _required(bucket, url), unquote(key))
    bucket, _, key = rest.removeprefix("//").partition("/")
    return Location("s3" if scheme == "s3" else "memory", "", _required(bucket, url), key)


def open_store(
    endpoint: str,
    bucket: str,
    *,
    region: str = "us-east-1",
    credentials: CredentialSettings | None = None,
    addressing: Addressing = "auto",
    connections: int = 16,
    capability: Capability | None = None,
    kind: StoreKind = "auto",
    ask: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> MultipartStore:
    """Open the store at an endpoint; the caller closes it. Nothing is sent yet: ``check()`` does that.

    Args:
        endpoint: see the table above.
        bucket: bucket or directory.
        region: of an S3 bucket; part of the signature.
        credentials: for S3; without them, those of this machine, as for the AWS tools.
        addressing: path style or virtual host.
        connections: requests in flight at once.
        capability: what an S3 store can do, where that is known.
        kind: what kind of S3 store it is.
        ask: let ``check`` find out what an S3 store of an unknown kind can do, by writing to it.
        environ: where credentials named by variable are looked up.

    Raises:
        ConfigurationError: an argument is wrong, or credentials are missing (``CredentialsError``).
    """
    return open_location(
        parse_endpoint(endpoint, bucket),
        region=region,
        credentials=credentials,
        addressing=addressing,
        connections=connections,
        capability=capability,
        kind=kind,
        ask=ask,
        environ=environ,
    )


def open_location(
    location: Location,
    *,
    region: str = "us-east-1",
    credentials: CredentialSettings | None = None,
    addressing: Addressing = "auto",
    connections: int = 16,
    capability: Capability | None = None,
    kind: StoreKind = "auto",
    ask: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> MultipartStore:
    """Open the store of a parsed location; see ``open_store``."""
    if location.kind == "local":
        from penstock.stores.local import LocalStore

        return LocalStore(Path(location.endpoint) / location.bucket)
    if location.kind == "memory":
        from penstock.stores.memory import MemoryStore

        return MemoryStore.shared(location.bucket)
    from penstock.stores.s3 import S3Bucket, S3Store
    from penstock.stores.s3.addressing import aws_endpoint
    from penstock.stores.signing import Signer
    from penstock.stores.transport import ThreadTransport

    settings = credentials or CredentialSettings(ambient_credentials=True)
    ambient = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    origin = location.endpoint or ambient or aws_endpoint(region)
    s3_bucket = S3Bucket(origin, location.bucket, addressing)
    signer = Signer(resolve_credentials(settings, environ), region)
    transport = ThreadTransport(s3_bucket.origin, connections=connections)
    return S3Store(s3_bucket, signer, transport, capability, kind=kind, ask=ask)


def _split(url: str) -> tuple[str, str]:
    scheme, colon, rest = url.strip().partition(":")
    scheme = scheme.lower()
    if scheme in ("http", "https", "s3", "memory") and rest.startswith("//"):
        return scheme, rest
    if scheme == "file" and colon:
        return scheme, rest
    if scheme in PLANNED:
        raise ConfigurationError(f"'{url}': {PLANNED[scheme]} is not supported yet; {SUPPORTED}")
    what = "empty" if not url.strip() else f"'{url}', which names no store"
    raise ConfigurationError(f"the endpoint is {what}; {SUPPORTED}")


def _directory(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.netloc not in ("", "localhost"):
        raise ConfigurationError(f"'{url}' names the host '{parts.netloc}'; for a path write file:///path or file:path")
    path = unquote(url.strip()[len("file:") :].removeprefix(f"//{parts.netloc}") if parts.netloc else parts.path)
    if not path or "\0" in path:
        raise ConfigurationError(f"'{url}' names no directory; write file:///path or file:path")
    return path


def _required(bucket: str, url: str) -> str:
    if not bucket:
        raise ConfigurationError(f"'{url}' comes without a bucket: name the bucket to write to")
    return bucket
