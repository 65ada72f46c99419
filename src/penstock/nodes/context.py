"""What a node is given for one run: who it is, its pins, the request, and ways to tell what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import anyio

    from penstock.channels import Receiver, Sender
    from penstock.packets import Packet

__all__ = ["NodeContext", "RequestPort", "RunInfo"]


class RunInfo(Protocol):
    """What a node may know of the run it is part of."""

    @property
    def run_id(self) -> str:
        """A unique name of this run, safe in file names and object keys."""
        ...

    @property
    def name(self) -> str:
        """The pipeline's name, or the file's."""
        ...

    @property
    def mode(self) -> str:
        """``oneshot`` or ``dynamic``."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """The pipeline's labels."""
        ...


class RequestPort(Protocol):
    """The request that a oneshot run answers: named inputs and one output, whoever provides them."""

    async def open_input(self, field: str, *, required: bool) -> Receiver[Packet] | None:
        """The bytes of one input field, or None for an optional field that was not given.

        Raises:
            ConfigurationError: a required field was not given; the message says how to give it.
        """
        ...

    async def open_output(self, content_type: str) -> Sender[Packet]:
        """Where the answer goes. ``close`` completes it, ``fail`` breaks it off so that the reader sees it broken."""
        ...


class NodeContext(Protocol):
    """What the engine gives a node for one run."""

    @property
    def node_id(self) -> str:
        """The node's name in the pipeline."""
        ...

    @property
    def run(self) -> RunInfo:
        """The run."""
        ...

    @property
    def request(self) -> RequestPort | None:
        """The request of a oneshot run; None in a dynamic run."""
        ...

    @property
    def stopping(self) -> anyio.Event:
        """Set when the run was asked to end early: sources finish, everybody else goes on until the input ends.

        Of a source it is also set when that is removed from a run that goes on.
        """
        ...

    @property
    def inputs(self) -> Mapping[str, Receiver[Packet]]:
        """Connected input pins."""
        ...

    @property
    def outputs(self) -> Mapping[str, Sender[Packet]]:
        """All output pins; sending to one without edges discards."""
        ...

    def input(self, pin: str = "in") -> Receiver[Packet]:
        """The packets that enter at ``pin``; an input without an edge has ended already."""
        ...

    def output(self, pin: str = "out") -> Sender[Packet]:
        """Where to send packets that leave at ``pin``."""
        ...

    def warn(self, message: str) -> None:
        """Tell the person something that does not stop the run. Callable from any thread."""
        ...

    def report(self, event: str, /, **fields: Any) -> None:
        """Publish an event of this node, such as ``object.committed``. Callable from any thread."""
        ...

    def discarded(self, packets: int, reason: str) -> None:
        """Count packets that the node dropped on purpose. Callable from any thread."""
        ...

    def errored(self, packets: int = 1) -> None:
        """Count packets that the node could not use. Callable from any thread."""
        ...

    async def tune(self, node: str, params: Mapping[str, Any], /) -> None:
        """Set parameters of another node that can be set while it runs; waits until they are in force.

        Not for ``prepare``: it waits until all nodes are prepared.

        Raises:
            ChangeRefused: there is no such node, or it does not take them; nothing was changed.
        """
        ...

    def recovering(self, reason: str) -> None:
        """Enter the state Recovering: the node waits for something outside to come back."""
        ...

    def running(self) -> None:
        """Return from Recovering to Running."""
        ...
