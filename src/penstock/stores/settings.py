"""How a store is opened: the settings that go with its place, in one record for all who open one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final

from penstock.errors import ConfigurationError
from penstock.stores.credentials import AMBIENT, CredentialSettings

if TYPE_CHECKING:
    from penstock.stores.base import Capability
    from penstock.stores.s3 import Addressing, StoreKind

__all__ = ["S3_ONLY", "StoreSettings", "refuse_s3_only"]

S3_ONLY: Final = ("addressing", "store", "probe")
"""Settings that mean something to S3 stores alone."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Who we are at a store, and how it is spoken to.

    Attributes:
        region: of an S3 bucket; part of the signature.
        credentials: without them, those of this machine, as for the AWS tools.
        addressing: an S3 bucket in the path or in the host name.
        store: what kind of S3 store it is.
        probe: let ``check`` find out what an S3 store of an unknown kind can do, by writing to it.
        capability: what an S3 store, or one that speaks Google's API, can do, where that is known.
        connections: requests in flight at once.
        environ: where credentials that are named by variable are looked up.
    """

    region: str = "us-east-1"
    credentials: CredentialSettings = AMBIENT
    addressing: Addressing = "auto"
    store: StoreKind = "auto"
    probe: bool = False
    capability: Capability | None = None
    connections: int = 16
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def require_fit(self, kind: str) -> None:
        """See that nothing is asked of a store that it would ignore.

        Raises:
            ConfigurationError: a setting is for S3 stores, and this is none.
        """
        defaults = {one.name: one.default for one in fields(self)}
        given = {name: getattr(self, name) for name in S3_ONLY if getattr(self, name) != defaults[name]}
        if wrong := refuse_s3_only(kind, given):
            raise ConfigurationError(wrong)


def refuse_s3_only(kind: str, given: Mapping[str, object]) -> str | None:
    """Why these settings of ``S3_ONLY`` do not go with a store of this kind, in a line; None if they do."""
    if kind == "s3" or not given:
        return None
    names = " and ".join(f"`{name}: {str(value).lower()}`" for name, value in given.items())
    are, them = ("are", "them") if len(given) > 1 else ("is", "it")
    return f"{names} {are} for S3 stores, and this one is of the kind {kind}: leave {them} out"
