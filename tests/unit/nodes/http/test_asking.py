"""Requests of scripts: where they go, what they carry, and how they end."""

import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

from penstock.errors import BadData, ConfigurationError, StoreUnavailable
from penstock.nodes.http import addresses, line
from penstock.nodes.http.allowed import METHODS, parse_rule
from penstock.nodes.http.asking import IN_FLIGHT, MAX_BODY, Asker, Refused, Request, SecretHeader
from support.web import answer, answering, serving

HUSH = "s3cr3t"


def cut(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "10")
    handler.end_headers()
    handler.wfile.write(b"12345")


def drip(handler):
    """A byte of the head at a time: no single wait is long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(200):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.02)


def drip_body(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "200")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.02)


ANSWERS = {
    "/hello": answer("grüß".encode(), X_One="1", Content_Type="text/plain"),
    "/latin": answer("grüß".encode("latin-1"), Content_Type="text/plain; charset=latin-1"),
    "/odd": answer(b"\xff!", Content_Type="text/plain; charset=nonsense"),
    "/418": answer(b"teapot", 418),
    "/empty": answer(b"", 204),
    "/nowhere": answer(b"no location", 302),
    "/most": answer(b"x" * MAX_BODY),
    "/more": answer(b"x" * (MAX_BODY + 1)),
    "/cut": cut,
    "/drip": drip,
    "/drip-body": drip_body,
    "/punycode": answer(b"x-" + b"b" * 200_000, Content_Type="text/plain; charset=punycode"),
    **{f"/r{code}": answer(b"", code, Location="/hello") for code in (301, 302, 303, 307, 308)},
    "/r-away": answer(b"", 302, Location="/other"),
    "/loop": answer(b"", 302, Location="/loop"),
    "/file": answer(b"", 302, Location="file:///etc/passwd"),
    "/echo": answer(f"you said Bearer {HUSH}".encode(), X_Echo=HUSH),
}


def asker(*rules, secrets=(), **how):
    return Asker(tuple(parse_rule(rule, METHODS) for rule in rules or ("http://127.0.0.1:*/*",)), tuple(secrets), **how)


def secret(*rules, header="Authorization"):
    return SecretHeader(header, f"Bearer {HUSH}", HUSH, tuple(parse_rule(rule, METHODS) for rule in rules))


def test_the_answer_is_told_whatever_its_status(url):
    got = asker().ask(Request(f"{url}/hello?a=1"))
    assert (got.status, got.url, got.body, got.headers["x-one"]) == (200, f"{url}/hello?a=1", "grüß", "1")
    assert asker().ask(Request(f"{url}/latin")).body == "grüß"
    assert asker().ask(Request(f"{url}/odd")).body == "\ufffd!"
    assert asker().ask(Request(f"{url}/punycode")).body.startswith("x-b")
    got = asker().ask(Request(f"{url}/418"))
    assert (got.status, got.body) == (418, "teapot")
    assert asker().ask(Request(f"{url}/empty")).body == ""
    assert asker().ask(Request(f"{url}/nowhere")).status == 302


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_method_headers_and_body_arrive(url, seen, method):
    asker().ask(Request(f"{url}/hello", method, {"x-a": "b", "content-type": "text/plain"}, "ü".encode()))
    request = seen[-1]
    assert (request["method"], request["body"], request["x-a"], request["content-type"]) == (
        method, "ü", "b", "text/plain",
    )  # fmt: skip
    assert request["accept-encoding"] == "identity"


def test_a_script_says_who_asks_and_nobody_else_does():
    agents = []

    def note(handler):
        agents.append(handler.headers.get_all("User-Agent"))
        answer()(handler)

    with serving(answering({"/": note}, [])) as base:
        asker().ask(Request(base))
        asker().ask(Request(base, headers={"user-agent": "mine"}))
    assert agents == [["penstock"], ["mine"]]


@pytest.mark.parametrize(
    "request_",
    [
        Request("file:///etc/passwd"), Request("http://me:pw@127.0.0.1/"), Request("http://a b/"),
        Request("http://127.0.0.1/", "TRACE"), Request("http://127.0.0.1/", "GET", {}, b"x"),
        Request("http://127.0.0.1/", "GET", {"host": "b"}), Request("http://127.0.0.1/", "GET", {"a b": "c"}),
        Request("http://127.0.0.1/" + "x" * 8192), Request("http://127.0.0.1/", "GET", {"a": "b\r\nc: d"}),
        Request("http://127.0.0.1/", "GET", {"a": "☃"}),
    ],
)  # fmt: skip
def test_what_is_no_request_is_not_sent(request_):
    with pytest.raises(ConfigurationError):
        asker().ask(request_)


# -- where they may go --------------------------------------------------------------------------------


def test_what_no_rule_allows_is_refused_and_nobody_asked(url, seen):
    before = len(seen)
    limited = Asker((parse_rule("http://127.0.0.1:*/hello"),), refusal="{} {} is not for you".format)
    with pytest.raises(Refused, match=f"GET {url}/418 is not for you"):
        limited.ask(Request(f"{url}/418?token={HUSH}"))
    with pytest.raises(Refused, match=r"POST .*/hello is not for you"):
        limited.ask(Request(f"{url}/hello", "POST"))
    assert len(seen) == before


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed_with_the_method_that_the_standard_says(url, seen, code):
    got = asker().ask(Request(f"{url}/r{code}", "POST", {"content-type": "a/b"}, b"x"))
    assert (got.url, got.body) == (f"{url}/hello", "grüß")
    kept = code in (307, 308)
    assert (seen[-1]["method"], seen[-1]["body"], seen[-1].get("content-type")) == (
        ("POST", "x", "a/b") if kept else ("GET", "", None)
    )


def test_a_redirect_to_what_is_not_allowed_is_refused(url, seen):
    limited = asker("http://127.0.0.1:*/r-away")
    with pytest.raises(Refused, match="/other is not allowed"):
        limited.ask(Request(f"{url}/r-away"))
    assert seen[-1]["target"] == "/r-away"
    with pytest.raises(ConfigurationError, match="redirects to no URL that can be fetched"):
        asker().ask(Request(f"{url}/file"))
    with pytest.raises(StoreUnavailable, match="more than 5 redirects"):
        asker().ask(Request(f"{url}/loop"))


def test_a_name_at_a_private_address_is_refused_unless_that_is_allowed(url, monkeypatch):
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    there = Request(url.replace("127.0.0.1", "inside.test") + "/hello")
    for rule in ("http://*:*/*", "http://inside.test:*/*"):
        with pytest.raises(ConfigurationError, match=r"'inside\.test' is at 127\.0\.0\.1, which is no public address"):
            asker(rule).ask(there)
        assert asker(rule, allow_private=True).ask(there).status == 200
    with pytest.raises(ConfigurationError, match="which is no public address"):
        asker("http://*:*/*").ask(Request(f"{url}/hello"))


def test_a_redirect_to_a_private_address_is_refused(url, monkeypatch):
    real, judged = socket.getaddrinfo, []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    monkeypatch.setattr(addresses, "is_public", lambda address: judged.append(address) or len(judged) == 1)
    with pytest.raises(ConfigurationError, match="which is no public address"):
        asker("http://*:*/*").ask(Request(url.replace("127.0.0.1", "public.test") + "/r302"))


# -- secrets ------------------------------------------------------------------------------------------


def test_a_secret_goes_where_its_rules_say_and_wins_over_the_script(url, seen):
    both = asker(secrets=[secret("http://127.0.0.1:*/hello")])
    both.ask(Request(f"{url}/hello", headers={"authorization": "mine"}))
    assert seen[-1]["authorization"] == f"Bearer {HUSH}"
    both.ask(Request(f"{url}/418", headers={"authorization": "mine"}))
    assert seen[-1]["authorization"] == "mine"


def test_a_redirect_within_the_origin_carries_a_secret_where_its_rules_say(url, seen):
    asker(secrets=[secret("http://127.0.0.1:*/r302"), secret("http://127.0.0.1:*/*", header="X-Key")]).ask(
        Request(f"{url}/r302")
    )
    assert "authorization" in seen[-2]
    assert "authorization" not in seen[-1]
    assert "x-key" in seen[-1]


def test_a_redirect_to_another_origin_carries_none_and_not_what_the_script_sent(url, seen):
    """Nor does a second redirect back to where it was."""
    there = []
    with serving(answering({"/away": answer(b"", 302, Location=f"{url}/hello")}, there)) as base:
        ANSWERS["/there"] = answer(b"", 307, Location=f"{base}/away")
        asker(secrets=[secret("http://127.0.0.1:*/*", header="X-Key")]).ask(
            Request(f"{url}/there", headers={"authorization": "mine", "x-a": "b"})
        )
    first, away, back = seen[-2], there[-1], seen[-1]
    assert (first["x-key"], first["authorization"]) == (f"Bearer {HUSH}", "mine")
    for request in (away, back):
        assert "x-key" not in request
        assert "authorization" not in request
        assert request["x-a"] == "b"


def test_a_secret_that_a_server_echoes_is_blackened(url):
    got = asker(secrets=[secret("http://127.0.0.1:*/*")]).ask(Request(f"{url}/echo?q={HUSH}"))
    assert got.body == "you said Bearer ***"
    assert HUSH not in str(got)


def test_a_secret_that_begins_with_another_is_blackened_whole(url):
    short = SecretHeader("X-Key", HUSH[:3], HUSH[:3], (parse_rule("http://127.0.0.1:*/*"),))
    got = asker(secrets=[short, secret("http://127.0.0.1:*/*")]).ask(Request(f"{url}/echo"))
    assert got.body == "you said Bearer ***"


def test_a_secret_is_in_no_repr_and_no_error(url):
    one = secret("http://127.0.0.1:*/*")
    assert HUSH not in repr(one)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for target in (f"http://127.0.0.1:{port}/?k={HUSH}", f"{url}/cut?k={HUSH}", f"{url}/loop?k={HUSH}"):
        with pytest.raises(StoreUnavailable) as caught:
            asker(secrets=[one]).ask(Request(target))
        assert HUSH not in str(caught.value)


# -- limits and ends ----------------------------------------------------------------------------------


def test_bodies_are_limited_in_both_directions(url):
    assert len(asker().ask(Request(f"{url}/most")).body) == MAX_BODY
    with pytest.raises(BadData, match=r"/more' is larger than 4194304 bytes"):
        asker().ask(Request(f"{url}/more"))
    assert asker().ask(Request(f"{url}/hello", "POST", {}, b"x" * MAX_BODY)).status == 200
    with pytest.raises(BadData, match="the body of the request"):
        asker().ask(Request(f"{url}/hello", "POST", {}, b"x" * (MAX_BODY + 1)))


def test_an_answer_that_breaks_off_is_an_error(url):
    with pytest.raises(StoreUnavailable, match="broke off after 5 bytes, 5 before its end"):
        asker().ask(Request(f"{url}/cut"))


def test_nobody_there_is_an_error_that_says_so():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(StoreUnavailable, match="ConnectionRefusedError"):
        asker().ask(Request(f"http://127.0.0.1:{port}/"))


def test_time_is_limited_as_a_whole_not_wait_by_wait(url):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        targets = [f"http://127.0.0.1:{silent.getsockname()[1]}/", f"{url}/drip", f"{url}/drip-body"]
        for target in targets:
            begun = time.monotonic()
            with pytest.raises(StoreUnavailable, match="no whole answer came in time"):
                asker().ask(Request(target, timeout_s=0.2))
            assert time.monotonic() - begun < 2


@contextmanager
def full():
    """A server whose queue is full, so that to connect takes for ever; yields its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://full.test:{server.getsockname()[1]}/"


