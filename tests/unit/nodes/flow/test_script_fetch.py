"""Scripts that fetch: what they are answered, what they are refused, and how they end."""

import json
import logging
import signal
import sys
import threading
import time

import anyio
import pytest
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import BadData, ConfigurationError
from penstock.nodes.flow.engine_quickjs import ProcessEngine
from penstock.nodes.flow.script import Script, ScriptConfig
from penstock.nodes.flow.script_fetch import make_asker
from penstock.nodes.flow.script_headers import HeaderMapping
from penstock.nodes.flow.script_rules import check_secrets
from penstock.packets import Custom, Text
from penstock.testing import FakeContext, run_node
from support.web import answer, answering, serving

HUSH = "s3cr3t"
ANY = "GET,POST:http://127.0.0.1:*/*"
ANSWERS = {
    "/fact": answer(b'{"text": "Bees sleep."}', Content_Type="application/json"),
    "/418": answer(b"teapot", 418, X_Reason="tea"),
    "/nojson": answer(b"<html>"),
    "/more": answer(b"x" * ((4 << 20) + 1)),
    "/away": answer(b"", 302, Location="/elsewhere"),
    "/echo-away": answer(b"", 302, Location=f"http://other.test/{HUSH}/x"),
    "/echo-status": lambda handler: handler.wfile.write(f"{HUSH}\r\n".encode()),
}


async def run(body, *packets, **params):
    script = f"async function process(packet) {{ {body} }}"
    return await run_node("core::script", packets or [Text("x")], script=script, **{"allow_fetch": [ANY], **params})


async def made(body, **params):
    (packet,) = (await run(f"return {{type: 'Custom', type_id: 't', data: (() => {{ {body} }})()}};", **params)).packets
    assert isinstance(packet, Custom)
    return packet.data


async def thrown(body, **params):
    return await made(f"try {{ {body} }} catch (error) {{ return String(error); }}", **params)


async def test_fetch_returns_the_text_at_once_with_or_without_await(url):
    assert await made(f"return JSON.parse(fetch('{url}/fact')).text;") == "Bees sleep."
    result = await run(f"const text = await fetch('{url}/fact'); return {{type: 'Text', data: text}};")
    assert result.packets == [Text('{"text": "Bees sleep."}')]


async def test_an_answer_of_any_status_is_text_or_all_that_was_answered(url):
    assert await made(f"return fetch('{url}/418');") == "teapot"
    got = await made(
        f"const r = fetch('{url}/418', {{response: true}});"
        "return [r.status, r.ok, r.url, r.headers['x-reason'], r.text()];"
    )
    assert got == [418, False, f"{url}/418", "tea", "teapot"]
    assert await made(f"return fetch('{url}/fact', {{response: true}}).json().text;") == "Bees sleep."


async def test_method_headers_and_body_are_sent_and_a_body_is_json_unless_said(url, seen):
    await made(
        f"fetch('{url}/fact', {{method: 'post', headers: {{'X-A': 1}}, body: JSON.stringify({{ü: 1}})}}); return 1;"
    )
    request = seen[-1]
    assert (request["method"], request["x-a"], json.loads(request["body"])) == ("POST", "1", {"ü": 1})
    assert request["content-type"] == "application/json"
    await made(f"fetch('{url}/fact', {{method: 'POST', headers: {{'content-type': 'a/b'}}, body: ''}}); return 1;")
    assert seen[-1]["content-type"] == "a/b"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("fetch('https://other.test/x?k=s3cr3t')", "Blocked: URL not in global allowlist: GET https://other.test/x; "),
        ("fetch(URL + '/fact', {method: 'DELETE'})", "Blocked: URL not in global allowlist: DELETE http://127.0.0.1"),
        ("fetch(URL + '/more')", "is larger than 4194304 bytes"),
        ("fetch(URL + '/fact', {timeout: 0})", "timeout is in milliseconds"),
        ("fetch(URL + '/fact', {timeout: 'x'})", "timeout is in milliseconds"),
        ("fetch(URL + '/fact', {headers: {Host: 'a'}})", "the header 'host' cannot be set"),
        ("fetch(URL + '/fact', {body: 'x'})", "a GET request has no body"),
        ("fetch()", "the URL cannot be fetched"),
        ("JSON.parse(fetch(URL + '/nojson'))", "SyntaxError"),
        ("fetch(URL + '/nojson', {response: true}).json()", "SyntaxError"),
    ],
)
async def test_what_goes_wrong_can_be_caught_in_the_script(url, body, reason):
    told = await thrown(f"const URL = '{url}'; {body}; return 'nothing thrown';")
    assert reason in told
    assert HUSH not in told
    if "Blocked" in reason:
        assert told.endswith("--allow-fetch 'GET:https://host/path*', or set allow_fetch of core::script")


