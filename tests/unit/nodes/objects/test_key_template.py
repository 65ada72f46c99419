from datetime import UTC, datetime, timedelta, timezone

import pytest

from penstock.nodes.objects.key_template import KeyTemplate, check_key

START = datetime(2026, 3, 5, 7, 8, 9, tzinfo=UTC)


def render(text: str, **values) -> str:
    known = {"run_id": "run-7", "uuid": "0" * 32, "host": "studio", "start": START, "now": START + timedelta(hours=1)}
    return KeyTemplate.parse(text).render(**{**known, **values})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("takes/1.ogg", "takes/1.ogg"),
        ("{run_id}.ogg", "run-7.ogg"),
        ("{host}/{uuid}", f"studio/{'0' * 32}"),
        ("{start:%Y/%m/%d}/{now:%H%M%S}.ogg", "2026/03/05/080809.ogg"),
        ("{start}", "20260305T070809Z"),
        ("{{literal}}", "{literal}"),
        ("ü/日本.ogg", "ü/日本.ogg"),
    ],
)
def test_fields_are_filled_in(text, key):
    assert render(text) == key


def test_times_are_utc():
    there = START.astimezone(timezone(timedelta(hours=9)))
    assert render("{start:%H}", start=there) == "07"


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("../../etc", "_.._etc"),
        ("..", "_"),
        (".", "_"),
        ("", "_"),
        ("a/b\\c", "a_b_c"),
        ("a\0b\n", "a_b_"),
        ("{uuid}", "_uuid_"),
        ("größe", "gr__e"),
    ],
)
def test_values_cannot_leave_their_place(value, safe):
    assert render("in/{host}/out", host=value) == f"in/{safe}/out"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{seq:05d}", r"has the unknown field \{seq\}; known are \{host\}, \{now\}, \{run_id\}, \{start\}, \{uuid\}"),
        ("{}", "unknown field"),
        ("{0}", "unknown field"),
        ("{run_id.__class__}", "unknown field"),
        ("{host[0]}", "unknown field"),
        ("{host!r}", "a format"),
        ("{host:>10}", "a format"),
        ("{start:%Y{host}}", "a format"),
        ("{start", "is no template: .*; write {{ and }} for braces"),
        ("end}", "is no template"),
        ("", "must not be empty"),
        ("a/../b", "as a segment"),
        ("./a", "as a segment"),
        ("a\nb", "control characters"),
        ("{start:..}", "as a segment"),
    ],
)
def test_what_cannot_be_a_key_is_refused_when_it_is_read(text, message):
    with pytest.raises(ValueError, match=message):
        KeyTemplate.parse(text)


@pytest.mark.parametrize("size", [1023, 1024, 1025])
def test_the_limit_of_a_key_counts_bytes(size):
    key = "ü" * (size // 2) + "x" * (size % 2)
    if size <= 1024:
        check_key(key)
    else:
        with pytest.raises(ValueError, match="has 1025 bytes; stores take keys of up to 1024"):
            check_key(key)
