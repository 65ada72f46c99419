"""Keys and the paths they stand for: one to one, and never outside the root."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PRIVATE", "InvalidKey", "key_path", "validate_key"]

PRIVATE = ".penstock"
"""The directory in the root that holds what is not finished; no key reaches into it."""

MAX_SEGMENT_BYTES = 255
MAX_KEY_BYTES = 1024


class InvalidKey(ValueError):
    """A key that no path can stand for; the message goes on after the key."""


def key_path(root: Path, key: str) -> Path:
    """The file of an object.

    Raises:
        InvalidKey: the key would leave the root, or name a directory, or is not a file name; says why.
    """
    validate_key(key)
    return root / key


def validate_key(key: str) -> None:
    """See that ``key`` is made of file names joined by single slashes.

    Raises:
        InvalidKey: it is not.
    """
    if not key:
        raise InvalidKey("is empty")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidKey("is not valid Unicode") from error
    if size > MAX_KEY_BYTES:
        raise InvalidKey(f"has {size} bytes; a key has at most {MAX_KEY_BYTES}")
    if "\0" in key:
        raise InvalidKey("holds a NUL character, which no file name can")
    segments = key.split("/")
    if segments[0] == PRIVATE:
        raise InvalidKey(f"reaches into '{PRIVATE}', where unfinished objects are kept")
    for segment in segments:
        if segment in ("", ".", ".."):
            what = f"'{segment}'" if segment else "an empty name (a slash at an end, or two in a row)"
            raise InvalidKey(
                f"has {what} in its path; as a file it could not be told from another key, or would leave the root"
            )
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise InvalidKey(f"has a name of more than {MAX_SEGMENT_BYTES} bytes in its path")
