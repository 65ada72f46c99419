"""A container of a storage account, and who we are there.

One of three things says who: the key of the account, a SAS token, or a connection string, which holds either and may
name another endpoint. Each is given literally or by the name of an environment variable, which is then the only source,
as for S3 (``penstock.stores.credentials``). With ``ambient_credentials`` the variables of the Azure tools are read:
AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, the first that is set. Managed identities
and Entra ID are not supported: they need the library azure-identity, which penstock does not use.
Reference: Azure Storage, "Configure connection strings"; Azure CLI, "Environment variables".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.errors import ConfigurationError, CredentialsError
from penstock.stores.credentials import CredentialSettings, setting

__all__ = ["AZURE_HOST", "AzureContainer", "account_endpoint", "open_container"]

AZURE_HOST = re.compile(r"([a-z0-9]{3,24})\.blob\.core\.[a-z.]+")

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]|\$root|\$web")
_SOURCES = ("connection_string", "account_key", "sas_token")
_AMBIENT = {
    "connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "account_key": "AZURE_STORAGE_KEY",
    "sas_token": "AZURE_STORAGE_SAS_TOKEN",
}


@dataclass(frozen=True, slots=True)
class AzureContainer:
    """Where a container is, and who we are there; shows no secret.

    Attributes:
        endpoint: of the account: ``https://ACCOUNT.blob.core.windows.net``, or ``http://HOST:PORT/ACCOUNT``.
        account: its name.
        container: the container's name.
        account_key, sas_token: one of them.
    """

    endpoint: str
    account: str
    container: str
    account_key: str | None = field(default=None, repr=False)
    sas_token: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """For people: endpoint and container."""
        return f"{self.endpoint}/{self.container}"


def account_endpoint(account: str) -> str:
    """The endpoint of an account in the public cloud.

    Raises:
        ConfigurationError: it is not an account name.
    """
    if not _ACCOUNT.fullmatch(account):
        raise ConfigurationError(
            f"'{account}' is not the name of a storage account: 3 to 24 lower-case letters and digits"
        )
    return f"https://{account}.blob.core.windows.net"


def open_container(
    endpoint: str, container: str, settings: CredentialSettings, environ: Mapping[str, str]
) -> AzureContainer:
    """Find out who we are at a container; reads nothing but its arguments.

    Raises:
        ConfigurationError: the names are malformed.
        CredentialsError: a variable is unset or empty, or nothing is given, or too much.
    """
    endpoint = endpoint.rstrip("/")
    if not _CONTAINER.fullmatch(container):
        raise ConfigurationError(
            f"'{container}' is not the name of a container: 3 to 63 lower-case letters, digits and single '-'"
        )
    host = endpoint.partition("://")[2]
    found = AZURE_HOST.fullmatch(host)
    account = found[1] if found else host.rpartition("/")[2]
    source, value = _given(settings, environ)
    if source == "connection_string":
        return _from_connection_string(value, endpoint, account, container)
    if source == "sas_token":
        return AzureContainer(endpoint, account, container, sas_token=value.removeprefix("?"))
    return AzureContainer(endpoint, account, container, account_key=_checked_key(value))


def _given(settings: CredentialSettings, environ: Mapping[str, str]) -> tuple[str, str]:
    found = {name: value for name in _SOURCES if (value := setting(settings, name, f"{name}_env", environ)) is not None}
    if len(found) > 1:
        raise CredentialsError(f"{' and '.join(found)} are given; Azure takes one of them")
    if found:
        return next(iter(found.items()))
    if settings.ambient_credentials:
        for name, variable in _AMBIENT.items():
            if environ.get(variable):
                return name, environ[variable].strip()
        raise CredentialsError(f"no ambient credentials: none of {', '.join(_AMBIENT.values())} is set")
    raise CredentialsError(
        "no credentials: set account_key_env, sas_token_env or connection_string_env to the name of an environment "
        "variable that holds one, or ambient_credentials: true to read those of the Azure tools"
    )


def _from_connection_string(text: str, endpoint: str, account: str, container: str) -> AzureContainer:
    fields = dict(piece.split("=", 1) for piece in text.strip().strip(";").split(";") if "=" in piece)
    named = fields.get("AccountName", account)
    if named != account:
        raise CredentialsError(f"the connection string is of the account '{named}', but the endpoint is of '{account}'")
    if fields.get("BlobEndpoint"):
        endpoint = fields["BlobEndpoint"].rstrip("/")
    elif fields.get("EndpointSuffix"):
        endpoint = f"{fields.get('DefaultEndpointsProtocol', 'https')}://{account}.blob.{fields['EndpointSuffix']}"
    key, token = fields.get("AccountKey"), fields.get("SharedAccessSignature")
    if key:
        return AzureContainer(endpoint, account, container, account_key=_checked_key(key))
    if token:
        return AzureContainer(endpoint, account, container, sas_token=token)
    raise CredentialsError("the connection string holds neither AccountKey nor SharedAccessSignature")


def _checked_key(key: str) -> str:
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error as error:
        raise CredentialsError("the account key is not base64: take it from the account's access keys") from error
    return key
