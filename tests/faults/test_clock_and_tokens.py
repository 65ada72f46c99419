"""A clock that is off, and a token that expires between two parts: uploads go on by themselves, or say why not."""

import json
import sys
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penstock.errors import PermissionDenied
from penstock.stores.credentials import AMBIENT, CredentialSettings
from penstock.stores.multipart import UploadOptions, open_upload
from penstock.stores.resolve import open_store
from support.s3_server import Fault, s3_server

MIB = 1 << 20
PARTS = [bytes([number]) * 5 * MIB for number in range(4)]
DATA = b"".join(PARTS)
NAMED = CredentialSettings(access_key_id_env="KEY_ID", secret_key_env="SECRET", session_token_env="TOKEN")


def environ(token):
    return {"KEY_ID": f"AKID{token}", "SECRET": f"secret-{token}", "TOKEN": token}


@pytest.fixture
def server():
    with s3_server() as server:
        yield server


async def upload(server, *, between=lambda: None, **settings):
    """Upload four parts, one at a time, and call ``between`` when two are stored."""
    store = open_store(server.endpoint, "takes", **settings)
    stored = []

    def seen(event, fields):
        if event == "object.part":
            stored.append(fields)
            if len(stored) == 2:
                between()

    try:
        async with open_upload(store, "k", UploadOptions(parts_in_flight=1), on_event=seen) as out:
            for part in PARTS:
                await out.write(part)
        return out.result
    finally:
        await store.aclose()


# -- the clock ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [20, -20])
async def test_a_clock_that_is_off_costs_one_request_of_an_upload(server, caplog, minutes):
    server.ahead = timedelta(minutes=minutes)
    await upload(server, credentials=NAMED, environ=environ("one"))
    assert server.objects["k"] == DATA
    assert server.uploads == {}
    assert server.count("create_multipart") == 2
    assert server.count("put_part") == 4
    assert "signed by the store's from now on" in caplog.text


async def test_a_clock_that_jumps_between_two_parts_is_followed(server):
    def jump():
        server.ahead = timedelta(minutes=20)

    await upload(server, credentials=NAMED, environ=environ("one"), between=jump)
    assert server.objects["k"] == DATA
    assert server.count("put_part") == 5


async def test_parts_that_are_refused_together_are_all_sent_again(server):
    store = open_store(server.endpoint, "takes", credentials=NAMED, environ=environ("one"))
    async with open_upload(store, "k", UploadOptions(parts_in_flight=4)) as out:
        await out.write(PARTS[0])
        server.ahead = timedelta(minutes=20)
        for part in PARTS[1:]:
            await out.write(part)
    await store.aclose()
    assert server.objects["k"] == DATA


async def test_a_head_is_mended_too_though_its_refusal_has_no_body(server):
    server.objects["k"] = b"data"
    server.ahead = timedelta(minutes=-20)
    store = open_store(server.endpoint, "takes", credentials=NAMED, environ=environ("one"))
    assert (await store.head("k")).size == 4
    await store.aclose()
    assert server.count("head") == 2


@pytest.mark.parametrize(("minutes", "requests"), [(14.9, 1), (15.1, 2)])
async def test_what_a_store_tolerates_is_left_alone(server, minutes, requests):
    server.ahead = timedelta(minutes=minutes)
    store = open_store(server.endpoint, "takes", credentials=NAMED, environ=environ("one"))
    await store.put("k", [b"data"])
    await store.aclose()
    assert server.count("put") == requests


async def test_a_store_that_is_not_content_with_its_own_clock_gets_both_clocks_named(server):
    server.fault = lambda _: Fault(403, "RequestTimeTooSkewed", {"Date": "Fri, 02 Jan 2026 03:04:05 GMT"})
    store = open_store(server.endpoint, "takes", credentials=NAMED, environ=environ("one"))
    both = r"the store's clock says 2026-01-02 03:04:05 UTC, that of this machine 20\d\d-\d\d-\d\d .* UTC"
    with pytest.raises(PermissionDenied, match=both):
        await store.put("k", [b"data"])
    await store.aclose()
    assert server.count("put") == 2


async def test_a_store_without_a_clock_cannot_be_followed(server):
    server.fault = lambda _: Fault(403, "RequestTimeTooSkewed", {"Date": "soon"})
    store = open_store(server.endpoint, "takes", credentials=NAMED, environ=environ("one"))
    with pytest.raises(PermissionDenied, match="set the clock of this machine"):
        await store.put("k", [b"data"])
    await store.aclose()
    assert server.count("put") == 1


# -- credentials --------------------------------------------------------------------------------------


