"""Secrets appear nowhere: not in logs, errors, events and reprs, nor in what commands print."""

import base64
import gc
import json
import logging
import os
import subprocess
import sys
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from penstock import open_object
from penstock.errors import PenstockError
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.objects.journaling import begin_upload
from penstock.nodes.objects.object_store_reader import ObjectStoreReaderConfig
from penstock.nodes.objects.object_store_writer import ObjectStoreWriter
from penstock.nodes.objects.opening import upload_options
from penstock.packets import Binary
from penstock.stores.durable import StateDirectory
from penstock.stores.durable.recover import recover
from penstock.stores.durable.reopen import open_recorded
from penstock.stores.resolve import open_store
from penstock.testing import run_node
from support.s3_server import Fault, element, s3_server

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYsecret"
TOKEN = "IQoJb3JpZ2luX2VjsessionToken"
BEARER = "ya29.a0AfH6SMBbearerToken"
PASSWORD = "hunter2hunter2"
ACCOUNT_KEY = base64.b64encode(b"the key of the storage account, 64 bytes").decode()
SIGNATURE = "c2lnbmF0dXJlIG9mIHRoZSBTQVMgdG9rZW4"
SAS = f"sv=2024-11-04&sp=rw&sig={SIGNATURE}"
KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET, "session_token": TOKEN}
ENVIRON = {
    "TAKES_KEY": "AKIDEXAMPLE",
    "TAKES_SECRET": SECRET,
    "TAKES_TOKEN": TOKEN,
    "TAKES_ACCOUNT_KEY": ACCOUNT_KEY,
    "TAKES_SAS": SAS,
    "TAKES_BEARER": BEARER,
    "DAV_PASSWORD": PASSWORD,
}
NAMED = {"access_key_id_env": "TAKES_KEY", "secret_key_env": "TAKES_SECRET", "session_token_env": "TAKES_TOKEN"}
HIDDEN = (SECRET, TOKEN, BEARER, PASSWORD, ACCOUNT_KEY, SIGNATURE)

REFUSED = Fault(
    403,
    "SignatureDoesNotMatch",
    body=element("Error", Code="SignatureDoesNotMatch", Message="No.", StringToSign=TOKEN, Token0=TOKEN),
)
FAILURES = {
    "refused": REFUSED,
    "expired": Fault(400, "ExpiredToken", body=element("Error", Code="ExpiredToken", Message="Old.", Token0=TOKEN)),
    "skewed": Fault(403, "RequestTimeTooSkewed"),
    "away": Fault(breakdown="reset"),
    "unheard": Fault(418, body=TOKEN.encode()),
}


def seen(*texts):
    """What of the secrets is in these texts."""
    whole = "\n".join(map(str, texts))
    return {secret[:8] for secret in HIDDEN if secret in whole}


def told(error):
    """All that an error says: of itself, its fields and notes, its causes and their tracebacks."""
    lines = traceback.format_exception(error)
    while error is not None:
        fields = getattr(error, "__dict__", {})
        lines += [str(error), repr(error), repr(error.args), repr(fields), *getattr(error, "__notes__", ())]
        error = error.__cause__ or error.__context__
    return "".join(lines)


def reprs(*roots):
    """The reprs of all objects of ours that can be reached from ``roots``, and how many there are."""
    found, queue, known = [], list(roots), set()
    while queue:
        one = queue.pop()
        if id(one) in known or isinstance(one, type | type(sys)):
            continue
        known.add(id(one))
        if type(one).__module__.startswith("penstock.") or one in roots:
            found += [repr(one), str(one)]
            queue += gc.get_referents(one)
        elif isinstance(one, dict | list | tuple | set):
            queue += gc.get_referents(one)
    return found


