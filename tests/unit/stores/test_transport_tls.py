"""The same transport under TLS, with certificates of an authority made for the test."""

import asyncio
import random
import ssl
import threading

import pytest
import trustme

from penstock.errors import ConfigurationError
from penstock.stores.file_bytes import file_view
from penstock.stores.transport import Origin, ThreadTransport, TransportError
from support.sockets import BIG, OK, closing, serving, talking


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="module")
def wrap(authority):
    return wrapper(authority.issue_cert("127.0.0.1"))


def wrapper(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return lambda connection: context.wrap_socket(connection, server_side=True)


@pytest.mark.parametrize("sizes", [[], [1], [16 << 10] * 3, [(256 << 10) - 1], [256 << 10], [(256 << 10) + 1], [BIG]])
async def test_bodies_arrive_whole_on_a_kept_connection(wrap, ca_file, sizes):
    body = [bytes([n % 251 + 1]) * size for n, size in enumerate(sizes)]
    got = []

    def script(peer):
        for _ in range(2):
            got.append(peer.request()[2])
            peer.send(OK)

    progress = []
    with talking(script, wrap=wrap, ca_file=ca_file) as (server, transport):
        for _ in range(2):
            response = await transport.request("PUT", "/", {}, body, progress=progress.append)
            assert (response.status, response.body) == (200, b"ok")
    assert got == [b"".join(body)] * 2
    assert progress[-1] == sum(sizes)
    assert server.accepted == 1


@pytest.mark.parametrize("size", [1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1 << 20])
async def test_what_lies_in_a_file_arrives_whole(wrap, ca_file, tmp_path, size):
    data = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(bytes(4096) + data)
    got = []

    def script(peer):
        got.append(peer.request()[2])
        peer.send(OK)

    with (
        file_view(tmp_path / "file", 4096, size) as view,
        talking(script, wrap=wrap, ca_file=ca_file) as (_, transport),
    ):
        await transport.request("PUT", "/", {}, [b"head", view])
    assert got == [b"head" + data]


async def test_a_large_answer_arrives_whole(wrap, ca_file):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)

    with talking(script, wrap=wrap, ca_file=ca_file) as (_, transport):
        assert (await transport.request("GET", "/", {})).body == b"x" * 3_000_000


async def test_the_authority_may_come_from_the_environment(wrap, ca_file, monkeypatch):
    def script(peer):
        peer.request()
        peer.send(OK)

    for variable in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(variable, ca_file)
        with talking(script, wrap=wrap) as (_, transport):
            assert (await transport.request("GET", "/", {})).status == 200
        monkeypatch.delenv(variable)


def refused(peer):
    """A handshake that fails never reaches the script."""
    raise AssertionError


async def fails(server, **options):
    """The error of a request to a server whose handshake does not come to an end."""
    with closing(ThreadTransport(server.origin, **options)) as transport, pytest.raises(TransportError) as caught:
        await transport.request("GET", "/", {})
    server.close()
    server.errors.clear()  # what the server thinks of it
    return caught.value


async def test_a_certificate_of_an_unknown_authority_is_refused_with_a_way_out(wrap):
    with serving(refused, wrap=wrap) as server:
        error = await fails(server)
    assert "is not trusted" in str(error)
    assert "SSL_CERT_FILE or AWS_CA_BUNDLE" in str(error)
    assert not error.retryable


async def test_a_certificate_for_another_host_is_refused(authority, ca_file):
    with serving(refused, wrap=wrapper(authority.issue_cert("other.example"))) as server:
        error = await fails(server, ca_file=ca_file)
    assert "is not trusted" in str(error)
    assert not error.retryable


async def test_a_server_without_tls_is_told_apart(ca_file):
    def script(peer):
        peer.connection.recv(100)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with serving(script) as server:
        server.origin = Origin("https", server.origin.host, server.origin.port)
        error = await fails(server, ca_file=ca_file)
    assert "is it an http:// endpoint?" in str(error)
    assert not error.retryable


async def test_a_file_of_certificates_that_is_not_there_is_named(wrap):
    with (
        serving(refused, wrap=wrap) as server,
        closing(ThreadTransport(server.origin, ca_file="/no/such.pem")) as transport,
    ):
        with pytest.raises(ConfigurationError, match=r"/no/such\.pem"):
            await transport.request("GET", "/", {})
        server.close()
        server.errors.clear()


async def test_an_end_without_close_notify_is_not_the_end_of_an_answer(wrap, ca_file):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil I close")  # and Python closes without a word of TLS

    cut = "cut the TLS connection"
    with (
        talking(script, wrap=wrap, ca_file=ca_file) as (_, transport),
        pytest.raises(TransportError, match=cut) as caught,
    ):
        await transport.request("GET", "/", {})
    assert caught.value.retryable


async def test_a_refusal_that_comes_before_the_body_was_taken_is_the_answer_under_tls(wrap, ca_file):
    done = threading.Event()

    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 4\r\n\r\nwait")
        done.wait(10)

    with talking(script, wrap=wrap, ca_file=ca_file) as (_, transport):
        response = await transport.request("PUT", "/", {}, [bytes(BIG)])
        done.set()
    assert (response.status, response.body) == (503, b"wait")


async def test_a_cancelled_upload_stops_on_the_wire_and_frees_its_buffers_under_tls(wrap, ca_file):
    taken = []

    def script(peer):
        peer.head()
        taken.append(peer.read_to_end())

    body = bytearray(BIG)
    with talking(script, wrap=wrap, ca_file=ca_file) as (_, transport):
        moving = asyncio.Event()
        loop = asyncio.get_running_loop()
        sending = asyncio.ensure_future(
            transport.request("PUT", "/", {}, [body], progress=lambda _: loop.call_soon_threadsafe(moving.set))
        )
        await moving.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        body.clear()  # fails while the thread holds a view of it
    assert taken[0] < BIG
