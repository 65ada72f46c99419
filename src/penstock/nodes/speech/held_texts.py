"""Text that waits for something else to come in first, within a bound."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import anyio

from penstock.errors import BadData
from penstock.nodes.text.text_chunker import TextChunker, TextChunkerConfig
from penstock.packets import Binary, Text

if TYPE_CHECKING:
    from penstock.channels import Receiver
    from penstock.packets import Packet

__all__ = ["MAX_CHARACTERS", "HeldTexts"]

MAX_CHARACTERS: Final = 1024 * 1024


class HeldTexts:
    """The packets of inputs, one after the other; bytes are text in UTF-8 and come out by the sentence."""

    def __init__(self, *inputs: Receiver[Packet]) -> None:
        self._inputs = deque(inputs)
        self._held: deque[Packet] = deque()
        self._characters = 0  # of all that was taken
        self._chunker: TextChunker | None = None

    async def hold_until(self, event: anyio.Event) -> None:
        """Take what comes until ``event`` is set, so that nobody upstream has to wait.

        Raises:
            BadData: more than 1 Mi characters came.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hold)
            await event.wait()
            tasks.cancel_scope.cancel()

    async def receive(self) -> Packet | None:
        """Return the next packet, or None at the end."""
        while not self._held and self._inputs:
            await self._take()
        return self._held.popleft() if self._held else None

    async def _hold(self) -> None:
        while self._inputs:
            await self._take()
            if self._characters > MAX_CHARACTERS:
                raise BadData(
                    f"more than {MAX_CHARACTERS} characters of text came before the recording of the voice had ended: "
                    "send the recording first"
                )

    async def _take(self) -> None:
        packet = await self._inputs[0].receive()
        taken: list[Packet] = []
        if isinstance(packet, Binary):
            self._chunker = self._chunker or TextChunker(TextChunkerConfig.model_validate({}))
            taken += self._chunker.process(packet) or ()
        else:
            taken += (self._chunker.finish() or ()) if self._chunker else ()
            self._chunker = None
            if packet is None:
                self._inputs.popleft()
            elif packet.size:  # else there is nothing to speak, and no bound to how many of them come
                taken.append(packet)
        self._held.extend(taken)
        self._characters += sum(len(one.text) for one in taken if isinstance(one, Text))
