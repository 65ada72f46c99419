"""How it fails: the whole exception tree on one page.

A class is what a caller would handle differently; the rest is data on the exception. Messages fit one line and say
what, where and why; they never contain a secret. Foreign exceptions are translated where the foreign library is
called, with ``raise … from``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.findings import Finding

__all__ = [
    "AlreadyExists",
    "BadData",
    "ChangeRefused",
    "ChannelClosed",
    "ConfigurationError",
    "CredentialsError",
    "GraphError",
    "MissingDependency",
    "NodeError",
    "NotFound",
    "ObjectChanged",
    "PenstockError",
    "PermissionDenied",
    "PipelineInvalid",
    "RunCancelled",
    "RunError",
    "SpecError",
    "SpoolError",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "Unsupported",
    "UploadGone",
    "UpstreamFailed",
    "describe",
    "root_cause",
]


class PenstockError(Exception):
    """The root: every error that penstock raises on purpose."""


# -- pipeline files -----------------------------------------------------------------------------------


class PipelineInvalid(PenstockError):
    """A pipeline file cannot be run; ``findings`` holds every reason, in the order of the file."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class SpecError(PipelineInvalid):
    """The text is not a pipeline: YAML, keys or values are wrong."""


class GraphError(PipelineInvalid):
    """The nodes do not form a graph that can run: kinds, parameters, pins or cycles are wrong."""


class ChangeRefused(PipelineInvalid):
    """A change of a pipeline that runs cannot be made; ``findings`` holds every reason. Nothing was changed."""


class ConfigurationError(PenstockError):
    """A setting outside the pipeline file is wrong: an option, an environment variable, an argument."""


class CredentialsError(ConfigurationError):
    """Credentials are missing or incomplete; the message names the variable or parameter to set."""


class MissingDependency(ConfigurationError):
    """An extra, a model file or a program is not there; the message says how to get it."""


# -- running ------------------------------------------------------------------------------------------


class ChannelClosed(PenstockError):
    """The receiver of a channel is gone, so a packet cannot be delivered."""


class UpstreamFailed(PenstockError):
    """The sender of a channel failed after the packets received so far; ``__cause__`` is its error."""


class NodeError(PenstockError):
    """A node failed; ``node`` is its id and ``__cause__`` what it raised."""

    def __init__(self, node: str, cause: BaseException) -> None:
        self.node = node
        self.__cause__ = cause
        super().__init__(f"node '{node}': {describe(cause)}")


class BadData(PenstockError):
    """Input bytes are not what they should be; the message gives the byte offset where it is known."""


class RunError(PenstockError):
    """A run ended without doing its work."""


class RunCancelled(RunError):
    """Work was dropped on request: a second signal, the drain deadline, or a sink told to drop what is unfinished."""


# -- stores -------------------------------------------------------------------------------------------


class StoreError(PenstockError):
    """A store refused or failed an operation.

    Attributes:
        operation: the store method, such as ``put_part``.
        key: the object key, or None for an operation on the bucket.
        upload_id, part_number: the part of a multipart upload, where one is concerned.
        status, code: the HTTP status and the store's own error code, where there were any.
        retryable: whether the same request may succeed later; only the retry layer reads it.
        retry_after_s: how long the store asked to be left alone, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str,
        key: str | None = None,
        upload_id: str | None = None,
        part_number: int | None = None,
        status: int | None = None,
        code: str | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        self.reason = message
        self.operation = operation
        self.key = key
        self.upload_id = upload_id
        self.part_number = part_number
        self.status = status
        self.code = code
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        where = operation if key is None else f"{operation} '{key}'"
        if part_number is not None:
            where += f" part {part_number}"
        super().__init__(f"{where}: {message}")


class NotFound(StoreError):
    """There is no such bucket or object."""


class UploadGone(NotFound):
    """The multipart upload is not open (any more): completed, aborted or expired."""


class AlreadyExists(StoreError):
    """A conditional write found an object under the key."""


class ObjectChanged(StoreError):
    """The object is not the one whose etag was given: it was replaced meanwhile."""


class PermissionDenied(StoreError):
    """The credentials are wrong, or do not allow the operation."""


class StoreUnavailable(StoreError):
    """The store does not answer, or answers that it cannot serve now."""


class StoreFull(StoreError):
    """No space, or a quota is used up."""


class SpoolError(PenstockError):
    """The state directory has failed, is full, or is not as it was written."""


class SpoolDamaged(SpoolError):
    """Bytes that were accepted are not in the state directory any more."""


class Unsupported(StoreError):
    """The store lacks a capability that was asked for."""


def describe(error: BaseException) -> str:
    """One line for a person: the message of our own errors, type and message of foreign ones."""
    text = str(error).strip()
    if isinstance(error, PenstockError):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def root_cause(error: BaseException) -> BaseException:
    """The error that matters: groups of one are opened, and in larger ones a failed input is a consequence."""
    while isinstance(error, BaseExceptionGroup):
        inside = [root_cause(one) for one in error.exceptions]
        error = next((one for one in inside if not isinstance(one, UpstreamFailed)), inside[0])
    return error
