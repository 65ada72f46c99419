"""What makes the requests of one script: its rules, its secrets, and the form in which it asks and is answered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from penstock.errors import BadData, ConfigurationError, PenstockError, describe
from penstock.nodes.flow.script_rules import ALLOW_VARIABLE, SECRETS_VARIABLE, check_allowed, check_secrets
from penstock.nodes.http.allowed import HEADER_VALUE, UrlRule, parse_rule
from penstock.nodes.http.asking import Asker, Request, SecretHeader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.nodes.flow.script_headers import HeaderMapping

__all__ = ["NOTHING_ALLOWED", "answer_with", "make_asker"]

TIMEOUT_MS: Final = 10_000
MAX_TIMEOUT_MS: Final = 60_000
WAY_OUT: Final = "start the run with --allow-fetch 'GET:https://host/path*', or set allow_fetch of core::script"
# The first words of both are what scripts in the field look for.
NOTHING_ALLOWED: Final = f"Blocked: Global allowlist is empty; to allow fetch, {WAY_OUT}"
NOT_ALLOWED: Final = f"Blocked: URL not in global allowlist: {{}} {{}}; to allow it, {WAY_OUT}"


def make_asker(
    allowed: Sequence[str],
    headers: Sequence[HeaderMapping],
    *,
    allow_private: bool,
    environ: Mapping[str, str] | None = None,
) -> Asker | None:
    """Return what makes the requests of a script, or None if nothing is allowed.

    Raises:
        ConfigurationError: a variable is not as it should be, or a secret is not known; no value is told.
    """
    given = os.environ if environ is None else environ
    try:
        rules = (*map(parse_rule, allowed), *check_allowed(given.get(ALLOW_VARIABLE, "")))
        known = check_secrets(given.get(SECRETS_VARIABLE, ""))
    except ValueError as error:
        raise ConfigurationError(f"{ALLOW_VARIABLE} or {SECRETS_VARIABLE}: {error}") from error
    secrets = tuple(_secret_header(mapping, known, given) for mapping in headers)
    return Asker(rules, secrets, allow_private=allow_private, refusal=NOT_ALLOWED.format) if rules else None


def _secret_header(
    mapping: HeaderMapping, known: Mapping[str, tuple[str, tuple[UrlRule, ...]]], environ: Mapping[str, str]
) -> SecretHeader:
    name = mapping.secret
    if name not in known:
        raise ConfigurationError(
            f"the secret '{name}' is not known; start the run with --script-secret {name}=VARIABLE@https://host/path*, "
            "where VARIABLE is the environment variable that holds it"
        )
    variable, rules = known[name]
    value = environ.get(variable, "")
    if not value:
        raise ConfigurationError(
            f"the secret '{name}' should be in the variable {variable}, which is not set, or empty"
        )
    if not HEADER_VALUE.fullmatch(value) or value != value.strip():
        raise ConfigurationError(
            f"the secret '{name}' in {variable} has characters that no header has, such as a newline"
        )
    return SecretHeader(mapping.header, mapping.template.replace("{}", value), value, rules)


def answer_with(asker: Asker) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that makes a request of a script: its answer, or why there is none as ``error``."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        try:
            got = asker.ask(_request(asked))
        except PenstockError as error:
            return {"error": asker.blackened(describe(error))}
        return {"status": got.status, "url": got.url, "headers": got.headers, "body": got.body}

    return answer


def _request(asked: dict[str, Any]) -> Request:
    try:
        url, method, body, timeout_ms = (asked[name] for name in ("url", "method", "body", "timeout_ms"))
        headers = {str(name).lower(): str(value) for name, value in asked["headers"]}
    except (KeyError, TypeError, ValueError) as error:  # a script can change what JSON all objects have
        raise BadData("what was asked for has lost its form") from error
    if timeout_ms is None:
        timeout_ms = TIMEOUT_MS
    if not isinstance(timeout_ms, int | float) or not 0 < timeout_ms <= MAX_TIMEOUT_MS:
        raise ConfigurationError(f"timeout is in milliseconds, above 0, at most {MAX_TIMEOUT_MS}")
    if body is not None:
        headers.setdefault("content-type", "application/json")
    return Request(
        str(url),
        str(method),
        headers,
        None if body is None else str(body).encode("utf-8", "replace"),
        timeout_ms / 1000,
    )
