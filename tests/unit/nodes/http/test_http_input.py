import anyio
import pytest
from anyio.lowlevel import checkpoint
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import ChannelClosed, ConfigurationError, UpstreamFailed
from penstock.nodes.http.http_input import HttpInput, HttpInputConfig
from penstock.packets import Binary
from penstock.testing import FakeContext, run_node
from penstock.testing.request import FakeRequest


def payloads(packets):
    return [packet.data for packet in packets]


def make(**params):
    return HttpInput(HttpInputConfig.model_validate(params))


async def test_the_field_called_media_feeds_out_when_none_is_named():
    result = await run_node("streamkit::http_input", request=FakeRequest(media=[b"a", b"b"], other=[b"c"]))
    assert payloads(result.packets) == [b"a", b"b"]


async def test_a_named_field_feeds_out():
    result = await run_node("streamkit::http_input", request=FakeRequest(media=[b"a"], other=[b"c"]), field="other")
    assert payloads(result.packets) == [b"c"]


async def test_a_field_that_was_not_given_is_an_error_that_says_what_there_is():
    with pytest.raises(ConfigurationError, match="no field 'take'; it has media"):
        await run_node("streamkit::http_input", request=FakeRequest(media=[b"a"]), field="take")


async def test_an_optional_field_that_was_not_given_is_an_empty_stream():
    result = await run_node("streamkit::http_input", request=FakeRequest(), required=False)
    assert result.packets == []


async def test_every_one_of_fields_has_a_pin_of_its_name():
    request = FakeRequest(audio=[b"a", b"b"], text=[b"t"])
    fields = ["audio", {"name": "text"}, {"name": "cover", "required": False}]
    result = await run_node("streamkit::http_input", request=request, fields=fields)
    assert {pin: payloads(packets) for pin, packets in result.outputs.items()} == {
        "audio": [b"a", b"b"],
        "text": [b"t"],
        "cover": [],
    }


async def test_fields_flow_at_the_same_time_so_that_one_may_wait_for_the_other():
    first, second = Channel(name="first"), Channel(name="second")
    outputs = {"a": Channel(), "b": Channel()}
    ctx = FakeContext({}, outputs, request=FakeRequest(a=first, b=second))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(make(fields=["a", "b"]).run, ctx)
        await second.send(Binary(b"2"))
        assert (await outputs["b"].receive()).data == b"2"  # while "a" has sent nothing
        second.close()
        assert await outputs["b"].receive() is None
        await first.send(Binary(b"1"))
        first.close()
        assert (await outputs["a"].receive()).data == b"1"


async def test_a_full_output_holds_the_sender_back():
    source, output = Channel(1), Channel(1)
    ctx = FakeContext({}, {"out": output}, request=FakeRequest(media=source))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(make().run, ctx)

        async def feed():
            await source.send_many([Binary(b"x")] * 10)
            source.close()

        tasks.start_soon(feed)
        await anyio.wait_all_tasks_blocked()
        assert source.statistics().sent == 3  # one queued in each channel, one in the node's hand
        received = 0
        while await output.receive_many():
            received += 1
        assert received == 10


async def test_a_stop_ends_the_output_and_keeps_what_had_arrived():
    source, output = Channel(), Channel(1)
    ctx = FakeContext({}, {"out": output}, request=FakeRequest(media=source))
    got = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(make().run, ctx)
        await source.send_many([Binary(b"1"), Binary(b"2")])
        await anyio.wait_all_tasks_blocked()  # "2" is held by the node: the output is full
        await source.send(Binary(b"3"))
        ctx.stopping.set()
        while packets := await output.receive_many():
            got += payloads(packets)
    assert got == [b"1", b"2", b"3"]
    with pytest.raises(ChannelClosed):
        await source.send(Binary(b"4"))


async def test_a_stop_while_nothing_arrives_ends_at_once():
    source, output = Channel(), Channel()
    ctx = FakeContext({}, {"out": output}, request=FakeRequest(media=source))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(make().run, ctx)
            await anyio.wait_all_tasks_blocked()
            ctx.stopping.set()
    assert await output.receive() is None


async def test_a_stop_in_the_same_step_as_a_packet_loses_nothing():
    source, output = Channel(), Channel()
    ctx = FakeContext({}, {"out": output}, request=FakeRequest(media=source))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(make().run, ctx)
        await anyio.wait_all_tasks_blocked()
        ctx.stopping.set()
        await source.send(Binary(b"late"))
        await checkpoint()
    assert payloads(await output.receive_many()) == [b"late"]


async def test_a_stop_before_the_start_hands_on_what_is_there():
    result = await run_node("streamkit::http_input", request=FakeRequest(media=[b"a"]), stop=True)
    assert payloads(result.packets) == [b"a"]


async def test_a_request_that_breaks_off_fails_the_node_and_leaves_the_output_open_for_the_engine_to_fail():
    source, output = Channel(name="request"), Channel()
    await source.send(Binary(b"a"))
    source.fail(ConnectionResetError("peer"))
    ctx = FakeContext({}, {"out": output}, request=FakeRequest(media=source))
    with pytest.raises(UpstreamFailed, match="request: ConnectionResetError: peer"):
        await make().run(ctx)
    assert payloads(await output.receive_many()) == [b"a"]
    assert not output.ended


async def test_one_broken_field_of_several_is_told_as_the_error_it_is():
    broken, other = Channel(name="request.a"), Channel(name="request.b")
    broken.fail(ConnectionResetError("peer"))
    ctx = FakeContext({}, {"a": Channel(), "b": Channel()}, request=FakeRequest(a=broken, b=other))
    with pytest.raises(UpstreamFailed, match=r"request\.a: ConnectionResetError: peer"):
        await make(fields=["a", "b"]).run(ctx)


async def test_a_run_without_a_request_is_refused_before_it_starts():
    with pytest.raises(ConfigurationError, match="mode: oneshot"):
        await run_node("streamkit::http_input")


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"field": ""}, "at least 1 character"),
        ({"field": "a b"}, "pattern"),
        ({"fields": []}, "at least 1 item"),
        ({"fields": ["a", {"name": "a"}]}, "'a' twice"),
        ({"fields": ["a"], "field": "b"}, "goes without 'field'"),
        ({"fields": ["a"], "required": True}, "goes without"),
        ({"fields": [{"name": "a", "requird": False}]}, "Extra inputs"),
        ({"fields": "media"}, "valid tuple"),
        ({"required": "no"}, "valid boolean"),
        ({"feild": "a"}, "Extra inputs"),
    ],
)
def test_bad_parameters_are_errors(params, reason):
    with pytest.raises(ValidationError, match=reason):
        make(**params)
