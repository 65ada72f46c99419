"""The parameters of ``core::object_store_writer``."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from penstock.nodes.base import TUNABLE
from penstock.nodes.objects.durability import DurabilityParameters
from penstock.nodes.objects.key_template import KeyTemplate
from penstock.nodes.objects.place import StorePlaceConfig
from penstock.nodes.objects.properties import HeaderValue, PropertyParameters
from penstock.nodes.objects.rotation import RotateConfig
from penstock.nodes.types import ByteSize

__all__ = ["ObjectStoreWriterConfig"]

MIB: Final = 1 << 20
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
VALUE: Final = re.compile(r"[ -~]*")


class WriterParameters(DurabilityParameters, StorePlaceConfig):
    """Where the object goes, who we are there, and how it is cut."""

    key: str | None = Field(
        None,
        description="The object's key; may hold {run_id}, {session_id}, {uuid}, {host}, {seq:05d}, {ext}, "
        "{attributes.NAME}, {start:%Y-%m-%d} and {now:%H%M%S} (UTC). "
        "Write {{ and }} for braces. What becomes of an object of this key is for if_exists.",
        examples=["takes/{start:%Y/%m/%d}/{run_id}.ogg"],
    )
    probe: bool = Field(
        default=False,
        description="Find out at the start what a store of an unknown kind can do, by writing a small object "
        "penstock-probe-… and deleting it.",
    )
    chunk_size: Annotated[ByteSize, Field(ge=5 * MIB, le=5 * 1024 * MIB)] = Field(
        5 * MIB, description="Bytes of a part; the sizes of later parts grow on very long streams, up to memory_limit."
    )
    parts_in_flight: int = Field(
        4, ge=1, le=64, strict=True, description="Parts that are sent at once; beyond it the input waits."
    )
    memory_limit: Annotated[ByteSize, Field(ge=10 * MIB)] = Field(
        64 * MIB,
        description="Bytes held in memory at most, parts in flight included; at least two of chunk_size. It also "
        "bounds the size of a part, and so of the object: 64 MiB allow 536 GiB at Amazon S3.",
    )
    if_exists: Literal["overwrite", "fail", "rename"] = Field(
        "overwrite",
        description="What becomes of an object that has the key already: replace it once the new one is complete; fail "
        "and leave it; or write under the next free name, KEY-1, KEY-2 … with the number before the extension.",
    )
    checksum: Literal["auto", "crc64nvme", "crc32c", "md5", "none"] = Field(
        "auto",
        description="Checksum that goes with the bytes, for the store to refuse what was damaged on the way. auto: the "
        "strongest that the store is known to verify, or none.",
    )
    content_type: HeaderValue | None = Field(
        None, min_length=1, description="Media type of the object; by default that of the first packet."
    )
    metadata: dict[str, str] = Field(
        default_factory=dict, description="User metadata of the object; names in lower case.", examples=[{"take": "1"}]
    )
    passthrough: bool = Field(
        default=False, description="Send every packet on through the pin `out`, which ends once the object is stored."
    )
    rotate: RotateConfig | None = Field(
        None,
        description="Write one object after the other; the key must hold {seq}, {uuid} or a {now} that shows seconds.",
        examples=[{"bytes": "100MiB", "seconds": 3600}],
    )
    on_cancel: Literal["commit", "abort", "keep"] = Field(
        "commit",
        description="After a stop that was asked for: commit what there is, if there is a byte; drop it; or keep it "
        "to be resumed, which needs durability.",
        json_schema_extra=TUNABLE,
    )
    on_error: Literal["abort", "commit", "keep"] | None = Field(
        None,
        description="When the input fails or the run is cut short: drop what there is, the default; keep it for "
        "`penstock recover`, the default with durability; or commit it marked as incomplete: in its metadata "
        "(penstock-incomplete: true), or by an object KEY.incomplete beside it if the upload was under way already or "
        "the store keeps no metadata.",
    )

    @field_validator("memory_limit")
    @classmethod
    def _holds_two_parts(cls, value: int, info: ValidationInfo) -> int:
        chunk_size = info.data.get("chunk_size", 0)
        if value < 2 * chunk_size:
            raise ValueError(
                f"must hold two parts of chunk_size: at least {2 * chunk_size}, or make chunk_size smaller"
            )
        return value

    @field_validator("metadata")
    @classmethod
    def _fits_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"has the name '{name}'; names are of a-z, 0-9, '.', '_' and '-'")
            if name.startswith("penstock-"):
                raise ValueError(f"has the name '{name}'; names that begin with penstock- are kept for the writer")
            if not VALUE.fullmatch(text):
                raise ValueError(f"has characters under '{name}' that are not printable ASCII")
        return value

    @model_validator(mode="after")
    def _keeps_what_is_durable(self) -> Self:
        if self.durability == "none":
            wanted = {
                "on_cancel: keep": self.on_cancel == "keep",
                "on_error: keep": self.on_error == "keep",
                f"on_outage: {self.on_outage}": self.on_outage != "wait",
                "resume": self.resume,
            }
            for name in (name for name, given in wanted.items() if given):
                raise ValueError(f"{name} needs durability: crash or power, so that there is something to go on with")
        if self.spool_limit < self.chunk_size:
            raise ValueError(f"spool_limit must hold one part of chunk_size: at least {self.chunk_size}")
        return self

    @model_validator(mode="after")
    def _names_every_object(self) -> Self:
        if self.rotate is not None and not KeyTemplate.parse(self.location().key).tells_objects_apart:
            raise ValueError(
                "rotate writes one object after the other, but all would have the same key: put {seq:05d}, {uuid} or "
                "{now:%Y%m%dT%H%M%S} into it"
            )
        return self


class ObjectStoreWriterConfig(PropertyParameters, WriterParameters):
    """All parameters of the node; those of its properties come last."""
