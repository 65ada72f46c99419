"""How a store is described in the journal, and opened again from there; of secrets only where they are."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penstock.errors import ConfigurationError
from penstock.stores.credentials import CredentialSettings
from penstock.stores.resolve import Location, open_location
from penstock.stores.settings import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.stores.base import MultipartStore
    from penstock.stores.durable.record import UploadRecord

__all__ = ["describe_store", "open_recorded"]

ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def describe_store(location: Location, settings: StoreSettings) -> Mapping[str, Any]:
    """What another process needs to reach a store, in plain values and without a secret.

    Raises:
        ConfigurationError: nothing that is written there could be gone on with by another process.
    """
    if location.kind == "memory":
        raise ConfigurationError("durability has no meaning for memory://, which ends with the process")
    if location.kind == "opendal":
        raise ConfigurationError("durability needs a store with multipart upload, which opendal+… does not offer")
    endpoint = location.endpoint
    if location.kind == "s3" and not endpoint:
        endpoint = next(filter(None, map(settings.environ.get, ENDPOINTS)), "")
    if location.kind == "local":
        endpoint = str(Path(endpoint).absolute())
    given = settings.credentials
    named = {one.name: getattr(given, one.name) for one in fields(given) if one.name.endswith("_env")}
    return {
        "kind": location.kind,
        "endpoint": endpoint,
        "bucket": location.bucket,
        "region": settings.region,
        "addressing": settings.addressing,
        "store": settings.store,
        "credentials": {name: value for name, value in named.items() if value is not None},
    }


def open_recorded(record: UploadRecord, environ: Mapping[str, str] = os.environ) -> MultipartStore:
    """Open the store of an upload.

    Credentials that were named by variables are read from those; where they were given literally, those of this
    machine are used.

    Raises:
        ConfigurationError: credentials are missing (``CredentialsError``), or the record is of another version.
    """
    try:
        known = dict(record.store)
        location = Location(known["kind"], known["endpoint"], known["bucket"])
        named = {name: str(value) for name, value in known["credentials"].items()}
        settings = StoreSettings(
            region=known["region"],
            addressing=known["addressing"],
            store=known["store"],
            credentials=CredentialSettings(**named, ambient_credentials=not named),
            connections=record.options.parts_in_flight + 1,
            environ=environ,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"the journal of {record.url} does not say where its store is: {error}") from error
    return open_location(location, settings)
