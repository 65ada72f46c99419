"""Object keys with fields: ``takes/{start:%Y/%m/%d}/{run_id}-{seq:05d}.{ext}``.

======================  ==========================================================================================
``{run_id}``            the unique name of the run
``{session_id}``        the attribute ``session_id`` of the run, or its ``run_id``
``{uuid}``              32 hexadecimal digits, new for every object
``{host}``              name of this machine
``{seq:05d}``           number of the object in the run, from 1; ``05d`` pads it with zeros
``{ext}``               extension that goes with the content type: ``ogg``, ``mp4`` … or ``bin``
``{attributes.NAME}``   an attribute of the run
``{start:FORMAT}``      when the node was made ready, UTC, in ``strftime`` directives; ``%Y%m%dT%H%M%SZ`` without
``{now:FORMAT}``        when the object is begun, in the same way
``{{`` and ``}}``       braces themselves
======================  ==========================================================================================

Values of fields cannot leave their place in the key: what is not a letter, digit, ``.``, ``_`` or ``-`` of ASCII
becomes ``_``. The directives of a time are the author's own, slashes included.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from string import Formatter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["KeyTemplate", "KeyValues", "check_key"]

PLAIN: Final = ("ext", "host", "run_id", "session_id", "uuid")
TIMES: Final = ("now", "start")
FIELDS: Final = (*PLAIN, *TIMES, "seq")
ATTRIBUTE: Final = "attributes."
DEFAULT_TIME: Final = "%Y%m%dT%H%M%SZ"
NUMBER: Final = re.compile(r"(0[1-9][0-9]?)?d?")
MAX_KEY_BYTES: Final = 1024
UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
NOON: Final = datetime(2026, 9, 28, 11, 58, 58, tzinfo=UTC)
BESIDE_NOON: Final = [
    NOON.replace(year=2027),
    NOON.replace(month=10),
    NOON.replace(day=29),
    NOON.replace(hour=12),
    NOON.replace(hour=23),
    NOON.replace(minute=59),
    NOON.replace(second=59),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValues:
    """What the fields of a template stand for; see the module."""

    run_id: str
    session_id: str
    uuid: str
    host: str
    start: datetime
    now: datetime
    seq: int = 1
    ext: str = "bin"
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """A parsed key; made by ``parse``."""

    pieces: tuple[tuple[str, str | None, str], ...]

    @classmethod
    def parse(cls, text: str) -> KeyTemplate:
        """Read a template.

        Raises:
            ValueError: a field is unknown or malformed, or what comes out cannot be a key.
        """
        try:
            parsed = list(Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"is no template: {error}; write {{{{ and }}}} for braces") from error
        pieces = []
        for literal, name, spec, conversion in parsed:
            if name is not None:
                _check_field(name, spec or "", conversion)
            pieces.append((literal, name, spec or ""))
        template = cls(tuple(pieces))
        template.render(_example(template))
        return template

    @property
    def tells_objects_apart(self) -> bool:
        """Whether objects of one run that are begun a second apart get different keys."""
        return any(name in ("seq", "uuid") or (name == "now" and _is_full_time(spec)) for _, name, spec in self.pieces)

    def render(self, values: KeyValues) -> str:
        """Fill in the fields.

        Raises:
            ValueError: an attribute is not there, or the result cannot be a key.
        """
        key = "".join(literal + _value(name, spec, values) for literal, name, spec in self.pieces)
        check_key(key)
        return key


def check_key(key: str) -> None:
    """See that every store takes ``key``.

    Raises:
        ValueError: it is empty or too long, or holds control characters or the segments ``.`` or ``..``.
    """
    if not key:
        raise ValueError("must not be empty")
    if CONTROL.search(key):
        raise ValueError("holds control characters")
    if {".", ".."} & set(key.split("/")):
        raise ValueError("holds '.' or '..' as a segment")
    size = len(key.encode(errors="replace"))
    if size > MAX_KEY_BYTES:
        raise ValueError(f"has {size} bytes; stores take keys of up to {MAX_KEY_BYTES}")


def _check_field(name: str, spec: str, conversion: str | None) -> None:
    plain = name in PLAIN or name.removeprefix(ATTRIBUTE) not in ("", name)
    if not plain and name not in FIELDS:
        known = ", ".join(f"{{{one}}}" for one in sorted((*FIELDS, f"{ATTRIBUTE}NAME")))
        hint = _nearest(name, FIELDS)
        raise ValueError(f"has the unknown field {{{name}}}{hint}; known are {known}; write {{{{ and }}}} for braces")
    if name == "seq" and not conversion and not NUMBER.fullmatch(spec):
        raise ValueError(f"gives {{seq}} the format '{spec}'; write {{seq}}, or {{seq:05d}} for five digits")
    if conversion or (spec and plain) or "{" in spec:
        raise ValueError(f"gives {{{name}}} a format; only {{start:%Y-%m-%d}}, {{now:…}} and {{seq:05d}} take one")


def _value(name: str | None, spec: str, values: KeyValues) -> str:
    if name is None:
        return ""
    if name in TIMES:
        moment: datetime = getattr(values, name)
        return moment.astimezone(UTC).strftime(spec or DEFAULT_TIME)
    if name == "seq":
        return format(values.seq, spec)
    if name in PLAIN:
        return _safe(getattr(values, name))
    attribute = name.removeprefix(ATTRIBUTE)
    if attribute not in values.attributes:
        hint = _nearest(attribute, values.attributes)
        raise ValueError(f"has the field {{{name}}}, but there is no attribute '{attribute}'{hint}")
    return _safe(values.attributes[attribute])


def _safe(value: str) -> str:
    return UNSAFE.sub("_", value).strip(".") or "_"


def _is_full_time(spec: str) -> bool:
    """Whether no two seconds look the same."""
    form = spec or DEFAULT_TIME
    return all(moment.strftime(form) != NOON.strftime(form) for moment in BESIDE_NOON)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _example(template: KeyTemplate) -> KeyValues:
    """Values of usual length, so that a template can be tried before there is a run."""
    names = [name.removeprefix(ATTRIBUTE) for _, name, _ in template.pieces if name and name not in FIELDS]
    return KeyValues(
        run_id="x" * 36,
        session_id="x" * 36,
        uuid="x" * 32,
        host="x",
        start=NOON,
        now=NOON,
        attributes=dict.fromkeys(names, "x"),
    )
