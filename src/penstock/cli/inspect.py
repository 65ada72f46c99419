"""``penstock inspect``: what is in a media file or object, and whether it is what a run has sent."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import anyio
from anyio import to_thread

from penstock.cli.console import Exit, fail, human_bytes, say
from penstock.cli.place import locate
from penstock.errors import BadData, ConfigurationError, NotFound, PenstockError
from penstock.media.probe import MediaInfo, StreamInfo, probe
from penstock.stores.multipart.digest import StreamDigest
from penstock.stores.resolve import open_location
from penstock.stores.seekable import SeekableObject

if TYPE_CHECKING:
    from penstock.stores.base import ObjectInfo, ObjectStore

__all__ = ["InspectArguments", "inspect_command"]


@dataclass(frozen=True, slots=True)
class InspectArguments:
    """The options of ``penstock inspect``, as given."""

    target: str
    endpoint: str | None = None
    region: str = "us-east-1"
    against: Path | None = None
    plain: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found."""

    target: str
    object: ObjectInfo
    digest: str
    sha256: str
    media: MediaInfo | None
    problem: BadData | None = None

    def as_dict(self) -> dict[str, Any]:
        """The form of ``--json``: the object, and the media in it under ffprobe's names."""
        return {
            "target": self.target,
            "size": self.object.size,
            "etag": self.object.etag,
            "content_type": self.object.properties.content_type,
            "metadata": dict(self.object.properties.metadata),
            "digest": self.digest,
            "sha256": self.sha256,
            "media": None if self.media is None else asdict(self.media),
        }


def inspect_command(arguments: InspectArguments) -> None:
    """Read the whole object, decode it, print what it is; exit with 1 if it cannot be read or is not what was sent."""
    try:
        found = anyio.run(_inspect, arguments)
        if arguments.as_json:
            sys.stdout.write(json.dumps(found.as_dict(), indent=2) + "\n")
        else:
            sys.stdout.write(_page(found))
        if found.problem is not None:
            raise found.problem
        if arguments.against is not None:
            _verify(found, arguments.against)
    except ConfigurationError as error:
        fail(error, Exit.USAGE, as_json=arguments.as_json)
    except PenstockError as error:
        fail(error, as_json=arguments.as_json)


async def _inspect(arguments: InspectArguments) -> Inspection:
    store, key = _open(arguments)
    try:
        described = await store.head(key)
        digest, sha256 = StreamDigest(), hashlib.sha256()
        async for piece in store.get(key):
            digest.update(piece)
            sha256.update(piece)
        file = SeekableObject(store, key, described.size)
        media, problem = (None, None) if arguments.plain else await to_thread.run_sync(_probe, file, arguments.target)
    except NotFound as error:
        raise NotFound(f"there is no such object in {store.url}", operation="inspect", key=key) from error
    finally:
        await store.aclose()
    return Inspection(arguments.target, described, str(digest.checksum()), sha256.hexdigest(), media, problem)


def _open(arguments: InspectArguments) -> tuple[ObjectStore, str]:
    location = locate(arguments.target, arguments.endpoint)
    if not location.key:
        raise ConfigurationError(f"'{arguments.target}' names no object: the key is missing")
    if location.kind == "local":
        _require_file(arguments.target, Path(location.endpoint, location.bucket, location.key))
    return open_location(location, region=arguments.region), location.key


def _require_file(target: str, path: Path) -> None:
    """Refuse what is there but is no file, which the store would only call not found."""
    if path.is_dir():
        raise ConfigurationError(f"'{target}' is a directory: name a file in it")
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"'{target}' is a device or a pipe: only files and objects can be inspected")


def _probe(file: SeekableObject, name: str) -> tuple[MediaInfo | None, BadData | None]:
    """Decode all of it: what it holds, as far as it can be read, and what is wrong with it."""
    try:
        media = probe(cast("BinaryIO", file), decode=True)
    except BadData as error:
        return None, BadData(f"{name}: {error}; --plain shows size and digests only")
    damaged = sum(stream.errors for stream in media.streams)
    if damaged:
        return media, BadData(f"{name}: {damaged} packets cannot be decoded")
    if not any(stream.frames for stream in media.streams):
        return media, BadData(
            f"{name} holds no audio or video that can be decoded; --plain shows size and digests only"
        )
    return media, None


def _page(found: Inspection) -> str:
    rows = [
        ("size", f"{found.object.size} bytes ({human_bytes(found.object.size)})"),
        ("type", found.object.properties.content_type),
        ("digest", found.digest),
        ("sha256", found.sha256),
        *(() if found.media is None else _media_rows(found.media)),
    ]
    return "\n".join([found.target, *(f"  {name:<10} {value}" for name, value in rows if value)]) + "\n"


def _media_rows(media: MediaInfo) -> list[tuple[str, str | None]]:
    return [
        ("container", media.format_name),
        ("duration", f"{media.duration_s:.3f} s" if media.duration_s is not None else "not told by the container"),
        *((f"stream {stream.index}", _stream(stream)) for stream in media.streams),
    ]


def _stream(stream: StreamInfo) -> str:
    parts = [stream.codec_name]
    if stream.codec_type == "audio":
        parts += [f"{stream.sample_rate} Hz", stream.channel_layout or f"{stream.channels} channels"]
        parts.append(f"{stream.samples} samples decoded")
        parts += [f"{stream.samples / stream.sample_rate:.3f} s"] if stream.sample_rate else []
    if stream.errors:
        parts.append(f"{stream.errors} packets that cannot be decoded")
    return ", ".join(parts)


def _verify(found: Inspection, report: Path) -> None:
    """Compare with the objects of a run's report.

    Raises:
        ConfigurationError: the report cannot be read, or names no object.
        PenstockError: size or digest differ from all of them.
    """
    try:
        objects = json.loads(report.read_text(encoding="utf-8"))["objects"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{report} is not the report of a run (penstock run --report): {error}") from error
    sent = [(one["size"], one["digest"]) for one in objects]
    if not sent:
        raise ConfigurationError(f"{report}: the run committed no object")
    if (found.object.size, found.digest) not in sent:
        wanted = ", ".join(f"{size} bytes {digest}" for size, digest in sent)
        raise PenstockError(f"{found.target} is not what the run sent: {wanted}")
    decodes = "" if found.media is None else ", and decodes to the end"
    say(f"verified: {found.target} is what the run sent, to the last byte{decodes}")
