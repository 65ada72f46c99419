from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.nodes.objects.key_series import KeySeries, before_extension, extension_of

START = datetime(2026, 3, 5, 7, 8, 9, tzinfo=UTC)


class Clock:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def series(template: str, clock=None, **attributes: str) -> KeySeries:
    return KeySeries(template, run_id="run-7", attributes=attributes, started=START, now=clock or Clock())


def test_objects_are_numbered_from_one():
    keys = series("{seq:03d}")
    assert [keys.next(None) for _ in range(3)] == ["001", "002", "003"]


def test_every_object_has_a_uuid_of_its_own():
    keys = series("{uuid}")
    assert keys.next(None) != keys.next(None)


def test_the_extension_is_that_of_each_objects_content_type():
    keys = series("{seq}.{ext}")
    assert [keys.next(kind) for kind in ("audio/ogg", "video/mp4", None)] == ["1.ogg", "2.mp4", "3.bin"]


def test_the_session_is_an_attribute_or_the_run():
    assert series("{session_id}").next(None) == "run-7"
    assert series("{session_id}", session_id="a b").next(None) == "a_b"


def test_objects_of_one_second_are_told_apart():
    clock = Clock()
    keys = series("{now:%H%M%S}.ogg", clock)
    assert [keys.next(None) for _ in range(3)] == ["070809.ogg", "070809-2.ogg", "070809-3.ogg"]
    clock.now += timedelta(seconds=1)
    assert keys.next(None) == "070810.ogg"


def test_an_attribute_that_is_not_there_is_said_before_the_first_object():
    with pytest.raises(ValueError, match=r"no attribute 'tak'; did you mean 'take'\?"):
        series("{attributes.tak}", take="7")


def test_an_attribute_that_makes_the_key_too_long_is_said_before_the_first_object():
    with pytest.raises(ValueError, match="has 1025 bytes"):
        series("{attributes.take}", take="x" * 1025)


@given(value=st.text(), other=st.text(alphabet="./\\{}\0ab", max_size=12))
def test_no_value_escapes_its_prefix(value, other):
    keys = KeySeries(
        "in/{run_id}/{attributes.a}{attributes.b}.{attributes.a}/{session_id}.end",
        run_id=other,
        attributes={"a": value[:80], "b": other, "session_id": value[:80]},
        started=START,
    )
    key = keys.next(None)
    assert key.startswith("in/")
    assert key.endswith(".end")
    assert key.count("/") == 3
    assert not {"", ".", ".."} & set(key.split("/"))
    assert key.isascii()
    assert key.isprintable()


@pytest.mark.parametrize(
    ("content_type", "extension"),
    [
        ("audio/ogg; codecs=opus", "ogg"),
        ("Audio/OGG", "ogg"),
        ("audio/mp4", "m4a"),
        ("image/png", "png"),
        ("application/json", "json"),
        ("application/x-unheard-of", "bin"),
        ("nonsense", "bin"),
        (None, "bin"),
    ],
)
def test_a_content_type_has_an_extension(content_type, extension):
    assert extension_of(content_type) == extension


@pytest.mark.parametrize(
    ("key", "marked"),
    [
        ("take.ogg", "take.part2.ogg"),
        ("a.b/take", "a.b/take.part2"),
        ("a/take.tar.gz", "a/take.tar.part2.gz"),
        ("a/.hidden", "a/.hidden.part2"),
        ("take.", "take.part2."),
    ],
)
def test_a_mark_stands_before_the_extension(key, marked):
    assert before_extension(key, ".part2") == marked
