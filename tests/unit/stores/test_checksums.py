import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ConfigurationError
from penstock.stores.base import Capability, Checksum
from penstock.stores.checksums import CHOICES, RunningCrc, checksum_of, choose_checksum

# "123456789", the check value of CRC catalogues.
CHECK = {"crc64nvme": 0xAE8B14860A799888, "crc32c": 0xE3069283}


@pytest.mark.parametrize(("algorithm", "size"), [("crc64nvme", 8), ("crc32c", 4)])
def test_the_check_value_of_the_catalogue_comes_out(algorithm, size):
    expected = base64.b64encode(CHECK[algorithm].to_bytes(size, "big")).decode()
    assert checksum_of(algorithm, [b"1234", bytearray(b"56"), memoryview(b"789")]) == Checksum(algorithm, expected)


def test_md5_is_that_of_content_md5():
    expected = base64.b64encode(hashlib.md5(b"hello").digest()).decode()
    assert checksum_of("md5", [b"he", memoryview(b"llo")]) == Checksum("md5", expected)


@pytest.mark.parametrize("algorithm", ["crc64nvme", "crc32c"])
@given(parts=st.lists(st.lists(st.binary(max_size=20), max_size=3), max_size=5))
def test_the_parts_of_a_stream_have_their_own_checksums_and_make_up_that_of_the_whole(algorithm, parts):
    crc = RunningCrc(algorithm)
    blocks = []
    for part in parts:
        for block in part:
            crc.update(block)
            blocks.append(block)
            assert crc.checksum() == checksum_of(algorithm, blocks)
        assert crc.end_part() == checksum_of(algorithm, part)
        assert crc.checksum() == checksum_of(algorithm, blocks)


@pytest.mark.parametrize(
    ("choice", "verified", "sent"),
    [
        ("auto", ("crc64nvme", "crc32c", "md5"), "crc64nvme"),
        ("auto", ("crc32c", "md5"), "crc32c"),
        ("auto", ("md5",), "md5"),
        ("auto", ("sha1", "md5"), "md5"),
        ("auto", (), None),
        ("none", CHOICES, None),
        ("md5", CHOICES, "md5"),
    ],
)
def test_what_is_sent_is_the_strongest_that_the_store_verifies_or_what_was_chosen(choice, verified, sent):
    assert choose_checksum(choice, Capability(checksums=verified), "https://store") == sent


def test_a_checksum_that_the_store_would_ignore_is_refused():
    with pytest.raises(
        ConfigurationError, match="https://store is not known to verify the checksum crc32c; known: md5"
    ):
        choose_checksum("crc32c", Capability(checksums=("md5",)), "https://store")
