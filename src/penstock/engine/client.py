"""The ``client`` section of a pipeline file: how a user interface feeds the pipeline and shows its answer.

Nothing here changes how a pipeline runs. An unknown key is a warning, a value of the wrong type an error; what fits
the types but not the rest of the pipeline is for ``client_lints``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock.engine.document import Document
from penstock.engine.report import Report
from penstock.engine.validation import validate

__all__ = ["ClientSpec", "Control", "FieldHint", "InputHint", "Option", "OutputHint", "Publish", "Track", "Watch"]


class _Section(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", use_attribute_docstrings=True)


class Track(_Section):
    """Something a browser publishes."""

    kind: Literal["audio", "video"]
    """What the track carries."""
    source: Literal["camera", "screen", "microphone"]
    """Where the browser takes it from."""
    broadcast: str | None = None
    """The broadcast it goes into, if not that of the section."""
    width: int | None = Field(None, ge=1)
    """Width of a video in pixels."""
    height: int | None = Field(None, ge=1)
    """Height of a video in pixels."""
    codec: str | None = None
    """How the browser is to encode it."""
    max_bitrate: int | None = Field(None, ge=1)
    """Most bits a second."""


class Publish(_Section):
    """What a browser sends to the pipeline."""

    broadcast: str | None = None
    """Name of the broadcast."""
    tracks: tuple[Track, ...] | None = None
    """Its tracks."""
    audio: bool | None = None
    """Older form of a microphone track."""
    video: bool | None = None
    """Older form of a camera track."""


class Watch(_Section):
    """What a browser plays."""

    broadcast: str | None = None
    """Name of the broadcast."""
    mse_path: str | None = None
    """Path of a stream for Media Source Extensions, instead of a broadcast."""
    audio: bool = False
    """Whether it has sound."""
    video: bool = False
    """Whether it has pictures."""


class FieldHint(_Section):
    """How one field of the request is asked for."""

    type: Literal["file", "file_upload", "text"] | None = None
    """A file to upload, or text to type."""
    accept: str | None = None
    """Media types of the file, comma separated."""
    placeholder: str | None = None
    """Text shown while the field is empty."""


class InputHint(_Section):
    """How the input of a oneshot pipeline is asked for."""

    type: Literal["file_upload", "text", "trigger", "none"]
    """A file, a text, a button, or nothing."""
    accept: str | None = None
    """Media types of the file, comma separated."""
    asset_tags: tuple[str, ...] | None = None
    """Which stored files to offer."""
    placeholder: str | None = None
    """Text shown while the input is empty."""
    field_hints: dict[str, FieldHint] | None = None
    """The same for each field of the request, by its name."""


class OutputHint(_Section):
    """How the answer of a oneshot pipeline is shown."""

    type: Literal["transcription", "json", "audio", "video"]
    """A transcript, data, a sound or a picture."""


class Option(_Section):
    """One choice of a select."""

    label: str
    """What is shown."""
    value: str | int | float | bool
    """What is sent."""


class Control(_Section):
    """A control that changes a parameter of a running node."""

    label: str
    """What is shown beside it."""
    type: Literal["toggle", "text", "number", "button", "select"]
    """What it looks like."""
    node: str
    """The node to change."""
    property: str
    """The parameter, keys divided by dots."""
    group: str | None = None
    """Controls of a group stand together."""
    default: Any = None
    """Where it stands at first."""
    min: float | None = None
    """Least value of a number."""
    max: float | None = None
    """Greatest value of a number."""
    step: float | None = Field(None, gt=0)
    """Distance of two values of a number."""
    value: Any = None
    """What a button sends."""
    options: tuple[Option, ...] | None = None
    """The choices of a select."""


class ClientSpec(_Section):
    """Hints for the user interface."""

    relay_url: str | None = None
    """URL of a Media over QUIC relay."""
    gateway_path: str | None = None
    """Path of this server's Media over QUIC gateway."""
    publish: Publish | None = None
    """What the browser sends."""
    watch: Watch | None = None
    """What the browser plays."""
    input: InputHint | None = None
    """How a oneshot input is asked for."""
    output: OutputHint | None = None
    """How a oneshot answer is shown."""
    controls: tuple[Control, ...] | None = None
    """Controls of running nodes."""


def parse_client(value: Any, document: Document, report: Report) -> ClientSpec | None:
    """Return the section, or None where it has errors, which ``report`` then holds."""
    if not isinstance(value, dict):
        report.error(("client",), f"must be a mapping, not {report.show(('client',), value)}")
        return None
    return validate(ClientSpec, value, ("client",), document, report, lenient=True, noun="key")
