"""What a failure means: the one table of what passes by itself, what can be mended at once, and what is final.

It is data, read by the S3 store, by that of Google Cloud Storage, which answers in the same words, and by the
transport; ``docs/store-answers.md`` is made from it. An answer is looked up by the code in its body and, if it has none
that is known, by its status.
References: Amazon S3 API Reference, "Error responses"; Cloud Storage XML API, "HTTP status and error codes"; MinIO and
Ceph use codes of Amazon's, and some of their own; RFC 9110 §15, RFC 8470 §5.2 (425), RFC 6585 §4 (429).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from penstock.errors import (
    AlreadyExists,
    NotFound,
    PermissionDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Unsupported,
    UploadGone,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AT_COMPLETE", "BY_CODE", "BY_STATUS", "NO_ANSWER", "OTHER", "Breakdown", "Then", "Verdict", "judge"]


class Then(StrEnum):
    """What follows on a failure."""

    AGAIN = "tried again, with growing waits, until the deadline"
    CLOCK = "tried once more at once, signed by the store's clock"
    CREDENTIALS = "tried once more at once, if there are newer credentials"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The exception that a failure becomes, what follows, and what the person may do."""

    error: type[StoreError]
    then: Then = Then.FINAL
    advice: str = ""


_LATER = Verdict(StoreUnavailable, Then.AGAIN)
_DAMAGED = Verdict(StoreError, Then.AGAIN)
_DENIED = Verdict(PermissionDenied, advice="these credentials may not do this here")
_EXPIRED = Verdict(PermissionDenied, Then.CREDENTIALS, "renew the session token")
_UNKNOWN_KEY = Verdict(
    PermissionDenied, Then.CREDENTIALS, "correct the access key id and the secret, or name the right variables"
)
_REDIRECTED = Verdict(StoreError, advice="correct `region` or `endpoint`: the bucket is elsewhere")
_FULL = Verdict(StoreFull, advice="make room on the store")
_DAMAGED_PARTS = Verdict(StoreError, advice="the parts are not what was sent")

BY_CODE: Final[Mapping[str, Verdict]] = MappingProxyType(
    {
        # the store cannot now
        **dict.fromkeys(
            (
                *("InternalError", "ServiceUnavailable", "SlowDown", "SlowDownRead", "SlowDownWrite", "Busy"),
                *("Throttling", "ThrottlingException", "RequestThrottled", "RequestLimitExceeded"),
                *("TooManyRequests", "TooManyRequestsException", "BandwidthLimitExceeded", "PriorRequestNotComplete"),
                *("RequestTimeout", "RequestTimeoutException", "OperationAborted", "ConditionalRequestConflict"),
                *("TemporaryRedirect", "XMinioServerNotInitialized"),
            ),
            _LATER,
        ),
        # the body was damaged on its way: it is still here
        **dict.fromkeys(
            ("BadDigest", "IncompleteBody", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"), _DAMAGED
        ),
        # who we are
        **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), _EXPIRED),
        "InvalidToken": Verdict(PermissionDenied, Then.CREDENTIALS, "correct the session token"),
        "InvalidAccessKeyId": _UNKNOWN_KEY,
        **dict.fromkeys(
            ("AuthenticationRequired", "InvalidSecurity"),  # Google's, of OAuth tokens
            Verdict(PermissionDenied, Then.CREDENTIALS, "renew the token"),
        ),
        "RequestTimeTooSkewed": Verdict(PermissionDenied, Then.CLOCK, "set the clock of this machine"),
        "SignatureDoesNotMatch": Verdict(PermissionDenied, advice="correct the secret, or name the right variable"),
        "AccessDenied": _DENIED,
        **dict.fromkeys(("AllAccessDisabled", "AccountProblem"), Verdict(PermissionDenied)),
        "AuthorizationHeaderMalformed": Verdict(PermissionDenied, advice="correct `region`"),
        # where it is
        "PermanentRedirect": _REDIRECTED,
        "NoSuchBucket": Verdict(NotFound, advice="create it, or correct `bucket`"),
        **dict.fromkeys(("NoSuchKey", "NoSuchVersion"), Verdict(NotFound)),
        "NoSuchUpload": Verdict(UploadGone),
        "PreconditionFailed": Verdict(AlreadyExists),
        # what was asked
        **dict.fromkeys(
            (
                *("EntityTooLarge", "EntityTooSmall", "InvalidPart", "InvalidPartOrder", "MalformedXML"),
                *("InvalidArgument", "InvalidDigest", "InvalidRequest", "KeyTooLongError", "MethodNotAllowed"),
            ),
            Verdict(StoreError),
        ),
        "NotImplemented": Verdict(Unsupported),
        "QuotaExceeded": Verdict(StoreFull),
        "XMinioStorageFull": _FULL,
    }
)

AT_COMPLETE: Final[Mapping[str, Verdict]] = MappingProxyType(
    {
        "BadDigest": _DAMAGED_PARTS,
        "ConditionalRequestConflict": Verdict(UploadGone, advice="the upload cannot be completed any more"),
        "XAmzContentChecksumMismatch": _DAMAGED_PARTS,
    }
)
"""Codes that mean something else when an upload is completed, which sends no bytes again."""

BY_STATUS: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        301: _REDIRECTED,
        307: _LATER,
        401: Verdict(PermissionDenied, Then.CREDENTIALS, _DENIED.advice),
        403: _DENIED,
        404: Verdict(NotFound),
        408: _LATER,
        412: Verdict(AlreadyExists),
        425: _LATER,
        429: _LATER,
        501: Verdict(Unsupported),
        507: _FULL,
    }
)

OTHER: Final[Mapping[str, Verdict]] = MappingProxyType(
    {"2xx with an error in its body": _LATER, "5xx": _LATER, "any other": Verdict(StoreError)}
)
"""Statuses that have no row of their own."""


class Breakdown(StrEnum):
    """Why there is no answer, or not all of one."""

    CUT = "the connection was refused, reset or closed before the answer was complete"
    STALLED = "nothing moved on the connection for the progress timeout, or none came about in time"
    LOOKUP_FAILED = "the host could not be looked up just now"
    UNKNOWN_HOST = "the host is not known"
    TLS_CUT = "the TLS connection was cut"
    TLS_FAILED = "TLS could not be agreed upon"
    NOT_TRUSTED = "the certificate is not trusted"
    NOT_HTTP = "the answer is not HTTP/1.1, or far too long"
    CLOSED = "the store was closed by its user"


NO_ANSWER: Final[Mapping[Breakdown, Verdict]] = MappingProxyType(
    dict.fromkeys(Breakdown, Verdict(StoreUnavailable))
    | dict.fromkeys((Breakdown.CUT, Breakdown.STALLED, Breakdown.LOOKUP_FAILED, Breakdown.TLS_CUT), _LATER)
)


def judge(status: int, code: str = "", *, completing: bool = False) -> Verdict:
    """What an answer means that is no success.

    Args:
        status: of the HTTP response; 2xx if the error is in the body alone.
        code: the code in its body, empty if it has none.
        completing: the request was to complete an upload.
    """
    found = (AT_COMPLETE.get(code) if completing else None) or BY_CODE.get(code) or BY_STATUS.get(status)
    if found is not None:
        return found
    if status < 300:
        return OTHER["2xx with an error in its body"]
    return OTHER["5xx" if status >= 500 else "any other"]
