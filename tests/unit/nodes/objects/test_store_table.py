"""What the stores can do, as it is shown: all of them, as they are, without their libraries."""

import json
import subprocess
import sys
from dataclasses import fields
from typing import get_args

import pytest

from penstock.nodes.describe import describe_node
from penstock.nodes.objects.object_store_writer import ObjectStoreWriter
from penstock.nodes.objects.store_table import _size, store_tables
from penstock.stores.azure.store import AzureStore
from penstock.stores.base import Capability
from penstock.stores.catalogue import S3_TITLES, known_stores
from penstock.stores.local import LocalStore
from penstock.stores.memory import MemoryStore
from penstock.stores.opendal import OpenDALStore
from penstock.stores.s3.profiles import PROFILES, StoreKind

LIMITS, PROMISES = store_tables()
HEAVY = ("botocore", "azure.core", "azure.storage", "opendal", "awscrt", "numpy", "av")


def test_every_kind_of_store_has_a_row_in_each_table():
    kinds = set(get_args(StoreKind)) - {"auto"}
    assert kinds == set(PROFILES) == set(S3_TITLES)
    names = [*PROFILES, "gs", "gs+json", "az", "file", "memory", "opendal"]
    for table in (LIMITS, PROMISES):
        assert [row[0] for row in table.rows] == names
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_the_records_are_the_capabilities_field_by_field():
    names = {field.name for field in fields(Capability)}
    for record, (name, store) in zip(LIMITS.records, known_stores().items(), strict=True):
        assert set(record) == names | {"store", "title"}
        assert record["store"] == name
        for field in names:
            value = getattr(store.capability, field)
            expected = None if field in store.varies else sorted(value) if isinstance(value, frozenset) else value
            assert record[field] == expected, (name, field)


@pytest.mark.parametrize("name", ["az", "file", "memory", "opendal"])
def test_an_opened_store_can_what_its_row_says_but_for_what_varies(name, tmp_path):
    opened = {
        "az": AzureStore.__new__(AzureStore),
        "file": LocalStore(tmp_path),
        "memory": MemoryStore(),
        "opendal": OpenDALStore("memory", {}),
    }[name]
    known = known_stores()[name]
    for field in fields(Capability):
        if field.name not in known.varies:
            assert getattr(opened.capability, field.name) == getattr(known.capability, field.name), field.name


def test_what_a_store_lacks_is_said_in_words():
    rows = {row[0]: dict(zip(PROMISES.columns, row, strict=True)) for row in PROMISES.rows}
    assert rows["aws"]["refuses to overwrite at"] == "PUT, commit"
    assert rows["ceph"]["refuses to overwrite at"] == "PUT"
    assert rows["generic"]["refuses to overwrite at"] == "nothing"
    assert rows["opendal"]["refuses to overwrite at"] == rows["file"]["keeps"] == "varies"
    assert rows["aws"]["keeps"] == "headers and all others"
    limits = {row[0]: dict(zip(LIMITS.columns, row, strict=True)) for row in LIMITS.rows}
    assert limits["r2"]["a part"] == "5 MiB to 5 GiB, all equal"
    assert limits["minio"]["drops unfinished uploads after"] == "24 h"
    assert limits["az"]["an abort leaves nothing"] == "no"
    assert limits["file"]["parts"] == "any number"


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (1, "1 B"),
        (1023, "1023 B"),
        (5 << 20, "5 MiB"),
        (4000 << 20, "4000 MiB"),
        (1 << 60, "any"),
        (12345, "12.06 KiB"),
    ],
)
def test_a_limit_is_shown_in_the_unit_that_fits(count, shown):
    assert _size(count) == shown


def test_the_description_loads_no_library_of_a_store():
    script = f"""
import json, sys
from penstock.cli.nodes import describe_command
describe_command("core::object_store_writer", as_json=True)
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr) == []
    described = json.loads(done.stdout)
    assert described["tables"] == json.loads(json.dumps(describe_node(ObjectStoreWriter).as_dict()))["tables"]
    assert described["tables"][0]["records"][0]["store"] == "aws"


def test_a_person_reads_the_rows_under_their_headings():
    command = [sys.executable, "-m", "penstock", "nodes", "describe", "core::object_store_writer"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    first = lines.index("What the stores can do:") + 1
    heading, aws = lines[first], lines[first + 1]
    assert aws.startswith("  aws ")
    assert aws[heading.index("one PUT") :].startswith("5 GiB")
