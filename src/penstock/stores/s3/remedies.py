"""What can be mended at once when a store refuses: a clock that is off, credentials that have expired.

Each is tried once for a request, without a wait. The store's clock is that of its ``Date`` header; requests are signed
by it from then on, and the clock of this machine is left alone.
Reference: Amazon S3 API Reference, "Error responses" (RequestTimeTooSkewed, ExpiredToken); RFC 9110 §6.6.1 (Date).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from penstock.errors import CredentialsError
from penstock.stores.s3.errors import server_time
from penstock.stores.verdicts import Then, judge
from penstock.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.errors import StoreError
    from penstock.stores.s3.errors import S3Operation
    from penstock.stores.signing import RequestSigner
    from penstock.stores.transport import Response

__all__ = ["Remedies"]

TOLERATED: Final = timedelta(minutes=5)
"""No store refuses a clock that is off by less: Amazon's own limit is 15 min."""

REFUSED: Final = (400, 401, 403)


class Remedies:
    """Those that are left for one request."""

    def __init__(self, signer: RequestSigner) -> None:
        self._signer = signer
        self._tried: set[Then] = set()

    async def apply(self, operation: S3Operation, method: str, sent: Mapping[str, str], response: Response) -> None:
        """Mend what ``response`` complains of, so that the request can be sent again, signed anew.

        ``sent`` are the headers of the request that was refused.

        Raises:
            StoreError: that cannot be mended, or has been tried.
        """
        refusal = operation.refused(response)
        remedy = self._remedy(refusal, method, response)
        if remedy is Then.CLOCK:
            self._set_clock(operation, response)
        elif remedy is Then.CREDENTIALS and remedy not in self._tried:
            try:
                await self._signer.renew(sent)
            except CredentialsError as none:
                raise _with_reason(refusal, str(none)) if refusal.code else refusal from none
            logger.info("%s was refused, and is tried once more with newer credentials", operation.name)
        else:
            raise refusal
        self._tried.add(remedy)

    def _remedy(self, refusal: StoreError, method: str, response: Response) -> Then:
        """By the table; but the answer to a HEAD has no body, and so no code to look up."""
        if method == "HEAD" and refusal.status in REFUSED:
            theirs = server_time(response)
            off = theirs is not None and abs(theirs - self._signer.clock.now()) > TOLERATED
            return Then.CLOCK if off else Then.CREDENTIALS
        completing = refusal.operation == "complete_multipart"
        return judge(response.status, refusal.code or "", completing=completing).then

    def _set_clock(self, operation: S3Operation, response: Response) -> None:
        theirs, ours = server_time(response), datetime.now(UTC)
        if theirs is None:
            raise operation.refused(response)
        both = f"the store's clock says {_show(theirs)}, that of this machine {_show(ours)}"
        if Then.CLOCK in self._tried:
            raise operation.refused(response, f"{both}, and signing by either is refused: set them right")
        logger.warning("%s; requests are signed by the store's from now on", both)
        self._signer.clock.follow(theirs)


def _with_reason(refusal: StoreError, reason: str) -> StoreError:
    refusal.reason += f"; {reason}"
    refusal.args = (f"{refusal}; {reason}",)
    return refusal


def _show(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
