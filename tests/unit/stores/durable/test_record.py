"""upload.json: it comes back as it was, or not at all."""

import json
import math
from dataclasses import fields, replace

import pytest

from penstock.stores.durable import record as module
from penstock.stores.durable.lines import DamagedJournal
from penstock.stores.durable.record import FILE, FORMAT, UploadRecord
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.multipart import UploadOptions
from penstock.stores.properties import ObjectProperties
from support.spools import new_record

PROPERTIES = ObjectProperties(
    "audio/ogg",
    {"take": "ü 1"},
    "no-store",
    'attachment; filename="a"',
    "gzip",
    "de",
    {"team": "a&b"},
    "STANDARD_IA",
    "public-read",
    "aws:kms",
    "key-1",
)
OPTIONS = UploadOptions(
    chunk_size=6 << 20,
    parts_in_flight=7,
    memory_limit=123 << 20,
    properties=PROPERTIES,
    retry=RetryPolicy(1.5, 0.25, 3.5),
    if_exists="rename",
    checksum="crc32c",
    on_error="abort",
    on_outage="fail",
    grace_s=0.5,
)
STORE = {"kind": "s3", "endpoint": "http://localhost:9000", "credentials": {"secret_key_env": "SECRET"}}
RECORD = UploadRecord(
    "0123",
    "a/ü\udc80.ogg",
    "s3://b/a",
    STORE,
    "{now}",
    OPTIONS,
    "power",
    "keep",
    "2026-01-01T00:00:00+00:00",
    "h",
    7,
    "b",
)


def rewrite(directory, **changes):
    """Change fields as another version might, its check included."""
    told = json.loads((directory / FILE).read_text())
    del told["check"]
    told.update(changes)
    told["check"] = module._check(told)
    (directory / FILE).write_text(json.dumps(told))


def test_every_field_comes_back(tmp_path):
    RECORD.write(tmp_path)
    assert UploadRecord.read(tmp_path) == RECORD
    for part, plain in ((RECORD, new_record()), (OPTIONS, UploadOptions()), (PROPERTIES, ObjectProperties())):
        same = [one.name for one in fields(part) if getattr(part, one.name) == getattr(plain, one.name)]
        assert same == []  # so that no field is left out here


def test_defaults_come_back(tmp_path):
    plain = new_record(options=UploadOptions())
    plain.write(tmp_path)
    assert UploadRecord.read(tmp_path) == plain
    assert math.isfinite(UploadRecord.read(tmp_path).options.retry.deadline_s)


def test_it_is_written_once(tmp_path):
    RECORD.write(tmp_path)
    with pytest.raises(FileExistsError):
        RECORD.write(tmp_path)


def test_of_credentials_it_has_names_only(tmp_path):
    RECORD.write(tmp_path)
    text = (tmp_path / FILE).read_text()
    assert "SECRET" in text
    names = {one.name for one in fields(UploadRecord)} | {"format", "check"}
    assert json.loads(text).keys() == names  # whatever a secret might be in


def test_every_damaged_byte_is_noticed(tmp_path):
    RECORD.write(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    for at in range(len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        (tmp_path / FILE).write_bytes(damaged)
        try:
            assert UploadRecord.read(tmp_path) == RECORD  # such as a blank between two fields
        except DamagedJournal as error:
            assert FILE in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", "null", '"penstock"', "{}", '{"format": 1}', "\x00\x00", "\udcff"]
)
def test_what_is_no_record_is_damaged(tmp_path, text):
    (tmp_path / FILE).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DamagedJournal, match=r"upload\.json is damaged"):
        UploadRecord.read(tmp_path)


def test_a_record_that_is_cut_off_is_damaged(tmp_path):
    RECORD.write(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    for size in range(len(whole) - 1):
        (tmp_path / FILE).write_bytes(whole[:size])
        with pytest.raises(DamagedJournal):
            UploadRecord.read(tmp_path)


def test_one_of_another_version_says_which(tmp_path):
    RECORD.write(tmp_path)
    rewrite(tmp_path, format="penstock-upload-2")
    with pytest.raises(DamagedJournal, match=f"of the format 'penstock-upload-2', not of {FORMAT}"):
        UploadRecord.read(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"unknown": 1},
        {"options": {}},
        {"options": 1},
        {"options": {"properties": {}, "retry": {"deadline_s": -1}}},
        {"options": {"properties": {"unknown": 1}, "retry": {}}},
    ],
)
def test_fields_that_this_version_does_not_know_are_an_error_of_this_upload(tmp_path, changes):
    RECORD.write(tmp_path)
    rewrite(tmp_path, **changes)
    with pytest.raises(DamagedJournal, match="fields that are not of this version"):
        UploadRecord.read(tmp_path)


def test_a_record_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        UploadRecord.read(tmp_path)


def test_another_start_of_the_machine_is_told_from_this_one(monkeypatch):
    assert not new_record().after_power_loss
    assert replace(RECORD, boot="another").after_power_loss
    monkeypatch.setattr("sys.platform", "darwin")
    assert new_record().after_power_loss
