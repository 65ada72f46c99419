"""What Azure Blob Storage says when it refuses, and what that means to us: one table, by code and then by status.

Reference: Azure REST API, "Common REST API error codes", "Blob service error codes".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from azure.core.exceptions import AzureError, HttpResponseError

from penstock.errors import (
    AlreadyExists,
    NotFound,
    PermissionDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Unsupported,
)
from penstock.stores.operation import Operation

__all__ = ["translated"]

MAX_MESSAGE = 200

_SIGNATURE = re.compile(r"(sig=)[^&\s]+")


@dataclass(frozen=True, slots=True)
class _Verdict:
    error: type[StoreError]
    retryable: bool = False
    advice: str = ""


_DENIED = _Verdict(PermissionDenied)
_KEY = _Verdict(PermissionDenied, advice="correct the account key or SAS token, or the clock of this machine")
_RIGHTS = _Verdict(PermissionDenied, advice="these credentials may not do this here")
_LATER = _Verdict(StoreUnavailable, retryable=True)
_WRONG = _Verdict(StoreError)

BY_CODE = {
    "AccountIsDisabled": _DENIED,
    "AuthenticationFailed": _KEY,
    "AuthorizationFailure": _Verdict(PermissionDenied, advice="the account's network rules or the SAS token forbid it"),
    "AuthorizationPermissionMismatch": _RIGHTS,
    "AuthorizationProtocolMismatch": _Verdict(PermissionDenied, advice="the SAS token allows https only"),
    "AuthorizationResourceTypeMismatch": _RIGHTS,
    "AuthorizationSourceIPMismatch": _RIGHTS,
    "BlobImmutableDueToPolicy": _Verdict(PermissionDenied, advice="a retention policy of the container protects it"),
    "InsufficientAccountPermissions": _RIGHTS,
    "InvalidAuthenticationInfo": _KEY,
    "KeyBasedAuthenticationNotPermitted": _Verdict(PermissionDenied, advice="the account takes no keys"),
    "LeaseIdMissing": _Verdict(PermissionDenied, advice="somebody holds a lease on it"),
    "NoAuthenticationInformation": _KEY,
    "BlobNotFound": _Verdict(NotFound),
    "ContainerBeingDeleted": _Verdict(NotFound, advice="its container is being deleted"),
    "ContainerNotFound": _Verdict(NotFound, advice="create the container, or correct `bucket`"),
    "BlobAlreadyExists": _Verdict(AlreadyExists),
    "ConditionNotMet": _Verdict(AlreadyExists),
    "BlockCountExceedsLimit": _WRONG,
    "InvalidBlobOrBlock": _WRONG,
    "InvalidBlobType": _Verdict(StoreError, advice="there is a blob of another type"),
    "InvalidBlockList": _WRONG,
    "InternalError": _LATER,
    "Md5Mismatch": _Verdict(StoreError, retryable=True),
    "OperationTimedOut": _LATER,
    "ServerBusy": _LATER,
    "FeatureNotSupported": _Verdict(Unsupported),
    "AccountLimitExceeded": _Verdict(StoreFull),
}

BY_STATUS = {
    401: _KEY,
    403: _RIGHTS,
    404: _Verdict(NotFound),
    408: _LATER,
    412: _Verdict(AlreadyExists),
    429: _LATER,
    501: _Verdict(Unsupported),
}


@contextmanager
def translated(operation: Operation) -> Iterator[None]:
    """Turn what the library raises inside into our errors."""
    try:
        yield
    except HttpResponseError as error:
        if error.status_code is None or error.status_code < 300:
            raise _unreachable(operation, error) from error  # an answer that began well and broke off
        raise _refused(operation, error) from error
    except (AzureError, aiohttp.ClientError) as error:
        raise _unreachable(operation, error) from error
    except TimeoutError as error:
        raise operation.error(
            StoreUnavailable, "nothing moved on the connection for a minute", retryable=True
        ) from error


def _refused(operation: Operation, error: HttpResponseError) -> StoreError:
    status = error.status_code or 0
    headers: Any = getattr(error.response, "headers", {})
    found = getattr(error, "error_code", None) or headers.get("x-ms-error-code") or ""
    code = str(getattr(found, "value", found))
    verdict = BY_CODE.get(code) or BY_STATUS.get(status) or (_LATER if status >= 500 else _WRONG)
    if verdict.error is AlreadyExists and operation.name == "get":
        verdict = _Verdict(StoreError, advice="the object was replaced while it was read")
    said = _one_line(error.message)
    message = f"{status} {code}".rstrip() + (f": {said}" if said else "")
    wait = str(headers.get("retry-after", ""))
    return operation.error(
        verdict.error,
        f"{message}; {verdict.advice}" if verdict.advice else message,
        status=status,
        code=code or None,
        retryable=verdict.retryable,
        retry_after_s=float(wait) if wait.isascii() and wait.isdigit() else None,
    )


def _unreachable(operation: Operation, error: Exception) -> StoreUnavailable:
    cause = getattr(error, "inner_exception", None) or error.__cause__
    final = isinstance(cause, aiohttp.ClientSSLError | aiohttp.ClientConnectorDNSError | aiohttp.InvalidURL)
    return operation.error(StoreUnavailable, _one_line(str(error)) or type(error).__name__, retryable=not final)


def _one_line(message: str | None) -> str:
    """The first line of a message, without a signature that a URL in it may hold."""
    first = (message or "").strip().partition("\n")[0]
    return _SIGNATURE.sub(r"\1…", first)[:MAX_MESSAGE].strip()
