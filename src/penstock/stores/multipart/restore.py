"""Go on with an upload that another process has begun, from what its journal says and what the store has of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.errors import ConfigurationError, SpoolDamaged, UploadGone
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
    history: History,
    state: UploadState,
    plan: PartPlan,
    digest: UploadDigest,
    buffer: PartBuffer,
    journal: UploadJournal,
) -> None:
    """Bring state, digest and buffer to where the other process was.

    Raises:
        SpoolDamaged: bytes are missing that were accepted; the message says which.
    """
    if history.upload_id is not None:
        state.resumed(history.upload_id)
    if history.ended == "aborted":
        return  # nothing of it is needed
    before = 0
    while True:
        number, offset = state.next_number, state.planned_bytes
        size = plan.size(number, offset)
        if number in history.gaps:
            state.drop(state.cut(EMPTY, history.gaps[number]))
            continue
        stored, waiting = history.stored.get(number), history.waiting.get(number)
        if stored is None and waiting is None:
            break
        if stored is None and waiting is not None and waiting.size < size and not _is_whole(waiting, history, before):
            digest.resume_part(_crcs(waiting, digest), waiting.size)
            buffer.resume(waiting, size)
            break
        before = _restore_part(state, digest, stored, waiting)
    _forget_unaccepted(history, state, buffer, journal)
    _require_all(history, state, buffer, digest, journal.place)


def _is_whole(waiting: WaitingPart, history: History, before: int) -> bool:
    """Whether a part that is smaller than the plan of now has no more to come; the one before has ``before`` bytes.

    That others follow does not say so: when the power goes while two parts are synced, the later may be there alone. As
    plans only differ in where they double the size of parts, one of such a size is whole by another plan.
    """
    if history.ended not in (None, "stopped") and not history.lost_at_end:
        return True
    is_last = waiting.number == max((*history.stored, *history.waiting, *history.gaps))
    return not is_last and before > 0 and waiting.size % before == 0


def _forget_unaccepted(history: History, state: UploadState, buffer: PartBuffer, journal: UploadJournal) -> None:
    """Give up what a loss of power has left behind a hole: it was not accepted, or is told of as lost."""
    last = _last_number(state, buffer)
    for number in [number for number in history.waiting if number > last and history.after_power_loss]:
        journal.forget(number)
        del history.waiting[number]


def _last_number(state: UploadState, buffer: PartBuffer) -> int:
    return state.next_number if buffer.size else state.next_number - 1


def _restore_part(
    state: UploadState, digest: UploadDigest, stored: StoredPart | None, waiting: WaitingPart | None
) -> int:
    """Cut a part that is whole; return its size."""
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
    return size


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
    last = _last_number(state, buffer)
    beyond = [number for number in (*history.stored, *history.waiting) if number > last]
    if history.after_power_loss and (beyond or history.lost_at_end):
        return  # what was not synced was not accepted, or is told of as lost
    if beyond:
        raise SpoolDamaged(f"the spool {place} lacks bytes from byte {have} on, though it has some that come later")
    if history.size is not None and have != history.size:
        raise SpoolDamaged(f"the spool {place} lacks bytes {have} to {history.size - 1}, the last of the object")
    if history.digest is not None and history.digest != str(digest.checksum()):
        raise SpoolDamaged(f"the spool {place} has {digest.checksum()}, but {history.digest} was accepted")
