"""Names of buckets, as far as they can be told right from wrong without asking.

Reference: Amazon S3 User Guide, "General purpose bucket naming rules".
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address
from typing import Final

__all__ = ["bucket_problem"]

ANY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
AMAZON: Final = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]")
AMAZON_LENGTHS: Final = (3, 63)


def bucket_problem(name: str, *, amazon: bool) -> str | None:
    """What is wrong with the name of a bucket of an S3 store, in words; other stores than Amazon's take more."""
    if not ANY.fullmatch(name):
        return f"'{name}' is not a bucket name: letters, digits, '.', '-' and '_' only, a letter or digit first"
    if not amazon:
        return None
    least, most = AMAZON_LENGTHS
    if not least <= len(name) <= most:
        return f"'{name}' is not a bucket name of Amazon S3: they have {least} to {most} characters"
    if not AMAZON.fullmatch(name):
        return (
            f"'{name}' is not a bucket name of Amazon S3: small letters, digits, '.' and '-' only, "
            "a letter or digit at both ends"
        )
    if ".." in name or _is_address(name):
        return f"'{name}' is not a bucket name of Amazon S3: no two dots in a row, and no IP address"
    return None


def _is_address(name: str) -> bool:
    try:
        IPv4Address(name)
    except AddressValueError:
        return False
    return True
