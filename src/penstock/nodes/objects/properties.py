"""The parameters that give an object its properties, beside content type and metadata."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from penstock.nodes.base import NodeConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.stores.properties import ObjectProperties

__all__ = ["HeaderValue", "PropertyParameters"]

HEADER: Final = re.compile(r"[!-~]([ -~]*[!-~])?")
MAX_TAGS: Final = 10
MAX_TAG_NAME: Final = 128
MAX_TAG_VALUE: Final = 256


def _fits_header(value: str) -> str:
    if not HEADER.fullmatch(value):
        raise ValueError("must be printable ASCII, not empty and without space at its ends")
    return value


HeaderValue = Annotated[str, AfterValidator(_fits_header)]


class PropertyParameters(NodeConfig):
    """What goes with the object. A property that the store does not keep is an error at the start."""

    cache_control: HeaderValue | None = Field(
        None, description="Cache-Control that the object is served with.", examples=["max-age=3600"]
    )
    content_disposition: HeaderValue | None = Field(
        None, description="Content-Disposition that the object is served with.", examples=["attachment"]
    )
    content_encoding: HeaderValue | None = Field(
        None, description="Content-Encoding of the bytes that come in; they are not encoded here.", examples=["gzip"]
    )
    content_language: HeaderValue | None = Field(None, description="Language of the content.", examples=["de-CH"])
    tags: dict[str, str] = Field(
        default_factory=dict, description="Up to ten labels that rules of the store go by.", examples=[{"keep": "30d"}]
    )
    storage_class: HeaderValue | None = Field(
        None, description="Storage class, by the store's own name.", examples=["STANDARD_IA"]
    )
    acl: HeaderValue | None = Field(None, description="Canned access control list.", examples=["public-read"])
    sse: Literal["AES256", "aws:kms"] | None = Field(
        None, description="Encryption at rest: with a key of the store, or of its key service."
    )
    kms_key_id: HeaderValue | None = Field(None, description="The key of sse: aws:kms, if not the default one.")

    @field_validator("tags")
    @classmethod
    def _fits_limits(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > MAX_TAGS:
            raise ValueError(f"has {len(value)} tags; stores take up to {MAX_TAGS}")
        for name, text in value.items():
            if not 0 < len(name) <= MAX_TAG_NAME or len(text) > MAX_TAG_VALUE:
                raise ValueError(
                    f"has the tag '{name}'; names have 1 to {MAX_TAG_NAME} characters, values up to {MAX_TAG_VALUE}"
                )
        return value

    @field_validator("kms_key_id")
    @classmethod
    def _goes_with_kms(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("sse") != "aws:kms":
            raise ValueError("goes with sse: aws:kms only")
        return value

    def properties(self, content_type: str | None, metadata: Mapping[str, str]) -> ObjectProperties:
        """All properties as the store layer takes them."""
        from penstock.stores.properties import ObjectProperties

        given: dict[str, Any] = {name: getattr(self, name) for name in PropertyParameters.model_fields}
        return ObjectProperties(content_type, metadata, **given)
