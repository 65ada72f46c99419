"""Who we are to an S3 store: the rule that turns settings into credentials, and the ambient chain.

The rule has no guesswork in it. The name of an environment variable, once given, is the only source: a variable that
is unset or empty is an error that names it, and never falls back to a literal beside it. Nothing given is an error too,
unless ``ambient_credentials`` asks for the chain that the AWS tools use: environment, profile, SSO, role, instance.
Reference: botocore's "Credentials" guide.
"""

from __future__ import annotations

import re
import threading
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
    "EnvironmentCredentials",
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

    async def renew(self) -> None:
        """Look for others, because a store has refused these; they may come out the same.

        Raises:
            CredentialsError: there can be no others; says why, and the way out.
        """
        ...


class StaticCredentials:
    """Credentials that stay the same."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def credentials(self) -> Credentials:
        return self._credentials

    async def renew(self) -> None:
        raise CredentialsError(
            "the credentials are given literally, and so cannot be renewed: name environment variables that hold them, "
            "or use ambient_credentials"
        )

    def __repr__(self) -> str:
        return f"<StaticCredentials {self._credentials.access_key_id}>"


class EnvironmentCredentials:
    """Credentials that are held by environment variables; read once, and again when a store has refused them.

    Not for each request: who changes three variables, one after the other, is not seen halfway.
    """

    def __init__(self, settings: CredentialSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._credentials = _complete(settings, environ)

    async def credentials(self) -> Credentials:
        return self._credentials

    async def renew(self) -> None:
        self._credentials = _complete(self._settings, self._environ)

    def __repr__(self) -> str:
        return f"<EnvironmentCredentials {self._credentials.access_key_id}>"


class AmbientCredentials:
    """botocore's provider chain; temporary credentials are renewed before they expire, or when they are refused."""

    def __init__(self) -> None:
        self._found: Any = None
        self._loading = threading.Lock()

    async def credentials(self) -> Credentials:
        return await anyio.to_thread.run_sync(self._load, abandon_on_cancel=True)

    async def renew(self) -> None:
        self._found = None  # the next call asks the whole chain anew

    def _load(self) -> Credentials:
        import botocore.session
        from botocore.exceptions import BotoCoreError

        try:
            with self._loading:
                if self._found is None:
                    self._found = botocore.session.Session().get_credentials()  # type: ignore[no-untyped-call]
                found = self._found
            frozen = found and found.get_frozen_credentials()
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
    given = (settings.access_key_id, settings.secret_access_key, settings.session_token)
    named = (settings.access_key_id_env, settings.secret_key_env, settings.session_token_env)
    if any(name is not None for name in named):
        return EnvironmentCredentials(settings, environ)
    if any(value is not None for value in given):
        return StaticCredentials(_complete(settings, environ))
    if settings.ambient_credentials:
        return AmbientCredentials()
    raise CredentialsError(
        "no credentials: set access_key_id_env and secret_key_env to the names of environment variables that hold "
        "them, or ambient_credentials: true to use those of this machine (AWS profile, SSO or role)"
    )


def _complete(settings: CredentialSettings, environ: Mapping[str, str]) -> Credentials:
    key = setting(settings, "access_key_id", "access_key_id_env", environ)
    secret = setting(settings, "secret_access_key", "secret_key_env", environ)
    token = setting(settings, "session_token", "session_token_env", environ)
    if key and secret:
        return Credentials(key, secret, token)
    missing = "secret_access_key (or secret_key_env)" if key else "access_key_id (or access_key_id_env)"
    raise CredentialsError(f"the credentials are incomplete: set {missing} too")


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
