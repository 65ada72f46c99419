"""Let a script in JavaScript (ES2023, QuickJS) change, drop or tell of packets, and ask services of the web.

The script defines `process(packet)` and returns the packet, another one, or null to drop it. Packets are
`{type: "Text", data}`, `{type: "Transcription", data: {text, language, segments}}`, `{type: "Custom", type_id, data}`,
`{type: "Audio", metadata}` and `{type: "Binary", metadata}`; the payload of the last two is not there, and they can be
handed on or dropped. What is made keeps the timing of what came. `process` may be `async`. There are no files and no
timers. `console.log` writes to the log; `telemetry.emit(type, data)` publishes the event `node.telemetry`, and
`telemetry.startSpan(type, data)` with `telemetry.endSpan(span, data)` two of them, the second with `latency_ms`.

`fetch(url, {method, headers, body, timeout, response})` waits for an answer and returns its text, whatever its status;
with `response: true` it returns an object with `status`, `ok`, `url`, `headers`, `body`, `text()` and `json()`. It
throws if there is no answer within `timeout` milliseconds (10,000 by default, at most 60,000), if the answer is larger
than 4 MiB, and if no rule allows the request; there are none by default. A rule is a URL with `*`, such as
`https://api.example.com/v1/*`, for GET, or for other methods as in `GET,POST:https://api.example.com/v1/*`. Rules come
from `allow_fetch`, and from `--allow-fetch` of the command line or the variable `PENSTOCK_ALLOW_FETCH`. Redirects are
followed where a rule allows them, but not from https to http. Addresses that are not public are refused, except those
that a rule writes out, as `http://127.0.0.1:8080/*` does. Of a process at most 16 requests are in flight. Waiting takes
nothing of `timeout_ms`. A script that may fetch runs in a process of its own.

`headers` adds secrets to requests. Whoever starts the run says with `--script-secret NAME=VARIABLE@URL`, or in
`PENSTOCK_SCRIPT_SECRETS`, which environment variable holds a secret and where it may go. The script never sees it, and
a redirect to another origin does not carry it.

A script that throws, or exceeds its limits, fails the node. Needs the extra `script`. For Python there is another way:
a kind of your own, which an entry point makes known.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Final, Self

from anyio import CapacityLimiter, to_thread
from pydantic import AfterValidator, Field, model_validator

from penstock.errors import ConfigurationError, MissingDependency
from penstock.nodes.base import Node, NodeConfig, node
from penstock.nodes.files.paths import FilePath, allowed_path, open_errors
from penstock.nodes.flow.script_headers import HeaderMapping
from penstock.nodes.flow.script_packets import from_script, to_script
from penstock.nodes.http.allowed import parse_rule
from penstock.pins import ANY, InputPin, OutputPin
from penstock.telemetry import NODE_TELEMETRY, logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.nodes.base import NodeContext
    from penstock.nodes.flow.engine_quickjs import ScriptEngine, Told
    from penstock.nodes.http.asking import Asker
    from penstock.packets import Packet

__all__ = ["Script", "ScriptConfig"]

MAX_SCRIPT_BYTES: Final = 256 << 10
SLICE_S: Final = 0.05


def _rule(text: str) -> str:
    parse_rule(text)
    return text


class ScriptConfig(NodeConfig):
    """The script and its limits."""

    script: str = Field("", max_length=MAX_SCRIPT_BYTES, description="JavaScript that defines `process(packet)`.")
    script_path: FilePath | None = Field(None, description="A file that holds it, in place of `script`.")
    timeout_ms: float = Field(
        100, gt=0, le=60_000, description="Processor time for a packet at most; waiting takes none."
    )
    memory_limit_mb: int = Field(64, ge=1, le=4096, description="Memory of the script at most, in MiB.")
    headers: tuple[HeaderMapping, ...] = Field((), max_length=16, description="Secrets that `fetch` sends along.")
    allow_fetch: tuple[Annotated[str, AfterValidator(_rule)], ...] = Field(
        (),
        max_length=100,
        description="What `fetch` may ask, beside what the run allows.",
        examples=[["https://api.example.com/*"]],
    )
    allow_private: bool = Field(
        False, strict=True, description="Fetch from loopback, private and other special addresses too."
    )

    @model_validator(mode="after")
    def _one_script(self) -> Self:
        if bool(self.script.strip()) == (self.script_path is not None):
            raise ValueError("give one of 'script' and 'script_path'")
        return self


@node(
    "core::script",
    inputs=[InputPin("in")],
    outputs=[OutputPin("out", ANY)],
    example={"script": "function process(packet) { return packet; }"},
)
class Script(Node[ScriptConfig]):
    """Let a script in JavaScript change, drop or tell of packets."""

    _engine: ScriptEngine | None = None
    _asker: Asker | None = None
    _closed = False

    async def prepare(self, ctx: NodeContext) -> None:
        """Load the script.

        Raises:
            MissingDependency: the extra ``script`` is not installed.
            ConfigurationError: the script cannot be read or loaded, or defines no ``process``; a secret is not known.
        """
        self._ctx = ctx
        await to_thread.run_sync(self._load, abandon_on_cancel=True)

    async def run(self, ctx: NodeContext) -> None:
        """Send what the script makes of each packet, in order. A cancel does not wait for the script.

        Raises:
            BadData: the script failed, exceeded a limit, or returned no packet; what came before has been sent.
        """
        received, output = ctx.input(), ctx.output()
        place = CapacityLimiter(1)  # of its own: a script that waits must not take a thread from those that work
        while packets := await received.receive_many():
            done = 0
            while done < len(packets):
                made: list[Packet] = []
                done, error = await to_thread.run_sync(
                    self._work, packets, done, made, abandon_on_cancel=True, limiter=place
                )
                await output.send_many(made)
                if error is not None:
                    raise error

    async def close(self) -> None:
        """End the script, its requests and its process."""
        self._closed = True
        if self._asker is not None:
            self._asker.close()
        if self._engine is not None:
            await to_thread.run_sync(self._engine.close, abandon_on_cancel=True)

    # -- in a worker thread ---------------------------------------------------------------------------

    def _load(self) -> None:
        try:
            from penstock.nodes.flow.engine_quickjs import ProcessEngine, ThreadEngine
        except ImportError as error:
            raise MissingDependency(
                "core::script runs JavaScript in QuickJS, which is not installed: pip install 'penstock[script]'"
            ) from error
        from penstock.nodes.flow.script_fetch import NOTHING_ALLOWED, answer_with, make_asker

        config, path = self.config, self.config.script_path
        source = config.script if path is None else _read(allowed_path(self._ctx, path))
        timeout_s, memory_bytes = config.timeout_ms / 1000, config.memory_limit_mb << 20
        self._asker = asker = make_asker(config.allow_fetch, config.headers, allow_private=config.allow_private)
        if asker is None:
            self._engine = ThreadEngine(timeout_s=timeout_s, memory_bytes=memory_bytes, way_out=NOTHING_ALLOWED)
        else:
            self._engine = ProcessEngine(
                timeout_s=timeout_s, memory_bytes=memory_bytes, answer=answer_with(asker), tell=self._tell
            )
        if self._closed:  # meanwhile, by a cancel that did not wait
            self._engine.close()
        else:
            self._engine.load(source)

    def _work(self, packets: Sequence[Packet], done: int, made: list[Packet]) -> tuple[int, Exception | None]:
        """Work for a slice, from packet ``done`` on; return where to go on, and what failed.

        A script that may fetch does one packet: what is made must not wait for the next answer.
        """
        deadline = perf_counter() + (SLICE_S if self._asker is None else 0)
        for at in range(done, len(packets)):
            try:
                packet = self._made_of(packets[at])
            except Exception as error:  # noqa: BLE001 - raised once what came before has been sent
                return at, error
            if packet is not None:
                made.append(packet)
            if perf_counter() > deadline:
                return at + 1, None
        return len(packets), None

    def _made_of(self, packet: Packet) -> Packet | None:
        assert self._engine is not None  # noqa: S101 - prepared
        outcome = self._engine.call(to_script(packet))
        self._tell(outcome.told)
        if outcome.same:
            return packet
        if outcome.made is None:
            self._ctx.discarded(1, "script")
            return None
        return from_script(outcome.made, packet)

    def _tell(self, told: Told) -> None:
        for event_type, data in told.events:
            self._ctx.report(NODE_TELEMETRY, event_type=event_type, data=data, left_out=0)
        for line in told.lines:
            logger.info("%s: %s", self._ctx.node_id, line, extra={"fields": {"node": self._ctx.node_id}})


def _read(path: Path) -> str:
    with open_errors(path), path.open("rb") as file:
        data = file.read(MAX_SCRIPT_BYTES + 1)
    if len(data) > MAX_SCRIPT_BYTES:
        raise ConfigurationError(f"'{path}' is larger than a script may be, {MAX_SCRIPT_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"'{path}' is not UTF-8 at byte {error.start}") from error
