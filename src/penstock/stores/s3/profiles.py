"""What each kind of S3 store can do, and how a kind is recognised.

A store is known by the host of its endpoint or by the ``Server`` header of its answers; ``profile`` names one by hand.
What is not known is ``generic``: nothing is relied upon that an S3 store may lack. Every entry that is not Amazon's own
value has its reason beside it; what may differ between versions of a server is given as the older one has it.
References: Amazon S3 User Guide, "Multipart upload limits", "Checking object integrity"; Cloudflare R2, "Limits",
"Multipart objects"; MinIO, "Thresholds and limits"; Ceph, "Ceph Object Gateway S3 API".
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from penstock.stores.base import GIB, TIB, Capability
from penstock.stores.checksums import CHOICES
from penstock.stores.properties import ALL_EXTRAS, HTTP_EXTRAS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PROFILES", "StoreKind", "recognise_host", "recognise_server"]

StoreKind: TypeAlias = Literal["auto", "aws", "minio", "rustfs", "ceph", "r2", "seaweedfs", "generic"]

DAY_S: Final = 86_400.0

PROFILES: Final[Mapping[str, Capability]] = MappingProxyType(
    {
        "aws": Capability(checksums=CHOICES, extras=ALL_EXTRAS),
        "minio": Capability(
            checksums=("crc64nvme", "md5"),  # other checksums of whole objects of parts fail
            upload_expiry_s=DAY_S,  # counted from the opening of the upload, also while parts arrive
            lists_uploads=False,  # only those of one exact key
            extras=ALL_EXTRAS - {"acl"},  # ignored
        ),
        "rustfs": Capability(
            checksums=("md5",),
            upload_expiry_s=DAY_S,
            conditional_complete=False,  # supported in part
            lists_uploads=False,  # early versions take a prefix for a key
            extras=HTTP_EXTRAS | {"tags"},
        ),
        "ceph": Capability(
            checksums=("md5",),  # others are ignored before version 19
            conditional_complete=False,  # the condition is ignored
            extras=ALL_EXTRAS - {"tags"},  # lost, if given when an upload is opened
        ),
        "r2": Capability(
            checksums=("md5",),
            equal_parts=True,
            max_object_bytes=5 * TIB - 5 * GIB,  # 4.995 TiB
            upload_expiry_s=7 * DAY_S,
            extras=HTTP_EXTRAS | {"storage_class"},
        ),
        "seaweedfs": Capability(
            checksums=CHOICES,
            conditional_complete=False,  # honoured, but not when two complete at once
            lists_in_order=False,  # directories come first
            extras=HTTP_EXTRAS | {"tags", "storage_class"},  # encryption wants a key service of its own
        ),
        "generic": Capability(
            checksums=("md5",),  # part of S3 from its beginning: verified or ignored, but never refused
            conditional_put=False,
            conditional_complete=False,
            lists_uploads=False,
            lists_in_order=False,
            extras=HTTP_EXTRAS,
        ),
    }
)

_HOSTS: Final = (
    (re.compile(r"(^|\.)amazonaws\.com(\.cn)?$"), "aws"),
    (re.compile(r"\.r2\.cloudflarestorage\.com$"), "r2"),
)
_SERVERS: Final = (
    (re.compile(r"^AmazonS3$"), "aws"),
    (re.compile(r"^MinIO"), "minio"),
    (re.compile(r"^RustFS", re.IGNORECASE), "rustfs"),
    (re.compile(r"^Ceph "), "ceph"),
    (re.compile(r"^SeaweedFS"), "seaweedfs"),
)


def recognise_host(host: str) -> str | None:
    """The profile of the store behind a host name, if the name tells."""
    return next((profile for pattern, profile in _HOSTS if pattern.search(host)), None)


def recognise_server(header: str) -> str | None:
    """The profile of a store that calls itself so in its ``Server`` header, if it is known."""
    return next((profile for pattern, profile in _SERVERS if pattern.search(header)), None)
