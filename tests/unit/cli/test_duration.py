import pytest

from penstock.cli.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("45s", 45),
        ("90m", 5400),
        ("24h", 86_400),
        ("7d", 604_800),
        ("1h30m", 5400),
        ("1d2h3m4s", 93_784),
        (" 24H ", 86_400),
    ],
)
def test_a_time_is_the_sum_of_its_units(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "h", "24", "1.5h", "-1h", "30m1h", "1h1h", "24 h", "1w", "1h 30m", "١h", "inf", "9999999999s"]
)
def test_what_is_no_time_is_refused_with_the_way_to_write_one(text):
    with pytest.raises(ValueError, match="as in 90m, 24h, 7d or 1h30m"):
        parse_duration(text)


def test_a_number_without_unit_is_not_guessed():
    with pytest.raises(ValueError, match="for minutes write 90m"):
        parse_duration("90")