async def test_what_is_not_caught_fails_the_node_and_says_why(url):
    with pytest.raises(
        BadData, match=r"the script failed: Error: Blocked: URL not in global allowlist: GET http://a\.test"
    ):
        await run("return fetch('http://a.test/');")


async def test_a_redirect_to_what_is_not_allowed_is_refused(url):
    told = await thrown(f"return fetch('{url}/away');", allow_fetch=["http://127.0.0.1:*/away"])
    assert f"Blocked: URL not in global allowlist: GET {url}/elsewhere" in told


async def test_without_a_rule_fetch_is_there_and_refuses(monkeypatch):
    told = await thrown("return fetch('https://a.test/');", allow_fetch=[])
    assert told.startswith(
        "Error: Blocked: Global allowlist is empty; to allow fetch, start the run with --allow-fetch"
    )


async def test_who_starts_the_run_can_allow_too(url, monkeypatch):
    monkeypatch.setenv("PENSTOCK_ALLOW_FETCH", f"https://a.test {url}/fact")
    assert await made(f"return JSON.parse(fetch('{url}/fact')).text;", allow_fetch=[]) == "Bees sleep."
    monkeypatch.setenv("PENSTOCK_ALLOW_FETCH", "nonsense")
    with pytest.raises(ConfigurationError, match=r"PENSTOCK_ALLOW_FETCH .* 'nonsense' is no rule"):
        await made("return 1;", allow_fetch=[])


# -- limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("while (true) {}", "it took longer than timeout_ms"),
        ("for (;;) await 1;", "it took longer than timeout_ms"),
        ("for (;;) { try { fetch('http://a.test/'); } catch (error) {} }", "it took longer than timeout_ms"),
        ("const a = []; while (true) a.push(new Uint8Array(1 << 20));", "it took more than memory_limit_mb"),
        ("const f = () => { try { fetch('http://a.test/'); } catch (e) {} return f() + 1; }; f();", "call stack"),
        ("await new Promise(() => {});", "nothing will ever settle"),
        ("throw new Error('boo');", "Error: boo at process"),
    ],
)
async def test_the_limits_are_those_of_any_script(body, reason):
    with pytest.raises(BadData, match="the script failed") as caught:
        await run(body, timeout_ms=200 if "timeout_ms" in reason else 5000, memory_limit_mb=16)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "breaking",
    [
        "Object.prototype.toJSON = () => 5;",
        "Array.prototype.toJSON = () => 'ab';",
        "Object.prototype.toJSON = function () { return 'asked' in this ? {asked: 5, told: [], logged: []} : this; };",
        "Object.prototype.toJSON = function () { return 'asked' in this ? {asked: {url: [5]}} : this; };",
    ],
)
@pytest.mark.parametrize("allowed", [[ANY], []])
async def test_a_script_that_breaks_the_form_of_its_messages_fails_like_any_other(breaking, allowed):
    with pytest.raises(BadData, match="the script failed: "):
        await run(f"{breaking} telemetry.emit('x'); fetch('http://127.0.0.1:1/'); return 5;", allow_fetch=allowed)


async def test_events_and_lines_are_limited_for_a_packet_however_often_it_fetches(caplog):
    caplog.set_level(logging.INFO)
    body = """
        for (let i = 0; i < 3; i++) {
          for (let j = 0; j < 50; j++) { telemetry.emit('x', j); console.log('line', j); }
          try { fetch('http://a.test/'); } catch (error) {}
        }
        return packet;
    """
    result = await run(body, Text("a"), Text("b"))
    assert len(result.context.events) == 200
    assert caplog.text.count("line") == 200


@pytest.mark.parametrize(
    ("script", "reason"), [("(", "SyntaxError"), ("let x;", "no function process"), ("for (;;);", "timeout_ms")]
)
async def test_a_script_that_cannot_be_loaded_is_known_before_a_packet_flows(script, reason):
    with pytest.raises(ConfigurationError, match=reason):
        await run_node("core::script", [], script=script, allow_fetch=[ANY])


async def test_waiting_for_an_answer_takes_nothing_of_the_time_of_the_script():
    def slow(handler):
        time.sleep(0.4)
        answer(b"late")(handler)

    busy = threading.Event()
    others = threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(busy.is_set, True)])
    others.start()  # processor time of this process is not the script's either
    try:
        with serving(answering({"/": slow}, [])) as base:
            assert await made(f"return fetch('{base}/');", timeout_ms=100) == "late"
            told = await thrown(f"return fetch('{base}/', {{timeout: 100}});", timeout_ms=100)
    finally:
        busy.set()
        others.join()
    assert "no whole answer came in time" in told


