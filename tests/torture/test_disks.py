"""The disk of the state directory: full while a stream goes on, and with other bytes than were written."""

import os
import random
import subprocess
from contextlib import contextmanager

import pytest

from torture.place import MIB, place_at

pytestmark = [pytest.mark.server, pytest.mark.slow]

SEEDS = [11, random.SystemRandom().randrange(1 << 30)]


@contextmanager
def small_disk(directory, size):
    """A file system of so many bytes."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here: that takes root")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.mark.parametrize("killed", [False, True])
def test_a_full_disk_holds_up_the_input_and_loses_nothing(seaweedfs, tmp_path, dice, killed):
    data = dice.randbytes(30 * MIB)
    with small_disk(tmp_path / "disk", 12 * MIB) as disk, place_at(seaweedfs, disk / "state") as place:
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


def test_a_disk_that_is_full_at_the_start_is_said(seaweedfs, tmp_path, dice):
    with small_disk(tmp_path / "disk", 64 * 1024) as disk, place_at(seaweedfs, disk / "state") as place:
        (disk / "other").write_bytes(bytes(64 * 1024))
        put = place.put("take", dice.randbytes(MIB), dice)
        assert put.join() == 1
        failed = put.events[-1]
        assert "No space left on device" in failed["error"]
        assert "--state" in failed["error"]
        assert place.found("take").body is None


def flip_a_bit(path, dice):
    """Change a bit; False if the file has none."""
    size = path.stat().st_size
    if not size:
        return False
    at = dice.randrange(size)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << dice.randrange(8)]))
    return True


@pytest.mark.parametrize("file", ["upload.json", "journal", "slot-1", "slot-3"])
@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_a_bit_that_has_changed_makes_no_wrong_object_and_stops_no_other(place, file, number):
    """Healed, as the store has the part or nobody needs it, or set aside with the reason: seed by seed."""
    dice = random.Random(SEEDS[number])
    puts = {}
    for key in ("sound", "damaged"):
        puts[key] = put = place.put(key, dice.randbytes(13 * MIB), dice, endless=True)
        assert put.wait_for(lambda put=put: put.accepted == len(put.data))
    for put in puts.values():
        put.kill()
    (damaged,) = [
        directory
        for directory in (place.state / "uploads").iterdir()
        if 'damaged"' in (directory / "upload.json").read_text()
    ]
    assert flip_a_bit(damaged / file, dice)
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
