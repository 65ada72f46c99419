"""Objects as files under a directory of this machine."""

from penstock.stores.local.store import LocalStore

__all__ = ["LocalStore"]
