"""The ends of channels as a node has them."""

import anyio

from penstock.channels import Channel
from penstock.engine.events import EventBus
from penstock.engine.links import Link, Output
from penstock.engine.record import NodeRecord
from penstock.packets import Binary


async def test_what_an_edge_was_given_when_it_was_cut_counts_as_sent_though_the_other_reader_has_gone():
    record = NodeRecord("a", "test::a", EventBus())
    stuck, cut = Channel(1, name="stuck"), Channel(name="cut")
    output = Output("a.out", record, [Link(stuck), Link(cut)], tolerant=True)
    await stuck.send(Binary(b"before"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(output.send_many, [Binary(b"12"), Binary(b"345")])
        await anyio.wait_all_tasks_blocked()
        output.remove("cut")
        stuck.stop()
    assert [packet.data for packet in await cut.receive_many()] == [b"12", b"345"]
    assert (record.sent, record.sent_bytes, record.discarded_by) == (2, 5, {})
    await output.send(Binary(b"6"))
    assert record.discarded_by == {"no_reader": 1}
