"""Types of parameters that several kinds share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError

__all__ = ["NODE_FORMAT", "SIZE_FORMAT", "ByteSize", "Table", "TunedNode", "parse_byte_size", "show_byte_size"]

SIZE_FORMAT: Final = "byte-size"
"""The ``format`` by which a size is known in a JSON Schema."""

NODE_FORMAT: Final = "tuned-node"
"""The ``format`` by which the name of a node that is tuned is known in a JSON Schema."""

SIZE: Final = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*((?:[kKMGT]i?)?)[bB]?\s*")
DECIMAL: Final = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY: Final = {"ki": 1 << 10, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
FACTORS: Final = {"": 1, **DECIMAL, **BINARY}


def parse_byte_size(value: Any) -> Any:
    """Turn ``5MiB``, ``1.5 GB`` or ``64k`` into bytes; other types than strings are left for the next validator.

    Units with an ``i`` are powers of 1024, those without powers of 1000, as in ISO/IEC 80000-13.

    Raises:
        PydanticCustomError: the text is no size, or not a whole number of bytes.
    """
    if isinstance(value, bool):
        raise _no_size()
    if not isinstance(value, str):
        return value
    match = SIZE.fullmatch(value)
    if match is None:
        raise _no_size()
    size = Decimal(match[1]) * FACTORS[match[2]]
    if size != int(size):
        raise _no_size()
    return int(size)


def _no_size() -> PydanticCustomError:
    return PydanticCustomError("byte_size", "must be a size in bytes, such as 5242880 or 5MiB")


def show_byte_size(size: int) -> str:
    """The shortest text that ``parse_byte_size`` turns into exactly this number."""
    for unit, factor in reversed(BINARY.items()):
        if unit != "ki" and size and size % factor == 0:
            return f"{size // factor} {unit}B"
    return str(size)


class _OrText:
    """In the JSON schema, a size is also a string with a unit."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number = handler(schema)
        for bound, keyword in (("ge", "minimum"), ("le", "maximum")):  # pydantic's own names, of no use to a reader
            if bound in number:
                number[keyword] = number.pop(bound)
        return {"anyOf": [number, {"type": "string", "pattern": f"^{SIZE.pattern}$"}], "format": SIZE_FORMAT}


ByteSize = Annotated[int, _OrText(), BeforeValidator(parse_byte_size)]
"""A number of bytes, given as an integer or as text with a unit."""


TunedNode = Annotated[str, Field(min_length=1, json_schema_extra={"format": NODE_FORMAT})]
"""The name of another node of the pipeline, whose parameters are set; a pipeline without that node is in error."""


@dataclass(frozen=True, slots=True)
class Table:
    """What there is to know of a kind beside its parameters.

    Attributes:
        title: of the table.
        note: what the cells mean, in a sentence or two.
        columns, rows: words for people; the first cell of a row names it.
        records: the same for programs, one for each row.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    records: tuple[dict[str, Any], ...] = ()
