"""Uploads as they are written into block ids, and names of metadata as Azure takes them."""

import re

import pytest
from hypothesis import given
from hypothesis.strategies import dictionaries, from_regex, none, text

from penstock.stores.azure.blocks import (
    OPENING,
    block_id,
    decode_name,
    decode_upload,
    encode_name,
    new_upload,
    part_numbers,
    tokens,
)
from penstock.stores.base import ObjectProperties

NAMES = text(alphabet="abcx059-._!#$%&'*+^`|~", min_size=1, max_size=30)


@given(NAMES)
def test_a_metadata_name_comes_back_from_an_identifier(name):
    encoded = encode_name(name)
    assert re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", encoded)
    assert decode_name(encoded) == name


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("take", "take"),
        ("penstock-upload", "penstock_upload"),
        ("a_b", "a_x5fb"),
        ("a.b", "a_x2eb"),
        ("7", "_x37"),
        ("a-x2e", "a_x2dx2e"),
        ("a--b", "a__b"),
    ],
)
def test_names_stay_readable(name, encoded):
    assert encode_name(name) == encoded


@given(
    text(max_size=20) | none(), dictionaries(from_regex("[a-z-]{1,9}", fullmatch=True), text(max_size=20), max_size=4)
)
def test_properties_travel_in_the_upload_id(content_type, metadata):
    properties = ObjectProperties(content_type, metadata)
    upload_id = new_upload(properties)
    assert upload_id.isascii()
    assert decode_upload(upload_id)[1] == properties


def test_an_upload_without_properties_is_its_token():
    upload_id = new_upload(None)
    assert decode_upload(upload_id) == (upload_id, ObjectProperties())
    assert new_upload(None) != upload_id


@pytest.mark.parametrize(
    "upload_id", ["", "x" * 32, "a" * 31, "a" * 32 + "~", "a" * 32 + "~!!", "a" * 32 + "~AAAA", "ü" * 32]
)
def test_what_is_no_upload_id_is_refused(upload_id):
    with pytest.raises(ValueError, match="not an upload id"):
        decode_upload(upload_id)


def test_block_ids_have_one_length_and_belong_to_one_upload():
    mine, other = new_upload(None), new_upload(None)
    numbers = [OPENING, 1, 9, 10, 49_999, 50_000]
    blocks = [block_id(mine, number) for number in numbers]
    assert {len(block) for block in blocks} == {38}
    strangers = [block_id(other, 1), "0007", f"{mine}.7", f"{mine}.000007"]
    assert part_numbers(mine, [*strangers, *blocks]) == set(numbers)
    assert tokens([*strangers, *blocks]) == [mine]  # the other upload has no opening block
