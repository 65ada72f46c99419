"""Where a bucket is, and how keys and queries are written into a request target.

Path style (``https://host/bucket/key``) works everywhere but at Amazon, which wants virtual hosts
(``https://bucket.host/key``) for new buckets. Targets are written as they are signed: nothing between here and the
store may normalise them, so ``.``, ``..`` and empty segments reach it as they are.
Reference: Amazon S3 User Guide, "Virtual hosting of general purpose buckets"; RFC 3986 §2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, TypeAlias
from urllib.parse import quote

from penstock.errors import ConfigurationError
from penstock.stores.s3.profiles import recognise_host
from penstock.stores.transport import Origin, parse_origin

__all__ = ["Addressing", "S3Bucket", "aws_endpoint", "quote_key", "quote_query"]

Addressing: TypeAlias = Literal["auto", "path", "virtual"]

_HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{1,61})[a-z0-9]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REGION = re.compile(r"[A-Za-z0-9-]+")
MAX_KEY_BYTES = 1024


def aws_endpoint(region: str) -> str:
    """Amazon's own endpoint in a region."""
    if not _REGION.fullmatch(region):
        raise ConfigurationError(f"'{region}' is not a region: letters, digits and '-' only, such as us-east-1")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://s3.{region}.{suffix}"


class S3Bucket:
    """A bucket at an endpoint.

    Args:
        endpoint: ``http(s)://host[:port]``.
        bucket: its name.
        addressing: ``path``, ``virtual``, or ``auto``: virtual at Amazon if the name fits a host name, else path.

    Raises:
        ConfigurationError: endpoint or bucket is malformed.
    """

    def __init__(self, endpoint: str, bucket: str, addressing: Addressing = "auto") -> None:
        origin = parse_origin(endpoint)
        if not bucket:
            raise ConfigurationError("the bucket is empty: name the bucket to write to")
        if not _BUCKET.fullmatch(bucket):
            raise ConfigurationError(f"'{bucket}' is not a bucket name: letters, digits, '.', '-' and '_' only")
        fits_host = _HOST_LABEL.fullmatch(bucket) is not None  # a dot would not match Amazon's certificate
        if addressing == "virtual" and not fits_host:
            raise ConfigurationError(f"the bucket '{bucket}' does not fit a host name; use addressing: path")
        virtual = addressing == "virtual" or (
            addressing == "auto" and fits_host and recognise_host(origin.host) == "aws"
        )
        self.endpoint = origin
        self.name = bucket
        self.virtual = virtual

    @property
    def origin(self) -> Origin:
        """Where requests on the bucket go."""
        endpoint = self.endpoint
        return Origin(endpoint.scheme, f"{self.name}.{endpoint.host}", endpoint.port) if self.virtual else endpoint

    @property
    def url(self) -> str:
        """For people: the endpoint and the bucket."""
        return f"{self.endpoint}/{self.name}"

    def target(self, key: str = "", query: Iterable[tuple[str, str]] = ()) -> str:
        """The request target of an object, or of the bucket itself; ``query`` need not be sorted."""
        path = f"/{quote_key(key)}" if self.virtual else f"/{self.name}/{quote_key(key)}".removesuffix("/" * (not key))
        encoded = quote_query(query)
        return f"{path}?{encoded}" if encoded else path

    def __repr__(self) -> str:
        return f"<S3Bucket {self.url} {'virtual' if self.virtual else 'path'}>"


def quote_key(key: str) -> str:
    """Percent-encode all of a key but RFC 3986's unreserved characters and ``/``."""
    return quote(key, safe="/~")


def quote_query(query: Iterable[tuple[str, str]]) -> str:
    """Percent-encode a query and sort it, as the canonical request has it; ``("uploads", "")`` becomes ``uploads=``."""
    return "&".join(sorted(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query))