async def test_variables_are_read_again_when_what_they_held_has_expired(server):
    held = environ("one")
    server.tokens = {"one"}

    def expire():
        server.tokens = {"two"}
        held.update(environ("two"))

    await upload(server, credentials=NAMED, environ=held, between=expire)
    assert server.objects["k"] == DATA
    assert server.uploads == {}
    assert [asked.headers["x-amz-security-token"] for asked in server.asked].count("one") == 4  # one of them in vain
    assert server.count("put_part") == 5


async def test_a_token_that_is_given_literally_cannot_be_renewed_and_the_upload_ends(server):
    server.tokens = {"one"}

    def expire():
        server.tokens = {"two"}

    literal = CredentialSettings(access_key_id="AKID", secret_access_key="s", session_token="one")
    with pytest.raises(PermissionDenied, match=r"part 3: 400 ExpiredToken; renew the session token; .*literally"):
        await upload(server, credentials=literal, between=expire)
    assert server.count("put_part") == 3
    assert "k" not in server.objects


async def test_variables_that_still_hold_what_has_expired_are_said_to(server):
    server.tokens = {"two"}
    store = open_store(server.endpoint, "takes", credentials=NAMED, environ=environ("one"))
    with pytest.raises(PermissionDenied, match=r"ExpiredToken.*no newer credentials where they came from"):
        await store.put("k", [b"data"])
    await store.aclose()
    assert server.count("put") == 1


async def test_newer_credentials_that_are_refused_too_are_final(server):
    server.tokens = set()
    held = environ("one")
    store = open_store(server.endpoint, "takes", credentials=NAMED, environ=held)
    held.update(environ("two"))
    with pytest.raises(PermissionDenied, match=r"400 ExpiredToken; renew the session token$"):
        await store.put("k", [b"data"])
    await store.aclose()
    assert server.count("put") == 2


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine on which nothing gives credentials yet."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


def shared_file(machine, monkeypatch):
    def issue(token):
        lines = [f"aws_access_key_id=AKID{token}", "aws_secret_access_key=s", f"aws_session_token={token}"]
        (machine / "credentials").write_text("\n".join(["[default]", *lines, ""]))

    return issue


def process(machine, monkeypatch):
    def issue(token):
        said = {"Version": 1, "AccessKeyId": f"AKID{token}", "SecretAccessKey": "s", "SessionToken": token}
        (machine / "said.json").write_text(json.dumps({**said, "Expiration": "2099-01-01T00:00:00Z"}))

    program = machine / "issue.py"
    program.write_text(f"print(open({str(machine / 'said.json')!r}).read())")
    (machine / "config").write_text(f"[default]\ncredential_process = {sys.executable} {program}\n")
    return issue


@contextmanager
def container_service(monkeypatch):
    """The endpoint from which a container gets the credentials of its role."""
    said = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(said).encode()
            self.send_response_only(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_): ...

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=service.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{service.server_port}/role")

    def issue(token):
        said.update(AccessKeyId=f"AKID{token}", SecretAccessKey="s", Token=token, Expiration="2099-01-01T00:00:00Z")

    try:
        yield issue
    finally:
        service.shutdown()
        thread.join()
        service.server_close()


async def expires_between_two_parts(server, issue):
    issue("one")
    server.tokens = {"one"}

    def expire():
        server.tokens = {"two"}
        issue("two")

    await upload(server, credentials=AMBIENT, between=expire)
    assert server.objects["k"] == DATA
    assert server.uploads == {}
    assert server.count("put_part") == 5


@pytest.mark.parametrize("source", [shared_file, process])
async def test_the_chain_of_the_machine_is_asked_again_when_its_token_has_expired(server, machine, monkeypatch, source):
    await expires_between_two_parts(server, source(machine, monkeypatch))


async def test_the_service_of_a_container_is_asked_again_too(server, machine, monkeypatch):
    with container_service(monkeypatch) as issue:
        await expires_between_two_parts(server, issue)


async def test_of_parts_that_are_refused_together_one_renews_for_all(server, machine, monkeypatch):
    calls = machine / "calls"
    issue = process(machine, monkeypatch)
    with (machine / "issue.py").open("a") as program:
        program.write(f"\nopen({str(calls)!r}, 'a').write('x')")
    issue("one")
    server.tokens = {"one"}
    store = open_store(server.endpoint, "takes", credentials=AMBIENT)
    async with open_upload(store, "k", UploadOptions(parts_in_flight=4)) as out:
        await out.write(PARTS[0])
        server.tokens = {"two"}
        issue("two")
        for part in PARTS[1:]:
            await out.write(part)
    await store.aclose()
    assert server.objects["k"] == DATA
    assert len(calls.read_text()) == 2
