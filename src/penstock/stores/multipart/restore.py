"""Go on with an upload that another process has begun, from what its journal says and what the store has of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.errors import ConfigurationError, SpoolError, UploadGone
from penstock.stores.checksums import crc_of
from penstock.stores.multipart.digest import ALGORITHM
from penstock.stores.multipart.state import EMPTY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.stores.base import MultipartStore, PartInfo
    from penstock.stores.multipart.digest import UploadDigest
    from penstock.stores.multipart.journal import History, PartBuffer, StoredPart, UploadJournal, WaitingPart
    from penstock.stores.multipart.parts import PartPlan
    from penstock.stores.multipart.state import UploadState

__all__ = ["reconcile", "restore"]


async def reconcile(store: MultipartStore, journal: UploadJournal, history: History, key: str) -> None:
    """Leave in ``history`` only the upload and the parts that the store still has.

    A part that the store lacks, or has otherwise than it told us, is to be sent again from the journal.
    """
    if history.upload_id is None:
        return
    try:
        listed: dict[int, PartInfo] | None = {
            info.number: info for info in await store.list_parts(key, history.upload_id)
        }
    except UploadGone:
        listed = None
    kept = {
        number: part for number, part in history.stored.items() if listed and _is_same(part.info, listed.get(number))
    }
    _require_here(history, kept, key)
    if listed is None:
        history.waiting = journal.gone()
        history.stored, history.upload_id = {}, None
        return
    journal.unstored([part.info for number, part in history.stored.items() if number not in kept])
    history.stored = kept


def _require_here(history: History, kept: Mapping[int, StoredPart], key: str) -> None:
    """See that the journal still has what the store has lost, unless the upload is to be dropped anyway."""
    missing = sorted(history.stored.keys() - kept.keys() - history.waiting.keys())
    if not missing or history.ended == "aborted" or history.dropped:
        return
    first, last = history.stored[missing[0]], history.stored[missing[-1]]
    raise UploadGone(
        f"the store has lost bytes {first.offset} to {last.offset + last.info.size - 1}, which it had acknowledged",
        operation="list_parts",
        key=key,
        upload_id=history.upload_id,
    )


def _is_same(ours: PartInfo, theirs: PartInfo | None) -> bool:
    return theirs is not None and theirs.size == ours.size and (theirs.etag == ours.etag or not theirs.etag)


def restore(
    history: History, state: UploadState, plan: PartPlan, digest: UploadDigest, buffer: PartBuffer, place: str
) -> None:
    """Bring state, digest and buffer to where the other process was.

    Raises:
        SpoolError: bytes are missing that were accepted; the message says which.
    """
    if history.upload_id is not None:
        state.resumed(history.upload_id)
    if history.ended == "aborted":
        return  # nothing of it is needed
    while True:
        number, offset = state.next_number, state.planned_bytes
        size = plan.size(number, offset)
        if number in history.gaps:
            state.drop(state.cut(EMPTY, history.gaps[number]))
            continue
        stored, waiting = history.stored.get(number), history.waiting.get(number)
        if stored is None and waiting is None:
            break
        if stored is None and waiting is not None and waiting.size < size and history.ended in (None, "stopped"):
            digest.resume_part(_crcs(waiting, digest), waiting.size)
            buffer.resume(waiting, size)
            break
        _restore_part(state, digest, stored, waiting)
    _require_all(history, state, buffer, digest, place)


def _restore_part(
    state: UploadState, digest: UploadDigest, stored: StoredPart | None, waiting: WaitingPart | None
) -> None:
    if stored is not None:
        size, crcs = stored.info.size, stored.crcs
    else:
        assert waiting is not None  # noqa: S101 - the caller has seen to it
        size, crcs = waiting.size, _crcs(waiting, digest)
    lacking = [algorithm for algorithm in digest.algorithms if algorithm not in crcs]
    if lacking:
        raise ConfigurationError(
            f"the store now wants {', '.join(lacking)}, which the journal lacks for what is stored: set `checksum`"
        )
    digest.resume_part(crcs, size)
    content = waiting.content if waiting is not None else EMPTY
    part = state.cut(content, size, digest.end_part(), crcs)
    if stored is not None:
        state.found(part, replace(stored.info, checksum=part.checksum))


def _crcs(waiting: WaitingPart, digest: UploadDigest) -> Mapping[str, int]:
    """The CRCs of a part in the journal, which knows one of them."""
    crcs = {}
    for algorithm in digest.algorithms:
        if algorithm == ALGORITHM:
            crcs[algorithm] = waiting.crc
        else:
            with waiting.content.open() as body:
                crcs[algorithm] = crc_of(algorithm, body)
    return crcs


def _require_all(history: History, state: UploadState, buffer: PartBuffer, digest: UploadDigest, place: str) -> None:
    have = state.planned_bytes + buffer.size
    last = state.next_number if buffer.size else state.next_number - 1
    beyond = [number for number in (*history.stored, *history.waiting) if number > last]
    if history.after_power_loss and (beyond or history.lost_at_end):
        return  # what was not synced was not accepted, or is told of as lost
    if beyond:
        raise SpoolError(f"the spool {place} lacks bytes from byte {have} on, though it has some that come later")
    if history.size is not None and have != history.size:
        raise SpoolError(f"the spool {place} lacks bytes {have} to {history.size - 1}, the last of the object")
    if history.digest is not None and history.digest != str(digest.checksum()):
        raise SpoolError(f"the spool {place} has {digest.checksum()}, but {history.digest} was accepted")
