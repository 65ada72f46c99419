from datetime import UTC, datetime, timedelta, timezone

import pytest

from penstock.nodes.objects.key_template import KeyTemplate, KeyValues, check_key

START = datetime(2026, 3, 5, 7, 8, 9, tzinfo=UTC)
LATER = START + timedelta(hours=1)


def render(text: str, **values) -> str:
    known = {"run_id": "run-7", "session_id": "s", "uuid": "0" * 32, "host": "studio", "start": START, "now": LATER}
    return KeyTemplate.parse(text).render(KeyValues(**{**known, **values}))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("takes/1.ogg", "takes/1.ogg"),
        ("{run_id}.ogg", "run-7.ogg"),
        ("{host}/{uuid}", f"studio/{'0' * 32}"),
        ("{start:%Y/%m/%d}/{now:%H%M%S}.ogg", "2026/03/05/080809.ogg"),
        ("{start}", "20260305T070809Z"),
        ("{session_id}/{seq}", "s/1"),
        ("{seq:05d}.{ext}", "00001.bin"),
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
        ("{seqq}", r"has the unknown field \{seqq\}; did you mean 'seq'\?; known are \{attributes.NAME\}, \{ext\}, "),
        ("{seq:3}", "the format '3'; write {seq}, or {seq:05d}"),
        ("{seq:x}", "the format 'x'"),
        ("{seq!r}", "a format"),
        ("{attributes.}", "unknown field"),
        ("{attributes}", "unknown field"),
        ("{attributes.take:5}", "a format"),
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


def test_an_attribute_of_the_run_is_filled_in_and_cannot_leave_its_place():
    assert render("{attributes.take}/x", attributes={"take": "../7"}) == "_7/x"
    with pytest.raises(ValueError, match=r"no attribute 'tak'; did you mean 'take'\?"):
        render("{attributes.tak}/x", attributes={"take": "7"})


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("take.ogg", False),
        ("{run_id}/{host}", False),
        ("{start:%Y%m%d%H%M%S}", False),
        ("{seq}", True),
        ("{uuid}", True),
        ("{now}", True),
        ("{now:%Y/%m/%d/%H%M%S}", True),
        ("{now:%s}", True),
        ("{now:%H%M%S}", False),
        ("{now:%Y%m%dT%H%M}", False),
        ("{now:%Y%m%dT%I%M%S}", False),
        ("{now:%Y%d%H%M%S}", False),
    ],
)
def test_a_template_tells_objects_of_a_run_apart_or_not(text, apart):
    assert KeyTemplate.parse(text).tells_objects_apart is apart
