"""A request of any method, as a script makes it: the whole answer, under rules, within limits. Blocking.

Each hop of a redirect is judged as the first one was. Headers that hold secrets go to URLs their rules name, and never
to another origin than the first. Reference: RFC 9110 §15.4 (redirection), RFC 6454 (origins), the Fetch standard
(methods of redirected requests).
"""

from __future__ import annotations

import http.client
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

from penstock.errors import BadData, ConfigurationError, PenstockError, StoreUnavailable
from penstock.nodes.http.allowed import FRAMING, HEADER_NAME, HEADER_VALUE, METHODS, UrlRule, rule_for
from penstock.nodes.http.line import REDIRECTS, Line, checked_url, origin, redirected, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from urllib.parse import SplitResult

__all__ = ["IN_FLIGHT", "MAX_BODY", "Answer", "Asker", "Refused", "Request", "SecretHeader"]

IN_FLIGHT: Final = 16
"""Requests of one process at a time; the next one waits within its own time."""
MAX_BODY: Final = 4 << 20
"""Bytes of a request's body, and of an answer's, at most."""
MAX_URL: Final = 8192
MAX_REDIRECTS: Final = 5
BLOCK: Final = 1 << 16
# Those of the Encoding standard; others, of Python's own, can take hours to decode, or are none.
CHARSET: Final = re.compile(
    r"utf-?(8|16|16le|16be)|us-ascii|latin-?1|iso-?8859-\d+|windows-\d+|koi8-[ru]|shift_jis|euc-(jp|kr)|gbk|gb2312|gb18030"
    r"|big5|iso-2022-jp"
)
PERSONAL: Final = frozenset({"authorization", "cookie", "proxy-authorization"})

_places = threading.BoundedSemaphore(IN_FLIGHT)


class Refused(ConfigurationError):
    """No rule allows the request."""


