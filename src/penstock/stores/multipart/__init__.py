"""Streams of unknown length into one object: part plan, state and writer of a multipart upload."""

from penstock.stores.multipart.records import UploadOptions, UploadResult
from penstock.stores.multipart.writer import UploadWriter, open_upload

__all__ = ["UploadOptions", "UploadResult", "UploadWriter", "open_upload"]
