"""What the scripts of a run may fetch, and which secrets they have, as whoever starts the run says it.

Two places say what may be fetched: the pipeline (`allow_fetch`) and who starts it (`--allow-fetch`, or the variable
`PENSTOCK_ALLOW_FETCH`). Secrets are named by who starts it alone (`--script-secret`, or `PENSTOCK_SCRIPT_SECRETS`): a
pipeline says only which of them belongs in which header.
"""

from __future__ import annotations

import re
from typing import Final

from penstock.nodes.http.allowed import METHODS, UrlRule, parse_rule

__all__ = ["ALLOW_VARIABLE", "SECRETS_VARIABLE", "check_allowed", "check_secrets"]

ALLOW_VARIABLE: Final = "PENSTOCK_ALLOW_FETCH"
SECRETS_VARIABLE: Final = "PENSTOCK_SCRIPT_SECRETS"
SECRET: Final = re.compile(r"(?P<name>[\w.-]+)=(?P<variable>[A-Za-z_]\w*)@(?P<rule>\S+)", re.ASCII)


def check_allowed(text: str) -> tuple[UrlRule, ...]:
    """Return the rules of a list that is separated by spaces, as the variable holds it.

    Raises:
        ValueError: one of them is no rule.
    """
    return tuple(parse_rule(one) for one in text.split())


def check_secrets(text: str) -> dict[str, tuple[str, tuple[UrlRule, ...]]]:
    """Return, by name, the variables of secrets and where they may go, of a list that is separated by spaces.

    Raises:
        ValueError: one of them is no ``NAME=VARIABLE@URL``, or names another variable than one before.
    """
    secrets: dict[str, tuple[str, tuple[UrlRule, ...]]] = {}
    for one in text.split():
        match = SECRET.fullmatch(one)
        if match is None:
            name = one.partition("=")[0] if "=" in one else "***"  # the rest may be the secret, given by mistake
            raise ValueError(f"'{name}=***' is no NAME=VARIABLE@URL, as in api_key=API_KEY@https://api.example.com/*")
        variable, rules = secrets.get(match["name"], (match["variable"], ()))
        if variable != match["variable"]:
            raise ValueError(f"the secret '{match['name']}' is said to be in {variable} and in {match['variable']}")
        secrets[match["name"]] = variable, (*rules, parse_rule(match["rule"], METHODS))
    return secrets