@pytest.fixture
def server():
    with s3_server() as server:
        yield server


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def logs(caplog):
    """Every logger there is, at its lowest level."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    assert seen(caplog.text, *[vars(record) for record in caplog.records]) == set()


def places(server):
    """Parameters for each kind of store, with every kind of secret that it takes, literally and by name."""
    port = server.endpoint.rpartition(":")[2]
    dav = f"opendal+webdav:///?endpoint={server.endpoint}&username=me&password"
    named_key = {"access_key_id_env": "TAKES_KEY", "secret_key_env": "TAKES_SECRET"}
    literal_key = {"access_key_id": "GOOG1", "secret_access_key": SECRET}
    azure = f"az+http://127.0.0.1:{port}/takes"
    return {
        "s3": {"url": f"{server.endpoint}/takes/k", **KEYS},
        "s3 env": {"url": f"{server.endpoint}/takes/k", **NAMED},
        "gcs": {"url": f"gs+{server.endpoint}/takes/k", **literal_key},
        "gcs env": {"url": f"gs+{server.endpoint}/takes/k", **named_key},
        "bearer": {"url": f"gs+{server.endpoint}/takes/k", "bearer_token": BEARER},
        "bearer env": {"url": f"gs+{server.endpoint}/takes/k", "bearer_token_env": "TAKES_BEARER"},
        "azure": {"url": f"{azure}/takes/k", "account_key": ACCOUNT_KEY},
        "azure env": {"url": f"{azure}/takes/k", "account_key_env": "TAKES_ACCOUNT_KEY"},
        "sas": {"url": f"{azure}/takes/k", "sas_token": SAS},
        "sas env": {"url": f"{azure}/takes/k", "sas_token_env": "TAKES_SAS"},
        "string": {
            "url": f"{azure}/takes/k",
            "connection_string": f"AccountName=takes;BlobEndpoint={azure[3:]};AccountKey={ACCOUNT_KEY}",
        },
        "opendal env": {"endpoint": f"{dav}_env=DAV_PASSWORD", "bucket": "takes", "key": "k"},
    }


KINDS = list(places(SimpleNamespace(endpoint="http://127.0.0.1:9")))
OF_S3 = ["s3", "s3 env", "gcs", "gcs env", "bearer", "bearer env"]


@pytest.mark.parametrize("kind", OF_S3)
async def test_a_write_that_goes_well_shows_none(server, kind):
    node = ObjectStoreWriter(ObjectStoreWriterConfig(**places(server)[kind]))
    result = await run_node(node, [Binary(bytes(3 << 20)) for _ in range(4)])
    assert len(server.objects["k"]) == 12 << 20
    assert seen(result.context.events, reprs(node)) == set()


@pytest.mark.parametrize("fault", FAILURES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_write_that_fails_shows_none(server, kind, fault):
    failure = FAILURES[fault] if kind in OF_S3 else replace(FAILURES[fault], body=b"<Error/>")
    server.fault = lambda _: failure
    node = ObjectStoreWriter(ObjectStoreWriterConfig(**places(server)[kind], retry={"deadline_s": 0}))
    with pytest.raises(PenstockError) as caught:
        await run_node(node, [Binary(b"data")])
    assert seen(told(caught.value), reprs(node)) == set()


@pytest.mark.parametrize("fault", FAILURES)
async def test_an_upload_that_fails_in_its_middle_shows_none(server, fault):
    server.fault = lambda asked: FAILURES[fault] if asked.operation == "put_part" else None
    events = []
    with pytest.raises(PenstockError) as caught:
        async with open_object(
            f"{server.endpoint}/takes/k", retry={"deadline_s": 0}, on_event=lambda *event: events.append(event), **KEYS
        ) as out:
            await out.write(bytes(11 << 20))
    assert seen(told(caught.value), events) == set()


@pytest.mark.parametrize("kind", KINDS)
async def test_no_object_shows_one(server, kind):
    config = ObjectStoreWriterConfig(**places(server)[kind])
    settings = config.settings()
    store = (
        open_store(*(places(server)[kind].get(name, "") for name in ("endpoint", "bucket")), settings)
        if kind.startswith("opendal")
        else ObjectStoreWriter(config).open_store()
    )
    shown = reprs(store, config, settings)
    assert len(shown) >= 6
    assert seen(shown, config.model_dump(), config.model_dump_json(), settings.credentials) == set()
    await store.aclose()


@pytest.mark.parametrize("config", [ObjectStoreWriterConfig, ObjectStoreReaderConfig])
def test_parameters_that_are_wrong_are_not_repeated(config):
    for wrong in ({"chunk_size": "much"}, {"store": "minio", "url": "memory://b/k"}, {"secret_access_key": [SECRET]}):
        with pytest.raises(ValidationError) as caught:
            config(**{"url": "http://127.0.0.1:9/b/k", **KEYS, **wrong})
        assert seen(told(caught.value)) == set()


async def test_open_object_does_not_repeat_what_is_wrong():
    with pytest.raises(PenstockError) as caught:
        async with open_object("http://127.0.0.1:9/takes/k", **{**KEYS, "session_token": [TOKEN]}, chunk_size=1):
            pass
    assert seen(told(caught.value)) == set()


# -- the spool ----------------------------------------------------------------------------------------


def files(state: Path):
    """All that is in a state directory, with the names of its files, as text."""
    return [f"{path} {path.read_bytes().decode('latin-1')}" for path in state.rglob("*") if path.is_file()]


@pytest.mark.parametrize("durability", ["crash", "power"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("opendal")])
async def test_a_spool_holds_none(server, tmp_path, kind, durability):
    """While it is written, when it is kept, when the store refuses to recover it, and when it is set aside."""
    state = tmp_path / "state"
    params = {**places(server)[kind], "durability": durability, "state": state, "retry": {"deadline_s": 0}}
    config = ObjectStoreWriterConfig(**params)
    store = ObjectStoreWriter(config).open_store()
    with pytest.raises(KeyError):
        async with begin_upload(config, store, "k", upload_options(config)) as upload:
            await upload.write(b"data")
            assert seen(*files(state)) == set()
            raise KeyError(SECRET)  # a mistake of the program, in whose words we have no say
    await store.aclose()
    [directory] = StateDirectory(state).list()
    names = {path.name for path in directory.iterdir()}
    assert {"upload.json", "journal", "slot-1"} <= names
    assert seen(*(text for text in files(state) if "/journal " not in text)) == set()
    server.fault = lambda _: REFUSED
    told = [one.as_dict() async for one in recover(StateDirectory(state), open_recorded)]
    assert [one["outcome"] for one in told] == ["kept"]
    assert seen(told) == set()
    record = directory / "upload.json"
    record.write_bytes(record.read_bytes().replace(b'"k"', b'"l"'))
    told = [one.as_dict() async for one in recover(StateDirectory(state), open_recorded)]
    assert [one["outcome"] for one in told] == ["set aside"]
    assert seen(told, (state / "aside" / directory.name / "reason.txt").read_text()) == set()


@pytest.mark.parametrize("kind", ["s3", "s3 env"])
async def test_a_record_names_variables_and_no_values(server, tmp_path, kind):
    config = ObjectStoreWriterConfig(**places(server)[kind], durability="crash", state=tmp_path)
    store = ObjectStoreWriter(config).open_store()
    async with begin_upload(config, store, "k", upload_options(config)) as upload:
        [directory] = StateDirectory(tmp_path).list()
        credentials = json.loads((directory / "upload.json").read_text())["store"]["credentials"]
        await upload.abort()
    await store.aclose()
    assert credentials == (NAMED if kind == "s3 env" else {})


# -- Azure on a real server ---------------------------------------------------------------------------


@pytest.mark.server
@pytest.mark.parametrize("given", ["account_key", "sas_token", "connection_string"])
async def test_a_write_to_a_real_azure_shows_none(azurite, logs, given):
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    container = azurite.make_container()
    rights = ContainerSasPermissions(read=True, write=True, list=True, delete=True, create=True)
    until = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_container_sas(
        azurite.account, container, account_key=azurite.account_key, permission=rights, expiry=until
    )
    string = f"AccountName={azurite.account};AccountKey={azurite.account_key};BlobEndpoint={azurite.endpoint}"
    secrets = {"account_key": azurite.account_key, "sas_token": sas, "connection_string": string}
    url = f"az+{azurite.endpoint}/{container}/k"
    node = ObjectStoreWriter(ObjectStoreWriterConfig(url=url, **{given: secrets[given]}))
    result = await run_node(node, [Binary(bytes(3 << 20)) for _ in range(4)])
    text = f"{logs.text} {[vars(record) for record in logs.records]} {result.context.events} {reprs(node)}"
    assert azurite.account_key not in text
    assert sas.partition("sig=")[2] not in text


# -- the chain of the machine -------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["file", "process", "environment"])
async def test_credentials_of_the_machine_are_not_logged(server, monkeypatch, tmp_path, source):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    given = {"aws_access_key_id": "AKID", "aws_secret_access_key": SECRET, "aws_session_token": TOKEN}
    if source == "environment":
        for name, value in given.items():
            monkeypatch.setenv(name.upper(), value)
    elif source == "file":
        lines = "".join(f"{name}={value}\n" for name, value in given.items())
        (tmp_path / "credentials").write_text(f"[default]\n{lines}")
    else:
        said = {"Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": SECRET, "SessionToken": TOKEN}
        (tmp_path / "issue.py").write_text(f"print({json.dumps(said)!r})")
        (tmp_path / "config").write_text(f"[default]\ncredential_process={sys.executable} {tmp_path / 'issue.py'}\n")
    async with open_object(f"{server.endpoint}/takes/k") as out:
        await out.write(b"data")
    server.fault = lambda _: FAILURES["expired"]
    with pytest.raises(PenstockError) as caught:
        async with open_object(f"{server.endpoint}/takes/k") as out:
            await out.write(b"data")
    assert seen(told(caught.value)) == set()


# -- commands -----------------------------------------------------------------------------------------


def penstock(*words):
    """Run the command; its exit code, and all that it prints."""
    command = [sys.executable, "-m", "penstock", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    return done.returncode, done.stdout + done.stderr


def pipeline(folder: Path, params):
    (folder / "take.bin").write_bytes(bytes(100_000))
    file = folder / "take.yml"
    source = {"kind": "core::file_reader", "params": {"path": str(folder / "take.bin")}}
    sink = {"kind": "core::object_store_writer", "needs": "source", "params": params}
    file.write_text(json.dumps({"nodes": {"source": source, "sink": sink}}))
    return file


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "s3 env", "bearer env"])
@pytest.mark.parametrize("fault", [None, "refused", "expired"])
def test_a_run_prints_none(server, tmp_path, kind, fault):
    if fault:
        server.fault = lambda _: FAILURES[fault]
    file = pipeline(tmp_path, places(server)[kind])
    report = tmp_path / "report.json"
    code, printed = penstock("run", file, "--json", "-vv", "--report", report)
    assert code == (1 if fault else 0), printed
    assert ("object.committed" in printed) is not bool(fault)
    assert seen(printed, report.read_text() if report.exists() else "") == set()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "sas", "string", "bearer"])
def test_check_and_graph_print_none_of_a_file_that_holds_them(server, tmp_path, kind):
    params = places(server)[kind]
    for given, exit_code in ((params, 0), ({**params, "chunk_size": 1, "if_exists": "maybe"}, 3)):
        file = pipeline(tmp_path, given)
        for words in (("check", file), ("check", file, "--json"), ("graph", file), ("graph", file, "--format", "dot")):
            code, printed = penstock(*words)
            assert code == exit_code, printed
            assert seen(printed) == set()
