"""From what a person writes to a store: URLs and endpoints are parsed first, without I/O, and opened afterwards.

=====================================  ==========================================================
``https://host:port`` and a bucket     an S3 store
``s3://bucket/key``                    Amazon S3, or AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL if set
``gs://bucket/key``                    Google Cloud Storage, also as ``https://storage.googleapis.com``
``az://account/container/key``         Azure Blob Storage, also as ``https://account.blob.core.windows.net``
``gs+http://host:port``                an emulator, proxy or private endpoint of Google's API; ``gs+https://`` too
``gs+json://bucket/key``               Google's JSON API and its resumable uploads; ``gs+json+http://host:port`` too
``az+http://host:port/account``        the same of Azure's; the account stands first in the path
``opendal+service:///root?option=…``   a service of Apache OpenDAL; ``option_env`` names a variable that holds it
``file:///dir`` and ``file:rel/dir``   a directory; a bucket, if there is one, is a directory in it
``memory://`` and a bucket             memory of this process, shared under that name
=====================================  ==========================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from penstock.errors import ConfigurationError, MissingDependency
from penstock.stores.azure.account import AZURE_HOST, account_endpoint, open_container
from penstock.stores.credentials import resolve_credentials
from penstock.stores.settings import StoreSettings

if TYPE_CHECKING:
    from penstock.stores.base import MultipartStore

__all__ = ["Location", "open_location", "open_store", "parse_endpoint", "parse_url"]

SUPPORTED = "http://, https://, s3://, gs://, az://, file:, memory:// and opendal+SERVICE:// are supported"
MISNAMED = {"gcs": "gs", "azure": "az", "azblob": "az", "abfs": "az", "abfss": "az", "wasb": "az", "wasbs": "az"}
GOOGLE_HOST = "storage.googleapis.com"


_SLASHED = re.compile(r"https?|s3|memory|(gs(\+json)?|az)(\+https?)?|opendal\+[a-z0-9_-]+")

Kind: TypeAlias = Literal["s3", "gcs", "azure", "local", "memory", "opendal"]

JSON = "gs+json"
_KINDS: Mapping[str, Kind] = {"s3": "s3", "gs": "gcs", JSON: "gcs", "memory": "memory"}


@dataclass(frozen=True, slots=True)
class Location:
    """A place for objects, parsed.

    Attributes:
        kind: which store serves it.
        endpoint: the origin of an S3 store, empty for Amazon's and for Google's own; the account's URL of an Azure one;
            the directory of a local one; service and options of an OpenDAL one; empty for memory.
        bucket: bucket, container, directory in the endpoint (may be empty), or name of the memory.
        key: the object, where the URL named one.
    """

    kind: Kind
    endpoint: str
    bucket: str
    key: str = ""


def parse_endpoint(endpoint: str, bucket: str) -> Location:
    """Read an endpoint and a bucket that are given apart.

    Raises:
        ConfigurationError: the scheme is not supported, or a part is missing or too much.
    """
    scheme, rest = _split(endpoint)
    if scheme == "file":
        return Location("local", _directory(endpoint), bucket)
    if scheme.startswith("opendal+"):
        service, path, options = _opendal(scheme, rest)
        return Location("opendal", f"{service}?{options}", "/".join(filter(None, (path.strip("/"), bucket.strip("/")))))
    bucket = _required(bucket, endpoint)
    if scheme in ("http", "https"):
        kind = _kind_of_host(rest)
        return Location(kind, "" if kind == "gcs" else endpoint.strip(), bucket)
    if scheme != JSON and scheme.startswith(("az+", "gs+")):
        kind = "azure" if scheme.startswith("az") else "gcs"
        return Location(kind, f"{scheme[3:]}:{rest}".rstrip("/"), bucket)
    if scheme == "az":
        return Location("azure", account_endpoint(rest.strip("/")), bucket)
    if rest.strip("/"):
        raise ConfigurationError(
            f"the endpoint '{endpoint}' names a bucket; give it as `bucket`, or all of it as `url`"
        )
    return Location(_KINDS[scheme], "json" if scheme == JSON else "", bucket)


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
    if scheme.startswith("opendal+"):
        service, path, options = _opendal(scheme, rest)
        return Location("opendal", f"{service}?{options}", "", path.removeprefix("/"))
    host, _, path = rest.removeprefix("//").partition("/")
    if scheme in ("http", "https"):
        bucket, _, key = path.partition("/")
        kind = _kind_of_host(host)
        origin = "" if kind == "gcs" else f"{scheme}://{host}"
        return Location(kind, origin, _required(bucket, url), unquote(key))
    if scheme.startswith("az"):
        if scheme != "az":
            account, _, path = path.partition("/")
            host = f"{scheme[3:]}://{host}/{account}"
        bucket, _, key = path.partition("/")
        return Location("azure", account_endpoint(host) if scheme == "az" else host, _required(bucket, url), key)
    if scheme != JSON and scheme.startswith("gs+"):
        bucket, _, key = path.partition("/")
        return Location("gcs", f"{scheme[3:]}://{host}", _required(bucket, url), key)
    return Location(_KINDS[scheme], "json" if scheme == JSON else "", _required(host, url), path)


def open_store(endpoint: str, bucket: str, settings: StoreSettings | None = None, **changes: Any) -> MultipartStore:
    """Open the store at an endpoint; the caller closes it. Nothing is sent yet: ``check()`` does that.

    Args:
        endpoint: see the table above.
        bucket: bucket or directory.
        settings: how.
        changes: fields of ``settings`` by name, which count instead.

    Raises:
        ConfigurationError: an argument is wrong, or credentials are missing (``CredentialsError``).
        MissingDependency: the store needs a library that is not installed.
    """
    return open_location(parse_endpoint(endpoint, bucket), settings, **changes)


def open_location(location: Location, settings: StoreSettings | None = None, **changes: Any) -> MultipartStore:
    """Open the store of a parsed location; see ``open_store``."""
    settings = replace(settings or StoreSettings(), **changes)
    settings.require_fit(location.kind)
    return _OPENERS[location.kind](location, settings)


def _open_local(location: Location, _: StoreSettings) -> MultipartStore:
    from penstock.stores.local import LocalStore

    return LocalStore(Path(location.endpoint) / location.bucket)


def _open_memory(location: Location, _: StoreSettings) -> MultipartStore:
    from penstock.stores.memory import MemoryStore

    return MemoryStore.shared(location.bucket)


def _open_azure(location: Location, settings: StoreSettings) -> MultipartStore:
    container = open_container(location.endpoint, location.bucket, settings.credentials, settings.environ)
    try:
        from penstock.stores.azure.store import AzureStore
    except ImportError as error:
        raise MissingDependency("Azure Blob Storage needs a library: pip install 'penstock[azure]'") from error
    return AzureStore(container)


def _open_opendal(location: Location, settings: StoreSettings) -> MultipartStore:
    try:
        from penstock.stores.opendal import OpenDALStore
    except ImportError as error:
        raise MissingDependency("opendal+… needs a library: pip install 'penstock[opendal]'") from error
    service, _, options = location.endpoint.partition("?")
    return OpenDALStore.from_options(service, options, location.bucket, settings.environ)


def _open_google(location: Location, settings: StoreSettings) -> MultipartStore:
    from penstock.stores.google import open_bucket

    return open_bucket(
        location.endpoint,
        location.bucket,
        settings.credentials,
        connections=settings.connections,
        capability=settings.capability,
        environ=settings.environ,
    )


def _open_s3(location: Location, settings: StoreSettings) -> MultipartStore:
    from penstock.stores.s3 import S3Bucket, S3Store
    from penstock.stores.s3.addressing import aws_endpoint
    from penstock.stores.signing import Signer
    from penstock.stores.transport import ThreadTransport

    ambient = settings.environ.get("AWS_ENDPOINT_URL_S3") or settings.environ.get("AWS_ENDPOINT_URL")
    origin = location.endpoint or ambient or aws_endpoint(settings.region)
    bucket = S3Bucket(origin, location.bucket, settings.addressing)
    signer = Signer(resolve_credentials(settings.credentials, settings.environ), settings.region)
    transport = ThreadTransport(bucket.origin, connections=settings.connections)
    return S3Store(bucket, signer, transport, settings.capability, kind=settings.store, ask=settings.probe)


_OPENERS: Mapping[Kind, Callable[[Location, StoreSettings], MultipartStore]] = {
    "s3": _open_s3,
    "gcs": _open_google,
    "azure": _open_azure,
    "local": _open_local,
    "memory": _open_memory,
    "opendal": _open_opendal,
}


def _split(url: str) -> tuple[str, str]:
    scheme, colon, rest = url.strip().partition(":")
    scheme = scheme.lower()
    if _SLASHED.fullmatch(scheme) and rest.startswith("//"):
        return scheme, rest
    if scheme == "file" and colon:
        return scheme, rest
    if scheme in MISNAMED:
        raise ConfigurationError(f"'{url}': write {MISNAMED[scheme]}:// instead of {scheme}://; {SUPPORTED}")
    what = "empty" if not url.strip() else f"'{url}', which names no store"
    raise ConfigurationError(f"the endpoint is {what}; {SUPPORTED}")


def _kind_of_host(host: str) -> Kind:
    host = host.strip("/").lower()
    if AZURE_HOST.fullmatch(host):
        return "azure"
    return "gcs" if host == GOOGLE_HOST else "s3"


def _opendal(scheme: str, rest: str) -> tuple[str, str, str]:
    """Service, path and options; a host has no place in such a URL."""
    path, _, options = rest.removeprefix("//").partition("?")
    service = scheme.removeprefix("opendal+")
    if path and not path.startswith("/"):
        raise ConfigurationError(f"'{scheme}:{rest}' names a host; write {scheme}:///PATH?endpoint=…")
    return service, unquote(path), options


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
