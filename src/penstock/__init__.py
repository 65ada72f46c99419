"""Carry live media and data into object storage without losing a byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.objects import open_object, open_object_sync

__all__ = ["__version__", "open_object", "open_object_sync"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load what writes objects when it is first asked for: the command line does without it."""
    if name in ("open_object", "open_object_sync"):
        from penstock import objects

        return getattr(objects, name)
    raise AttributeError(f"module 'penstock' has no attribute '{name}'")
