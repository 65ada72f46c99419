"""Names of buckets, right and wrong."""

import pytest

from penstock.stores.buckets import bucket_problem


@pytest.mark.parametrize(
    "name", ["abc", "a" * 63, "takes-2026", "a.b.c", "1takes", "takes--use1-az4--x-s3", "take-alias-1a-s3alias"]
)
def test_a_name_that_amazon_takes_is_right(name):
    assert bucket_problem(name, amazon=True) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ab", "3 to 63 characters"),
        ("a" * 64, "3 to 63 characters"),
        ("Takes", "small letters"),
        ("my_takes", "small letters"),
        ("takes-", "at both ends"),
        ("a..b", "two dots"),
        ("192.168.5.4", "IP address"),
    ],
)
def test_a_name_that_amazon_refuses_is_wrong_there_alone(name, reason):
    assert reason in bucket_problem(name, amazon=True)
    assert bucket_problem(name, amazon=False) is None


@pytest.mark.parametrize("name", ["a b", "-a", "ü", "a/b", "a\nb", ""])
def test_a_name_that_fits_no_url_is_wrong_everywhere(name):
    assert "is not a bucket name" in bucket_problem(name, amazon=False)
