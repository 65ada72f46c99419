"""The credential rule, row by row."""

import pytest

from penstock.errors import CredentialsError
from penstock.stores.credentials import (
    AmbientCredentials,
    Credentials,
    CredentialSettings,
    StaticCredentials,
    resolve_credentials,
)

ENVIRON = {"KEY": "AKID-env", "SECRET": "secret-env", "TOKEN": "token-env", "EMPTY": "", "BROKEN": "secret\n"}


def settings(**given):
    return CredentialSettings(**given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"access_key_id": "AKID", "secret_access_key": "s"},
            Credentials("AKID", "s"),
        ),
        (
            {"access_key_id_env": "KEY", "secret_key_env": "SECRET"},
            Credentials("AKID-env", "secret-env"),
        ),
        (
            {"access_key_id": "AKID", "access_key_id_env": "KEY", "secret_access_key": "s", "secret_key_env": "SECRET"},
            Credentials("AKID-env", "secret-env"),
        ),
        (
            {"access_key_id": "AKID", "secret_key_env": "SECRET", "session_token_env": "TOKEN"},
            Credentials("AKID", "secret-env", "token-env"),
        ),
        (
            {"access_key_id": "AKID", "secret_access_key": "s", "ambient_credentials": True},
            Credentials("AKID", "s"),
        ),
    ],
)
async def test_what_is_given_is_used_and_a_variable_outranks_a_literal(given, expected):
    assert await resolve_credentials(settings(**given), ENVIRON).credentials() == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"access_key_id_env and secret_key_env.*ambient_credentials: true"),
        ({"access_key_id": "AKID"}, r"incomplete: set secret_access_key"),
        ({"secret_access_key": "s"}, r"incomplete: set access_key_id"),
        ({"session_token": "t", "ambient_credentials": True}, r"incomplete: set access_key_id"),
        ({"access_key_id": "AKID", "ambient_credentials": True}, r"incomplete: set secret_access_key"),
        ({"access_key_id": ""}, r"access_key_id is empty"),
        ({"access_key_id_env": ""}, r"access_key_id_env is empty"),
        ({"access_key_id_env": "NOWHERE"}, r"variable NOWHERE, named by access_key_id_env, is not set"),
        ({"access_key_id": "AKID", "access_key_id_env": "NOWHERE"}, r"NOWHERE.*is not set"),
        ({"access_key_id": "AKID", "secret_access_key": "s", "secret_key_env": "EMPTY"}, r"EMPTY.*is empty"),
        ({"access_key_id": "AKID", "secret_key_env": "BROKEN"}, r"BROKEN holds white space.*line break"),
    ],
)
def test_what_is_missing_is_named_and_never_guessed(given, message):
    with pytest.raises(CredentialsError, match=message) as caught:
        resolve_credentials(settings(**given), ENVIRON)
    assert "secret\n" not in str(caught.value)


def test_nothing_given_and_ambient_asked_for_is_the_chain_of_the_machine():
    assert isinstance(resolve_credentials(settings(ambient_credentials=True), ENVIRON), AmbientCredentials)


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


async def test_the_chain_of_the_machine_reads_a_profile(bare_machine, monkeypatch):
    (bare_machine / "credentials").write_text("[takes]\naws_access_key_id=AKID\naws_secret_access_key=s3cret\n")
    monkeypatch.setenv("AWS_PROFILE", "takes")
    assert await AmbientCredentials().credentials() == Credentials("AKID", "s3cret")


async def test_a_machine_without_credentials_says_where_it_looked(bare_machine):
    with pytest.raises(CredentialsError, match=r"AWS_ACCESS_KEY_ID.*~/\.aws.*role"):
        await AmbientCredentials().credentials()


async def test_an_unknown_profile_is_named(bare_machine, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialsError, match="nobody"):
        await AmbientCredentials().credentials()


def test_no_repr_shows_a_secret():
    literal = settings(access_key_id="AKID", secret_access_key="s3cret", session_token="t0ken")
    source = resolve_credentials(literal, {})
    assert isinstance(source, StaticCredentials)
    for text in (repr(literal), repr(source), repr(Credentials("AKID", "s3cret", "t0ken"))):
        assert "s3cret" not in text
        assert "t0ken" not in text
