"""Object keys with fields: ``takes/{start:%Y/%m/%d}/{run_id}.ogg``.

======================  ==========================================================================================
``{run_id}``            the unique name of the run
``{uuid}``              32 hexadecimal digits, new for every object
``{host}``              name of this machine
``{start:FORMAT}``      when the node was made ready, UTC, in ``strftime`` directives; ``%Y%m%dT%H%M%SZ`` without
``{now:FORMAT}``        when the object is begun, in the same way
``{{`` and ``}}``       braces themselves
======================  ==========================================================================================

Values of fields cannot leave their place in the key: what is not a letter, digit, ``.``, ``_`` or ``-`` of ASCII
becomes ``_``. The directives of a time are the author's own, slashes included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Formatter
from typing import Final

__all__ = ["KeyTemplate", "check_key"]

PLAIN: Final = ("host", "run_id", "uuid")
TIMES: Final = ("now", "start")
DEFAULT_TIME: Final = "%Y%m%dT%H%M%SZ"
MAX_KEY_BYTES: Final = 1024
UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


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
        example = datetime(2026, 9, 30, 23, 59, 59, tzinfo=UTC)
        template.render(run_id="x" * 36, uuid="x" * 32, host="x", start=example, now=example)
        return template

    def render(self, *, run_id: str, uuid: str, host: str, start: datetime, now: datetime) -> str:
        """Fill in the fields.

        Raises:
            ValueError: the result cannot be a key.
        """
        values = {"run_id": run_id, "uuid": uuid, "host": host}
        times = {"start": start, "now": now}
        key = "".join(literal + _value(name, spec, values, times) for literal, name, spec in self.pieces)
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
    if name not in PLAIN and name not in TIMES:
        known = ", ".join(f"{{{field}}}" for field in sorted(PLAIN + TIMES))
        raise ValueError(f"has the unknown field {{{name}}}; known are {known}; write {{{{ and }}}} for braces")
    if conversion or (spec and name in PLAIN) or "{" in spec:
        raise ValueError(f"gives {{{name}}} a format; only {{start:%Y-%m-%d}} and {{now:…}} take one")


def _value(name: str | None, spec: str, values: dict[str, str], times: dict[str, datetime]) -> str:
    if name is None:
        return ""
    if name in times:
        return times[name].astimezone(UTC).strftime(spec or DEFAULT_TIME)
    return UNSAFE.sub("_", values[name]).strip(".") or "_"
