"""Who we are to an S3 store: the rule that turns settings into credentials, and the ambient chain.

The rule has no guesswork in it. The name of an environment variable, once given, is the only source: a variable that
is unset or empty is an error that names it, and never falls back to a literal beside it. Nothing given is an error too,
unless ``ambient_credentials`` asks for the chain that the AWS tools use: environment, profile, SSO, role, instance.
Reference: botocore's "Credentials" guide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import anyio.to_thread

from penstock.errors import CredentialsError

__all__ = [
    "AMBIENT",
    "AmbientCredentials",
    "CredentialSettings",
    "Credentials",
    "CredentialsSource",
    "StaticCredentials",
    "resolve_credentials",
    "setting",
]

_UNFIT = re.compile(r"[\s\x00-\x1f\x7f]|[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key with its secret, and the token that goes with temporary ones. Shows no secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CredentialSettings:
    """What a person configured, each either literally or as the name of an environment variable."""

    access_key_id: str | None = field(default=None, repr=False)
    access_key_id_env: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    secret_key_env: str | None = None
    session_token: str | None = field(default=None, repr=False)
    session_token_env: str | None = None
    account_key: str | None = field(default=None, repr=False)
    account_key_env: str | None = None
    sas_token: str | None = field(default=None, repr=False)
    sas_token_env: str | None = None
    connection_string: str | None = field(default=None, repr=False)
    connection_string_env: str | None = None
    bearer_token: str | None = field(default=None, repr=False)
    bearer_token_env: str | None = None
    ambient_credentials: bool = False


AMBIENT: Final = CredentialSettings(ambient_credentials=True)
"""Nothing is configured: the credentials of this machine."""


class CredentialsSource(Protocol):
    """Where a signer gets credentials from, afresh for each request."""

    async def credentials(self) -> Credentials:
        """Credentials that are valid now; may wait for the network when they have to be renewed.

        Raises:
            CredentialsError: there are none.
        """
        ...


class StaticCredentials:
    """Credentials that stay the same."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def credentials(self) -> Credentials:
        return self._credentials

    def __repr__(self) -> str:
        return f"<StaticCredentials {self._credentials.access_key_id}>"


class AmbientCredentials:
    """botocore's provider chain; temporary credentials are renewed before they expire."""

    def __init__(self, session: Any = None) -> None:
        self._session = session
        self._found: Any = None

    async def credentials(self) -> Credentials:
        return await anyio.to_thread.run_sync(self._load, abandon_on_cancel=True)

    def _load(self) -> Credentials:
        import botocore.session
        from botocore.exceptions import BotoCoreError

        try:
            if self._found is None:
                self._session = self._session or botocore.session.Session()  # type: ignore[no-untyped-call]
                self._found = self._session.get_credentials()
            frozen = self._found and self._found.get_frozen_credentials()
        except BotoCoreError as error:
            raise CredentialsError(f"the ambient credentials cannot be loaded: {error}") from error
        if not frozen or not frozen.access_key or not frozen.secret_key:
            raise CredentialsError(
                "no ambient credentials: neither the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE), nor ~/.aws, nor a "
                "role of this machine gives any"
            )
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    def __repr__(self) -> str:
        return "<AmbientCredentials>"


def resolve_credentials(settings: CredentialSettings, environ: Mapping[str, str]) -> CredentialsSource:
    """Apply the rule at the head of this module; reads nothing but its arguments.

    Raises:
        CredentialsError: a variable is unset or empty, or a value is missing or malformed; says which.
    """
    key = setting(settings, "access_key_id", "access_key_id_env", environ)
    secret = setting(settings, "secret_access_key", "secret_key_env", environ)
    token = setting(settings, "session_token", "session_token_env", environ)
    if key and secret:
        return StaticCredentials(Credentials(key, secret, token))
    if key or secret or token:
        missing = "secret_access_key (or secret_key_env)" if key else "access_key_id (or access_key_id_env)"
        raise CredentialsError(f"the credentials are incomplete: set {missing} too")
    if settings.ambient_credentials:
        return AmbientCredentials()
    raise CredentialsError(
        "no credentials: set access_key_id_env and secret_key_env to the names of environment variables that hold "
        "them, or ambient_credentials: true to use those of this machine (AWS profile, SSO or role)"
    )


def setting(settings: CredentialSettings, parameter: str, env_parameter: str, environ: Mapping[str, str]) -> str | None:
    """One secret by the rule: from the variable that is named, else the literal, else None.

    Raises:
        CredentialsError: the variable is unset or empty, or the value is malformed.
    """
    literal: str | None = getattr(settings, parameter)
    env_name: str | None = getattr(settings, env_parameter)
    if env_name is None:
        if literal == "":
            raise CredentialsError(f"{parameter} is empty: give it a value, or name a variable in {env_parameter}")
        source, value = parameter, literal
    else:
        if not env_name:
            raise CredentialsError(f"{env_parameter} is empty: give it the name of an environment variable")
        source, value = f"the environment variable {env_name}", environ.get(env_name)
        if not value:
            state = "not set" if value is None else "empty"
            raise CredentialsError(f"{source}, named by {env_parameter}, is {state}")
    if value is not None and _UNFIT.search(value):
        raise CredentialsError(
            f"{source} holds white space or other characters that no key has; a line break, perhaps?"
        )
    return value
