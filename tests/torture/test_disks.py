"""The disk of the state directory: full while a stream goes on, and with other bytes than were written."""

import random
from contextlib import ExitStack

import pytest

from support.spools import small_disk
from torture.damage import HARMS, fill
from torture.place import MIB, place_at

pytestmark = [pytest.mark.server, pytest.mark.slow]

SEEDS = [11, random.SystemRandom().randrange(1 << 30)]


@pytest.fixture
def disk(tmp_path):
    """Makes a small one, which takes root."""
    with ExitStack() as stack:

        def make(size):
            small = stack.enter_context(small_disk(tmp_path / "disk", size))
            if small is None:
                pytest.skip("a small tmpfs cannot be mounted here: that takes root")
            return small

        yield make


@pytest.mark.parametrize("killed", [False, True])
def test_a_full_disk_holds_up_the_input_and_loses_nothing(seaweedfs, disk, dice, killed):
    data = dice.randbytes(30 * MIB)
    with place_at(seaweedfs, disk(12 * MIB) / "state") as place:
        hold = place.gate.hold("part 1", "before")
        put = place.put("take", data, dice, endless=True)
        assert hold.wait()
        place.gate.refusal = (503, "SlowDown")  # whatever else comes
        assert put.wait_for(lambda: any("is full" in one.get("reason", "") for one in put.events))
        assert put.accepted < len(data)
        if killed:
            put.kill()
        place.gate.calm()
        if killed:
            place.recover_all()
        else:
            put.end_input()
            assert put.join() == 0
        found = place.found("take")
        assert found.body == data[: len(found.body)]
        assert len(found.body) >= put.accepted
        assert killed or len(found.body) == len(data)
        assert place.open_uploads() == []
        assert place.left_in_state() == []


def test_a_disk_that_is_full_at_the_start_is_said(seaweedfs, disk, dice):
    small = disk(64 * 1024)
    fill(small, 0)
    with place_at(seaweedfs, small / "state") as place:
        put = place.put("take", dice.randbytes(MIB), dice)
        assert put.join() == 1
        failed = put.events[-1]
        assert "No space left on device" in failed["error"]
        assert "--state" in failed["error"]
        assert place.found("take").body is None


@pytest.mark.parametrize("file", ["upload.json", "journal", "slot-1", "slot-3"])
@pytest.mark.parametrize(("how", "number"), [("flip", 0), ("flip", 1), ("cut", 1)])
def test_a_file_that_is_damaged_makes_no_wrong_object_and_stops_no_other(place, file, how, number):
    """Healed, as the store has the part or nobody needs it, or set aside with the reason: seed by seed."""
    dice = random.Random(SEEDS[number])
    puts = {key: place.put(key, dice.randbytes(13 * MIB), dice, endless=True) for key in ("sound", "damaged")}
    for put in puts.values():
        assert put.wait_for(lambda put=put: put.accepted == len(put.data))
        put.kill()
    (damaged,) = [
        directory
        for directory in (place.state / "uploads").iterdir()
        if 'damaged"' in (directory / "upload.json").read_text()
    ]
    assert HARMS[how](damaged / file, dice)
    outcomes, code = place.recover().join()
    assert place.found("sound").body == puts["sound"].data, SEEDS[number]
    found = place.found("damaged")
    if found.body is None:
        (aside,) = place.left_in_state()
        assert aside.startswith("aside/"), SEEDS[number]
        assert (place.state / aside / "reason.txt").read_text(), SEEDS[number]
        assert [one["outcome"] for one in outcomes if one["failed"]] == ["set aside"], SEEDS[number]
        assert code == 4
        assert all(key == "damaged" for key, _ in place.open_uploads())
    else:
        assert found.body == puts["damaged"].data, SEEDS[number]
        assert place.left_in_state() == []
        assert code == 0
