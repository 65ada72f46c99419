"""The page on stores, and the compose file that it names, against the code and the samples."""

import re
from pathlib import Path

import pytest
import yaml

from penstock.stores.azure.store import CAPABILITY as AZURE
from penstock.stores.base import GIB, MIB, Capability
from penstock.stores.google import CAPABILITY as GOOGLE
from penstock.stores.local import LocalStore
from penstock.stores.opendal import OpenDALStore

ROOT = Path(__file__).resolve().parents[2]


def rows():
    table = (ROOT / "docs" / "stores.md").read_text().partition("## What each can do")[2]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.split("\n## ")[0].splitlines()
        if "|" in line
    ]
    return cells[0][1:], {line[0]: line[1:] for line in cells[2:]}


def size(count):
    for unit, name in ((GIB, "GiB"), (MIB, "MiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} B"


def yes(condition):
    return "yes" if condition else "no"


FACTS = {
    "least part but the last": lambda can: size(can.min_part_bytes),
    "largest part": lambda can: size(can.max_part_bytes),
    "parts of an object": lambda can: str(can.max_parts),
    "largest single put": lambda can: size(can.max_put_bytes),
    "a put can refuse to overwrite": lambda can: yes(can.conditional_put),
    "a commit can refuse to overwrite": lambda can: yes(can.conditional_complete),
    "an abort leaves nothing": lambda can: yes(can.closes_uploads),
    "unfinished uploads can be listed": lambda can: yes(can.lists_uploads),
    "multipart upload": lambda can: yes(can.multipart),
}


@pytest.mark.parametrize("store", ["S3", "Google", "Azure", "directory", "OpenDAL"])
def test_the_table_of_capabilities_is_that_of_the_code(store, tmp_path):
    capabilities = {
        "S3": Capability(),
        "Google": GOOGLE,
        "Azure": AZURE,
        "directory": LocalStore(tmp_path).capability,
        "OpenDAL": OpenDALStore("memory", {}).capability,
    }
    columns, table = rows()
    assert set(table) == set(FACTS)
    shown = {fact: cells[columns.index(store)] for fact, cells in table.items()}
    told = {fact: text for fact, text in shown.items() if text not in ("", "any", "per service")}
    assert len(told) >= 3
    assert told == {fact: FACTS[fact](capabilities[store]) for fact in told}


def compose():
    return yaml.safe_load((ROOT / "docker" / "compose.rustfs.yml").read_text())


def test_the_compose_file_listens_on_loopback_alone_and_holds_no_secret():
    services = compose()["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:9000:9000", "127.0.0.1:9001:9001"]
    for service in services.values():
        for name, value in service["environment"].items():
            if "KEY" in name:
                assert re.fullmatch(r"\$\{SK_S3_(ACCESS|SECRET)_KEY:\?[^}]+\}", value), name


def test_the_compose_file_makes_the_buckets_of_the_samples_for_their_variables():
    services = compose()["services"]
    [command] = services["buckets"]["command"]
    made = set(re.findall(r"create-bucket --bucket (\S+)", command))
    wanted = set()
    for sample in (ROOT / "samples").rglob("*.yml"):
        text = sample.read_text()
        if "http://localhost:9000" in text:
            wanted |= set(re.findall(r"^\s+bucket: (\S+)", text, re.MULTILINE))
            named = set(re.findall(r"_env: (\S+)", text))
            assert named <= {"SK_S3_ACCESS_KEY", "SK_S3_SECRET_KEY"}, sample
    assert made == wanted
    assert services["buckets"]["depends_on"]["rustfs"]["condition"] == "service_healthy"
    assert "http://rustfs:9000" in services["buckets"]["environment"].values()
    assert services["rustfs"]["healthcheck"]["test"][0] == "CMD"
