import pytest

from penstock.errors import UpstreamFailed
from penstock.packets import Binary, Text
from penstock.testing import run_node


async def test_everything_is_taken_and_nothing_comes_out():
    result = await run_node("core::sink", [Text("a"), Binary(b"b")] * 500)
    assert dict(result.outputs) == {}


async def test_an_input_that_fails_fails_the_sink():
    with pytest.raises(UpstreamFailed, match="disk gone"):
        await run_node("core::sink", [Text("a")], fail_input=OSError("disk gone"))