@contextmanager
def silent(scheme):
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"{scheme}://full.test:{server.getsockname()[1]}/"


@pytest.mark.parametrize("server", [full, partial(silent, "https"), partial(silent, "http")])
@pytest.mark.parametrize("how", ["timeout", "close"])
def test_connecting_ends_in_time_and_when_it_is_closed(server, how, monkeypatch):
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    monkeypatch.setattr(line, "permitted_addresses", lambda *_, **__: ["127.0.0.1"] * 8)
    one = asker("https://full.test:*/", "http://full.test:*/", allow_private=True)
    with server() as target:
        timer = threading.Timer(0.3, one.close)
        if how == "close":
            timer.start()
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="in time" if how == "timeout" else "the run has ended"):
            one.ask(Request(target, timeout_s=0.3 if how == "timeout" else 30))
        assert time.monotonic() - begun < 2
        timer.cancel()


def test_an_address_that_is_dead_leaves_time_for_the_next(url, monkeypatch):
    host, port = "127.0.0.2", int(url.rpartition(":")[2])
    with socket.create_server((host, port), backlog=0) as server, ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        monkeypatch.setattr(line, "permitted_addresses", lambda *_, **__: [host, "127.0.0.1"])
        assert asker("http://a.test:*/*").ask(Request(f"http://a.test:{port}/hello", timeout_s=1)).status == 200


