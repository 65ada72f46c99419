"""``upload.json``: what an upload is to become, written once before its first byte and never changed.

It holds all that another process needs to go on: the store, the key, how the object is cut and what goes with it; of
credentials the names of variables only. ``check`` is the CRC-32 of the rest.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import zlib
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from penstock.stores.durable.lines import DamagedJournal, OtherVersion
from penstock.stores.layers.retry import RetryPolicy
from penstock.stores.multipart.records import UploadOptions
from penstock.stores.properties import ObjectProperties

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FORMAT", "Durability", "OnCrash", "UploadRecord", "boot_id"]

FORMAT: Final = "penstock-upload-1"
FILE: Final = "upload.json"

Durability: TypeAlias = Literal["crash", "power"]
OnCrash: TypeAlias = Literal["commit", "keep", "abort"]


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """What an upload is to become.

    Attributes:
        token: its name in the state directory, and in the metadata of its object.
        key: the object's key as it was asked for.
        store: what ``open_store`` of ``durable.stores`` needs to reach the store again.
        url: store and key, for people.
        source: what the key was made of, such as its template; what ``--resume`` goes by.
        options: how the object is cut and what goes with it.
        durability: what accepted bytes survive: ``crash`` the end of the process, ``power`` that of the machine.
        on_crash: what becomes of an input that did not end.
        created, host, process, boot: when and where it began; ``boot`` changes when the machine starts again.
    """

    token: str
    key: str
    url: str
    store: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    options: UploadOptions = field(default_factory=UploadOptions)
    durability: Durability = "crash"
    on_crash: OnCrash = "commit"
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    boot: str | None = field(default_factory=lambda: boot_id())

    def write(self, directory: Path) -> None:
        """Write the file; the directory is not yet anybody's.

        Raises:
            OSError: it cannot be written.
        """
        fields = {"format": FORMAT, **asdict(self)}
        fields["check"] = _check(fields)
        text = json.dumps(fields, indent=2)
        descriptor = os.open(directory / FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(descriptor)

    @classmethod
    def read(cls, directory: Path) -> UploadRecord:
        """Read the file.

        Raises:
            DamagedJournal: it is not as it was written; OtherVersion: by this version.
            OSError: it cannot be read.
        """
        try:
            fields = json.loads((directory / FILE).read_bytes())
            made_by, check = fields.pop("format"), fields.pop("check")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedJournal(f"{FILE} is damaged") from error
        if check != _check({"format": made_by, **fields}):
            raise DamagedJournal(f"{FILE} is damaged: its checksum does not hold")
        if made_by != FORMAT:
            raise OtherVersion(f"{FILE} is of the format {made_by!r}, not of {FORMAT}")
        try:
            options = fields.pop("options")
            properties = ObjectProperties(**options.pop("properties"))
            retry = RetryPolicy(**options.pop("retry"))
            return cls(**fields, options=UploadOptions(**options, properties=properties, retry=retry))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedJournal(f"{FILE} has fields that are not of this version: {error}") from error

    @property
    def after_power_loss(self) -> bool:
        """Whether the machine has been started since, or that is not known."""
        return self.boot is None or self.boot != boot_id()


def _check(fields: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(fields, sort_keys=True).encode()):08x}"


def boot_id() -> str | None:
    """What tells this start of the machine from others; None where that is not known."""
    if sys.platform != "linux":
        return None
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
