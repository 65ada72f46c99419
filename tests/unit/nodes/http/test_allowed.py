"""Rules for URLs: what they allow, and nothing that only looks like it."""

from urllib.parse import urlsplit

import pytest

from penstock.nodes.http.allowed import METHODS, parse_rule, rule_for


def allows(rule, url, method="GET"):
    return parse_rule(rule).matches(method, urlsplit(url))


@pytest.mark.parametrize(
    ("rule", "url"),
    [
        ("https://a.test", "https://a.test"),
        ("https://a.test/*", "https://a.test/"),
        ("https://a.test/*", "https://A.TEST./x/y?q=../z"),
        ("https://a.test/v1/*", "https://a.test:443/v1/x"),
        ("https://a.test/v1", "https://a.test/v1?a=1"),
        ("https://a.test/*/x.json", "https://a.test/1/2/x.json"),
        ("https://*.a.test/", "https://b.c.a.test/"),
        ("https://*/x", "https://anything.test/x"),
        ("http://a.test:8080/", "http://a.test:8080/"),
        ("http://a.test:*/", "http://a.test:1234/"),
        ("http://[::1]:80/", "http://[::1]/"),
        ("https://a.test/a.b(c)+/*", "https://a.test/a.b(c)+/d"),
        ("https://a.test/*b*b", "https://a.test/bb"),
        ("https://a.test/*/b/*c", "https://a.test/b/b/b/cc"),
        ("https://a.test/v1/*", "https://a.test/v1/a..;b/.c;d"),
    ],
)
def test_a_rule_allows_what_it_says(rule, url):
    assert allows(rule, url)


@pytest.mark.parametrize(
    ("rule", "url"),
    [
        ("https://a.test/*", "http://a.test/"),
        ("https://a.test/*", "https://b.test/"),
        ("https://a.test/*", "https://a.test.evil.test/"),
        ("https://a.test/*", "https://a.test:8443/"),
        ("https://*.a.test/*", "https://a.test/"),
        ("https://*.a.test/*", "https://evila.test/"),
        ("https://a.test/v1", "https://a.test/v1/x"),
        ("https://a.test/v1/*", "https://a.test/v1"),
        ("https://a.test/v1/*", "https://a.test/v1/../admin"),
        ("https://a.test/v1/*", "https://a.test/v1/%2e%2E/admin"),
        ("https://a.test/v1/*", "https://a.test/v1/.%2e/admin"),
        ("https://a.test/v1/*", "https://a.test/v1/..%2fadmin"),
        ("https://a.test/v1/*", "https://a.test/v1/..\\admin"),
        ("https://a.test/v1/*", "https://a.test/v1/..;/admin"),
        ("https://a.test/v1/*", "https://a.test/v1/%2e.;x=1/admin"),
        ("https://a.test/v1/*", "https://a.test/v1/..%3bx/admin"),
        ("https://a.test/ab*ba", "https://a.test/aba"),
        ("https://a.test/*b*b", "https://a.test/b"),
        ("https://a.test/a.b", "https://a.test/axb"),
    ],
)
def test_a_rule_allows_nothing_else(rule, url):
    assert not allows(rule, url)


def test_methods_are_those_named_or_get():
    assert [allows("https://a.test", "https://a.test", method) for method in METHODS] == [True, *[False] * 6]
    named = [method for method in METHODS if allows("POST,DELETE:https://a.test", "https://a.test", method)]
    assert named == ["POST", "DELETE"]
    assert parse_rule("https://a.test", METHODS).methods == set(METHODS)


@pytest.mark.parametrize(
    "text",
    [
        "", "a.test", "ftp://a.test", "https://", "https:///x", "https://a.*.test", "https://a*", "https://A.test/",
        "https://me@a.test", "https://a.test/?q=1", "https://a.test/ x", "FETCH:https://a.test", "post:https://a.test",
        "GET,:https://a.test", "https://a.test:x", "https://a.test/" + "*/" * 9,
    ],
)  # fmt: skip
def test_what_is_no_rule_is_said_to_be_none(text):
    with pytest.raises(ValueError, match="is no rule for URLs: write https://host/path"):
        parse_rule(text)


@pytest.mark.parametrize(
    ("rule", "special"),
    [
        ("http://127.0.0.1:*/*", True), ("http://[::1]/", True), ("http://localhost/", True), ("http://*/", False),
        ("http://a.test/", False),
    ],
)  # fmt: skip
def test_a_rule_that_writes_out_an_address_means_it_though_it_is_not_public(rule, special):
    assert parse_rule(rule).special is special


def test_of_several_rules_the_one_that_means_the_address_counts():
    rules = [parse_rule("http://*:*/"), parse_rule("http://127.0.0.1/")]
    assert rule_for(rules, "GET", urlsplit("http://127.0.0.1/")) is rules[1]
    assert rule_for(rules, "GET", urlsplit("http://a.test/")) is rules[0]
    assert rule_for(rules, "POST", urlsplit("http://a.test/")) is None


def test_a_long_path_is_judged_at_once():
    """A matcher that goes back would take years for this, and the whole process with it."""
    assert not allows("https://a.test/" + "*a" * 8 + "b", "https://a.test/" + "a" * 10_000)
