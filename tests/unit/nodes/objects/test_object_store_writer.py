import asyncio

import anyio
import pytest
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import (
    BadData,
    ConfigurationError,
    CredentialsError,
    NotFound,
    PermissionDenied,
    StoreUnavailable,
    UpstreamFailed,
)
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.objects.object_store_writer import ObjectStoreWriter
from penstock.packets import Binary, PacketMeta, Text
from penstock.stores.base import Capability
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore
from penstock.telemetry import OBJECT_ABORTED, OBJECT_COMMITTED, OBJECT_FAILED, PART_COMPLETE
from penstock.testing import FakeContext, run_node

MIB = 1 << 20
PLACE = {"endpoint": "memory://", "bucket": "takes", "key": "k"}
S3 = {"endpoint": "http://127.0.0.1:9", "bucket": "b", "key": "k"}
CREDENTIALS = {"access_key_id": "id", "secret_access_key": "secret"}


class Writer(ObjectStoreWriter):
    """The node on a store that the test holds."""

    def __init__(self, script: FaultScript | None = None, **params) -> None:
        super().__init__(ObjectStoreWriterConfig.model_validate({**PLACE, **params}))
        self.memory = MemoryStore(capability=Capability())
        self.script = script or FaultScript()

    def open_store(self):
        return FaultLayer(self.memory, self.script)


def packets(count: int, size: int = MIB) -> list[Binary]:
    return [Binary(bytes([n]) * size, "audio/ogg", PacketMeta(sequence=n)) for n in range(count)]


def joined(sent: list[Binary]) -> bytes:
    return b"".join(packet.data for packet in sent)


def errors(**params) -> dict[str, str]:
    """What is wrong with parameters, by field."""
    with pytest.raises(ValidationError) as caught:
        ObjectStoreWriterConfig.model_validate(params)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


# -- parameters ---------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_pipeline_files_in_the_field():
    config = ObjectStoreWriterConfig.model_validate(PLACE)
    assert (config.region, config.chunk_size, config.passthrough) == ("us-east-1", 5242880, False)
    assert (config.parts_in_flight, config.memory_limit) == (4, 64 * MIB)
    assert (config.on_cancel, config.on_error) == ("commit", None)


@pytest.mark.parametrize("field", ["endpoint", "bucket", "key"])
def test_what_is_missing_or_empty_is_named(field):
    assert errors(**{name: value for name, value in PLACE.items() if name != field}) == {field: "Field required"}
    assert list(errors(**{**PLACE, field: ""})) == [field]
    assert list(errors(**{**PLACE, field: " "})) == [field]


@pytest.mark.parametrize(("size", "fits"), [(0, False), (5242879, False), (5242880, True), ("5MiB", True)])
def test_the_least_chunk_size_is_five_mebibytes(size, fits):
    if fits:
        assert ObjectStoreWriterConfig.model_validate({**PLACE, "chunk_size": size}).chunk_size == 5242880
    else:
        assert "greater than or equal to 5242880" in errors(**PLACE, chunk_size=size)["chunk_size"]


@pytest.mark.parametrize(("limit", "fits"), [("40MiB", True), (40 * MIB - 1, False)])
def test_the_memory_limit_holds_two_parts(limit, fits):
    params = {**PLACE, "chunk_size": "20MiB", "memory_limit": limit}
    if fits:
        ObjectStoreWriterConfig.model_validate(params)
    else:
        assert "at least 41943040" in errors(**params)["memory_limit"]


def test_a_url_stands_for_endpoint_bucket_and_key():
    location = ObjectStoreWriterConfig.model_validate({"url": "memory://takes/2026/{run_id}.ogg"}).location()
    assert (location.kind, location.bucket, location.key) == ("memory", "takes", "2026/{run_id}.ogg")
    assert "together with url" in errors(url="memory://takes/k", key="k")["key"]
    assert "names no key" in errors(url="memory://takes")["url"]
    assert "unknown field {seqq}" in errors(url="memory://takes/{seqq}")["url"]


