"""The thread transport against a server made of a plain socket, which misbehaves as told."""

import asyncio
import socket
import threading
import time
from contextlib import suppress

import pytest

from penstock.errors import ConfigurationError
from penstock.stores.transport import Origin, ThreadTransport, TransportError, parse_origin
from penstock.stores.transport import threads as module
from support.sockets import BIG, OK, Peer, closing, talking

# -- requests and responses -----------------------------------------------------------------------------


async def test_a_request_is_written_as_http_says_and_its_body_is_the_buffers_in_order():
    seen = []

    def script(peer):
        seen.append(peer.request())
        peer.send(b"HTTP/1.1 201 Created\r\nETag: x\r\nX-Two: a\r\nx-two: b\r\nContent-Length: 5\r\n\r\nhello")

    with talking(script) as (server, transport):
        body = [b"one", b"", bytearray(b"two"), memoryview(b"three")]
        response = await transport.request("PUT", "/b/k%20?x=1", {"X-A": "b"}, body)
    line, headers, got = seen[0]
    assert line == b"PUT /b/k%20?x=1 HTTP/1.1"
    assert headers == {b"host": str(server.origin)[7:].encode(), b"x-a": b"b", b"content-length": b"11"}
    assert got == b"onetwothree"
    assert (response.status, response.body) == (201, b"hello")
    assert response.headers == {"etag": "x", "x-two": "a, b", "content-length": "5"}


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", b"to the end"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
async def test_a_response_may_come_in_any_form_and_in_any_pieces(answer, body, step):
    def script(peer):
        peer.request()
        for start in range(0, len(answer), step):
            peer.send(answer[start : start + step])

    with talking(script) as (_, transport):
        assert (await transport.request("GET", "/", {})).body == body


async def test_a_head_response_has_a_length_and_no_body():
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        peer.request()
        peer.send(OK)

    with talking(script) as (_, transport):
        response = await transport.request("HEAD", "/", {})
        assert (response.headers["content-length"], response.body) == ("1000", b"")
        assert (await transport.request("GET", "/", {})).body == b"ok"


@pytest.mark.parametrize("sizes", [[BIG], [1] * 3000, [0, 1023, 0, 1 << 20] * 20, [65536] * 200])
async def test_a_body_arrives_whole_however_it_is_cut(sizes):
    body = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    got = []

    def script(peer):
        got.append(peer.request()[2])
        peer.send(OK)

    progress = []
    with talking(script) as (_, transport):
        await transport.request("PUT", "/", {}, body, progress=progress.append)
    assert got[0] == b"".join(body)
    assert progress == sorted(progress)
    assert progress[-1] == sum(sizes)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET\r\nX:", "/", {}),
        ("GET", "/a b", {}),
        ("GET", "/a\r\nX: y", {}),
        ("GET", "http://elsewhere/", {}),
        ("GET", "/", {"x": "a\r\ny: b"}),
        ("GET", "/", {"x: y": "a"}),
    ],
)
async def test_what_would_smuggle_another_header_is_refused(method, target, headers):
    transport = ThreadTransport(Origin("http", "127.0.0.1", 1))
    with closing(transport), pytest.raises(ValueError, match=r"request line|HTTP cannot carry"):
        await transport.request(method, target, headers)


async def test_an_answer_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(module, "MAX_BODY", 1000)

    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2000))

    with talking(script) as (_, transport), pytest.raises(TransportError, match="more than 1000 bytes") as caught:
        await transport.request("GET", "/", {})
    assert not caught.value.retryable


# -- connections ----------------------------------------------------------------------------------------


async def test_a_connection_is_kept_for_the_next_request():
    def script(peer):
        for _ in range(3):
            peer.request()
            peer.send(OK)

    with talking(script) as (server, transport):
        for _ in range(3):
            await transport.request("GET", "/", {})
    assert server.accepted == 1


async def test_there_are_no_more_connections_than_allowed():
    both = threading.Barrier(2)

    def script(peer):
        peer.request()
        both.wait(10)  # each connection has a request, and two more wait
        peer.send(OK)
        with suppress(IndexError):
            while True:
                peer.request()
                peer.send(OK)

    with talking(script, script, connections=2) as (server, transport):
        await asyncio.gather(*[transport.request("GET", "/", {}) for _ in range(4)])
        assert server.accepted == 2
        await transport.aclose()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"]
)
async def test_a_connection_that_the_server_will_close_is_not_kept(answer):
    def script(peer):
        peer.request()
        peer.send(answer)

    with talking(script, script) as (server, transport):
        await transport.request("GET", "/", {})
        await transport.request("GET", "/", {})
    assert server.accepted == 2


