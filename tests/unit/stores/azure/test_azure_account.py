"""Who we are to Azure, and where."""

import base64

import pytest

from penstock.errors import ConfigurationError, CredentialsError
from penstock.stores.azure.account import account_endpoint, open_container
from penstock.stores.credentials import CredentialSettings

ENDPOINT = "https://takes.blob.core.windows.net"
KEY = base64.b64encode(b"the key of the account").decode()
SECRETS = (KEY, "sig=secret")


def opened(settings=None, environ=None, endpoint=ENDPOINT, container="live"):
    return open_container(endpoint, container, CredentialSettings(**(settings or {})), environ or {})


def test_a_key_or_a_token_says_who_we_are():
    container = opened({"account_key": KEY})
    assert (container.account, container.account_key, container.sas_token) == ("takes", KEY, None)
    assert container.url == f"{ENDPOINT}/live"
    assert opened({"sas_token": "?sv=1&sig=secret"}).sas_token == "sv=1&sig=secret"


def test_a_named_variable_is_the_only_source():
    wanted = {"account_key_env": "AZ_KEY", "account_key": "bGl0ZXJhbA=="}
    assert opened(wanted, {"AZ_KEY": KEY}).account_key == KEY
    with pytest.raises(CredentialsError, match="AZ_KEY, named by account_key_env, is not set"):
        opened(wanted)
    with pytest.raises(CredentialsError, match="AZ_SAS, named by sas_token_env, is empty"):
        opened({"sas_token_env": "AZ_SAS"}, {"AZ_SAS": ""})


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (f"DefaultEndpointsProtocol=https;AccountName=takes;AccountKey={KEY}", f"{ENDPOINT}/live"),
        (
            f"AccountName=takes;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn;",
            "https://takes.blob.core.chinacloudapi.cn/live",
        ),
        (
            f"AccountName=takes;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:1/takes/;",
            "http://127.0.0.1:1/takes/live",
        ),
    ],
)
def test_a_connection_string_may_say_where_too(text, url):
    container = opened({"connection_string": text})
    assert (container.url, container.account_key) == (url, KEY)


def test_a_connection_string_may_hold_a_token():
    text = f"BlobEndpoint={ENDPOINT};SharedAccessSignature=sv=1&sig=secret"
    assert opened({"connection_string_env": "CS"}, {"CS": text}).sas_token == "sv=1&sig=secret"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "set account_key_env, sas_token_env or connection_string_env"),
        ({"ambient_credentials": True}, "none of AZURE_STORAGE_CONNECTION_STRING"),
        ({"account_key": KEY, "sas_token": "sig=secret"}, "account_key and sas_token are given"),
        ({"account_key": "no-base64!"}, "not base64"),
        ({"account_key": "abc d"}, "white space"),
        ({"connection_string": f"AccountName=other;AccountKey={KEY}"}, "of the account 'other'"),
        ({"connection_string": "AccountName=takes"}, "neither AccountKey nor SharedAccessSignature"),
    ],
)
def test_what_does_not_say_who_we_are_is_an_error_without_a_secret(settings, message):
    with pytest.raises(CredentialsError, match=message) as caught:
        opened(settings)
    assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"AZURE_STORAGE_KEY": KEY}, (KEY, None)),
        ({"AZURE_STORAGE_SAS_TOKEN": "sig=secret"}, (None, "sig=secret")),
        ({"AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_SAS_TOKEN": "sig=secret"}, (KEY, None)),
    ],
)
def test_ambient_credentials_are_the_variables_of_the_azure_tools(environ, expected):
    container = opened({"ambient_credentials": True}, environ)
    assert (container.account_key, container.sas_token) == expected


def test_a_container_shows_no_secret():
    assert not any(secret in repr(opened({"account_key": KEY})) for secret in SECRETS)


@pytest.mark.parametrize("account", ["", "ab", "a" * 25, "Takes", "my-account", "a.b"])
def test_what_is_no_account_name_is_refused(account):
    with pytest.raises(ConfigurationError, match="storage account"):
        account_endpoint(account)


@pytest.mark.parametrize("container", ["ab", "a" * 64, "Takes", "-ab", "ab-", "a--b", "a_b", ""])
def test_what_is_no_container_name_is_refused(container):
    with pytest.raises(ConfigurationError, match="3 to 63"):
        opened({"account_key": KEY}, container=container)


@pytest.mark.parametrize("container", ["abc", "a" * 63, "2026-takes", "$root", "$web"])
def test_container_names_at_their_limits_are_taken(container):
    assert opened({"account_key": KEY}, container=container).container == container