def test_every_error_is_said_at_its_field():
    found = errors(
        endpoint="gopher://x", bucket="", key="{seqq}", chunk_size=1, parts_in_flight=0, on_error="shout", colour="red"
    )
    assert set(found) == {"endpoint", "bucket", "key", "chunk_size", "parts_in_flight", "on_error", "colour"}
    assert "unknown field {seqq}" in found["key"]


def test_metadata_names_are_checked():
    assert "names are of a-z" in errors(**PLACE, metadata={"Take": "1"})["metadata"]
    assert "kept for the writer" in errors(**PLACE, metadata={"penstock-upload": "1"})["metadata"]
    assert "printable ASCII" in errors(**PLACE, metadata={"take": "ü"})["metadata"]
    assert "printable ASCII" in errors(**PLACE, metadata={"take": "1\nx-evil: 1"})["metadata"]


def test_an_s3_store_without_credentials_is_an_error_and_other_stores_need_none():
    assert "no credentials" in errors(**S3)[""]
    ObjectStoreWriterConfig.model_validate({**S3, "ambient_credentials": True})
    ObjectStoreWriterConfig.model_validate({**S3, "access_key_id_env": "A", "secret_key_env": "B"})
    ObjectStoreWriterConfig.model_validate({"url": "file:out/k"})


@pytest.mark.parametrize(
    ("url", "way_out", "given"),
    [
        (
            "gs://takes/k",
            "set access_key_id_env and secret_key_env, or bearer_token_env,",
            {"bearer_token_env": "TOKEN"},
        ),
        (
            "az://account/takes/k",
            "set account_key_env, sas_token_env or connection_string_env",
            {"sas_token_env": "SAS"},
        ),
    ],
)
def test_each_kind_of_store_asks_for_credentials_of_its_own(url, way_out, given):
    assert way_out in errors(url=url)[""]
    assert "no credentials" in errors(url=url, session_token_env="OTHER")[""]
    for settings in (given, {"ambient_credentials": True}):
        config = ObjectStoreWriterConfig.model_validate({"url": url, **settings})
        assert all(getattr(config.credentials(), name) == value for name, value in settings.items())


@pytest.mark.parametrize("name", ["account_key", "sas_token", "connection_string", "bearer_token"])
def test_a_literal_secret_of_any_store_is_not_shown(name):
    config = ObjectStoreWriterConfig.model_validate(
        {"url": "az://account/takes/k", "account_key_env": "K", name: "my-secret"}
    )
    for text in (repr(config), str(config), config.model_dump_json(), repr(config.credentials())):
        assert "my-secret" not in text
    assert getattr(config.credentials(), name) == "my-secret"


def test_half_of_the_credentials_is_an_error_that_names_the_other_half():
    assert "incomplete: set secret_key_env" in errors(**S3, access_key_id="id")[""]
    assert "incomplete: set access_key_id_env" in errors(**S3, secret_key_env="B", ambient_credentials=True)[""]
    assert list(errors(**S3, access_key_id_env="", secret_key_env="B")) == ["access_key_id_env"]


def test_secrets_do_not_show():
    config = ObjectStoreWriterConfig.model_validate(
        {**S3, "access_key_id": "my-id", "secret_access_key": "my-secret", "session_token": "my-token"}
    )
    for text in (repr(config), str(config), config.model_dump_json(), repr(config.credentials())):
        for secret in ("my-id", "my-secret", "my-token"):
            assert secret not in text
    assert config.credentials().secret_access_key == "my-secret"


def test_the_output_pin_is_there_when_it_is_asked_for():
    for passthrough in (False, True):
        inputs, outputs = ObjectStoreWriter.pins(
            ObjectStoreWriterConfig.model_validate({**PLACE, "passthrough": passthrough})
        )
        assert [pin.name for pin in inputs] == ["in"]
        assert [str(pin.produces) for pin in outputs] == ["Passthrough"] * passthrough


