"""A pacer at work on a virtual clock, whichever kind of pacer it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from penstock.channels import Channel
from penstock.testing import FakeContext, run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from penstock.nodes.audio.pacer import AudioPacer
    from penstock.nodes.flow.pacer import Pacer
    from penstock.packets import Packet

    Source = Callable[[Channel[Any]], Awaitable[None]]


def sending(packets: Iterable[Packet], *, pause_after: int | None = None, pause_s: float = 0.0) -> Source:
    """A source that sends these, and takes a pause before the one of the number ``pause_after``."""

    async def source(channel: Channel[Any]) -> None:
        for number, packet in enumerate(packets):
            if number == pause_after:
                await anyio.sleep(pause_s)
            await channel.send(packet)

    return source


def paced(
    kind: type[AudioPacer | Pacer],
    source: Source,
    *,
    receive_delay: float = 0.0,
    stop_after: float | None = None,
    tunes: Sequence[tuple[float, float]] = (),
    **params: Any,
) -> list[tuple[float, Any]]:
    """Run a pacer on what ``source(channel)`` sends; return ``(time, packet)`` for all that left.

    Args:
        kind: of pacer.
        source: sends into the channel that it is given.
        receive_delay: seconds that the receiver takes for a packet.
        stop_after: second in which the run is asked to stop.
        tunes: seconds, and the speed that holds from then on.
        params: of the node.
    """
    return run_in_virtual_time(lambda: _run(kind, source, receive_delay, stop_after, tunes, params))


async def _run(
    kind: type[AudioPacer | Pacer],
    source: Source,
    receive_delay: float,
    stop_after: float | None,
    tunes: Sequence[tuple[float, float]],
    params: dict[str, Any],
) -> list[tuple[float, Any]]:
    node: Any = kind(kind.Config.model_validate(params))
    given: Channel[Any] = Channel(64, 1 << 30)
    taken: Channel[Any] = Channel(1, 1 << 30)
    ctx = FakeContext({"in": given}, {"out": taken})
    left = []

    async def feed() -> None:
        await source(given)
        given.close()

    async def work() -> None:
        await node.run(ctx)
        taken.close()

    async def read() -> None:
        while packet := await taken.receive():
            left.append((anyio.current_time(), packet))
            await anyio.sleep(receive_delay)

    async def stop() -> None:
        if stop_after is not None:
            await anyio.sleep(stop_after)
            ctx.stopping.set()

    async def tune() -> None:
        for at, speed in tunes:
            await anyio.sleep(at - anyio.current_time())
            node.tune(kind.Config.model_validate({**params, "speed": speed}))

    async with anyio.create_task_group() as tasks:
        for task in (feed, work, read, stop, tune):
            tasks.start_soon(task)
    return left
