"""The page on the format of the spool, against the code that writes and reads it."""

import ast
import inspect
import json
import re
import zlib
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from penstock.stores.durable import Spool, StateDirectory, UploadRecord, directory, lines, record, slots
from penstock.stores.durable.recover import Recovery
from penstock.stores.multipart.journal import Ending
from support.spools import new_record, open_spooled, recover_all, small_store

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "spool-format.md").read_text()


def section(title):
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def tables(title):
    """The rows of each table of a section, without its head."""
    blocks = re.findall(r"(?:^\|.*\n)+", section(title), re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]] for block in blocks
    ]


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_the_fields_of_upload_json_are_those_of_the_record(tmp_path):
    (table,) = tables("upload.json")
    documented = [name for row in table for name in names(row[0])]
    new_record().write(tmp_path)
    written = json.loads((tmp_path / record.FILE).read_text())
    assert sorted(documented) == sorted(written)
    assert set(documented) - {"format", "check"} == {one.name for one in fields(UploadRecord)}
    told = {row[0]: names(row[1]) for row in table}
    assert told["`format`"] == [record.FORMAT]
    assert tuple(told["`durability`"]) == get_args(record.Durability)
    assert tuple(told["`on_crash`"]) == get_args(record.OnCrash)
    check = written.pop("check")
    text = json.dumps(written, sort_keys=True, separators=(", ", ": "), ensure_ascii=True)
    assert check == f"{zlib.crc32(text.encode('ascii')):08x}"


def test_the_events_and_their_fields_are_those_of_the_journal():
    documented = {names(row[0])[0]: names(row[1]) for row in tables("journal")[0]}
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(Spool))) if isinstance(node, ast.Call)]
    told = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "_tell"]
    assert documented == {call.args[0].value: [keyword.arg for keyword in call.keywords] for call in told}


def test_the_ways_to_end_are_those_of_the_journal():
    row = next(row for row in tables("journal")[0] if row[0] == "`ended`")
    assert tuple(names(row[2])) == get_args(Ending)


def test_a_line_is_as_documented(tmp_path):
    journal = lines.Journal.create(tmp_path / "journal")
    journal.append("kept", reason="a\tb\nü")
    text = json.dumps({"event": "kept", "reason": "a\tb\nü"}, separators=(",", ":")).encode("ascii")
    line = b"%08x " % zlib.crc32(text) + text + b"\x0a"
    assert journal.path.read_bytes() == line + b"\x09" * 1024
    assert f"{lines.RESERVE_BYTES} tabs follow" in section("journal").replace("\n", " ")
    assert b"\t" not in line


def test_the_layout_of_a_slot_is_that_of_the_code(tmp_path):
    layout, checkpoint, _ = tables("slot-N")
    assert [int(row[0]) for row in layout] == [0, *slots.POSITIONS, slots.HEADER_BYTES]
    assert [row[1] for row in layout] == [str(len(slots.MAGIC)), *[str(slots.CHECKPOINT_BYTES)] * 2, ""]
    assert names(layout[0][2])[0].encode() + b"\n" == slots.MAGIC
    mark = slots.Mark(part=3, sequence=4, size=5, crc=6)
    packed = mark.pack()
    for (offset, kind, what), following in zip(checkpoint, [*checkpoint[1:], [len(packed)]], strict=True):
        size = {"u64": 8, "u32": 4}[kind]
        assert int(offset) + size == int(following[0])
        value = int.from_bytes(packed[int(offset) : int(offset) + size], "little")
        assert value == (getattr(mark, names(what)[0]) if names(what) else zlib.crc32(packed[:32]))
    assert mark.position == slots.POSITIONS[0]  # the even ones are A


def test_the_names_in_the_state_directory_are_those_of_the_code(tmp_path):
    (table,) = tables("The state directory")
    documented = {names(row[0])[0] for row in table}
    state = StateDirectory(tmp_path)
    lock = state.add(new_record("TOKEN"))
    slots.Slot.create(lock.directory / "slot-N")
    found = {"uploads/TOKEN/"} | {f"uploads/TOKEN/{path.name}" for path in lock.directory.iterdir()}
    aside = state.set_aside(lock, "damaged")
    found |= {f"{aside.relative_to(tmp_path)}/", "uploads/TOKEN/.slot-N"}
    found |= {f"uploads/{prefix}TOKEN/" for prefix in (directory.MAKING, directory.REMOVING)}
    assert documented == found
    assert f"after {directory.LEFT_S:g} seconds" in section("The state directory")


OUTCOMES = {
    "the directory is removed": {Recovery.COMMITTED, Recovery.MARKED},
    "committed": {Recovery.COMMITTED},
    "aborted": {Recovery.ABORTED},
    "committed and marked as incomplete": {Recovery.MARKED},
    "kept, for `--resume`": {Recovery.KEPT},
    "empty: nothing is made of it": {Recovery.EMPTY},
}


@pytest.mark.parametrize("number", range(8))
async def test_each_state_becomes_what_the_page_says(tmp_path, number):
    condition, becomes = tables("What recovering does")[0][number]
    assert len(tables("What recovering does")[0]) == 8
    state, store = StateDirectory(tmp_path), small_store()
    words = names(condition)
    policy = words[-1] if "`on_crash`" in condition else "commit"
    async with open_spooled(state, store, new_record(on_crash=policy)) as upload:
        if "no byte" not in condition:
            await upload.write(b"some bytes")
        if "`ended`" in condition:
            upload._journal.ended(words[1], upload.size, upload._digest.checksum())
        if "`committed`" in condition:
            upload._journal._tell("committed", result={"incomplete": False})
        await upload.keep("its process ends")
    assert {found.outcome for found in await recover_all(state, store)} <= OUTCOMES[becomes]
