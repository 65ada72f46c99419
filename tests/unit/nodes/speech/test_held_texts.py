"""Texts that wait for a voice: in their order, within a bound."""

import anyio
import pytest

from penstock.channels import Channel
from penstock.errors import BadData
from penstock.nodes.speech import held_texts
from penstock.nodes.speech.held_texts import HeldTexts
from penstock.packets import Binary, Text


async def filled(*packets):
    channel = Channel(1_000, 1 << 20, name="texts")
    await channel.send_many(packets)
    channel.close()
    return channel


async def everything(texts):
    found = []
    while (packet := await texts.receive()) is not None:
        found.append(packet.text)
    return found


async def test_inputs_are_read_one_after_the_other_and_bytes_by_the_sentence():
    first = await filled(Binary(b"One sentence is here. Ano"), Binary(b"ther one."), Text("Said."))
    assert await everything(HeldTexts(first, await filled(Text("Last.")))) == [
        "One sentence is here.", "Another one.", "Said.", "Last.",
    ]  # fmt: skip


async def test_empty_texts_are_not_kept():
    assert await everything(HeldTexts(await filled(*[Text("")] * 500, Text("a"), Text("")))) == ["a"]


@pytest.mark.parametrize("size", [9, 10, 11])
async def test_what_is_held_has_a_bound(size, monkeypatch):
    monkeypatch.setattr(held_texts, "MAX_CHARACTERS", 10)
    texts, over = HeldTexts(await filled(Text("x" * size))), anyio.Event()

    async def hold():
        with anyio.move_on_after(0.05):
            await texts.hold_until(over)

    if size > 10:
        with pytest.RaisesGroup(pytest.RaisesExc(BadData, match="more than 10 characters")):
            await hold()
    else:
        await hold()
        assert await everything(texts) == ["x" * size]
