"""Fetcher: the bytes, all of them, and from nowhere else."""

import socket
import ssl
import threading

import anyio
import pytest
import trustme
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import BadData, ConfigurationError, NotFound, PermissionDenied, StoreError, StoreUnavailable
from penstock.nodes.http import addresses
from penstock.nodes.http.addresses import is_public, permitted_addresses
from penstock.nodes.http.fetcher import HttpFetcher, HttpFetcherConfig
from penstock.testing import FakeContext, run_node
from support.media import joined
from support.web import answering, serving

KIND = "transport::http::fetcher"
DATA = bytes(range(256)) * 500


def plain(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "audio/ogg")
    handler.send_header("Content-Length", str(len(DATA)))
    handler.end_headers()
    handler.wfile.write(DATA)


def chunked(handler, end=b"0\r\n\r\n"):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for at in range(0, len(DATA), 1000):
        part = DATA[at : at + 1000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    handler.wfile.write(end)


def until_close(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(DATA)


def broken(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(DATA) + 1))
    handler.end_headers()
    handler.wfile.write(DATA)


def coded(handler):
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def status(code):
    def answer(handler):
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def redirect(location, code=302):
    def answer(handler):
        handler.send_response(code)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


ANSWERS = {
    "/plain": plain,
    "/chunked": chunked,
    "/close": until_close,
    "/broken": broken,
    "/cut": lambda handler: chunked(handler, b"5\r\nab"),
    "/unended": lambda handler: chunked(handler, b""),
    "/coded": coded,
    **{f"/{code}": status(code) for code in (204, 206, 401, 403, 404, 429, 500, 503)},
    **{f"/r{code}": redirect("/plain", code) for code in (301, 302, 303, 307, 308)},
    **{f"/hop{number}": redirect(f"/hop{number - 1}") for number in range(2, 8)},
    "/hop1": redirect("plain"),
    "/loop": redirect("/loop"),
    "/file": redirect("file:///etc/passwd"),
    "/nowhere": redirect(""),
    "/user": redirect("http://me:secret@127.0.0.1/"),
}


async def fetch(url, **params):
    return (await run_node(KIND, url=url, **{"allow_private": True, **params})).packets


@pytest.mark.parametrize("path", ["/plain", "/chunked", "/close"])
@pytest.mark.parametrize("size", [1000, 8192, 1 << 20])
async def test_all_bytes_come_in_packets_of_the_size_at_most(url, path, size):
    packets = await fetch(url + path, chunk_size=size)
    assert joined(packets) == DATA
    assert max(len(packet.data) for packet in packets) <= size
    assert {packet.content_type for packet in packets} == {"audio/ogg" if path == "/plain" else None}


async def test_the_request_says_what_is_wanted(url, seen):
    await fetch(f"{url}/plain?a=1&b=%20")
    assert seen[-1]["target"] == "/plain?a=1&b=%20"
    assert seen[-1]["host"] == url.removeprefix("http://")
    assert seen[-1]["accept-encoding"] == "identity"


@pytest.mark.parametrize("path", ["/broken", "/cut", "/unended"])
async def test_an_answer_that_breaks_off_fails_the_node(url, path):
    with pytest.raises(StoreUnavailable, match=r"fetch '.*': .* after 12800[02] bytes|broke off after 128000 bytes"):
        await fetch(url + path)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (204, StoreError),
        (206, StoreError),
        (401, PermissionDenied),
        (403, PermissionDenied),
        (404, NotFound),
        (429, StoreUnavailable),
        (500, StoreUnavailable),
        (503, StoreUnavailable),
    ],
)
async def test_any_answer_but_the_resource_is_an_error_before_a_packet_flows(url, code, error):
    node = HttpFetcher(HttpFetcherConfig(url=f"{url}/{code}?token=hush", allow_private=True))
    with pytest.raises(error, match=f"the server answered {code}") as caught:
        await node.prepare(FakeContext())
    await node.close()
    assert type(caught.value) is error
    assert "hush" not in str(caught.value)


async def test_a_coding_that_was_not_asked_for_is_refused(url):
    with pytest.raises(BadData, match="coded as 'gzip'"):
        await fetch(f"{url}/coded")


# -- redirects ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(url, code):
    assert joined(await fetch(f"{url}/r{code}")) == DATA


@pytest.mark.parametrize(("hops", "limit", "fails"), [(5, 5, False), (6, 5, True), (1, 0, True), (2, 2, False)])
async def test_redirects_are_followed_so_many_times(url, hops, limit, fails):
    if fails:
        with pytest.raises(StoreError, match=f"more than {limit} redirects"):
            await fetch(f"{url}/hop{hops}", max_redirects=limit)
    else:
        assert joined(await fetch(f"{url}/hop{hops}", max_redirects=limit)) == DATA


async def test_a_redirect_to_no_web_page_is_refused_and_no_secret_told(url):
    for path in ("/file", "/user"):
        with pytest.raises(ConfigurationError, match="redirects to no URL that can be fetched") as caught:
            await fetch(url + path)
        assert "secret" not in str(caught.value)
    with pytest.raises(StoreError, match="more than 5 redirects"):
        await fetch(f"{url}/loop")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def trusted(authority, monkeypatch):
    def context():
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(made)
        return made

    monkeypatch.setattr(ssl, "create_default_context", context)


