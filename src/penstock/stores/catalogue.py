"""What each kind of store can do, in one table, without opening a store or loading the library behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.stores.base import Capability

__all__ = ["KnownStore", "known_stores"]


@dataclass(frozen=True, slots=True)
class KnownStore:
    """A kind of store.

    Attributes:
        title: what it is, for people.
        capability: what it can do.
        varies: the fields of ``capability`` that depend on the place, and are known once it is opened; here they have
            the value of a place that can least.
    """

    title: str
    capability: Capability
    varies: frozenset[str] = frozenset()


S3_TITLES = {
    "aws": "Amazon S3",
    "minio": "MinIO",
    "rustfs": "RustFS",
    "ceph": "Ceph RGW",
    "r2": "Cloudflare R2",
    "seaweedfs": "SeaweedFS",
    "generic": "an S3 store that is not recognised",
}


def known_stores() -> Mapping[str, KnownStore]:
    """Every kind of store: those of S3 by their profiles, then the others by the schemes of their URLs."""
    from penstock.stores.azure.limits import CAPABILITY as AZURE
    from penstock.stores.google import CAPABILITY as GOOGLE
    from penstock.stores.google.resumable import CAPABILITY as GOOGLE_JSON
    from penstock.stores.local.limits import CAPABILITY as LOCAL
    from penstock.stores.local.limits import VARIES as OF_FILE_SYSTEM
    from penstock.stores.memory import MemoryStore
    from penstock.stores.s3.profiles import PROFILES
    from penstock.stores.single_put import CAPABILITY as SINGLE_PUT
    from penstock.stores.single_put import VARIES as OF_SERVICE

    return {
        **{name: KnownStore(S3_TITLES.get(name, name), capability) for name, capability in PROFILES.items()},
        "gs": KnownStore("Google Cloud Storage", GOOGLE),
        "gs+json": KnownStore("Google Cloud Storage, JSON API", GOOGLE_JSON),
        "az": KnownStore("Azure Blob Storage", AZURE),
        "file": KnownStore("a directory", LOCAL, OF_FILE_SYSTEM),
        "memory": KnownStore("memory of the process", MemoryStore().capability),
        "opendal": KnownStore("a service of OpenDAL", SINGLE_PUT, OF_SERVICE),
    }
