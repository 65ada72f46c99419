"""What a node is: its configuration, its pins and its two shapes.

``Transform`` is synchronous and pure: packets in, packets out, no I/O and no clock of its own. The engine fuses runs
of transforms into one task. ``Node`` is for whatever awaits: sources, sinks, network, timers.

A node class carries its kind, pins and documentation through the ``node`` decorator; the engine meets it only through
``penstock.nodes.registry``. Its module imports heavy libraries (codecs, numpy) inside ``prepare`` or later, so that
checking a pipeline stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

from penstock.pins import Cardinality, InputPin, OutputPin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import anyio

    from penstock.channels import Receiver, Sender
    from penstock.nodes.types import Table
    from penstock.packets import Packet

__all__ = [
    "LenientConfig",
    "NoConfig",
    "Node",
    "NodeConfig",
    "NodeContext",
    "RequestPort",
    "RunInfo",
    "Transform",
    "node",
]


class NodeConfig(BaseModel):
    """Parameters of a node: frozen, every field documented, unknown fields are errors.

    A subclass that sets ``lenient_extra`` belongs to a kind whose pipeline files in the field carry stray keys:
    there an unknown key is a warning and is dropped. A bad value is an error everywhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=False)
    lenient_extra: ClassVar[bool] = False


class LenientConfig(NodeConfig):
    """Parameters of a kind that tolerates unknown keys with a warning."""

    lenient_extra: ClassVar[bool] = True


class NoConfig(LenientConfig):
    """A node without parameters."""


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
        """Set when the run was asked to end early: sources finish, everybody else goes on until the input ends."""
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

    def recovering(self, reason: str) -> None:
        """Enter the state Recovering: the node waits for something outside to come back."""
        ...

    def running(self) -> None:
        """Return from Recovering to Running."""
        ...


C = TypeVar("C", bound=NodeConfig)


class _Described(Generic[C]):
    """What both shapes share: kind, pins, configuration."""

    kind: ClassVar[str] = ""
    inputs: ClassVar[tuple[InputPin, ...]] = ()
    outputs: ClassVar[tuple[OutputPin, ...]] = ()
    example: ClassVar[Mapping[str, Any]] = {}
    Config: ClassVar[type[NodeConfig]] = NoConfig

    config: C

    def __init__(self, config: C) -> None:
        self.config = config

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, NodeConfig):
                    cls.Config = argument

    @classmethod
    def pins(cls, config: C) -> tuple[Sequence[InputPin], Sequence[OutputPin]]:  # noqa: ARG003 - for overriding
        """The pins that a node with this configuration has; by default those of the class."""
        return cls.inputs, cls.outputs

    @classmethod
    def tables(cls) -> Sequence[Table]:
        """What else there is to know of the kind, for its reference page; none by default."""
        return ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.kind}>"


class Transform(_Described[C]):
    """A synchronous node with the pins ``in`` and ``out``: packets in, packets out.

    One task, or one worker thread at a time when ``offload`` is set, calls ``prepare``, then ``process`` for each
    packet, then ``finish`` if the input ended cleanly, and always ``close``. An exception fails the node.

    Set ``offload`` (on the class, or on the instance in ``__init__``) when one packet costs milliseconds and the
    work releases the GIL or the event loop must stay free: whole batches then run in a worker thread.
    """

    offload: bool = False

    def prepare(self, ctx: NodeContext) -> None:
        """Load libraries and open codecs; runs in a worker thread before any packet flows. May raise."""

    def process(self, packet: Any, /) -> Packet | list[Packet] | None:
        """Turn one packet into none, one or several."""
        raise NotImplementedError

    def finish(self) -> Iterable[Packet] | None:
        """Give what is still held back, lazily where it is much; called once, after the last packet of a clean end.

        Runs in a worker thread, and so does the iteration.
        """
        return None

    def close(self) -> None:
        """Free what ``prepare`` and ``process`` took; called once, however the run ended."""


class Node(_Described[C]):
    """A node that awaits."""

    async def prepare(self, ctx: NodeContext) -> None:
        """Check and open what the node needs, within seconds; runs before any packet flows. May raise."""

    async def run(self, ctx: NodeContext) -> None:
        """Do the node's work; return when the input has ended, or for a source when ``ctx.stopping`` is set.

        The engine then closes the outputs; if ``run`` raises, it fails them with that error instead. A node that
        may not return before something has happened (a sink with a passthrough: its commit) simply awaits it here.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Free what ``prepare`` took; called once, shielded from cancellation, however the run ended."""


T = TypeVar("T", bound=type[Transform[Any]] | type[Node[Any]])


def node(
    kind: str,
    *,
    inputs: Iterable[InputPin] = (),
    outputs: Iterable[OutputPin] = (),
    example: Mapping[str, Any] | None = None,
) -> Callable[[T], T]:
    """Name a node class and its pins.

    Args:
        kind: registered name, such as ``audio::gain``.
        inputs: its input pins; a transform has exactly ``in``.
        outputs: its output pins; a transform has exactly ``out``.
        example: parameters of a valid example, for the documentation and the contract suite.
    """

    def decorate(cls: T) -> T:
        cls.kind = kind
        cls.inputs = tuple(inputs)
        cls.outputs = tuple(outputs)
        cls.example = dict(example or {})
        if issubclass(cls, Transform):
            names = ([pin.name for pin in cls.inputs], [pin.name for pin in cls.outputs])
            plain = all(pin.cardinality is Cardinality.ONE for pin in cls.inputs)
            if names != (["in"], ["out"]) or not plain:
                raise TypeError(f"{cls.__name__}: a Transform has exactly one pin 'in' and one pin 'out'")
        return cls

    return decorate
