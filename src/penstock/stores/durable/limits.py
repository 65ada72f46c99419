"""How much of the disk a spool takes, and how often it waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["SpoolLimits"]

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How much of the disk, and how often it is waited for.

    Attributes:
        spool_bytes: bytes that the store has not acknowledged, at most.
        retain_bytes: size up to which an object's acknowledged bytes are kept too, in case the store loses the upload.
        spare_slots: empty slots that are kept for parts to come.
        sync_interval_s: least time between the beginnings of two syncs.
    """

    spool_bytes: int = 8192 * MIB
    retain_bytes: int = 64 * MIB
    spare_slots: int = 5
    sync_interval_s: float = 0.05
