"""Which secret of a run goes into which header of a script's requests."""

from __future__ import annotations

from pydantic import Field, field_validator

from penstock.nodes.base import NodeConfig
from penstock.nodes.http.allowed import FRAMING, HEADER_NAME, HEADER_VALUE

__all__ = ["HeaderMapping"]


class HeaderMapping(NodeConfig):
    """A secret, and the header it goes into."""

    secret: str = Field(min_length=1, max_length=200, description="Its name; never its value.")
    header: str = Field(max_length=200, description="The header, such as `Authorization`.")
    template: str = Field("{}", max_length=1000, description="The header's value, with `{}` for the secret.")

    @field_validator("header")
    @classmethod
    def _is_header(cls, header: str) -> str:
        if not HEADER_NAME.fullmatch(header):
            raise ValueError("a header has letters, digits and hyphens, such as X-Api-Key")
        if header.lower() in FRAMING:
            raise ValueError("it says how the message is sent; give a header such as X-Api-Key")
        return header

    @field_validator("template")
    @classmethod
    def _holds_secret(cls, template: str) -> str:
        if "{}" not in template or not HEADER_VALUE.fullmatch(template):
            raise ValueError("a template has {} where the secret goes, as in 'Bearer {}', and is one line")
        return template
