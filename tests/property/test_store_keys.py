"""Keys become request targets and paths, one to one and reversibly."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stores.local.keys import InvalidKey, key_path
from penstock.stores.s3.addressing import S3Bucket, quote_key, quote_query

ROOT = PurePosixPath("/srv/store")
KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)
HOSTILE = st.lists(
    st.sampled_from(["..", ".", "", "/", "a", "\0", ".penstock", "~", "ü", "a" * 255, "a" * 256]), max_size=8
)


@given(KEYS)
def test_a_quoted_key_is_the_key_again_and_has_unreserved_characters_only(key):
    quoted = quote_key(key)
    assert unquote(quoted) == key
    assert re.fullmatch(r"(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})+", quoted)


@given(KEYS)
def test_a_key_stays_in_the_path_of_its_target(key):
    target = S3Bucket("http://localhost:9000", "takes").target(key, [("uploadId", key)])
    path, _, query = target.partition("?")
    assert unquote(path) == f"/takes/{key}"
    assert unquote(query) == f"uploadId={key}"


@given(st.lists(st.tuples(KEYS, st.text(st.characters(exclude_categories=("Cs",)), max_size=20)), max_size=6))
def test_a_query_is_sorted_as_it_is_signed(query):
    fields = quote_query(query).split("&") if query else []
    assert fields == sorted(fields)
    assert sorted(tuple(map(unquote, field.split("=", 1))) for field in fields) == sorted(query)


@given(st.one_of(KEYS, HOSTILE.map("/".join), HOSTILE.map("".join)))
def test_a_key_is_a_path_below_the_root_or_is_refused(key):
    try:
        path = key_path(ROOT, key)
    except InvalidKey:
        return
    assert path.is_relative_to(ROOT)
    assert str(path.relative_to(ROOT)) == key  # so no two keys share a path
    assert ".." not in path.parts
    assert path.relative_to(ROOT).parts[0] != ".penstock"


@pytest.mark.parametrize("key", ["a", "a/b", "...", ".a", "a..b", "a/.penstock", "a" * 255])
def test_an_ordinary_key_is_not_refused(key):
    assert str(key_path(ROOT, key)) == f"{ROOT}/{key}"