# -- secrets ------------------------------------------------------------------------------------------

KEY = [{"secret": "key", "header": "Authorization", "template": "Bearer {}"}]


async def test_a_secret_goes_to_its_place_and_the_script_does_not_see_it(url, seen, monkeypatch, caplog):
    monkeypatch.setenv("KEY_OF_MINE", HUSH)
    monkeypatch.setenv("PENSTOCK_SCRIPT_SECRETS", f"key=KEY_OF_MINE@{url}/fact")
    caplog.set_level(logging.DEBUG)
    dump = "JSON.stringify(Object.getOwnPropertyNames(globalThis)) + fetch.toString()"
    result = await run(
        f"fetch('{url}/fact'); fetch('{url}/418'); console.log({dump}); telemetry.emit('x', {dump}); return packet;",
        headers=KEY,
    )
    assert [request.get("authorization") for request in seen[-2:]] == [f"Bearer {HUSH}", None]
    assert HUSH not in caplog.text
    assert HUSH not in str(result)


@pytest.mark.parametrize("path", ["/echo-away", "/echo-status"])
async def test_a_secret_that_a_server_echoes_is_in_no_error(url, path, monkeypatch):
    monkeypatch.setenv("KEY_OF_MINE", HUSH)
    monkeypatch.setenv("PENSTOCK_SCRIPT_SECRETS", f"key=KEY_OF_MINE@{url}/*")
    told = await thrown(f"return fetch('{url}{path}');", headers=KEY)
    assert told.startswith("Error: ")
    assert "***" in told
    assert HUSH not in told


def test_a_secret_that_is_not_there_is_said_by_name_alone():
    mapping = HeaderMapping(secret="key", header="X-Key")
    there = {"PENSTOCK_SCRIPT_SECRETS": "key=KEY@https://a.test/*", "PENSTOCK_ALLOW_FETCH": "https://a.test/*"}
    for environ, reason in [
        ({}, "the secret 'key' is not known; start the run with --script-secret key=VARIABLE@https://host/path"),
        (there, "should be in the variable KEY, which is not set, or empty"),
        ({**there, "KEY": f"{HUSH}\n"}, "characters that no header has"),
        ({**there, "KEY": f"{HUSH}☃"}, "characters that no header has"),
    ]:
        with pytest.raises(ConfigurationError, match=reason) as caught:
            make_asker([], [mapping], allow_private=False, environ=environ)
        assert HUSH not in str(caught.value)
    assert make_asker([], [mapping], allow_private=False, environ={**there, "KEY": HUSH}) is not None


@pytest.mark.parametrize("header", ["Host", "content-length", "Transfer-Encoding", "a b", ""])
def test_no_secret_goes_into_a_header_that_frames_the_message(header):
    with pytest.raises(ValidationError):
        HeaderMapping(secret="key", header=header)


def test_secrets_are_listed_with_the_places_they_may_go_to():
    known = check_secrets("a=A@https://a.test/* b.c-d=_B1@POST:https://b.test a=A@https://c.test")
    assert {name: (variable, len(rules)) for name, (variable, rules) in known.items()} == {
        "a": ("A", 2),
        "b.c-d": ("_B1", 1),
    }
    for text in ("a", "a=A", "a=A@", "a=1@https://a.test", "=A@https://a.test", "a=A@a.test"):
        with pytest.raises(ValueError, match=r"is no NAME=VARIABLE@URL|is no rule"):
            check_secrets(text)
    for text in (HUSH, f"a={HUSH}", f"a={HUSH}@https://a.test/ x"):  # a value in place of a variable, or of all
        with pytest.raises(ValueError, match="is no NAME=VARIABLE@URL") as caught:
            check_secrets(text)
        assert HUSH not in str(caught.value)
    with pytest.raises(ValueError, match="is said to be in A and in B"):
        check_secrets("a=A@https://a.test a=B@https://a.test")


# -- order, events, ends ------------------------------------------------------------------------------


async def test_packets_keep_their_order_and_the_loop_goes_on():
    def uneven(handler):
        time.sleep(0.02 if handler.path[-1] in "02468" else 0)
        answer(handler.path.encode())(handler)

    class Any(dict):
        def __getitem__(self, path):
            return uneven

    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await anyio.sleep(0.005)
            ticks += 1

    with serving(answering(Any(), [])) as base:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
            result = await run(
                f"return {{type: 'Text', data: await fetch('{base}/' + packet.data)}};",
                *[Text(str(n)) for n in range(20)],
            )
            tasks.cancel_scope.cancel()
    assert [packet.text for packet in result.packets] == [f"/{n}" for n in range(20)]
    assert ticks > 10


