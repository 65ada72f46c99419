"""A client of an S3 server that is not ours: what it sees is there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.testing.seaweedfs import SeaweedFS


@contextmanager
def s3_client(server: SeaweedFS) -> Iterator[Any]:
    """A client of ``server``, closed with the block."""
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    try:
        yield client
    finally:
        client.close()
