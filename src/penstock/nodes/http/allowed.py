"""Which URLs may be asked, and how (and what a header is): rules such as ``GET,POST:https://api.example.com/v1/*``.

Scheme and port are exact, and so is the host but for a leading ``*.``; ``*`` stands for any host, any port, and any
part of a path. The query is not looked at. A path that a server might read as another one (dot segments, also with
parameters, and backslashes, also percent-encoded) matches no rule. A host that a rule writes out as an IP address or
``localhost`` may be reached though it is not public: whoever wrote it there meant it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from urllib.parse import SplitResult

__all__ = ["FRAMING", "HEADER_NAME", "HEADER_VALUE", "METHODS", "PORTS", "UrlRule", "parse_rule", "rule_for"]

PORTS: Final = {"http": 80, "https": 443}
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
FRAMING: Final = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that say how a message is sent, and to whom: nobody's but of who sends it."""
RULE: Final = re.compile(
    r"(?:(?P<methods>[A-Z]+(?:,[A-Z]+)*):)?(?P<scheme>https?)://"
    r"(?P<host>\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::(?P<port>\*|[0-9]{1,5}))?(?P<path>/[!-~]*)?"
)
AMBIGUOUS: Final = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|;|%3b|$)|\\|%5c|%2f|%00", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UrlRule:
    """A rule, parsed.

    Attributes:
        methods: the methods it allows.
        scheme: ``http`` or ``https``.
        host: in lower case; ``*``, ``*.suffix``, or the whole name.
        port: None for any.
        path: with ``*`` for any characters.
        special: whether it names an address, which need not be public.
    """

    methods: frozenset[str]
    scheme: str
    host: str
    port: int | None
    path: str
    special: bool

    def matches(self, method: str, parts: SplitResult) -> bool:
        """Whether it allows this request."""
        host = (parts.hostname or "").rstrip(".")
        named = self.host in ("*", host) or (self.host.startswith("*.") and host.endswith(self.host[1:]))
        port = parts.port or PORTS[parts.scheme]
        path = parts.path or "/"
        return (
            method in self.methods
            and parts.scheme == self.scheme
            and named
            and self.port in (None, port)
            and AMBIGUOUS.search(path) is None
            and _fits(path, self.path)
        )


def parse_rule(text: str, methods: Iterable[str] = ("GET",)) -> UrlRule:
    """Return a rule; one that names no methods allows ``methods``.

    Raises:
        ValueError: it is none; the message says how to write one.
    """
    match = RULE.fullmatch(text)
    given = frozenset(match["methods"].split(",")) if match and match["methods"] else frozenset(methods)
    if (
        match is None
        or not given <= set(METHODS)
        or "?" in (match["path"] or "")
        or (match["path"] or "").count("*") > 8
    ):
        raise ValueError(
            f"'{text}' is no rule for URLs: write https://host/path, where * in the path stands for anything, "
            "*.host for all names below a host and host:* for any port; or GET,POST:https://host/path"
        )
    host, scheme = match["host"].strip("[]"), match["scheme"]
    port = None if match["port"] == "*" else int(match["port"] or PORTS[scheme])
    return UrlRule(given, scheme, host, port, match["path"] or "/*", _is_special(host))


def rule_for(rules: Iterable[UrlRule], method: str, parts: SplitResult) -> UrlRule | None:
    """Return the rule that allows a request, one for a special address if there is; None if there is none."""
    found = [rule for rule in rules if rule.matches(method, parts)]
    return next((rule for rule in found if rule.special), found[0] if found else None)


def _fits(path: str, pattern: str) -> bool:
    """Whether a path is what a pattern says; never goes back, so that no pattern and no path can make it slow."""
    first, *rest = pattern.split("*")
    if not rest:
        return path == first
    *middle, last = rest
    at, end = len(first), len(path) - len(last)
    if not (path.startswith(first) and path.endswith(last)):
        return False
    for part in middle:
        found = path.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


def _is_special(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