# -- prepare ------------------------------------------------------------------------------------------


async def test_a_variable_that_is_not_set_is_named_and_the_literal_is_not_used(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(CredentialsError, match="NO_SUCH_KEY"):
        await run_node("core::object_store_writer", **S3, **CREDENTIALS, access_key_id_env="NO_SUCH_KEY")


async def test_a_store_that_is_down_is_said_within_seconds():
    with anyio.fail_after(8), pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9"):
        await run_node("core::object_store_writer", **S3, **CREDENTIALS)


@pytest.mark.parametrize(("fault", "error"), [("404", NotFound), ("403", PermissionDenied)])
async def test_a_bucket_that_cannot_be_used_fails_before_any_packet_flows(fault, error):
    writer = Writer(FaultScript(check=[fault]))
    with pytest.raises(error):
        await run_node(writer, packets(1))
    assert set(writer.script.calls) == {"check"}


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", ".penstock/a", "x" * 256])
async def test_a_key_that_no_file_can_have_is_refused_at_the_start(key, tmp_path):
    place = {"endpoint": tmp_path.as_uri(), "bucket": "b", "key": key}
    writer = ObjectStoreWriter(ObjectStoreWriterConfig.model_validate(place))
    with pytest.raises(ConfigurationError, match=f"the key '{key}' (has|reaches)"):
        await writer.prepare(FakeContext())
    assert list(tmp_path.iterdir()) == []


async def test_a_store_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr("penstock.nodes.objects.opening.CHECK_TIMEOUT_S", 0.01)
    with pytest.raises(StoreUnavailable, match=r"memory://memory does not answer within 0\.01 s"):
        await run_node(Writer(FaultScript(check=["hang"])), packets(1))


async def test_a_hiccup_of_the_store_does_not_fail_the_start():
    writer = Writer(FaultScript(check=["503"]))
    await run_node(writer, packets(1))
    assert writer.memory.read("k") is not None


async def test_a_chunk_size_that_the_store_does_not_take_is_refused_at_the_start():
    writer = Writer()
    writer.memory = MemoryStore(capability=Capability(min_part_bytes=6 * MIB))
    with pytest.raises(ConfigurationError, match="the store asks for parts of 6291456 or more"):
        await run_node(writer, packets(1))


# -- run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 5, 17])
async def test_packets_become_the_object(count):
    writer = Writer()
    result = await run_node(writer, packets(count))
    assert writer.memory.read("k") == joined(packets(count))
    assert writer.memory.open_uploads == []
    assert result.outputs == {}
    name, fields = result.context.events[-1]
    assert name == OBJECT_COMMITTED
    assert (fields["size"], fields["parts"], fields["incomplete"]) == (
        count * MIB,
        {0: 0, 1: 0, 5: 1, 17: 4}[count],
        False,
    )
    assert fields["url"] == "memory://memory/k"
    assert fields["digest"].startswith("crc64nvme:")


async def test_the_shared_memory_store_is_reached_by_its_url():
    await run_node("core::object_store_writer", [Binary(b"data")], url="memory://by-its-url/{run_id}.bin")
    assert MemoryStore.shared("by-its-url").read("run-0.bin") == b"data"


@pytest.mark.parametrize(("given", "stored"), [(None, "audio/ogg"), ("video/mp4", "video/mp4")])
async def test_the_content_type_is_the_parameter_or_that_of_the_first_packet(given, stored):
    writer = Writer(content_type=given, metadata={"take": "7"})
    await run_node(writer, packets(6))
    info = await writer.memory.head("k")
    assert info.properties.content_type == stored
    assert info.properties.metadata["take"] == "7"


async def test_what_is_not_binary_is_refused_and_nothing_is_stored():
    writer = Writer()
    with pytest.raises(BadData, match="a packet of type Text came"):
        await run_node(writer, [*packets(6), Text("no")])
    assert (writer.memory.read("k"), writer.memory.open_uploads) == (None, [])


async def test_progress_is_reported_now_and_then_only():
    result = await run_node(Writer(), packets(60))
    names = [name for name, _ in result.context.events]
    assert names.count(PART_COMPLETE) == 1
    assert names[-1] == OBJECT_COMMITTED


# -- passthrough --------------------------------------------------------------------------------------


async def test_packets_are_sent_on_as_they_are():
    sent = packets(7)
    result = await run_node(Writer(passthrough=True), sent)
    assert result.packets == sent
    assert all(got is packet for got, packet in zip(result.packets, sent, strict=True))


class Running:
    """A node in a task, with its channels in the test's hands."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.source: Channel = Channel(name="source>node.in")
        self.out: Channel = Channel(name="node.out")
        self.ctx = FakeContext({"in": self.source}, {"out": self.out})

    async def run(self) -> None:
        await self.writer.prepare(self.ctx)
        try:
            await self.writer.run(self.ctx)
        finally:
            await self.writer.close()


async def test_packets_pass_at_once_and_the_end_waits_for_the_commit():
    may_commit = asyncio.Event()
    script = FaultScript().before("put", 1, lambda call: may_commit.wait())
    running = Running(Writer(script, passthrough=True))
    task = asyncio.create_task(running.run())
    await running.source.send(packets(1)[0])
    assert await running.out.receive() == packets(1)[0]
    running.source.close()
    await anyio.wait_all_tasks_blocked()
    assert script.calls["put"] == 1
    assert not task.done()
    may_commit.set()
    await task
    assert running.writer.memory.read("k") == packets(1)[0].data


async def test_a_failed_commit_fails_the_node():
    writer = Writer(FaultScript(complete=["403"]), passthrough=True)
    with pytest.raises(PermissionDenied, match="complete_multipart 'k'"):
        await run_node(writer, packets(6))
    assert (writer.memory.read("k"), writer.memory.open_uploads) == (None, [])


async def test_the_object_is_written_on_when_nobody_reads_the_output():
    running = Running(Writer(passthrough=True))
    running.out.stop()
    await running.source.send_many(packets(1))
    running.source.close()
    await running.run()
    assert running.writer.memory.read("k") == packets(1)[0].data
    assert running.ctx.warnings == ["nobody reads `out` any more; the object is still being written"]


# -- bad ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7])
async def test_a_failed_input_leaves_nothing(count):
    writer = Writer()
    with pytest.raises(UpstreamFailed, match="decoder died"):
        await run_node(writer, packets(count), fail_input=ValueError("decoder died"))
    assert (writer.memory.read("k"), writer.memory.open_uploads) == (None, [])


@pytest.mark.parametrize(("count", "marker"), [(1, None), (7, "k.incomplete")])
async def test_a_failed_input_is_kept_and_marked_if_that_is_the_policy(count, marker):
    running = Running(Writer(on_error="commit"))
    memory = running.writer.memory
    running.source = running.ctx.inputs["in"] = Channel(100, 1 << 30)
    await running.source.send_many(packets(count))
    running.source.fail(ValueError("decoder died"))
    with pytest.raises(UpstreamFailed):
        await running.run()
    assert memory.read("k") == joined(packets(count))
    assert memory.open_uploads == []
    name, fields = running.ctx.events[-1]
    assert (name, fields["incomplete"], fields["marker"]) == (OBJECT_COMMITTED, True, marker)
    if marker is None:
        assert (await memory.head("k")).properties.metadata["penstock-incomplete"] == "true"
    else:
        assert memory.read(marker) is not None


async def test_an_input_that_fails_before_its_first_packet_publishes_nothing():
    writer = Writer(on_error="commit")
    with pytest.raises(UpstreamFailed):
        await run_node(writer, (), fail_input=ValueError("died early"))
    assert writer.memory.read("k") is None


async def cut_short(running: Running, count: int, how: str, release: asyncio.Event) -> None:
    """Run a node on ``count`` packets, cancel it when it waits for more, and let the store go on then."""
    running.source = running.ctx.inputs["in"] = Channel(100, 1 << 30)
    scope = anyio.CancelScope()

    async def run() -> None:
        with scope:
            await running.run()

    task = asyncio.create_task(run())
    await running.source.send_many(packets(count))
    await anyio.wait_all_tasks_blocked()
    if how == "scope":
        scope.cancel()
    else:
        task.cancel()
        await asyncio.sleep(0)
        if how == "twice":
            task.cancel()
    release.set()
    await asyncio.wait({task})
    assert scope.cancelled_caught if how == "scope" else task.cancelled()


@pytest.mark.parametrize(("on_error", "kept"), [("abort", False), ("commit", True)])
@pytest.mark.parametrize("how", ["scope", "native", "twice"])
@pytest.mark.parametrize("count", [1, 12])
async def test_a_run_that_is_cut_short_follows_on_error(on_error, kept, how, count):
    release = asyncio.Event()
    script = FaultScript()
    for nth in (1, 2):
        script.before("put_part", nth, lambda call: release.wait())
    running = Running(Writer(script, on_error=on_error))
    await cut_short(running, count, how, release)
    memory = running.writer.memory
    assert memory.read("k") == (joined(packets(count)) if kept else None)
    assert memory.open_uploads == []
    assert running.ctx.events[-1][0] == (OBJECT_COMMITTED if kept else OBJECT_ABORTED)


@pytest.mark.parametrize("how", ["scope", "native", "twice"])
async def test_a_rescue_that_the_store_does_not_answer_ends_in_an_abort(how, monkeypatch):
    monkeypatch.setattr("penstock.nodes.objects.object_store_writer.RESCUE_TIMEOUT_S", 0.05)
    running = Running(Writer(FaultScript(put_part=["hang"] * 20), on_error="commit"))
    await cut_short(running, 12, how, asyncio.Event())
    assert (running.writer.memory.read("k"), running.writer.memory.open_uploads) == (None, [])
    assert running.ctx.events[-1][0] == OBJECT_ABORTED


@pytest.mark.parametrize(("on_cancel", "kept"), [("commit", True), ("abort", False)])
async def test_a_stop_follows_on_cancel(on_cancel, kept):
    writer = Writer(on_cancel=on_cancel)
    result = await run_node(writer, packets(7), stop=True)
    assert writer.memory.read("k") == (joined(packets(7)) if kept else None)
    assert writer.memory.open_uploads == []
    name, fields = result.context.events[-1]
    assert name == (OBJECT_COMMITTED if kept else OBJECT_ABORTED)
    assert not fields.get("incomplete")


@pytest.mark.parametrize(("now", "then", "kept"), [("commit", "abort", False), ("abort", "commit", True)])
async def test_what_a_stop_does_can_be_tuned_until_it_comes(now, then, kept):
    writer = Writer(on_cancel=now)
    writer.tune(writer.config.model_copy(update={"on_cancel": then}))
    await run_node(writer, packets(7), stop=True)
    assert writer.memory.read("k") == (joined(packets(7)) if kept else None)


async def test_a_stop_before_the_first_byte_leaves_an_earlier_object_alone():
    running = Running(Writer(passthrough=True))
    await running.writer.memory.put("k", [b"earlier"])
    running.ctx.stopping.set()
    running.source.close()
    await running.run()
    assert (running.writer.memory.read("k"), running.writer.memory.open_uploads) == (b"earlier", [])
    with pytest.raises(UpstreamFailed, match="because nothing had come"):
        await running.out.receive()


async def test_an_object_that_was_dropped_on_request_fails_the_output_that_vouches_for_it():
    running = Running(Writer(on_cancel="abort", passthrough=True))
    running.ctx.stopping.set()
    await running.source.send_many(packets(1))
    running.source.close()
    await running.run()
    assert await running.out.receive_many() == packets(1)
    with pytest.raises(UpstreamFailed, match="'k' dropped, as on_cancel says: abort"):
        await running.out.receive()


async def test_a_store_that_fails_for_good_is_reported_while_the_input_is_silent():
    running = Running(Writer(FaultScript(put_part=["403"]), on_error="commit"))
    running.source = running.ctx.inputs["in"] = Channel(100, 1 << 30)
    await running.source.send_many(packets(6))
    with anyio.fail_after(5), pytest.raises(PermissionDenied, match="put_part 'k' part 1"):
        await running.run()
    assert (running.writer.memory.read("k"), running.writer.memory.open_uploads) == (None, [])
    assert running.ctx.events[-1][0] == OBJECT_FAILED


# -- what the store can do ----------------------------------------------------------------------------


async def test_a_checksum_that_the_store_does_not_verify_is_refused_at_the_start():
    node = Writer(checksum="crc32c")
    with pytest.raises(ConfigurationError, match="not known to verify the checksum crc32c"):
        await node.prepare(FakeContext())
    node.memory = MemoryStore(capability=Capability(checksums=("crc32c",)))
    await node.prepare(FakeContext())


@pytest.mark.parametrize(("if_exists", "key"), [("overwrite", "k"), ("rename", "k-1")])
async def test_what_becomes_of_an_object_that_is_there_is_a_parameter(if_exists, key):
    node = Writer(if_exists=if_exists)
    await node.memory.put("k", [b"earlier"])
    result = await run_node(node, packets(1))
    assert node.memory.read(key) == joined(packets(1))
    assert [fields["key"] for event, fields in result.context.events if event == OBJECT_COMMITTED] == [key]


PROPERTIES = {"cache_control": "no-store", "content_language": "de", "tags": {"keep": "30d"}}


async def test_properties_of_the_object_are_parameters():
    node = Writer(**PROPERTIES, metadata={"take": "1"})
    node.memory = MemoryStore()
    await run_node(node, packets(1))
    found = (await node.memory.head("k")).properties
    assert {name: getattr(found, name) for name in PROPERTIES} == PROPERTIES
    assert (found.content_type, found.metadata["take"]) == ("audio/ogg", "1")


@pytest.mark.parametrize(
    "given", [{"acl": "private"}, {"sse": "AES256"}, {"sse": "aws:kms", "kms_key_id": "k"}, {"storage_class": "COLD"}]
)
async def test_a_property_that_the_store_would_drop_is_refused_at_the_start(given):
    node = Writer(**given)
    node.memory = MemoryStore()
    expected = f"memory://memory is not known to keep {', '.join(sorted(given))}; it keeps cache_control"
    with pytest.raises(ConfigurationError, match=expected):
        await node.prepare(FakeContext())


@pytest.mark.parametrize(
    "given",
    [
        {"cache_control": ""},
        {"acl": "a\r\nb"},
        {"storage_class": "ü"},
        {"kms_key_id": "k"},
        {"tags": {str(n): "" for n in range(11)}},
        {"tags": {"": "x"}},
        {"tags": {"x" * 129: ""}},
        {"tags": {"x": "y" * 257}},
    ],
)
def test_properties_that_no_store_takes_are_errors_of_the_check(given):
    assert list(errors(**PLACE, **given)) == list(given)


def test_properties_at_the_limits_are_taken():
    ObjectStoreWriterConfig.model_validate({**PLACE, "tags": {"x" * 128: "y" * 256}})
    ObjectStoreWriterConfig.model_validate({**PLACE, "tags": {str(n): "" for n in range(10)}})


async def test_the_node_is_recovering_while_the_store_is_away_and_says_why():
    result = await run_node(Writer(FaultScript(put_part=["ok", "503", "503", "ok"])), packets(12))
    states = result.context.states
    assert states[-1] == "running"
    assert len(states) == 3
    assert all("put_part" in reason and "503" in reason for reason in states[:-1])
    assert [name for name, _ in result.context.events].count("object.retrying") == 2
