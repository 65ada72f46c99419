"""Let a script in JavaScript (ES2023, QuickJS) change, drop or tell of packets.

The script defines `process(packet)` and returns the packet, another one, or null to drop it. Packets are
`{type: "Text", data}`, `{type: "Transcription", data: {text, language, segments}}`, `{type: "Custom", type_id, data}`,
`{type: "Audio", metadata}` and `{type: "Binary", metadata}`; the payload of the last two is not there, and they can be
handed on or dropped. What is made keeps the timing of what came. `telemetry.emit(type, data)` publishes the event
`node.telemetry`, `console.log` writes to the log; there are no files, no network (`fetch` throws) and no timers. A
script that throws, or exceeds its limits, fails the node. Needs the extra `script`. For Python there is another way: a
kind of your own, which an entry point makes known.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pydantic import Field, model_validator

from penstock.errors import ConfigurationError, MissingDependency
from penstock.nodes.base import NodeConfig, Transform, node
from penstock.nodes.files.paths import FilePath, allowed_path, open_errors
from penstock.nodes.flow.script_packets import from_script, to_script
from penstock.pins import PASSTHROUGH, InputPin, OutputPin
from penstock.telemetry import NODE_TELEMETRY, logger

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.nodes.flow.engine_quickjs import ScriptEngine
    from penstock.packets import Packet

__all__ = ["Script", "ScriptConfig"]

MAX_SCRIPT_BYTES: Final = 256 << 10


class ScriptConfig(NodeConfig):
    """The script and its limits."""

    script: str = Field("", max_length=MAX_SCRIPT_BYTES, description="JavaScript that defines `process(packet)`.")
    script_path: FilePath | None = Field(None, description="A file that holds it, in place of `script`.")
    timeout_ms: float = Field(100, gt=0, le=60_000, description="Processor time for a packet at most.")
    memory_limit_mb: int = Field(64, ge=1, le=4096, description="Memory of the script at most, in MiB.")
    headers: tuple[()] = Field((), description="Must be empty: it is for `fetch`, which scripts do not have here.")

    @model_validator(mode="after")
    def _one_script(self) -> Self:
        if bool(self.script.strip()) == (self.script_path is not None):
            raise ValueError("give one of 'script' and 'script_path'")
        return self


@node(
    "core::script",
    inputs=[InputPin("in")],
    outputs=[OutputPin("out", PASSTHROUGH)],
    example={"script": "function process(packet) { return packet; }"},
)
class Script(Transform[ScriptConfig]):
    """Let a script in JavaScript change, drop or tell of packets."""

    offload = True
    _engine: ScriptEngine | None = None

    def prepare(self, ctx: NodeContext) -> None:
        """Load the script.

        Raises:
            MissingDependency: the extra ``script`` is not installed.
            ConfigurationError: the script cannot be read or loaded, or defines no ``process``.
        """
        try:
            from penstock.nodes.flow.engine_quickjs import ScriptEngine
        except ImportError as error:
            raise MissingDependency(
                "core::script runs JavaScript in QuickJS, which is not installed: pip install 'penstock[script]'"
            ) from error
        self._ctx = ctx
        path = self.config.script_path
        source = self.config.script if path is None else _read(allowed_path(ctx, path))
        limit_bytes = self.config.memory_limit_mb << 20
        self._engine = ScriptEngine(source, timeout_s=self.config.timeout_ms / 1000, memory_bytes=limit_bytes)

    def process(self, packet: Packet, /) -> Packet | None:
        """Return what the script makes of the packet.

        Raises:
            BadData: the script failed, exceeded a limit, or returned no packet.
        """
        assert self._engine is not None  # noqa: S101 - prepared
        outcome = self._engine.call(to_script(packet))
        for event_type, data in outcome.told:
            self._ctx.report(NODE_TELEMETRY, event_type=event_type, data=data, left_out=0)
        for line in outcome.logged:
            logger.info("%s: %s", self._ctx.node_id, line, extra={"fields": {"node": self._ctx.node_id}})
        if outcome.same:
            return packet
        if outcome.made is None:
            self._ctx.discarded(1, "script")
            return None
        return from_script(outcome.made, packet)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def _read(path: Path) -> str:
    with open_errors(path), path.open("rb") as file:
        data = file.read(MAX_SCRIPT_BYTES + 1)
    if len(data) > MAX_SCRIPT_BYTES:
        raise ConfigurationError(f"'{path}' is larger than a script may be, {MAX_SCRIPT_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"'{path}' is not UTF-8 at byte {error.start}") from error