async def test_a_connection_that_the_server_closed_while_idle_is_replaced_unnoticed():
    closed = threading.Event()

    def first(peer):
        peer.request()
        peer.send(OK)
        peer.connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    def second(peer):
        peer.request()
        peer.send(OK)

    with talking(first, second) as (_, transport):
        await transport.request("POST", "/", {})
        await asyncio.to_thread(closed.wait, 10)
        assert (await transport.request("POST", "/", {})).body == b"ok"


async def test_an_idle_connection_on_which_something_came_unasked_is_not_used():
    answered, sent = threading.Event(), threading.Event()

    def first(peer):
        peer.request()
        peer.send(OK)
        answered.wait(10)
        peer.send(OK)  # an answer to nothing: the next request must not take it for its own
        sent.set()
        peer.read_to_end()

    def second(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")

    with talking(first, second) as (_, transport):
        await transport.request("GET", "/", {})
        answered.set()
        await asyncio.to_thread(sent.wait, 10)
        assert (await transport.request("GET", "/", {})).body == b"mine"


async def test_a_connection_idle_for_long_is_not_used(monkeypatch):
    def script(peer):
        peer.request()
        peer.send(OK)
        peer.read_to_end()

    with talking(script, script) as (server, transport):
        await transport.request("GET", "/", {})
        transport._idle[0].idle_since -= module.MAX_IDLE_S
        await transport.request("GET", "/", {})
        await transport.aclose()
    assert server.accepted == 2


def dies_on_second(peer):
    """Answer one request; read the next, and hang up without a word."""
    peer.request()
    peer.send(OK)
    peer.request()


def answers(peer):
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_on_a_kept_connection_that_dies_a_harmless_request_is_sent_again(method):
    with talking(dies_on_second, answers) as (_, transport):
        await transport.request("GET", "/", {})
        assert (await transport.request(method, "/", {})).headers["content-length"] == "5"


@pytest.mark.parametrize(("method", "headers"), [("POST", {}), ("PUT", {"If-None-Match": "*"})])
async def test_a_request_that_may_have_been_obeyed_is_not_sent_again(method, headers):
    with talking(dies_on_second) as (_, transport):
        await transport.request("GET", "/", {})
        with pytest.raises(TransportError, match="closed the connection") as caught:
            await transport.request(method, "/", headers)
    assert caught.value.retryable


async def test_a_post_is_sent_again_if_the_server_cannot_have_seen_all_of_it():
    def first(peer):
        peer.request()
        peer.send(OK)
        peer.head()
        peer.reset()

    body = [bytes(1 << 20)] * 64
    with talking(first, answers) as (_, transport):
        await transport.request("GET", "/", {})
        assert (await transport.request("POST", "/", {}, body)).body == b"again"


async def test_on_a_new_connection_nothing_is_sent_twice():
    dies = Peer.request
    with talking(dies) as (server, transport), pytest.raises(TransportError, match="closed the connection"):
        await transport.request("GET", "/", {})
    assert server.accepted == 1


# -- servers that fail ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "message", "retryable"),
    [
        (b"", "closed the connection before its answer was complete", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "before its answer was complete", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort", "before its answer was complete", True),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer in HTTP/1.1", False),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "does not answer in HTTP/1.1", False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", "does not answer in HTTP/1.1", False),
    ],
)
async def test_an_answer_that_is_none_is_an_error_that_says_so(answer, message, retryable):
    def script(peer):
        peer.request()
        peer.send(answer)

    with talking(script) as (server, transport), pytest.raises(TransportError, match=message) as caught:
        await transport.request("GET", "/", {})
    assert caught.value.retryable is retryable
    assert str(server.origin) in str(caught.value)


async def test_a_reset_is_an_error_worth_a_retry():
    def script(peer):
        peer.head()
        peer.reset()

    with talking(script) as (_, transport), pytest.raises(TransportError) as caught:
        await transport.request("PUT", "/", {}, [bytes(1 << 20)] * 64)
    assert caught.value.retryable


