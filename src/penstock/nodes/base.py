"""What a node is: its configuration, its pins and its two shapes.

``Transform`` is synchronous and pure: packets in, packets out, no I/O and no clock of its own. The engine fuses runs
of transforms into one task. ``Node`` is for whatever awaits: sources, sinks, network, timers.

A node class carries its kind, pins and documentation through the ``node`` decorator; the engine meets it only through
``penstock.nodes.registry``. Its module imports heavy libraries (codecs, numpy) inside ``prepare`` or later, so that
checking a pipeline stays fast.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

from penstock.errors import ConfigurationError
from penstock.nodes.context import NodeContext, RequestPort, RunInfo
from penstock.pins import Cardinality, InputPin, OutputPin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pydantic.config import JsonDict

    from penstock.nodes.types import Table
    from penstock.packets import Packet

__all__ = [
    "TUNABLE",
    "LenientConfig",
    "NoConfig",
    "Node",
    "NodeConfig",
    "NodeContext",
    "RequestPort",
    "RunInfo",
    "Transform",
    "node",
    "tunable",
]

TUNABLE: Final[JsonDict] = {"tunable": True}
"""``json_schema_extra`` of a parameter that can be set while the node runs."""


class NodeConfig(BaseModel):
    """Parameters of a node: frozen, every field documented, unknown fields are errors.

    A subclass that sets ``lenient_extra`` belongs to a kind whose pipeline files in the field carry stray keys:
    there an unknown key is a warning and is dropped. A bad value is an error everywhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=False)
    lenient_extra: ClassVar[bool] = False


def tunable(config: type[NodeConfig]) -> tuple[str, ...]:
    """The parameters that can be set while the node runs, in their order."""
    return tuple(
        name
        for name, field in config.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("tunable")
    )


class LenientConfig(NodeConfig):
    """Parameters of a kind that tolerates unknown keys with a warning."""

    lenient_extra: ClassVar[bool] = True


class NoConfig(LenientConfig):
    """A node without parameters."""


C = TypeVar("C", bound=NodeConfig)


class _Described(ABC, Generic[C]):
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

    def check_tune(self, config: C) -> None:
        """See whether the node could go on with other values of its ``TUNABLE`` parameters; changes nothing.

        Raises:
            ConfigurationError: it cannot, though the values are valid; the message says why.
        """

    def tune(self, config: C) -> None:
        """Go on with other values of the ``TUNABLE`` parameters; ``config`` becomes the node's.

        Called between two packets, once the node is prepared and until it is closed: never while ``process`` or
        ``finish`` is at work, and on the event loop's thread, so it must be quick. Packets that the node holds are
        kept. A ``Node`` whose ``run`` waits by an old value lets it wait anew.
        """
        self.config = config

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

    @abstractmethod
    def process(self, packet: Any, /) -> Packet | list[Packet] | None:
        """Turn one packet into none, one or several."""

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

    @abstractmethod
    async def run(self, ctx: NodeContext) -> None:
        """Do the node's work; return when the input has ended, or for a source when ``ctx.stopping`` is set.

        The engine then closes the outputs; if ``run`` raises, it fails them with that error instead. A node that
        may not return before something has happened (a sink with a passthrough: its commit) simply awaits it here.
        """

    def check_connect(self, pins: Sequence[str]) -> None:  # noqa: ARG002 - for overriding
        """See whether the node could go on with further inputs, so that it has ``pins``; changes nothing.

        By default it cannot.

        Raises:
            ConfigurationError: it cannot; the message says why.
        """
        raise ConfigurationError("its inputs are those that it had when it began")

    def connect(self, pin: str) -> None:
        """Take packets from one more input, ``ctx.input(pin)``, from now on.

        Called after ``check_connect``, once the node is prepared, on the event loop's thread, so it must be quick. It
        must not fail. An input is disconnected without a call: it ends.
        """

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

    Raises:
        TypeError: the class lacks a method that every node of its shape has, or has pins that its shape has not.
    """

    def decorate(cls: T) -> T:
        if inspect.isabstract(cls):
            shape = "Transform" if issubclass(cls, Transform) else "Node"
            raise TypeError(f"{cls.__name__}: a {shape} needs a method {' and '.join(sorted(cls.__abstractmethods__))}")
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
