"""The parameters of ``core::object_store_writer``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from penstock.errors import ConfigurationError
from penstock.nodes.base import NodeConfig
from penstock.nodes.objects.key_template import KeyTemplate
from penstock.nodes.objects.properties import PropertyParameters
from penstock.nodes.objects.rotation import RotateConfig
from penstock.nodes.types import ByteSize

if TYPE_CHECKING:
    from penstock.stores.credentials import CredentialSettings
    from penstock.stores.resolve import Location

__all__ = ["ObjectStoreWriterConfig"]

MIB: Final = 1 << 20
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
VALUE: Final = re.compile(r"[ -~]*")
CREDENTIALS: Final = (("access_key_id", "access_key_id_env"), ("secret_access_key", "secret_key_env"))


class WriterParameters(NodeConfig):
    """Where the object goes, who we are there, and how it is cut."""

    url: str | None = Field(
        None,
        description="Store, bucket and key in one, instead of endpoint, bucket and key: s3://BUCKET/KEY, "
        "https://HOST/BUCKET/KEY, file:DIRECTORY/KEY or memory://NAME/KEY. The key may hold fields, as in `key`.",
        examples=["s3://takes/2026/take-1.ogg"],
    )
    endpoint: str | None = Field(
        None,
        description="The store: http(s)://HOST of an S3-compatible one, s3:// for Amazon S3, file:DIRECTORY, memory://.",
        examples=["http://localhost:9000"],
    )
    bucket: str | None = Field(None, description="The bucket, or the directory in the endpoint's.", examples=["takes"])
    key: str | None = Field(
        None,
        description="The object's key; may hold {run_id}, {session_id}, {uuid}, {host}, {seq:05d}, {ext}, "
        "{attributes.NAME}, {start:%Y-%m-%d} and {now:%H%M%S} (UTC). "
        "Write {{ and }} for braces. An object of this key is replaced when the new one is complete.",
        examples=["takes/{start:%Y/%m/%d}/{run_id}.ogg"],
    )
    region: str = Field("us-east-1", min_length=1, description="The bucket's region.")
    addressing: Literal["auto", "path", "virtual"] = Field(
        "auto", description="The bucket in the path or in the host name; auto: in the path, but for Amazon S3."
    )
    store: Literal["auto", "aws", "minio", "rustfs", "ceph", "r2", "seaweedfs", "generic"] = Field(
        "auto",
        description="What kind of S3 store it is, and so what it can do; auto: by host name or by what the store calls "
        "itself, else generic, with which nothing is relied upon that an S3 store may lack.",
    )
    probe: bool = Field(
        default=False,
        description="Find out at the start what a store of an unknown kind can do, by writing a small object "
        "penstock-probe-… and deleting it.",
    )
    access_key_id: SecretStr | None = Field(None, description="Access key id; better named by access_key_id_env.")
    access_key_id_env: str | None = Field(
        None, min_length=1, description="Environment variable that holds the access key id; if given, the only source."
    )
    secret_access_key: SecretStr | None = Field(None, description="Secret key; better named by secret_key_env.")
    secret_key_env: str | None = Field(
        None, min_length=1, description="Environment variable that holds the secret key; if given, the only source."
    )
    session_token: SecretStr | None = Field(None, description="Token of temporary credentials.")
    session_token_env: str | None = Field(
        None, min_length=1, description="Environment variable that holds the token; if given, the only source."
    )
    ambient_credentials: bool = Field(
        default=False, description="Use this machine's credentials where none are given: AWS profile, SSO, role."
    )
    chunk_size: Annotated[ByteSize, Field(ge=5 * MIB, le=5 * 1024 * MIB)] = Field(
        5 * MIB, description="Bytes of a part; the sizes of later parts grow on very long streams, up to memory_limit."
    )
    parts_in_flight: int = Field(
        4, ge=1, le=64, strict=True, description="Parts that are sent at once; beyond it the input waits."
    )
    memory_limit: Annotated[ByteSize, Field(ge=10 * MIB)] = Field(
        64 * MIB,
        description="Bytes held in memory at most, parts in flight included; at least two of chunk_size. It also "
        "bounds the size of a part, and so of the object: 64 MiB allow 536 GiB at Amazon S3.",
    )
    if_exists: Literal["overwrite", "fail", "rename"] = Field(
        "overwrite",
        description="What becomes of an object that has the key already: replace it once the new one is complete; fail "
        "and leave it; or write under the next free name, KEY-1, KEY-2 … with the number before the extension.",
    )
    checksum: Literal["auto", "crc64nvme", "crc32c", "md5", "none"] = Field(
        "auto",
        description="Checksum that goes with the bytes, for the store to refuse what was damaged on the way. auto: the "
        "strongest that the store is known to verify, or none.",
    )
    content_type: str | None = Field(
        None, min_length=1, description="Media type of the object; by default that of the first packet."
    )
    metadata: dict[str, str] = Field(
        default_factory=dict, description="User metadata of the object; names in lower case.", examples=[{"take": "1"}]
    )
    passthrough: bool = Field(
        default=False, description="Send every packet on through the pin `out`, which ends once the object is stored."
    )
    rotate: RotateConfig | None = Field(
        None,
        description="Write one object after the other; the key must hold {seq}, {uuid} or a {now} that shows seconds.",
        examples=[{"bytes": "100MiB", "seconds": 3600}],
    )
    on_cancel: Literal["commit", "abort"] = Field(
        "commit", description="After a stop that was asked for: commit what there is, if there is a byte, or drop it."
    )
    on_error: Literal["abort", "commit"] = Field(
        "abort",
        description="When the input fails or the run is cut short: drop what there is, or commit it marked as "
        "incomplete: in its metadata (penstock-incomplete: true), or by an object KEY.incomplete beside it if the "
        "upload was under way already or the store keeps no metadata.",
    )

    @field_validator("endpoint", "bucket", "key")
    @classmethod
    def _one_place(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("url") is not None:
            if value is not None:
                raise ValueError("cannot be given together with url, which names it already")
        elif value is None and "url" in info.data:
            raise PydanticKnownError("missing")
        elif value is not None and not value.strip():
            raise PydanticKnownError("string_too_short", {"min_length": 1})
        return value

    @field_validator("key")
    @classmethod
    def _key_is_a_template(cls, value: str | None) -> str | None:
        if value is not None:
            KeyTemplate.parse(value)
        return value

    @field_validator("url", "endpoint")
    @classmethod
    def _names_a_store(cls, value: str | None, info: ValidationInfo) -> str | None:
        from penstock.stores.resolve import parse_endpoint, parse_url

        if value is None:
            return value
        try:
            if info.field_name == "endpoint":
                parse_endpoint(value, "bucket")
            elif not parse_url(value).key:
                raise ValueError("names no key: write the object's key behind the bucket")
            else:
                KeyTemplate.parse(parse_url(value).key)
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("memory_limit")
    @classmethod
    def _holds_two_parts(cls, value: int, info: ValidationInfo) -> int:
        chunk_size = info.data.get("chunk_size", 0)
        if value < 2 * chunk_size:
            raise ValueError(
                f"must hold two parts of chunk_size: at least {2 * chunk_size}, or make chunk_size smaller"
            )
        return value

    @field_validator("metadata")
    @classmethod
    def _fits_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"has the name '{name}'; names are of a-z, 0-9, '.', '_' and '-'")
            if name.startswith("penstock-"):
                raise ValueError(f"has the name '{name}'; names that begin with penstock- are kept for the writer")
            if not VALUE.fullmatch(text):
                raise ValueError(f"has characters under '{name}' that are not printable ASCII")
        return value

    @model_validator(mode="after")
    def _names_every_object(self) -> Self:
        if self.rotate is not None and not KeyTemplate.parse(self.location().key).tells_objects_apart:
            raise ValueError(
                "rotate writes one object after the other, but all would have the same key: put {seq:05d}, {uuid} or "
                "{now:%Y%m%dT%H%M%S} into it"
            )
        return self

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        if self.location().kind != "s3":
            return self
        key, secret = (any(getattr(self, name) is not None for name in pair) for pair in CREDENTIALS)
        if key != secret:
            missing = "secret_key_env (or secret_access_key)" if key else "access_key_id_env (or access_key_id)"
            raise ValueError(f"the credentials are incomplete: set {missing} too")
        if not key and not self.ambient_credentials:
            raise ValueError(
                "no credentials: set access_key_id_env and secret_key_env to the names of environment variables that "
                "hold them, or ambient_credentials: true to use those of this machine"
            )
        return self

    def location(self) -> Location:
        """The place that url, or endpoint, bucket and key, name; the key still a template."""
        from dataclasses import replace

        from penstock.stores.resolve import parse_endpoint, parse_url

        if self.url is not None:
            return parse_url(self.url)
        return replace(parse_endpoint(self.endpoint or "", self.bucket or ""), key=self.key or "")

    def credentials(self) -> CredentialSettings:
        """The credentials as the store layer takes them."""
        from penstock.stores.credentials import CredentialSettings

        def reveal(secret: SecretStr | None) -> str | None:
            return None if secret is None else secret.get_secret_value()

        return CredentialSettings(
            access_key_id=reveal(self.access_key_id),
            access_key_id_env=self.access_key_id_env,
            secret_access_key=reveal(self.secret_access_key),
            secret_key_env=self.secret_key_env,
            session_token=reveal(self.session_token),
            session_token_env=self.session_token_env,
            ambient_credentials=self.ambient_credentials,
        )


class ObjectStoreWriterConfig(PropertyParameters, WriterParameters):
    """All parameters of the node; those of its properties come last."""
