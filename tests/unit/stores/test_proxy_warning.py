"""A proxy that is set and not used is told, once, and without its password."""

import logging

import pytest

from penstock.stores.transport import ThreadTransport, parse_origin
from penstock.stores.transport.proxies import _told, warn_of_proxy


@pytest.fixture(autouse=True)
def nothing_told():
    _told.clear()


def told(caplog, endpoint, **environ):
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="penstock"):
        warn_of_proxy(parse_origin(endpoint), environ)
    return [record.getMessage() for record in caplog.records]


def test_a_proxy_for_the_scheme_is_told_once_for_a_host(caplog):
    proxy = {"HTTPS_PROXY": "http://me:secret@proxy:3128"}
    [message] = told(caplog, "https://s3.example", **proxy)
    assert message == "HTTPS_PROXY is set, but penstock uses no proxies: https://s3.example is reached directly"
    assert told(caplog, "https://s3.example", **proxy) == []
    assert len(told(caplog, "https://other.example", **proxy)) == 1


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_PROXY": "http://proxy"},
        {"HTTPS_PROXY": ""},
        {"https_proxy": "http://proxy", "no_proxy": "s3.example"},
        {"https_proxy": "http://proxy", "NO_PROXY": ".example,localhost"},
        {"all_proxy": "http://proxy", "NO_PROXY": "*"},
    ],
)
def test_a_proxy_that_does_not_concern_the_endpoint_is_not(caplog, environ):
    assert told(caplog, "https://s3.example", **environ) == []


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_every_name_of_the_variable_is_known(caplog, name):
    assert len(told(caplog, "https://s3.example", **{name: "http://proxy"})) == 1


async def test_the_transport_looks_when_it_is_made(caplog, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    monkeypatch.setenv("NO_PROXY", "")
    with caplog.at_level(logging.WARNING, logger="penstock"):
        transport = ThreadTransport(parse_origin("http://127.0.0.1:1"))
    await transport.aclose()
    assert "HTTP_PROXY is set" in caplog.text
