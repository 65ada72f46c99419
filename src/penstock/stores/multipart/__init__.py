"""Streams of unknown length into one object: part plan, state and writer of a multipart upload."""

from penstock.stores.multipart.records import UploadOptions, UploadResult
from penstock.stores.multipart.session import open_upload
from penstock.stores.multipart.writer import UploadWriter

__all__ = ["UploadOptions", "UploadResult", "UploadWriter", "open_upload"]