async def test_what_is_made_does_not_wait_for_the_next_answer():
    release = threading.Event()

    def hold(handler):
        release.wait(20)
        answer(b"late")(handler)

    with serving(answering({"/": hold}, [])) as base:
        script = f"function process(p) {{ if (p.data === 'b') p.data = fetch('{base}/'); return p; }}"
        node = Script(ScriptConfig(script=script, allow_fetch=[ANY]))
        given, out = Channel(10), Channel(10)
        await given.send_many([Text("a"), Text("b")])
        given.close()
        ctx = FakeContext({"in": given}, {"out": out})
        await node.prepare(ctx)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.run, ctx)
            with anyio.fail_after(5):
                assert await out.receive_many() == [Text("a")]
                release.set()
                assert await out.receive_many() == [Text("late")]
        await node.close()


async def test_what_came_before_a_failure_is_handed_on():
    out = Channel(100)
    given = Channel(100)
    await given.send_many([Text("a"), Text("b"), Text("c")])
    given.close()
    script = "function process(p) { if (p.data === 'c') throw 1; return p; }"
    node = Script(ScriptConfig(script=script, allow_fetch=[ANY]))
    ctx = FakeContext({"in": given}, {"out": out})
    await node.prepare(ctx)
    with pytest.raises(BadData):
        await node.run(ctx)
    await node.close()
    assert [*await out.receive_many()] == [Text("a"), Text("b")]


async def test_spans_are_told_when_they_begin_and_end(url):
    """What a script has told is there before it waits."""
    body = f"""
        const span = telemetry.startSpan("llm", {{model: "m", turn_id: "t"}});
        await fetch("{url}/fact");
        return telemetry.endSpan(span, {{status: "ok"}}) && !telemetry.endSpan(span) ? packet : null;
    """
    result = await run(body)
    (_, begun), (_, ended) = result.context.events
    assert (begun["event_type"], ended["event_type"]) == ("llm.start", "llm")
    about = {"correlation_id": "span-1", "model": "m", "turn_id": "t", "span_id": "span-1"}
    assert begun["data"] == about
    assert ended["data"] == {**about, "status": "ok", "latency_ms": ended["data"]["latency_ms"]}
    assert 0 <= ended["data"]["latency_ms"] < 5000
    assert result.packets == [Text("x")]


@pytest.mark.parametrize("script", ["fetch", "spin"])
async def test_a_cancel_ends_a_script_that_waits_or_spins_and_its_process(script):
    release, arrived = threading.Event(), threading.Event()

    def hold(handler):
        arrived.set()
        if script == "fetch":
            release.wait(20)
        answer(b"ok")(handler)

    with serving(answering({"/": hold}, [])) as base:
        source = f"function process(packet) {{ fetch('{base}/', {{timeout: 60000}}); for (;;); }}"
        node = Script(ScriptConfig(script=source, allow_fetch=[ANY], timeout_ms=60_000))
        given = Channel(10)
        await given.send(Text("x"))
        ctx = FakeContext({"in": given}, {"out": Channel(10)})
        await node.prepare(ctx)
        child = node._engine._child
        begun = time.monotonic()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node.run, ctx)
            await anyio.to_thread.run_sync(arrived.wait, 5)
            tasks.cancel_scope.cancel()
        await node.close()
        release.set()
    assert time.monotonic() - begun < 3
    assert child.returncode == -9


async def test_no_process_and_no_thread_is_left():
    node = Script(ScriptConfig(script="function process(p) { return p; }", allow_fetch=[ANY]))
    await node.prepare(FakeContext())
    child = node._engine._child
    assert child.poll() is None
    await node.close()
    await node.close()
    assert child.returncode == -9
    assert child.stdin.closed
    assert child.stdout.closed


@pytest.mark.parametrize("inherited", ["blocked", "ignored"])
def test_the_limit_of_time_holds_whatever_signals_the_process_was_started_with(inherited):
    of_old = signal.getsignal(signal.SIGPROF)
    if inherited == "blocked":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF})
    else:
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
    try:
        engine = ProcessEngine(timeout_s=0.1, memory_bytes=16 << 20, answer=lambda asked: {}, tell=lambda told: None)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
        signal.signal(signal.SIGPROF, of_old)
    hopeless = threading.Timer(3, engine.close)
    hopeless.start()
    with pytest.raises(ConfigurationError, match="timeout_ms"):
        engine.load("for (;;);")
    hopeless.cancel()
    engine.close()


async def test_a_process_that_cannot_be_started_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ConfigurationError, match=r"the process of the script cannot be started: .*nowhere"):
        await run("return packet;")
