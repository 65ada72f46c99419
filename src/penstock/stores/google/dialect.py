"""S3's headers in Google's words, and back. Nothing here does I/O.

References: Cloud Storage XML API, "HTTP headers and query string parameters"; "Fully migrate from Amazon S3".
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.errors import Unsupported

__all__ = ["from_google", "to_google"]

_RENAMED = {
    "x-amz-acl": "x-goog-acl",
    "x-amz-storage-class": "x-goog-storage-class",
    "x-amz-server-side-encryption-aws-kms-key-id": "x-goog-encryption-kms-key-name",
}
_NEEDLESS = {"x-amz-checksum-mode", "x-amz-checksum-algorithm", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-type"}
_META = ("x-amz-meta-", "x-goog-meta-")


def to_google(method: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request to S3 as Google takes them.

    Raises:
        Unsupported: Google has nothing like one of them.
    """
    return dict(_translated(method, name.lower(), value) for name, value in headers.items() if name not in _NEEDLESS)


def from_google(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an answer as S3 would have sent them: metadata, generation, CRC32C, the size as it is stored."""
    said = dict(headers)
    for name, value in headers.items():
        if name.startswith(_META[1]):
            said[_META[0] + name.removeprefix(_META[1])] = said.pop(name)
        elif name == "x-goog-generation":
            said["x-amz-version-id"] = value
        elif name == "x-goog-storage-class":
            said["x-amz-storage-class"] = value
        elif name == "x-goog-stored-content-length":
            said["content-length"] = value
        elif name == "x-goog-hash":
            digests = dict(piece.strip().split("=", 1) for piece in value.split(",") if "=" in piece)
            if "crc32c" in digests:
                said["x-amz-checksum-crc32c"] = digests["crc32c"]
    return said


def _translated(method: str, name: str, value: str) -> tuple[str, str]:
    if name.startswith(_META[0]):
        return _META[1] + name.removeprefix(_META[0]), value
    if name == "if-none-match" and method == "PUT":
        return "x-goog-if-generation-match", "0"  # generation 0 is that of an object that is not there
    if name == "x-amz-checksum-crc32c":
        return "x-goog-hash", f"crc32c={value}"
    if name in _RENAMED:
        return _RENAMED[name], value
    if name.startswith("x-amz-"):
        raise Unsupported(f"Google Cloud Storage has nothing like the header '{name}'", operation=method)
    return name, value
