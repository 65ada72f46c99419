"""Google Cloud Storage by its XML API: the S3 store with other header names and another signature."""

from penstock.stores.google.store import CAPABILITY, ENDPOINT, open_bucket

__all__ = ["CAPABILITY", "ENDPOINT", "open_bucket"]
