"""A registry of small kinds for the tests of pipeline files, which are only looked at."""

from collections.abc import Sequence
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from penstock.engine.graph import Graph, check
from penstock.engine.spec import PipelineSpec, parse
from penstock.errors import ConfigurationError
from penstock.findings import Finding
from penstock.nodes.base import LenientConfig, NoConfig, Node, NodeConfig, Transform, node
from penstock.nodes.registry import Registry
from penstock.pins import (
    BINARY,
    PASSTHROUGH,
    Cardinality,
    EncodedAudioType,
    InputPin,
    OutputPin,
    RawAudioType,
)

OPUS = EncodedAudioType("opus")
RAW = RawAudioType()


class GainConfig(NodeConfig):
    """How loud."""

    gain: float = Field(1.0, ge=0, le=4, description="Factor.")
    curve: Literal["linear", "cubic"] = Field("linear", description="Shape.")


class Retry(BaseModel):
    """How often."""

    model_config = ConfigDict(extra="forbid")
    deadline_s: int = Field(120, ge=1)


class StoreConfig(NodeConfig):
    """Where to."""

    bucket: str = Field(min_length=1, description="Bucket.")
    chunk_size: int = Field(5242880, ge=5242880, description="Bytes a part.")
    secret_access_key: SecretStr | None = Field(None, description="Secret.")
    pin: int = Field(0, description="A number that is secret.", json_schema_extra={"writeOnly": True})
    headers: dict[str, str] = Field({}, description="Headers.")
    retry: Retry = Field(Retry(), description="Retries.")
    tags: list[str] = Field([], max_length=2, description="Tags.")
    limit: int | Retry | None = Field(None, description="A union.")

    @field_validator("bucket")
    @classmethod
    def _lower(cls, value: str) -> str:
        if value != value.lower():
            raise ValueError("a bucket name has no capitals")
        return value


class LooseConfig(LenientConfig):
    """Tolerant."""

    channels: int = Field(1, ge=1, description="Channels.")
    retry: Retry = Field(Retry(), description="Retries.")


class FieldsConfig(NodeConfig):
    """Pins by configuration."""

    fields: list[str] = Field([], description="Fields.")


C = TypeVar("C", bound=NodeConfig)


class Awaits(Node[C]):
    """Ends at once."""

    async def run(self, ctx): ...


class Passes(Transform[C]):
    """Gives what it gets."""

    def process(self, packet, /):
        return packet


@node("test::source", outputs=[OutputPin("out", BINARY)])
class Source(Awaits[NoConfig]):
    """Gives bytes."""


@node("test::pass", inputs=[InputPin()], outputs=[OutputPin("out", PASSTHROUGH)])
class Pass(Passes[NoConfig]):
    """Hands on."""


@node("test::demuxer", inputs=[InputPin("in", (BINARY,))], outputs=[OutputPin("out", OPUS)])
class Demuxer(Passes[LooseConfig]):
    """Bytes to Opus."""


@node("test::gain", inputs=[InputPin("in", (RAW,))], outputs=[OutputPin("out", RAW)], example={"gain": 2})
class Gain(Passes[GainConfig]):
    """Louder."""


@node("test::decoder", inputs=[InputPin("in", (OPUS,))], outputs=[OutputPin("out", RawAudioType(48000, 1))])
class Decoder(Passes[NoConfig]):
    """Opus to audio."""


@node("test::mixer", inputs=[InputPin("in", (RAW,), Cardinality.DYNAMIC)], outputs=[OutputPin("out", RAW)])
class Mixer(Awaits[NoConfig]):
    """Joins any number."""


@node("test::muxer", inputs=[InputPin("in", (OPUS, BINARY)), InputPin("in_1")], outputs=[OutputPin("out", BINARY)])
class Muxer(Awaits[NoConfig]):
    """Two fixed inputs."""


@node("test::store", inputs=[InputPin()], example={"bucket": "b"})
class Store(Awaits[StoreConfig]):
    """A sink."""


@node("test::splitter", inputs=[InputPin()], outputs=[OutputPin("audio/data", BINARY), OutputPin("video/data", BINARY)])
class Splitter(Awaits[NoConfig]):
    """Two outputs with a slash in their names."""


@node("streamkit::http_input", outputs=[OutputPin("out", BINARY)])
class HttpInput(Awaits[FieldsConfig]):
    """One pin a field."""

    @classmethod
    def pins(cls, config: FieldsConfig) -> tuple[Sequence[InputPin], Sequence[OutputPin]]:
        if len(set(config.fields)) != len(config.fields):
            raise ConfigurationError("a field is named twice")
        return (), [OutputPin(name, BINARY) for name in config.fields or ["out"]]


@node("streamkit::http_output", inputs=[InputPin("in", (BINARY,))])
class HttpOutput(Awaits[NoConfig]):
    """The answer."""


@node("transport::moq::peer", inputs=[InputPin()], outputs=[OutputPin("audio/data", OPUS)])
class Peer(Awaits[LooseConfig]):
    """Both sides face the network."""


CLASSES = (
    Source, Pass, Demuxer, Gain, Decoder, Mixer, Muxer, Store, Splitter, HttpInput, HttpOutput, Peer,
)  # fmt: skip


def registry() -> Registry:
    kinds = {cls.kind: cls for cls in CLASSES}
    return Registry({**kinds, "test::broken": "no.such.module:Class"}, {"test::volume": "test::gain"})


def parsed(text: str | bytes, **options) -> tuple[PipelineSpec | None, list[str]]:
    """Parse, with findings as lines."""
    spec, findings = parse(text, file="p.yml", **options)
    return spec, lines(findings)


def checked(text: str | bytes, **options) -> tuple[Graph | None, list[str]]:
    """Parse and check, with the findings of both as lines."""
    spec, findings = parse(text, file="p.yml", **options)
    if spec is None:
        return None, lines(findings)
    graph, more = check(spec, registry())
    return graph, lines([*findings, *more])


def lines(findings: list[Finding]) -> list[str]:
    return [str(finding) for finding in findings]