@pytest.mark.parametrize("how", ["timeout", "close"])
def test_a_name_that_nobody_resolves_ends_in_time_and_when_it_is_closed(how, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: never.wait(20))
    one = asker("http://a.test/")
    timer = threading.Timer(0.2, one.close)
    if how == "close":
        timer.start()
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="in time" if how == "timeout" else "the run has ended"):
        one.ask(Request("http://a.test/", timeout_s=0.2 if how == "timeout" else 30))
    never.set()
    assert time.monotonic() - begun < 2
    timer.cancel()


@contextmanager
def holding():
    """A server that answers nobody until it is told to."""
    release, arrived = threading.Event(), threading.Semaphore(0)

    def hold(handler):
        arrived.release()
        release.wait(20)
        answer(b"ok")(handler)

    with serving(answering({"/": hold}, [])) as base:
        try:
            yield base, arrived, release
        finally:
            release.set()


def test_a_close_ends_a_request_that_waits():
    with holding() as (base, arrived, _):
        one, errors = asker(), []

        def ask():
            try:
                one.ask(Request(base))
            except StoreUnavailable as error:
                errors.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        assert arrived.acquire(timeout=5)
        one.close()
        thread.join(5)
        assert errors == [f"fetch '{base}': the run has ended"]
        with pytest.raises(StoreUnavailable, match="the run has ended"):
            one.ask(Request(base))


def test_the_seventeenth_waits_for_a_place_within_its_own_time():
    with holding() as (base, arrived, release):
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(asker().ask(Request(base)).body)) for _ in range(IN_FLIGHT)
        ]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert arrived.acquire(timeout=5)
        with pytest.raises(StoreUnavailable, match="16 requests are in flight already"):
            asker().ask(Request(base, timeout_s=0.1))
        last = threading.Thread(target=lambda: answers.append(asker().ask(Request(base)).body))
        last.start()
        assert not arrived.acquire(timeout=0.1)
        release.set()
        for thread in (*threads, last):
            thread.join(5)
        assert answers == ["ok"] * 17
