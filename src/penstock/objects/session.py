"""An object that is written by a Python program: ``open_object``."""

from __future__ import annotations

import difflib
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
from pydantic import ValidationError

from penstock.errors import ConfigurationError
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.objects.journaling import begin_upload, find_upload
from penstock.nodes.objects.opening import check_store, name_objects, open_store, upload_options
from penstock.stores.multipart.age import warning_of_age
from penstock.stores.resolve import parse_url
from penstock.telemetry import OBJECT_RESUMED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from penstock.stores.multipart import UploadWriter

__all__ = ["open_object"]

OF_PIPELINES: Final = {"bucket", "key", "on_cancel", "passthrough", "rotate"}
"""Parameters of the node that have no meaning here: the URL holds the place, and a clean end commits."""


@asynccontextmanager
async def open_object(
    url: str,
    *,
    endpoint: str | None = None,
    attributes: Mapping[str, str] | None = None,
    on_event: Callable[[str, dict[str, Any]], None] | None = None,
    **parameters: Any,
) -> AsyncIterator[UploadWriter]:
    """Yield the writer of an object; the object appears, whole, when the block is left cleanly.

    Any other way out leaves neither an object nor an open upload: an exception, a cancellation, a part that failed
    for good (which cancels the block at once and is raised from it). With ``durability`` it leaves what was accepted,
    for ``penstock recover`` or ``resume=True``. A writer that nobody leaves, because it was garbage-collected or its
    loop stopped, commits nothing. The bucket is checked first, for 10 s at most.

    Args:
        url: store, bucket and key, such as ``s3://takes/2026/{uuid}.ogg``; the key may hold fields, and ``{{`` and
            ``}}`` stand for braces.
        endpoint: the store of an ``s3://`` URL, such as ``http://localhost:9000``, if it is not Amazon's.
        attributes: values of ``{attributes.NAME}`` in the key.
        on_event: told of stored parts and of the outcome.
        parameters: those of ``core::object_store_writer``, under the same names and with the same defaults, but
            that the credentials of this machine are used when none are given: ``content_type``, ``metadata``,
            ``chunk_size``, ``parts_in_flight``, ``memory_limit``, ``access_key_id_env`` …

    Raises:
        ConfigurationError: an argument is wrong, or credentials are missing (``CredentialsError``).
        StoreError: the store cannot be reached, refuses, or fails; of several errors the first, the others as notes.
    """
    config = _configure(url, endpoint, parameters)
    key = name_objects(config, uuid.uuid4().hex, attributes or {}).next(config.content_type)
    store = open_store(config)
    try:
        await check_store(store, config)
        options = upload_options(config)
        spool = await find_upload(config) if config.resume else None
        async with begin_upload(config, store, key, options, spool=spool, on_event=on_event) as writer:
            if config.resume and spool is None and on_event is not None:
                on_event(OBJECT_RESUMED, {"url": writer.url, "key": writer.key, "offset": 0, "found": False})
            with warning_of_age(writer.age, writer.url):
                yield writer
    finally:
        with anyio.CancelScope(shield=True):
            await store.aclose()


def _configure(url: str, endpoint: str | None, given: dict[str, Any]) -> ObjectStoreWriterConfig:
    """Check the arguments as those of the node are checked, and say all that is wrong in one error."""
    wrong = [f"{name}: belongs to pipelines" for name in given if name in OF_PIPELINES]
    if given.get("on_error") == "commit":
        wrong.append("on_error: commit belongs to pipelines; commit the writer yourself, with incomplete=True")
    values = {name: value for name, value in given.items() if name not in OF_PIPELINES}
    place = {"url": url} if endpoint is None else _apart(url, endpoint)
    try:
        config = ObjectStoreWriterConfig.model_validate({"ambient_credentials": True, **place, **values})
    except ValidationError as failure:
        wrong += [_in_words(error) for error in failure.errors(include_url=False, include_input=False)]
    if wrong:
        raise ConfigurationError(f"open_object: {'; '.join(wrong)}")
    return config


def _apart(url: str, endpoint: str) -> dict[str, str]:
    location = parse_url(url)
    if location.kind != "s3" or location.endpoint:
        raise ConfigurationError(f"open_object: endpoint goes with an s3:// URL; '{url}' names its store already")
    return {"endpoint": endpoint, "bucket": location.bucket, "key": location.key}


def _in_words(error: Any) -> str:
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        known = [field for field in ObjectStoreWriterConfig.model_fields if field not in OF_PIPELINES]
        near = difflib.get_close_matches(name, known, n=1)
        return f"{name}: unknown parameter" + (f"; did you mean '{near[0]}'?" if near else "")
    message = error["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if name else message
