"""A slot whose bytes somebody may still look at is for no other part: the kernel gives them on by reference."""

import asyncio
import threading
from contextlib import suppress

import pytest

from penstock.errors import SpoolError
from penstock.stores.checksums import crc_of
from penstock.stores.durable.slots import ALGORITHM, Slot, read_slot
from penstock.stores.durable.spares import Spares
from support.sockets import OK, talking

SIZE = 60_000  # a body that the sockets of both sides hold without anybody reading it
REFUSED = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"


def fill(slot, part, data):
    slot.begin(part)
    slot.write([data])
    slot.grow(len(data), crc_of(ALGORITHM, [data]))
    slot.write_mark(slot.mark())
    slot.close()


@pytest.fixture
def spares(tmp_path):
    return Spares(tmp_path, 2, 0)


@pytest.fixture
def slot(spares):
    made = spares.take()
    fill(made, 1, b"1" * SIZE)
    return made


def used_again(spares, slot):
    spares.add([slot])
    return spares.take() is slot


async def send(transport, slot, progress=None):
    with slot.open() as body:
        return await transport.request("PUT", "/", {}, body, progress=progress)


def answering(peer):
    peer.request()
    peer.send(OK)


async def test_a_slot_whose_one_request_was_answered_is_used_again(spares, slot):
    with talking(answering) as (_, transport):
        await send(transport, slot)
    assert used_again(spares, slot)


async def test_a_slot_whose_bytes_were_only_looked_at_is_used_again(spares, slot):
    with slot.open() as body:
        assert b"".join(body) == b"1" * SIZE
    assert used_again(spares, slot)


async def test_a_server_that_reads_a_given_up_request_late_finds_the_bytes_of_its_part(spares, slot):
    sent, changed, late = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def all_sent(count):
        if count == SIZE:
            loop.call_soon_threadsafe(sent.set)

    def script(peer):
        changed.wait(10)
        with suppress(ConnectionResetError):
            peer.head()
            while piece := peer.file.read1(1 << 20):
                late.append(piece)

    with talking(script, answering) as (_, transport):
        first = asyncio.ensure_future(send(transport, slot, all_sent))
        await sent.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await send(transport, slot)  # answered: the store has the part
        spares.add([slot])
        fill(spares.take(), 2, b"2" * SIZE)
        changed.set()
    assert b"2" not in b"".join(late)


async def test_a_slot_that_took_two_requests_is_not_used_again_even_within_one_opening(spares, slot):
    def script(peer):
        for answer in (REFUSED, OK):
            peer.request()
            peer.send(answer)

    with talking(script) as (_, transport), slot.open() as body:
        await transport.request("PUT", "/", {}, body)
        await transport.request("PUT", "/", {}, body)
    assert not used_again(spares, slot)
    assert not slot.path.exists()


async def test_a_slot_from_which_another_process_may_have_sent_is_not_used_again(spares, slot):
    assert not used_again(spares, read_slot(slot.path).slot)


def test_a_slot_that_cannot_be_opened_or_is_cut_off_is_an_error_of_the_spool(slot):
    with slot.path.open("r+b") as file:
        file.truncate(SIZE)
    with pytest.raises(SpoolError, match="slot-1 cannot be read: "), slot.open():
        pass
    slot.path.unlink()
    with pytest.raises(SpoolError, match="slot-1 cannot be read: No such file"), slot.open():
        pass


def test_an_empty_slot_lies_in_no_file(tmp_path):
    with Slot.create(tmp_path / "slot-1").open() as body:
        assert body == []
