import math

import pytest

from penstock.engine.scalars import resolve_plain


@pytest.mark.parametrize(
    "text",
    ["no", "yes", "on", "off", "y", "n", "12:30:00", "2024-01-31", "1_000", "0b11", "1e", "+", "-", ".", "0o8", "0xg",
     "NULL ", "tRUE", "nan", "inf", "1.2.3", "--1", "+0x1", "٣", "<<", "="],
)  # fmt: skip
def test_what_yaml_1_2_has_no_other_meaning_for_is_text(text):
    assert resolve_plain(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("FALSE", False),
        ("0", 0), ("-7", -7), ("+7", 7), ("007", 7), ("0o14", 12), ("0xfF", 255),
        ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-0.5E-1", -0.05), ("+1.5", 1.5),
        (".inf", math.inf), ("+.INF", math.inf), ("-.Inf", -math.inf),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text, value):
    resolved = resolve_plain(text)
    assert resolved == value
    assert type(resolved) is type(value)


def test_not_a_number_is_a_float():
    assert math.isnan(resolve_plain(".NaN"))
