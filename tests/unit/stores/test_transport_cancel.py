"""Cancelling a transport: the bytes stop, the socket goes, the buffers are free, and only then the task goes on."""

import asyncio
import socket
import threading
from contextlib import suppress

import pytest

from penstock.stores.transport import Origin, ThreadTransport, TransportError
from support.sockets import BIG, OK, closing, talking


async def test_a_cancelled_upload_stops_on_the_wire_and_frees_its_buffers():
    taken = []
    started, cancelled = threading.Event(), threading.Event()

    def script(peer):
        peer.head()
        started.set()
        cancelled.wait(10)  # the body is longer than what sockets hold, and so cannot have left before
        taken.append(peer.read_to_end())

    body = bytearray(BIG)
    with talking(script) as (_, transport):
        moving = asyncio.Event()
        loop = asyncio.get_running_loop()
        sending = asyncio.ensure_future(
            transport.request("PUT", "/", {}, [body], progress=lambda _: loop.call_soon_threadsafe(moving.set))
        )
        await moving.wait()
        await asyncio.to_thread(started.wait, 10)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        body.clear()  # fails while the thread holds a view of it
        assert not transport._busy
        cancelled.set()
    assert taken[0] < BIG


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_task_cancelled_again_and_again_still_waits_for_its_thread(times):
    done = threading.Event()

    def script(peer):
        peer.head()
        done.wait(10)

    body = bytearray(BIG)
    with talking(script) as (_, transport):
        moving = asyncio.Event()
        loop = asyncio.get_running_loop()
        sending = asyncio.ensure_future(
            transport.request("PUT", "/", {}, [body], progress=lambda _: loop.call_soon_threadsafe(moving.set))
        )
        await moving.wait()
        for _ in range(times):
            sending.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await sending
        body.clear()
        done.set()


async def test_a_request_cancelled_while_it_waits_for_the_answer_cuts_the_connection():
    asked, gone = threading.Event(), threading.Event()

    def script(peer):
        peer.request()
        asked.set()
        peer.read_to_end()
        gone.set()

    with talking(script) as (_, transport):
        waiting = asyncio.ensure_future(transport.request("GET", "/", {}))
        await asyncio.to_thread(asked.wait, 10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await asyncio.to_thread(gone.wait, 10)


async def test_a_request_cancelled_while_it_waits_for_a_thread_is_never_sent():
    asked, done = threading.Event(), threading.Event()

    def script(peer):
        peer.request()
        asked.set()
        done.wait(10)
        peer.send(OK)

    with talking(script, connections=1) as (server, transport):
        first = asyncio.ensure_future(transport.request("GET", "/1", {}))
        await asyncio.to_thread(asked.wait, 10)
        queued = asyncio.ensure_future(transport.request("GET", "/2", {}))
        await asyncio.sleep(0)
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued
        done.set()
        assert (await first).body == b"ok"
    assert server.accepted == 1


async def test_a_cancelled_connect_ends_at_once():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        held = [socket.socket() for _ in range(8)]
        for one in held:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        transport = ThreadTransport(Origin("http", *listener.getsockname()), connect_timeout_s=30)
        with closing(transport):
            connecting = asyncio.ensure_future(transport.request("GET", "/", {}))
            while not transport._busy:  # noqa: ASYNC110 - the thread has no event to wait for
                await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(asyncio.shield(connecting), 5)
        for one in held:
            one.close()


async def test_a_cancelled_request_does_not_cut_the_connection_of_the_next():
    def script(peer):
        with suppress(IndexError):
            while True:
                peer.request()
                peer.send(OK)

    with talking(*[script] * 400) as (_, transport):
        for steps in range(200):  # the cancellation meets the request at every stage, the return of its thread included
            one = asyncio.ensure_future(transport.request("GET", "/", {}))
            for _ in range(steps % 40):
                await asyncio.sleep(0)
            one.cancel()
            with suppress(asyncio.CancelledError):
                await one
            assert (await transport.request("GET", "/", {})).body == b"ok"
        await transport.aclose()


async def test_closing_the_transport_fails_what_is_under_way_and_what_comes_after():
    asked = threading.Event()

    def script(peer):
        peer.request()
        asked.set()
        peer.read_to_end()

    with talking(script, connections=1) as (_, transport):
        waiting = [asyncio.ensure_future(transport.request("GET", "/", {})) for _ in range(2)]  # one of them queued
        await asyncio.to_thread(asked.wait, 10)
        await transport.aclose()
        await transport.aclose()
        for one in waiting:
            with pytest.raises(TransportError):
                await one
        with pytest.raises(TransportError, match="have been closed") as caught:
            await transport.request("GET", "/", {})
    assert not caught.value.retryable


# -- streamed responses ---------------------------------------------------------------------------------


async def test_a_streamed_response_comes_in_pieces_and_its_connection_is_kept():
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 250000\r\n\r\n" + b"x" * 250000)
        peer.request()
        peer.send(OK)

    with talking(script) as (server, transport):
        sizes = []
        async with transport.stream("GET", "/", {}) as response:
            assert (response.status, response.headers["content-length"]) == (200, "250000")
            while piece := await response.read(100_000):
                sizes.append(len(piece))
            assert await response.read() == b""
        assert sizes == [100_000, 100_000, 50_000]
        assert (await transport.request("GET", "/", {})).body == b"ok"
    assert server.accepted == 1


async def test_a_streamed_response_that_breaks_off_is_an_error_and_not_an_end():
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")

    with talking(script) as (_, transport):
        async with transport.stream("GET", "/", {}) as response:
            with pytest.raises(TransportError, match="before its answer was complete"):
                await response.read()


async def test_a_stream_that_is_left_early_cuts_its_connection():
    gone = threading.Event()

    def script(peer):
        peer.request()
        with suppress(OSError):
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG + bytes(BIG))
        gone.set()

    with talking(script) as (_, transport):
        async with transport.stream("GET", "/", {}) as response:
            assert len(await response.read(10)) == 10
        assert await asyncio.to_thread(gone.wait, 10)
        assert not transport._idle


async def test_a_cancelled_read_of_a_stream_ends_at_once():
    half = threading.Event()

    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
        half.set()
        peer.read_to_end()

    with talking(script) as (_, transport):

        async def read():
            async with transport.stream("GET", "/", {}) as response:
                await response.read()

        reading = asyncio.ensure_future(read())
        await asyncio.to_thread(half.wait, 10)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
