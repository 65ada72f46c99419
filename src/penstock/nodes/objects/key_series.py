"""The keys of the objects that one run writes, one after the other."""

from __future__ import annotations

import mimetypes
import socket
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from penstock.nodes.objects.key_template import KeyTemplate, KeyValues

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["KeySeries", "before_extension", "extension_of"]

EXTENSIONS: Final = {
    "application/ogg": "ogg",
    "application/x-ndjson": "ndjson",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/wav": "wav",
    "audio/webm": "webm",
    "text/plain": "txt",
    "video/mp2t": "ts",
    "video/mp4": "mp4",
    "video/ogg": "ogv",
    "video/webm": "webm",
}
UNKNOWN: Final = "bin"


class KeySeries:
    """Makes keys from a template; ``seq`` counts them from 1.

    Args:
        template: the key with its fields.
        run_id: of the run; also its ``{session_id}``, unless an attribute of that name says otherwise.
        attributes: what ``{attributes.NAME}`` stands for.
        started: what ``{start}`` is.
        now: the clock of ``{now}``.

    Attributes:
        example: a key of this series, made for the checks.
        latest: the key that ``next`` gave last.

    Raises:
        ValueError: no key can be made: a field is unknown or malformed, or the result is no key.
    """

    def __init__(
        self,
        template: str,
        *,
        run_id: str,
        attributes: Mapping[str, str],
        started: datetime,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._template = KeyTemplate.parse(template)
        self._run_id = run_id
        self._attributes = attributes
        self._started = started
        self._now = now
        self._made = 0
        self._previous = ""
        self._alike = 1
        self._pieces = 1
        self.latest = ""
        self.example = self._render(None)

    def next(self, content_type: str | None) -> str:
        """The key of the next object; ``content_type`` decides its ``{ext}``.

        Two objects that are begun within the same second, where ``{now}`` alone tells them apart, get ``-2``, ``-3`` …
        before the extension.
        """
        self._made += 1
        key = self._render(content_type)
        self._alike = self._alike + 1 if key == self._previous else 1
        self._previous = key
        self._pieces = 1
        self.latest = key if self._alike == 1 else before_extension(key, f"-{self._alike}")
        return self.latest

    def continuation(self) -> str:
        """The key of the object that continues the latest, which can grow no more: ``take.part2.ogg``, and so on."""
        self._pieces += 1
        return before_extension(self.latest, f".part{self._pieces}")

    def _render(self, content_type: str | None) -> str:
        values = KeyValues(
            run_id=self._run_id,
            session_id=self._attributes.get("session_id", self._run_id),
            uuid=uuid.uuid4().hex,
            host=socket.gethostname(),
            seq=max(1, self._made),
            ext=extension_of(content_type),
            start=self._started,
            now=self._now(),
            attributes=self._attributes,
        )
        return self._template.render(values)


def extension_of(content_type: str | None) -> str:
    """The usual file name extension of a media type, without its dot; ``bin`` where there is none."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    # Not the machine's own table of types: a key must not depend on where it is made.
    known = mimetypes.MimeTypes(filenames=()).guess_extension(media_type) or f".{UNKNOWN}"
    return EXTENSIONS.get(media_type, known.removeprefix("."))


def before_extension(key: str, mark: str) -> str:
    """``key`` with ``mark`` before the extension of its last segment: ``a/take.ogg`` becomes ``a/take-2.ogg``."""
    folder, slash, name = key.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem:
        return key + mark
    return f"{folder}{slash}{stem}{mark}{dot}{extension}"