@pytest.mark.parametrize("hang_up", [True, False])
async def test_a_refusal_that_comes_before_the_body_was_taken_is_the_answer(hang_up):
    done = threading.Event()

    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 4\r\n\r\nwait")
        if hang_up:
            peer.connection.shutdown(socket.SHUT_WR)
        done.wait(10)  # and takes no byte of the body

    with talking(script) as (_, transport):
        response = await transport.request("PUT", "/", {}, [bytes(BIG)])
        done.set()
    assert (response.status, response.body) == (503, b"wait")


async def test_a_success_that_comes_before_the_body_was_taken_is_not_believed():
    done = threading.Event()

    def script(peer):
        peer.head()
        peer.send(OK)
        done.wait(10)

    with talking(script) as (_, transport):
        with pytest.raises(TransportError, match="while a request was being sent"):
            await transport.request("PUT", "/", {}, [bytes(BIG)])
        done.set()


async def test_a_server_that_takes_nothing_is_given_up_after_the_progress_timeout():
    done = threading.Event()

    def script(peer):
        done.wait(20)

    with talking(script, progress_timeout_s=0.2) as (_, transport):
        started = time.monotonic()
        with pytest.raises(TransportError, match=r"nothing moved for 0\.2 s") as caught:
            await transport.request("PUT", "/", {}, [bytes(BIG)])
        assert time.monotonic() - started < 5
        done.set()
    assert caught.value.retryable


async def test_a_server_that_never_answers_is_given_up_after_the_progress_timeout():
    done = threading.Event()

    def script(peer):
        peer.request()
        done.wait(20)

    with talking(script, progress_timeout_s=0.2) as (_, transport):
        with pytest.raises(TransportError, match=r"nothing moved for 0\.2 s"):
            await transport.request("GET", "/", {})
        done.set()


@pytest.mark.slow
async def test_a_slow_server_that_moves_is_waited_for_longer_than_the_timeout():
    tick = threading.Event()  # never set: a wait on it is the server's slowness, not a synchronisation

    def script(peer):
        peer.head()
        total = 0
        while total < 4 << 20:
            total += len(peer.file.read1(1 << 18))
            tick.wait(0.08)
        for byte in OK:
            peer.send(bytes([byte]))
            tick.wait(0.05)

    with talking(script, progress_timeout_s=2.0) as (_, transport):  # a busy machine may stop the server for long
        started = time.monotonic()
        assert (await transport.request("PUT", "/", {}, [bytes(4 << 20)])).status == 200
        assert time.monotonic() - started > 2.0


async def test_a_refused_connection_names_the_endpoint():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transport = ThreadTransport(Origin("http", "127.0.0.1", port))
    message = f"cannot connect to http://127.0.0.1:{port}: .*refused"
    with closing(transport), pytest.raises(TransportError, match=message) as caught:
        await transport.request("GET", "/", {})
    assert caught.value.retryable


async def test_a_host_that_does_not_answer_is_given_up_after_the_connect_timeout():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        held = [socket.socket() for _ in range(8)]  # the queue of the listener is full, so nobody else gets in
        for one in held:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        origin = Origin("http", *listener.getsockname())
        with closing(ThreadTransport(origin, connect_timeout_s=0.3)) as transport:
            started = time.monotonic()
            with pytest.raises(TransportError, match="cannot connect to"):
                await transport.request("GET", "/", {})
            assert time.monotonic() - started < 3
        for one in held:
            one.close()


async def test_an_unknown_host_is_named():
    transport = ThreadTransport(Origin("http", "no-such-host.invalid", 80))
    with closing(transport), pytest.raises(TransportError, match=r"http://no-such-host\.invalid"):
        await transport.request("GET", "/", {})


# -- origins --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://localhost", Origin("http", "localhost", 80), "localhost"),
        ("https://S3.Example:443/", Origin("https", "s3.example", 443), "s3.example"),
        ("http://[::1]:9000", Origin("http", "::1", 9000), "[::1]:9000"),
        ("https://host:80", Origin("https", "host", 80), "host:80"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url, origin, authority):
    assert parse_origin(url) == origin
    assert origin.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:9000",
        "ftp://host",
        "http://",
        "http://host:0",
        "http://host:99999",
        "http://host/path",
        "http://h?x",
    ],
)
def test_what_is_no_origin_is_refused(url):
    with pytest.raises(ConfigurationError, match="the endpoint"):
        parse_origin(url)