@pytest.fixture(scope="module")
def secure(authority, url):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serving(answering({"/plain": plain, "/down": redirect(f"{url}/plain")}, []), context) as base:
        yield base


async def test_tls_is_verified_for_the_name_though_an_address_is_connected_to(secure, trusted):
    assert joined(await fetch(f"{secure}/plain")) == DATA
    with pytest.raises(StoreUnavailable, match="SSLCertVerificationError"):
        await fetch(secure.replace("localhost", "127.0.0.1") + "/plain")


async def test_an_unknown_authority_is_refused(secure):
    with pytest.raises(StoreUnavailable, match="SSLCertVerificationError"):
        await fetch(f"{secure}/plain")


async def test_a_redirect_from_https_to_http_is_refused(secure, trusted):
    with pytest.raises(ConfigurationError, match="redirects from https to http"):
        await fetch(f"{secure}/down")


# -- addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("172.31.255.255", False),
        ("172.32.0.1", True),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff0e::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
        ("2606:4700::1111", True),
        ("::127.0.0.1", False),
        ("::ffff:0:10.0.0.1", False),
        ("64:ff9b:1::a00:1", False),
        ("fec0::1", False),
        ("5f00::1", False),
        ("2001:db8::1", False),
        ("192.0.0.192", False),
        ("192.88.99.1", False),
    ],
)
def test_only_addresses_of_the_public_internet_are_public(address, public):
    assert is_public(address) is public


async def test_a_private_address_is_refused_unless_it_is_allowed(url):
    for host in ("127.0.0.1", "localhost", "0x7f000001", "2130706433"):
        with pytest.raises((ConfigurationError, StoreUnavailable), match=r"no public address|cannot be resolved"):
            await fetch(f"http://{host}:{url.rpartition(':')[2]}/plain", allow_private=False)


def resolving(*found):
    return lambda *arguments, **options: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 80)) for one in found]


def test_of_several_addresses_the_public_ones_are_left():
    found = resolving("10.0.0.1", "8.8.8.8", "8.8.8.8")
    assert permitted_addresses("h", 80, allow_private=False, resolve=found) == ["8.8.8.8"]
    assert permitted_addresses("h", 80, allow_private=True, resolve=found) == ["10.0.0.1", "8.8.8.8"]


async def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(url, monkeypatch):
    asked = []
    real = socket.getaddrinfo

    def rebinding(host, *arguments, **options):
        if host == "rebind.test":
            asked.append(host)
            host = "127.0.0.1"
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(addresses, "is_public", lambda address: not asked[1:])  # public the first time, then not
    assert joined(await fetch(f"http://rebind.test:{url.rpartition(':')[2]}/plain", allow_private=False)) == DATA
    assert asked == ["rebind.test"]


async def test_a_redirect_to_a_private_address_is_refused(url, monkeypatch):
    real = socket.getaddrinfo
    names = {"public.test": "127.0.0.1"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real(names.get(host, host), *rest, **more))
    judged = []
    monkeypatch.setattr(addresses, "is_public", lambda address: judged.append(address) or len(judged) == 1)
    port = url.rpartition(":")[2]
    with pytest.raises(ConfigurationError, match=r"'public\.test' is at 127\.0\.0\.1, which is no public address"):
        await fetch(f"http://public.test:{port}/r302", allow_private=False)


# -- limits and ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/plain", "/chunked"])
async def test_the_size_is_limited_whether_or_not_it_is_announced(url, path):
    assert joined(await fetch(url + path, max_size=len(DATA))) == DATA
    with pytest.raises(BadData, match="max_size"):
        await fetch(url + path, max_size=len(DATA) - 1)


async def test_a_server_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            await fetch(f"http://127.0.0.1:{port}/", timeout_s=0.05)


async def test_nobody_there_is_an_error_that_says_so():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(StoreUnavailable, match="ConnectionRefusedError"):
        await fetch(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_a_stop_or_a_cancel_ends_a_stream_that_stalls(how):
    release = threading.Event()

    def stalling(handler):
        until_close(handler)
        handler.wfile.flush()
        release.wait(10)

    with serving(answering({"/": stalling}, [])) as base:
        node = HttpFetcher(HttpFetcherConfig(url=f"{base}/", allow_private=True))
        out = Channel(1000)
        ctx = FakeContext(outputs={"out": out})
        await node.prepare(ctx)
        received = 0
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(node.run, ctx)
                while received < len(DATA):
                    received += sum(len(packet.data) for packet in await out.receive_many())
                ctx.stopping.set() if how == "stop" else tasks.cancel_scope.cancel()
            await node.close()
        release.set()


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "http://", "/a", "http://a b/", "http://me:pw@a/", "http://a:99999/", "http://ü.de/", "http://a:0/"],
)
def test_a_url_that_cannot_be_fetched_is_refused(url):
    with pytest.raises(ValidationError):
        HttpFetcherConfig(url=url)
