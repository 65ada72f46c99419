"""What can be told of a place before it is asked: is the port one, can the bucket have such a name?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_bucket", "check_port"]

AMAZON_HOSTS = (".amazonaws.com", ".amazonaws.com.cn")


def check_port(url: str) -> None:
    """See that a URL has a port that can be, if it has one.

    Raises:
        ValueError: it has not.
    """
    host = urlsplit(url.strip()).netloc.rpartition("@")[2]
    try:
        port = urlsplit(f"//{host}").port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"has the port '{host.rpartition(':')[2]}', which is not one: ports are 1 to 65535")


def check_bucket(endpoint_or_url: str, bucket: str | None, environ: Mapping[str, str] = os.environ) -> None:
    """See that a bucket can have this name in an S3 store; that of a URL where ``bucket`` is None.

    Raises:
        ValueError: it cannot.
    """
    from penstock.stores.buckets import bucket_problem
    from penstock.stores.resolve import parse_endpoint, parse_url

    try:
        location = parse_url(endpoint_or_url) if bucket is None else parse_endpoint(endpoint_or_url, bucket)
    except ConfigurationError:
        return  # said where the URL or the endpoint is looked at
    if location.kind != "s3":
        return
    elsewhere = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    endpoint = location.endpoint or elsewhere
    amazon = not endpoint or (urlsplit(endpoint).hostname or "").endswith(AMAZON_HOSTS)
    problem = bucket_problem(location.bucket, amazon=amazon)
    if problem is not None:
        raise ValueError(problem)
