"""The parameters that say what an upload survives, and what becomes of it then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from penstock.nodes.base import NodeConfig
from penstock.nodes.types import ByteSize

if TYPE_CHECKING:
    from penstock.stores.durable import SpoolLimits, StateDirectory

__all__ = ["DurabilityParameters"]

MIB: Final = 1 << 20


class DurabilityParameters(NodeConfig):
    """What accepted bytes survive."""

    durability: Literal["none", "crash", "power"] = Field(
        "none",
        description="What accepted bytes survive. none: nothing, they are in memory. crash: the end of the process, "
        "kill -9 included, as they are in the state directory. power: that of the machine, as the disk has them.",
    )
    state: Path | None = Field(
        None,
        description="The state directory; by default PENSTOCK_STATE, or penstock in the user's directory for state.",
    )
    resume: bool = Field(
        default=False,
        description="Go on with an upload to the same place that was interrupted, at the byte that the event "
        "object.resumed names; begin anew if there is none. Needs durability.",
    )
    on_crash: Literal["commit", "keep", "abort"] = Field(
        "commit",
        description="What `penstock recover` makes of an input that never ended: an object, marked as incomplete like "
        "that of on_error; nothing yet, until it is resumed; or nothing at all.",
    )
    on_outage: Literal["wait", "drop_oldest", "fail"] = Field(
        "wait",
        description="When the store is away or refuses, and the upload is durable: take the input into the spool and "
        "try again; when the spool is full, let the input wait, or drop the oldest parts in it but the first, counted "
        "to the byte and the object marked as incomplete; or fail at once and keep what there is.",
    )
    spool_limit: Annotated[ByteSize, Field(ge=5 * MIB)] = Field(
        8192 * MIB, description="Bytes in the state directory that the store has not taken; beyond it the input waits."
    )
    spool_retain: Annotated[ByteSize, Field(ge=0)] = Field(
        64 * MIB,
        description="Size up to which all of an object stays in the state directory until it is committed, in case the "
        "store loses its upload.",
    )
    sync_interval_s: float = Field(
        0.05,
        ge=0,
        le=60,
        description="Seconds between two waits for the disk with durability: power, where several streams share them.",
    )

    def state_directory(self) -> StateDirectory:
        """Where uploads are kept."""
        from penstock.stores.durable import StateDirectory

        return StateDirectory(self.state)

    def spool_limits(self, parts_in_flight: int) -> SpoolLimits:
        """The limits as the store layer takes them."""
        from penstock.stores.durable import SpoolLimits

        return SpoolLimits(self.spool_limit, self.spool_retain, parts_in_flight + 1, self.sync_interval_s)
