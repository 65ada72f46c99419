from penstock.nodes.base import NoConfig
from penstock.nodes.flow.passthrough import Passthrough
from penstock.packets import Binary, Custom, PacketMeta, Text
from penstock.pins import PASSTHROUGH
from penstock.testing import run_node


async def test_every_packet_passes_as_the_very_same_object():
    packets = [Text("a"), Binary(b"b", meta=PacketMeta(5, 6, 7, True)), Custom("t", {"x": 1})]
    result = await run_node("core::passthrough", packets)
    assert [id(packet) for packet in result.packets] == [id(packet) for packet in packets]


def test_the_output_has_the_type_of_the_input():
    assert Passthrough.pins(NoConfig())[1][0].produces is PASSTHROUGH
