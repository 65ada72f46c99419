"""What S3 says when it refuses, turned into our errors by the table of ``penstock.stores.verdicts``.

Reference: Amazon S3 API Reference, "Error responses", "List of error codes".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from penstock.errors import AlreadyExists, ObjectChanged, StoreError, StoreUnavailable
from penstock.stores.operation import Operation
from penstock.stores.s3.xml import BadXml, parse_document, text
from penstock.stores.transport import Response, TransportError
from penstock.stores.verdicts import Then, Verdict, judge

__all__ = ["S3Operation", "is_refusal", "retry_after_s", "server_time"]

MAX_MESSAGE = 200
MAX_PROLOGUE = 256  # bytes in which the root of a document begins


@dataclass(frozen=True, slots=True)
class S3Operation(Operation):
    """A request, and what its failures become.

    Attributes:
        bucket: where it is, for messages of operations that concern no key.
    """

    bucket: str = ""

    def refused(self, response: Response, advice: str = "") -> StoreError:
        """The error that a response stands for: one of status 300 or more, or a 200 with an ``<Error>`` inside.

        ``advice`` is said instead of that of the table.
        """
        code, message, region = _read(response)
        status = response.status
        verdict = judge(status, code, completing=self.name == "complete_multipart")
        if self.name == "get" and verdict.error is AlreadyExists:
            verdict = Verdict(ObjectChanged)
        said = f"{status} {code}".rstrip() + (f": {message}" if message else "")
        if self.key is None and self.bucket:
            said += f" (bucket {self.bucket})"
        advice = advice or (f"the bucket is in region {region}: set `region` to it" if region else verdict.advice)
        retryable = verdict.then is Then.AGAIN
        if not advice and not code and not retryable and self.key is None:
            advice = "an S3 store would have said more: correct `endpoint`"
        return self.error(
            verdict.error,
            f"{said}; {advice}" if advice else said,
            status=status,
            code=code or None,
            retryable=retryable,
            retry_after_s=retry_after_s(
                response.headers.get("retry-after", ""), server_time(response) or datetime.now(UTC)
            ),
        )

    def unreachable(self, error: TransportError) -> StoreUnavailable:
        """The error for no answer at all."""
        return self.error(StoreUnavailable, str(error), retryable=error.retryable)

    def not_s3(self, url: str, reason: str, status: int) -> StoreError:
        """The error for an answer that is not S3's."""
        message = f"{url} does not answer like an S3 store ({reason}); correct `endpoint`"
        return self.error(StoreError, message, status=status)

    def invalid(self, message: str) -> StoreError:
        """The error for arguments that no store could use."""
        return self.error(StoreError, message)


def is_refusal(response: Response) -> bool:
    """Whether it says no, by its status or by an ``<Error>`` in the body of a success."""
    if response.status >= 300 or b"<Error" not in response.body[:MAX_PROLOGUE]:
        return response.status >= 300
    try:
        parse_document(response.body, "Error")
    except BadXml:
        return False
    return True


def server_time(response: Response) -> datetime | None:
    """What time it is by the store's clock, where it tells (RFC 9110 §6.6.1)."""
    return _http_date(response.headers.get("date", ""))


def retry_after_s(value: str, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date relative to ``now`` (RFC 9110 §10.2.3)."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    moment = _http_date(value)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read(response: Response) -> tuple[str, str, str]:
    """Code, message and the region the store would have liked; all may be empty, as HEAD has no body."""
    region = response.headers.get("x-amz-bucket-region", "")
    redirected = response.status in (301, 307)
    try:
        root = parse_document(response.body, "Error")
    except BadXml:
        return "", "", region if redirected else ""
    message = " ".join(text(root, "Message").split())[:MAX_MESSAGE]
    code = text(root, "Code")
    wrong_region = redirected or code == "AuthorizationHeaderMalformed"
    return code, message, (text(root, "Region") or region) if wrong_region else ""
