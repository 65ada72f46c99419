"""Bodies that lie in files: the kernel sends them; what was given up is not sent later, when the file has changed."""

import asyncio
import os
import random
import socket
import struct
import threading
from contextlib import ExitStack

import pytest

from penstock.errors import SpoolError
from penstock.stores.file_bytes import file_view
from penstock.stores.transport import TransportError
from penstock.stores.transport import wire as module
from support.sockets import BIG, OK, talking

PAGE = 4096


def end_of(peer):
    """How a connection ends, after whatever still comes on it."""
    try:
        while peer.file.read1(1 << 20):
            pass
    except ConnectionResetError:
        return "a reset"
    return "a clean end"


@pytest.fixture
def lying(tmp_path):
    """Makes views of bytes in files of their own, behind a page of something else."""
    with ExitStack() as stack:
        made = []

        def lie(data):
            path = tmp_path / f"file-{len(made)}"
            path.write_bytes(bytes(PAGE) + data)
            made.append(path)
            return stack.enter_context(file_view(path, PAGE, len(data)))

        yield lie


def failing_with(number):
    def sendfile(*_):
        raise OSError(number, os.strerror(number))

    return sendfile


def linger_of(descriptor):
    with socket.socket(fileno=os.dup(descriptor)) as same:
        value = same.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    return struct.unpack("ii", value)


@pytest.mark.parametrize("size", [1, PAGE, PAGE + 1, 3 << 20])
async def test_bodies_arrive_whole_whatever_lies_in_files(lying, size):
    dice = random.Random(size)
    first, second = lying(dice.randbytes(size)), lying(dice.randbytes(size + 1))
    body = [b"head", first, first, b"", bytearray(b"between"), first[1:], second, b"tail"]
    got, progress = [], []

    def script(peer):
        for _ in range(2):
            got.append(peer.request()[2])
            peer.send(OK)

    with talking(script) as (server, transport):
        for _ in range(2):
            await transport.request("PUT", "/", {}, body, progress=progress.append)
    whole = b"".join(map(bytes, body))
    assert got == [whole] * 2
    assert progress[-1] == len(whole)
    assert server.accepted == 1


async def test_a_file_need_not_be_shown_to_us_to_be_sent(lying, monkeypatch):
    taken = []
    real = os.sendfile
    monkeypatch.setattr(os, "sendfile", lambda *words: taken.append(real(*words)) or taken[-1])

    def script(peer):
        peer.request()
        peer.send(OK)

    with talking(script) as (_, transport):
        await transport.request("PUT", "/", {}, [lying(bytes(1 << 20))])
    assert sum(taken) == 1 << 20


@pytest.mark.parametrize("number", sorted(module.NO_SENDFILE))
async def test_where_a_filesystem_has_no_sendfile_the_bytes_arrive_all_the_same(lying, monkeypatch, number):
    monkeypatch.setattr(os, "sendfile", failing_with(number))
    data = random.Random(1).randbytes(1 << 20)
    got = []

    def script(peer):
        got.append(peer.request()[2])
        peer.send(OK)

    with talking(script) as (_, transport):
        await transport.request("PUT", "/", {}, [b"head", lying(data)])
    assert got == [b"head" + data]


@pytest.mark.parametrize("number", sorted(module.UNREADABLE))
async def test_a_disk_that_fails_is_named_and_not_taken_for_the_network(lying, monkeypatch, number):
    monkeypatch.setattr(os, "sendfile", failing_with(number))
    with talking(lambda peer: peer.read_to_end()) as (_, transport):
        with pytest.raises(SpoolError, match=r"file-0 cannot be read: "):
            await transport.request("PUT", "/", {}, [lying(bytes(PAGE))])
        assert not transport._idle


async def test_a_file_that_is_cut_off_is_named(lying, tmp_path):
    view = lying(bytes(3 * PAGE))
    os.truncate(tmp_path / "file-0", 2 * PAGE)
    with (
        talking(lambda peer: peer.read_to_end()) as (_, transport),
        pytest.raises(SpoolError, match=r"file-0 is cut off at byte 8192"),
    ):
        await transport.request("PUT", "/", {}, [view])


async def test_a_reset_while_a_file_is_sent_is_worth_a_retry(lying):
    def script(peer):
        peer.head()
        peer.reset()

    with talking(script) as (_, transport), pytest.raises(TransportError) as caught:
        await transport.request("PUT", "/", {}, [lying(bytes(BIG))])
    assert caught.value.retryable


async def test_a_refusal_that_comes_before_a_file_was_taken_is_the_answer(lying):
    done = threading.Event()

    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 4\r\n\r\nwait")
        done.wait(10)

    with talking(script) as (_, transport):
        response = await transport.request("PUT", "/", {}, [lying(bytes(BIG))])
        done.set()
    assert (response.status, response.body) == (503, b"wait")


async def test_what_was_not_sent_of_a_file_is_thrown_away_with_the_request(lying, monkeypatch):
    full, given_up, ends = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()
    real = os.sendfile

    def sendfile(*words):
        try:
            return real(*words)
        except BlockingIOError:
            loop.call_soon_threadsafe(full.set)
            raise

    monkeypatch.setattr(os, "sendfile", sendfile)

    def script(peer):
        peer.head()
        given_up.wait(10)  # while both sockets are full of the body
        ends.append(end_of(peer))

    with talking(script) as (_, transport):
        body = [lying(bytes(BIG))]
        sending = asyncio.ensure_future(transport.request("PUT", "/", {}, body))
        await full.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        given_up.set()
    assert ends == ["a reset"]


async def test_a_socket_forgets_what_it_holds_of_a_file_even_if_the_process_ends_and_until_the_request_succeeds(
    lying, monkeypatch
):
    during, ends = [], []
    real = os.sendfile

    def sendfile(out, *words):
        during.append(linger_of(out))
        return real(out, *words)

    monkeypatch.setattr(os, "sendfile", sendfile)

    def script(peer):
        peer.request()
        peer.send(OK)
        ends.append(peer.file.read(1))

    with talking(script) as (_, transport):
        await transport.request("PUT", "/", {}, [lying(bytes(PAGE))])
        await transport.aclose()
    assert set(during) == {(1, 0)}
    assert ends == [b""]


@pytest.mark.parametrize("size", [PAGE, BIG], ids=["all was sent", "the rest was not sent"])
async def test_a_refusal_says_nothing_of_the_bytes_which_are_thrown_away(lying, size):
    """It may come from a server that has read the head alone: what the socket holds must not go out any more."""
    refused = threading.Event()
    ends = []

    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        refused.wait(10)
        ends.append(end_of(peer))

    with talking(script) as (_, transport):
        answer = await transport.request("PUT", "/", {}, [lying(bytes(size))])
        assert answer.status == 413
        await transport.aclose()
        refused.set()
    assert ends == ["a reset"]
