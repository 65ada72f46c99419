"""The parameters that say where an object is and who we are there; the reader and the writer share them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Self

from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from penstock.errors import ConfigurationError
from penstock.nodes.base import NodeConfig
from penstock.nodes.objects.key_template import KeyTemplate
from penstock.nodes.objects.retry import RetryConfig

if TYPE_CHECKING:
    from penstock.stores.credentials import CredentialSettings
    from penstock.stores.resolve import Location
    from penstock.stores.settings import StoreSettings

__all__ = ["StorePlaceConfig"]

KEY_ID: Final = ("access_key_id", "access_key_id_env")
SECRET: Final = ("secret_access_key", "secret_key_env")
BEARER: Final = ("bearer_token", "bearer_token_env")
AZURE: Final = ("account_key", "account_key_env", "sas_token", "sas_token_env")
STRING: Final = ("connection_string", "connection_string_env")
CREDENTIALS: Final = {  # by kind of store: what may say who we are, and what to set if nothing does
    "s3": ((*KEY_ID, *SECRET), "access_key_id_env and secret_key_env"),
    "gcs": ((*KEY_ID, *SECRET, *BEARER), "access_key_id_env and secret_key_env, or bearer_token_env,"),
    "azure": ((*AZURE, *STRING), "account_key_env, sas_token_env or connection_string_env"),
}


class StorePlaceConfig(NodeConfig):
    """Store, bucket, key and credentials."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a validator of the whole is given the literals

    url: str | None = Field(
        None,
        description="Store, bucket and key in one, instead of endpoint, bucket and key: s3://BUCKET/KEY, "
        "gs://BUCKET/KEY, gs+json://BUCKET/KEY, az://ACCOUNT/CONTAINER/KEY, https://HOST/BUCKET/KEY, "
        "file:DIRECTORY/KEY, memory://NAME/KEY or opendal+SERVICE:///KEY?OPTION=…. "
        "The key may hold fields, as in `key`.",
        examples=["s3://takes/2026/take-1.ogg"],
    )
    endpoint: str | None = Field(
        None,
        description="The store: http(s)://HOST of an S3-compatible one, s3:// for Amazon S3, gs://, az://ACCOUNT, "
        "file:DIRECTORY, memory://, opendal+SERVICE:///ROOT?OPTION=….",
        examples=["http://localhost:9000"],
    )
    bucket: str | None = Field(
        None, description="The bucket or container, or the directory in the endpoint's.", examples=["takes"]
    )
    key: str | None = Field(
        None,
        description="The object's key; may hold fields: {run_id}, {host}, {attributes.NAME}, {start:%Y-%m-%d} … "
        "Write {{ and }} for braces.",
        examples=["takes/2026/take-1.ogg"],
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
    account_key: SecretStr | None = Field(None, description="Key of an Azure account; better named by account_key_env.")
    account_key_env: str | None = Field(
        None,
        min_length=1,
        description="Environment variable that holds the key of the Azure account; if given, the only source.",
    )
    sas_token: SecretStr | None = Field(None, description="Azure SAS token; better named by sas_token_env.")
    sas_token_env: str | None = Field(
        None, min_length=1, description="Environment variable that holds an Azure SAS token; if given, the only source."
    )
    connection_string: SecretStr | None = Field(
        None, description="Azure connection string; better named by connection_string_env."
    )
    connection_string_env: str | None = Field(
        None,
        min_length=1,
        description="Environment variable that holds an Azure connection string; if given, the only source.",
    )
    bearer_token: SecretStr | None = Field(
        None,
        description="OAuth token for Google Cloud Storage, where no HMAC key is given as access key; lives an hour.",
    )
    bearer_token_env: str | None = Field(
        None, min_length=1, description="Environment variable that holds the OAuth token; if given, the only source."
    )
    ambient_credentials: bool = Field(
        default=False,
        description="Use this machine's credentials where none are given: AWS profile, SSO, role; for Azure and Google "
        "Cloud Storage the variables of their tools.",
    )
    retry: RetryConfig = Field(
        RetryConfig(),
        description="How long and how often a request is tried again that failed for a reason that may pass.",
        examples=[{"deadline_s": 600}],
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

    @field_validator("url", "bucket")
    @classmethod
    def _names_a_bucket(cls, value: str | None, info: ValidationInfo) -> str | None:
        from penstock.nodes.objects.place_rules import check_bucket, check_port

        endpoint = value if info.field_name == "url" else info.data.get("endpoint")
        if value is not None and endpoint is not None:
            check_port(endpoint)
            check_bucket(endpoint, None if info.field_name == "url" else value)
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
        from penstock.nodes.objects.place_rules import check_port
        from penstock.stores.resolve import parse_endpoint, parse_url

        if value is None:
            return value
        try:
            if info.field_name == "endpoint":
                parse_endpoint(value, "bucket")
                check_port(value)
            elif not parse_url(value).key:
                raise ValueError("names no key: write the object's key behind the bucket")
            else:
                KeyTemplate.parse(parse_url(value).key)
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _suits_the_store(self) -> Self:
        from penstock.stores.settings import S3_ONLY, refuse_s3_only

        fields = type(self).model_fields
        given: dict[str, object] = {
            name: getattr(self, name)
            for name in S3_ONLY
            if name in fields and getattr(self, name) != fields[name].default
        }
        if wrong := refuse_s3_only(self.location().kind, given):
            raise ValueError(wrong)
        return self

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        names, way_out = CREDENTIALS.get(self.location().kind, ((), ""))
        if KEY_ID[0] in names:
            key, secret = (any(getattr(self, name) is not None for name in pair) for pair in (KEY_ID, SECRET))
            if key != secret:
                missing = "secret_key_env (or secret_access_key)" if key else "access_key_id_env (or access_key_id)"
                raise ValueError(f"the credentials are incomplete: set {missing} too")
        if names and not self.ambient_credentials and all(getattr(self, name) is None for name in names):
            raise ValueError(
                f"no credentials: set {way_out} to the names of environment variables that hold them, or "
                "ambient_credentials: true to use those of this machine"
            )
        return self

    def location(self) -> Location:
        """The place that url, or endpoint, bucket and key, name; the key still a template."""
        from dataclasses import replace

        from penstock.stores.resolve import parse_endpoint, parse_url

        if self.url is not None:
            return parse_url(self.url)
        return replace(parse_endpoint(self.endpoint or "", self.bucket or ""), key=self.key or "")

    def settings(self) -> StoreSettings:
        """How the store is opened, as the store layer takes it."""
        from penstock.stores.settings import StoreSettings

        return StoreSettings(
            region=self.region, credentials=self.credentials(), addressing=self.addressing, store=self.store
        )

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
            account_key=reveal(self.account_key),
            account_key_env=self.account_key_env,
            sas_token=reveal(self.sas_token),
            sas_token_env=self.sas_token_env,
            connection_string=reveal(self.connection_string),
            connection_string_env=self.connection_string_env,
            bearer_token=reveal(self.bearer_token),
            bearer_token_env=self.bearer_token_env,
            ambient_credentials=self.ambient_credentials,
        )
