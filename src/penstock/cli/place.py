"""Which store and key a person means on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import ConfigurationError
from penstock.stores.resolve import parse_url

if TYPE_CHECKING:
    from penstock.stores.resolve import Location

__all__ = ["locate"]


def locate(target: str, endpoint: str | None) -> Location:
    """Read a URL, or a path of this machine; ``endpoint`` is the store of an ``s3://`` URL that is not Amazon's.

    Raises:
        ConfigurationError: it names no store, or ``endpoint`` does not go with it.
    """
    location = parse_url(target if ":" in target.split("/", 1)[0] else Path(target).resolve().as_uri())
    if endpoint is None:
        return location
    if location.kind != "s3" or location.endpoint:
        raise ConfigurationError("--endpoint goes with an s3:// URL")
    return replace(location, endpoint=endpoint)
