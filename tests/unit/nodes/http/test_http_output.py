import anyio
import pytest
from pydantic import ValidationError

from penstock.channels import Channel
from penstock.errors import BadData, ConfigurationError, UpstreamFailed
from penstock.nodes.http.http_output import HttpOutput, HttpOutputConfig
from penstock.packets import Binary, Codec, EncodedAudio, Text
from penstock.testing import FakeContext, run_node
from penstock.testing.request import FakeRequest


@pytest.mark.parametrize(
    ("params", "of_packet", "expected"),
    [
        ({"content_type": "audio/ogg; codecs=opus"}, "audio/mpeg", "audio/ogg; codecs=opus"),
        ({}, "audio/mpeg", "audio/mpeg"),
        ({}, None, "application/octet-stream"),
    ],
)
async def test_the_content_type_is_the_given_one_then_that_of_the_first_packet(params, of_packet, expected):
    request = FakeRequest()
    packets = [Binary(b"ab", of_packet), Binary(b"c", "text/plain")]
    await run_node("streamkit::http_output", packets, request=request, **params)
    assert request.content_type == expected
    assert await request.body() == b"abc"


async def test_an_empty_input_is_a_complete_empty_answer():
    request = FakeRequest()
    await run_node("streamkit::http_output", request=request)
    assert request.content_type == "application/octet-stream"
    assert await request.body() == b""


async def test_a_failure_after_the_first_packet_breaks_the_answer_off():
    request = FakeRequest()
    with pytest.raises(UpstreamFailed, match="disk gone"):
        await run_node("streamkit::http_output", [Binary(b"a")], request=request, fail_input=OSError("disk gone"))
    with pytest.raises(UpstreamFailed, match="disk gone"):
        await request.body()


async def test_a_failure_before_the_first_packet_leaves_the_answer_unopened():
    request = FakeRequest()
    with pytest.raises(UpstreamFailed):
        await run_node("streamkit::http_output", request=request, fail_input=OSError("disk gone"))
    assert request.content_type is None


async def test_a_cancel_breaks_the_answer_off():
    request, source = FakeRequest(), Channel()
    ctx = FakeContext({"in": source}, request=request)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(HttpOutput(HttpOutputConfig()).run, ctx)
        await source.send(Binary(b"a"))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    with pytest.raises(UpstreamFailed):
        await request.body()


async def test_packets_leave_as_they_come():
    request, source = FakeRequest(), Channel()
    ctx = FakeContext({"in": source}, request=request)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(HttpOutput(HttpOutputConfig()).run, ctx)
        for piece in (b"a", b"b"):
            await source.send(Binary(piece))
            assert (await request.answer.receive()).data == piece
        source.close()
        assert await request.answer.receive() is None


async def test_a_run_without_a_request_is_refused_before_it_starts():
    with pytest.raises(ConfigurationError, match="mode: oneshot"):
        await run_node("streamkit::http_output")


@pytest.mark.parametrize("content_type", ["", "audio", "audio/", "/ogg", "audio/ogg\r\nSet-Cookie: a", "audio/ogg "])
def test_a_content_type_that_is_none_is_refused(content_type):
    with pytest.raises(ValidationError):
        HttpOutputConfig(content_type=content_type)


async def test_packets_of_a_codec_are_answered_one_after_the_other():
    request = FakeRequest()
    opus = Codec("opus", 48_000, 2)
    await run_node("streamkit::http_output", [EncodedAudio(b"ab", opus), EncodedAudio(b"c", opus)], request=request)
    assert request.content_type == "audio/opus"
    assert await request.body() == b"abc"


async def test_a_packet_that_is_not_bytes_breaks_the_answer_off():
    with pytest.raises(BadData, match="not of Text"):
        await run_node("streamkit::http_output", [Text("abc")], request=FakeRequest())
