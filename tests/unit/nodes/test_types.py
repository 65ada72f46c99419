import re
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, ValidationError

from penstock.nodes.types import ByteSize, parse_byte_size, show_byte_size


class Model(BaseModel):
    size: ByteSize = Field(10, ge=10)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (10, 10),
        ("10", 10),
        ("10B", 10),
        ("1k", 1000),
        ("1 kB", 1000),
        ("64KiB", 65536),
        ("5MiB", 5242880),
        (" 5 MB ", 5_000_000),
        ("1.5GiB", 1610612736),
        ("2T", 2 * 10**12),
    ],
)
def test_a_size_is_a_number_or_text_with_a_unit(given, size):
    assert Model(size=given).size == size


@pytest.mark.parametrize("given", ["", "MiB", "5 apples", "-5", "1e6", "5MiBs", "10.5", "0.1k1", True, "9" * 400])
def test_what_is_no_size_is_refused(given):
    with pytest.raises(ValidationError, match="must be a size in bytes, such as 5242880 or 5MiB"):
        Model(size=given)


@pytest.mark.parametrize(("given", "fits"), [(9, False), ("9B", False), (10, True), ("0.011k", True)])
def test_limits_hold_for_numbers_and_texts(given, fits):
    if fits:
        assert Model(size=given).size >= 10
    else:
        with pytest.raises(ValidationError, match="greater than or equal to 10"):
            Model(size=given)


@pytest.mark.parametrize("given", [None, 10.5, [10]])
def test_other_types_are_refused(given):
    with pytest.raises(ValidationError):
        Model(size=given)


def test_its_schema_offers_both_ways_and_keeps_the_limit():
    number, text = Model.model_json_schema()["properties"]["size"]["anyOf"]
    assert number == {"type": "integer", "minimum": 10}
    assert text["type"] == "string"
    assert re.fullmatch(text["pattern"], "5MiB")


def test_the_limits_of_a_field_are_in_its_schema_under_the_names_of_json_schema():
    class Bounded(BaseModel):
        size: Annotated[ByteSize, Field(ge=10, le=20)] = 15

    number, _ = Bounded.model_json_schema()["properties"]["size"]["anyOf"]
    assert number == {"type": "integer", "minimum": 10, "maximum": 20}


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0"), (1000, "1000"), (1023, "1023"), (1024, "1 KiB"), (5 << 20, "5 MiB"), (1 << 40, "1 TiB"), (1025, "1025")],
)
def test_a_size_is_shown_exactly_and_can_be_read_again(size, shown):
    assert show_byte_size(size) == shown
    assert parse_byte_size(shown) == size
