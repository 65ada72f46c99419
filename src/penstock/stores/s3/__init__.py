"""Amazon S3, and what speaks its API: Ceph, MinIO, R2, SeaweedFS, Google's XML API by HMAC keys."""

from penstock.stores.s3.addressing import Addressing, S3Bucket
from penstock.stores.s3.profiles import StoreKind
from penstock.stores.s3.store import S3Store

__all__ = ["Addressing", "S3Bucket", "S3Store", "StoreKind"]
