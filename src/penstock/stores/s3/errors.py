"""What S3 says when it refuses, and what that means to us: one table, by code and, failing that, by status.

Reference: Amazon S3 API Reference, "Error responses", "List of error codes".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from penstock.errors import (
    AlreadyExists,
    NotFound,
    ObjectChanged,
    PermissionDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Unsupported,
    UploadGone,
)
from penstock.stores.operation import Operation
from penstock.stores.s3.xml import BadXml, parse_document, text
from penstock.stores.transport import Response, TransportError

__all__ = ["S3Operation", "Verdict", "retry_after_s"]

MAX_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """The exception that an answer becomes, and what the person may do."""

    error: type[StoreError]
    retryable: bool = False
    advice: str = ""


_KEYS = "correct the access key id and the secret, or name the right variables"
_CLOCK = "set the clock of this machine"
_LATER = Verdict(StoreUnavailable, retryable=True)

BY_CODE = {
    "AccessDenied": Verdict(PermissionDenied, advice="these credentials may not do this here"),
    "AllAccessDisabled": Verdict(PermissionDenied),
    "AccountProblem": Verdict(PermissionDenied),
    "ExpiredToken": Verdict(PermissionDenied, advice="renew the session token"),
    "InvalidAccessKeyId": Verdict(PermissionDenied, advice=_KEYS),
    "InvalidToken": Verdict(PermissionDenied, advice="correct the session token"),
    "RequestTimeTooSkewed": Verdict(PermissionDenied, advice=_CLOCK),
    "SignatureDoesNotMatch": Verdict(PermissionDenied, advice="correct the secret, or name the right variable"),
    "TokenRefreshRequired": Verdict(PermissionDenied, advice="renew the session token"),
    "AuthorizationHeaderMalformed": Verdict(PermissionDenied, advice="correct `region`"),
    "PermanentRedirect": Verdict(StoreError, advice="correct `region` or `endpoint`: the bucket is elsewhere"),
    "TemporaryRedirect": _LATER,
    "NoSuchBucket": Verdict(NotFound, advice="create it, or correct `bucket`"),
    "NoSuchKey": Verdict(NotFound),
    "NoSuchUpload": Verdict(UploadGone),
    "PreconditionFailed": Verdict(AlreadyExists),
    "BadDigest": Verdict(StoreError, retryable=True),
    "EntityTooLarge": Verdict(StoreError),
    "EntityTooSmall": Verdict(StoreError),
    "IncompleteBody": Verdict(StoreError, retryable=True),
    "InternalError": _LATER,
    "InvalidPart": Verdict(StoreError),
    "InvalidPartOrder": Verdict(StoreError),
    "MalformedXML": Verdict(StoreError),
    "OperationAborted": _LATER,
    "ConditionalRequestConflict": _LATER,
    "RequestTimeout": _LATER,
    "ServiceUnavailable": _LATER,
    "SlowDown": _LATER,
    "Throttling": _LATER,
    "TooManyRequests": _LATER,
    "XAmzContentChecksumMismatch": Verdict(StoreError, retryable=True),
    "XAmzContentSHA256Mismatch": Verdict(StoreError, retryable=True),
    "QuotaExceeded": Verdict(StoreFull),
    "XMinioStorageFull": Verdict(StoreFull, advice="make room on the store"),
    "NotImplemented": Verdict(Unsupported),
}

AT_COMPLETE = {
    "BadDigest": Verdict(StoreError, advice="the parts are not what was sent"),
    "ConditionalRequestConflict": Verdict(UploadGone, advice="the upload cannot be completed any more"),
    "XAmzContentChecksumMismatch": Verdict(StoreError, advice="the parts are not what was sent"),
}

BY_STATUS = {
    301: BY_CODE["PermanentRedirect"],
    307: _LATER,
    401: BY_CODE["AccessDenied"],
    403: BY_CODE["AccessDenied"],
    404: Verdict(NotFound),
    408: _LATER,
    412: BY_CODE["PreconditionFailed"],
    425: _LATER,
    429: _LATER,
    501: Verdict(Unsupported),
    507: BY_CODE["XMinioStorageFull"],
}


@dataclass(frozen=True, slots=True)
class S3Operation(Operation):
    """A request, and what its failures become.

    Attributes:
        bucket: where it is, for messages of operations that concern no key.
    """

    bucket: str = ""

    def refused(self, response: Response) -> StoreError:
        """The error that a response stands for: one of status 300 or more, or a 200 with an ``<Error>`` inside."""
        code, message, region = _read(response)
        status = response.status
        verdict = BY_CODE.get(code) or BY_STATUS.get(status)
        if verdict is None:  # a 200 with an error inside is one of the server's, too
            verdict = _LATER if status >= 500 or status < 300 else Verdict(StoreError)
        if self.name == "get" and verdict.error is AlreadyExists:
            verdict = Verdict(ObjectChanged)
        if self.name == "complete_multipart":  # it sends no bytes again, unlike a PUT
            verdict = AT_COMPLETE.get(code, verdict)
        said = f"{status} {code}".rstrip() + (f": {message}" if message else "")
        if self.key is None and self.bucket:
            said += f" (bucket {self.bucket})"
        advice = f"the bucket is in region {region}: set `region` to it" if region else verdict.advice
        if not advice and not code and not verdict.retryable and self.key is None:
            advice = "an S3 store would have said more: correct `endpoint`"
        return self.error(
            verdict.error,
            f"{said}; {advice}" if advice else said,
            status=status,
            code=code or None,
            retryable=verdict.retryable,
            retry_after_s=retry_after_s(response.headers.get("retry-after", ""), datetime.now(UTC)),
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


def retry_after_s(value: str, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date relative to ``now`` (RFC 9110 §10.2.3)."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


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
