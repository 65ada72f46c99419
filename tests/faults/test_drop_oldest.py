"""``on_outage: drop_oldest``: a full spool gives up parts, counted to the byte, instead of letting the input wait."""

import errno
import os
import random
from dataclasses import replace

import anyio
import pytest

from penstock.errors import SpoolError, StoreUnavailable
from penstock.metrics import METERS
from penstock.stores.base import Capability
from penstock.stores.durable import Spool, SpoolLimits, StateDirectory, UploadRecord
from penstock.stores.durable.recover import recover
from penstock.stores.durable.slots import HEADER_BYTES
from penstock.stores.layers.base import Layer
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.telemetry import OBJECT_GAP

PART = 1000
OPTIONS = UploadOptions(
    chunk_size=PART,
    parts_in_flight=1,
    retry=RetryPolicy(deadline_s=0, first_wait_s=0.001, max_wait_s=0.001),
    on_outage="drop_oldest",
)


class Away(Layer):
    """A store that is away until ``back`` is set."""

    def __init__(self, inner):
        super().__init__(inner)
        self.back = anyio.Event()

    async def around(self, call, perform):
        if not self.back.is_set():
            await anyio.lowlevel.checkpoint()
            raise StoreUnavailable("nobody is there", operation=call.operation, key=call.key, retryable=True)
        return await perform()


def spool(tmp_path, parts, *, durability="crash"):
    record = UploadRecord("token", "k", "memory://m/k", options=OPTIONS, durability=durability)
    return Spool.create(StateDirectory(tmp_path), record, SpoolLimits(spool_bytes=parts * PART, retain_bytes=0))


@pytest.fixture
def memory():
    return MemoryStore(capability=Capability(min_part_bytes=1))


@pytest.mark.parametrize("durability", ["crash", "power"])
@pytest.mark.parametrize(("written", "held"), [(4, 4), (5, 4), (9, 4), (9, 9), (12, 3)])
async def test_the_oldest_parts_but_the_first_give_way_and_the_rest_arrives_in_order(
    tmp_path, memory, written, held, durability
):
    data = random.Random(1).randbytes(written * PART)
    away, events = Away(memory), []
    told = lambda event, fields: events.append((event, fields))  # noqa: E731
    journal = spool(tmp_path, held, durability=durability)
    async with open_upload(away, "k", OPTIONS, on_event=told, journal=journal) as upload:
        for part in range(written):
            await upload.write(data[part * PART : (part + 1) * PART])
        assert upload.size == len(data)
        away.back.set()
    lost = max(0, written - held)
    expected = data[:PART] + data[(1 + lost) * PART :]
    assert memory.read("k") == expected
    result = upload.result
    assert (result.size, result.dropped, result.incomplete) == (len(expected), lost * PART, lost > 0)
    marked = (
        memory.read("k.incomplete") is not None or "penstock-incomplete" in (await memory.head("k")).properties.metadata
    )
    assert marked == (lost > 0)
    gaps = [(fields["first"], fields["last"]) for event, fields in events if event == OBJECT_GAP]
    assert gaps == [((1 + part) * PART, (2 + part) * PART - 1) for part in range(lost)]
    assert memory.open_uploads == []


async def test_a_full_disk_makes_the_oldest_give_way_too(tmp_path, memory, monkeypatch):
    """The disk takes four parts, though the limit would take a hundred."""
    pwritev, away = os.pwritev, Away(memory)

    def full(descriptor, pieces, at):
        used = sum(path.stat().st_blocks > 8 for path in tmp_path.rglob("slot-*"))
        if used > 4 and not os.fstat(descriptor).st_size > HEADER_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwritev(descriptor, pieces, at)

    monkeypatch.setattr(os, "pwritev", full)
    async with open_upload(away, "k", OPTIONS, journal=spool(tmp_path, 100)) as upload:
        for part in range(9):
            await upload.write(bytes([part]) * PART)
        away.back.set()
    kept = memory.read("k")[::PART]
    assert kept[0] == 0
    assert kept[1:] == bytes(range(10 - len(kept), 9))
    assert upload.result.dropped == (9 - len(kept)) * PART > 0


async def test_a_full_disk_fails_the_upload_where_that_is_wanted_and_keeps_it(tmp_path, memory, monkeypatch):
    journal = spool(tmp_path, 100)
    options = replace(OPTIONS, on_outage="fail")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SpoolError, match="is full") as caught:
        async with open_upload(memory, "k", options, journal=journal) as upload:
            await upload.write(b"kept")
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwritev", full)
                await upload.write(b"not taken")
    assert "run `penstock recover`" in "".join(caught.value.__notes__)
    outcomes = [one async for one in recover(StateDirectory(tmp_path), lambda _record: memory)]
    assert [(one.outcome, one.size) for one in outcomes] == [("marked", 4)]
    assert memory.read("k") == b"kept"


async def test_the_counters_reconcile_over_a_gap(tmp_path, memory):
    before = METERS.collect()
    names = ("bytes_total", "committed_bytes_total", "dropped_bytes_total")
    away = Away(memory)
    async with open_upload(away, "k", OPTIONS, journal=spool(tmp_path, 3)) as upload:
        for _ in range(8):
            await upload.write(bytes(PART))
        during = METERS.collect()
        assert (
            during.value("penstock_upload_dropped_bytes_total") - before.value("penstock_upload_dropped_bytes_total")
            == 5 * PART
        )
        away.back.set()
    after = METERS.collect()
    grown = [after.value(f"penstock_upload_{name}") - before.value(f"penstock_upload_{name}") for name in names]
    assert grown == [8 * PART, 3 * PART, 5 * PART]


@pytest.mark.parametrize("rest", [0, 1, 999])
async def test_what_a_dead_process_has_left_out_stays_out(tmp_path, memory, rest):
    data = random.Random(2).randbytes(8 * PART + rest)
    away = Away(memory)
    with pytest.raises(RuntimeError):
        async with open_upload(away, "k", OPTIONS, journal=spool(tmp_path, 4)) as upload:
            for start in range(0, len(data), PART):
                await upload.write(data[start : start + PART])
            raise RuntimeError
    outcomes = [one async for one in recover(StateDirectory(tmp_path), lambda _record: memory)]
    assert [one.outcome for one in outcomes] == ["marked"]
    lost = 4 + (rest > 0)
    assert memory.read("k") == data[:PART] + data[(1 + lost) * PART :]
    assert outcomes[0].result["dropped"] == lost * PART
    assert list(StateDirectory(tmp_path).list()) == []