@dataclass(frozen=True, slots=True)
class SecretHeader:
    """A header whose value nobody sees but the servers that its rules name."""

    name: str
    value: str = field(repr=False)
    secret: str = field(repr=False)
    rules: tuple[UrlRule, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered; the names of headers are in lower case."""

    status: int
    url: str
    headers: dict[str, str]
    body: str


class Asker:
    """Makes requests, one at a time, until it is closed.

    Args:
        rules: what may be asked.
        secrets: headers that are added.
        allow_private: also ask hosts at addresses that are not public.
        refusal: says of a method and a URL that they are refused, and the way out.
    """

    def __init__(
        self,
        rules: tuple[UrlRule, ...],
        secrets: tuple[SecretHeader, ...] = (),
        *,
        allow_private: bool = False,
        refusal: Callable[[str, str], str] = "{} {} is not allowed".format,
    ) -> None:
        self._rules = rules
        self._secrets = secrets
        self._allow_private = allow_private
        self._refusal = refusal
        self._line: Line | None = None
        self._closed = False

    def ask(self, request: Request) -> Answer:
        """Send a request and return the answer, whatever its status; waits for at most ``timeout_s``.

        Raises:
            Refused: no rule allows it, or the redirect that came.
            ConfigurationError: it is no request, or a hop leads to an address that is not public.
            StoreUnavailable: no answer came, not all of it, or not in time.
            BadData: the body, or that of the answer, is larger than ``MAX_BODY``.

        What an error says is for whoever may see the secrets; others get it ``blackened``.
        """
        parts = _checked(request)
        self._rule(request.method, parts)
        deadline = monotonic() + request.timeout_s
        with self._place(deadline, shown(parts)), self._within(deadline, parts) as line:
            return self._follow(request, parts, line, deadline)

    def close(self) -> None:
        """Ask no more; a thread that waits in ``ask`` fails soon. Idempotent, for any thread."""
        self._closed = True
        line = self._line
        if line is not None:
            line.close()

    def blackened(self, text: str) -> str:
        """A text, such as an answer or what an error says of it, without the secrets that a server may have echoed."""
        for one in sorted(self._secrets, key=lambda one: -len(one.secret)):  # one may begin with another
            text = text.replace(one.secret, "***")
        return text

    # -- inside ---------------------------------------------------------------------------------------

    def _follow(self, request: Request, parts: SplitResult, line: Line, deadline: float) -> Answer:
        method, body, first = request.method, request.body, origin(parts)
        given, at_home = dict(request.headers), True
        for _ in range(MAX_REDIRECTS + 1):
            rule = self._rule(method, parts)
            at_home = at_home and origin(parts) == first
            secrets = self._secret_headers(method, parts) if at_home else {}
            answer = line.ask(
                parts,
                allow_private=self._allow_private or rule.special,
                timeout_s=max(deadline - monotonic(), 0.001),
                method=method,
                headers={**{name: value for name, value in given.items() if name not in secrets}, **secrets},
                body=body,
            )
            location = answer.headers.get("Location")
            if answer.status not in REDIRECTS or location is None:
                return self._read(answer, parts)
            following = redirected(parts, location)
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "HEAD" if method == "HEAD" else "GET", None
                given.pop("content-type", None)
            if origin(following) != origin(parts):
                given = {name: value for name, value in given.items() if name not in PERSONAL}
            parts = following
        raise StoreUnavailable(f"more than {MAX_REDIRECTS} redirects", operation="fetch", key=shown(parts))

    def _rule(self, method: str, parts: SplitResult) -> UrlRule:
        rule = rule_for(self._rules, method, parts)
        if rule is None:
            raise Refused(self._refusal(method, shown(parts)))
        return rule

    def _secret_headers(self, method: str, parts: SplitResult) -> dict[str, str]:
        return {one.name.lower(): one.value for one in self._secrets if rule_for(one.rules, method, parts) is not None}

    def _read(self, answer: http.client.HTTPResponse, parts: SplitResult) -> Answer:
        data = bytearray()
        while block := answer.read1(BLOCK):
            data += block
            if len(data) > MAX_BODY:
                raise BadData(f"the answer of '{shown(parts)}' is larger than {MAX_BODY} bytes")
        if answer.length:
            missing = f"the answer broke off after {len(data)} bytes, {answer.length} before its end"
            raise StoreUnavailable(missing, operation="fetch", key=shown(parts))
        text = _decoded(data, answer.headers.get_content_charset("utf-8"))
        headers = {name.lower(): self.blackened(", ".join(answer.headers.get_all(name, ()))) for name in answer.headers}
        return Answer(answer.status, self.blackened(parts.geturl()), headers, self.blackened(text))

    @contextmanager
    def _place(self, deadline: float, url: str) -> Iterator[None]:
        while not _places.acquire(timeout=max(min(deadline - monotonic(), 0.1), 0)):
            if self._closed or monotonic() >= deadline:
                raise StoreUnavailable(f"{IN_FLIGHT} requests are in flight already", operation="fetch", key=url)
        try:
            yield
        finally:
            _places.release()

    @contextmanager
    def _within(self, deadline: float, parts: SplitResult) -> Iterator[Line]:
        """A line that is closed when the time is over, and says that it was."""
        self._line = line = Line()
        if self._closed:
            line.close()
        late = threading.Event()

        def expire() -> None:
            late.set()
            line.close()

        timer = threading.Timer(max(deadline - monotonic(), 0), expire)
        timer.daemon = True
        timer.start()
        try:
            yield line
            if late.is_set() or self._closed:  # what was closed looks like what has ended
                raise TimeoutError
        except (PenstockError, OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            if self._closed:  # of these errors, the last is one of a line that was closed meanwhile
                reason = "the run has ended"
            elif late.is_set() or isinstance(error, TimeoutError):
                reason = "no whole answer came in time"
            elif isinstance(error, PenstockError):
                raise
            else:
                reason = f"{type(error).__name__}: {error}"
            raise StoreUnavailable(reason, operation="fetch", key=shown(parts)) from error
        finally:
            timer.cancel()
            self._line = None
            line.close()


def _checked(request: Request) -> SplitResult:
    """The parts of the URL of a request that may be sent, as far as its form goes.

    Raises:
        ConfigurationError: it is none.
        BadData: its body is too large.
    """
    if len(request.url) > MAX_URL:
        raise ConfigurationError(f"the URL has more than {MAX_URL} characters")
    try:
        parts = checked_url(request.url)
    except ValueError as error:
        raise ConfigurationError(f"the URL cannot be fetched: {error}") from error
    if request.method not in METHODS:
        raise ConfigurationError(f"there is no method '{request.method[:20]}', but {', '.join(METHODS)}")
    for name, value in request.headers.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise ConfigurationError(f"the header {name[:40]!r} has characters that no header has")
        if name in FRAMING:
            raise ConfigurationError(f"the header '{name}' cannot be set")
    if request.body is not None and request.method in ("GET", "HEAD"):
        raise ConfigurationError(f"a {request.method} request has no body; use method: 'POST'")
    if request.body is not None and len(request.body) > MAX_BODY:
        raise BadData(f"the body of the request is larger than {MAX_BODY} bytes")
    return parts


def _decoded(data: bytearray, charset: str) -> str:
    try:
        return data.decode(charset if CHARSET.fullmatch(charset) else "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")
