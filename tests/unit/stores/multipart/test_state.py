import pytest

from penstock.stores.base import PartInfo
from penstock.stores.multipart.journal import Blocks
from penstock.stores.multipart.state import IllegalTransition, Phase, UploadState


def opened() -> UploadState:
    state = UploadState()
    state.move(Phase.OPENING)
    state.opened("id")
    return state


def info(number: int) -> PartInfo:
    return PartInfo(number, 5, f"etag{number}")


def test_a_part_goes_from_waiting_to_stored_and_is_counted_on_its_way():
    state = opened()
    first, second = state.cut(Blocks([b"12345"]), 5), state.cut(Blocks([b"67"]), 2)
    assert (first.number, first.offset, second.number, second.offset) == (1, 0, 2, 5)
    assert (state.planned_bytes, state.held_bytes, state.next_number) == (7, 7, 3)
    state.sent(second)
    state.sent(first)
    assert (state.in_flight, state.waiting) == (2, [])
    state.stored(second, info(2))
    assert (state.stored_bytes, state.held_bytes, state.in_flight) == (2, 5, 1)
    state.stored(first, info(1))
    assert state.stored_parts() == [info(1), info(2)]


def test_a_part_that_did_not_arrive_waits_again():
    state = opened()
    part = state.cut(Blocks([b"x"]), 1)
    state.sent(part)
    state.returned(part)
    assert state.waiting == [part]
    state.sent(part)
    state.stored(part, info(1))


def test_an_upload_goes_through_its_phases():
    state = opened()
    assert state.upload_id == "id"
    state.move(Phase.COMMITTING)
    assert not state.accepting
    state.move(Phase.COMMITTING)
    state.move(Phase.COMMITTED)
    assert state.settled


def test_a_small_stream_is_committed_without_an_upload():
    state = UploadState()
    state.cut(Blocks([b"x"]), 1)
    state.move(Phase.COMMITTING)
    state.move(Phase.COMMITTED)


def test_a_failed_create_leads_back():
    state = UploadState()
    state.move(Phase.OPENING)
    state.move(Phase.BUFFERING)
    assert state.accepting


@pytest.mark.parametrize("phase", [Phase.BUFFERING, Phase.OPENING, Phase.OPEN, Phase.COMMITTING])
def test_every_phase_leads_to_an_abort(phase):
    state = UploadState()
    state.phase = phase
    state.move(Phase.ABORTING)
    state.move(Phase.ABORTED)


@pytest.mark.parametrize("end", [Phase.COMMITTED, Phase.ABORTED])
@pytest.mark.parametrize("phase", Phase)
def test_nothing_follows_the_end(end, phase):
    state = UploadState()
    state.phase = end
    with pytest.raises(IllegalTransition, match=f"that is {end} cannot become {phase}"):
        state.move(phase)


@pytest.mark.parametrize(
    ("phase", "wrong"),
    [
        (Phase.BUFFERING, Phase.OPEN),
        (Phase.BUFFERING, Phase.COMMITTED),
        (Phase.OPENING, Phase.COMMITTING),
        (Phase.OPEN, Phase.COMMITTED),
        (Phase.COMMITTING, Phase.OPEN),
        (Phase.ABORTING, Phase.COMMITTING),
    ],
)
def test_phases_are_not_skipped(phase, wrong):
    state = UploadState()
    state.phase = phase
    with pytest.raises(IllegalTransition):
        state.move(wrong)


def test_an_upload_is_not_committed_while_parts_are_missing():
    state = opened()
    part = state.cut(Blocks([b"x"]), 1)
    with pytest.raises(IllegalTransition, match="1 parts are not stored"):
        state.move(Phase.COMMITTING)
    state.sent(part)
    with pytest.raises(IllegalTransition, match="1 parts are not stored"):
        state.move(Phase.COMMITTING)


def test_parts_make_no_illegal_moves():
    state = UploadState()
    part = state.cut(Blocks([b"x"]), 1)
    with pytest.raises(IllegalTransition, match="the upload is buffering"):
        state.sent(part)
    state = opened()
    part = state.cut(Blocks([b"x"]), 1)
    for illegal in (lambda: state.stored(part, info(1)), lambda: state.returned(part)):
        with pytest.raises(IllegalTransition, match="not in flight"):
            illegal()
    state.sent(part)
    with pytest.raises(IllegalTransition):
        state.sent(part)
    with pytest.raises(IllegalTransition, match="the store answered for 2"):
        state.stored(part, info(2))


def test_no_part_is_added_to_an_upload_that_is_being_committed():
    state = opened()
    state.move(Phase.COMMITTING)
    with pytest.raises(IllegalTransition, match="no part can be added"):
        state.cut(Blocks([b"x"]), 1)


def test_its_repr_shows_where_the_parts_are():
    state = opened()
    state.sent(state.cut(Blocks([b"x"]), 1))
    state.cut(Blocks([b"y"]), 1)
    assert repr(state) == "<UploadState open id: 1 waiting, 1 in flight, 0 stored>"
