"""Rounds of random kills: several puts in one state directory, each killed at its moment, then recovers, killed too."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from torture.place import MIB, stretch

if TYPE_CHECKING:
    from torture.place import Place
    from torture.processes import Put

LARGEST = 40 * MIB
SIZES = ((0, 1), (1, 65536), (65536, 5 * MIB), (5 * MIB, 11 * MIB), (5 * MIB, LARGEST))
"""Ranges of the sizes of streams: around what is one put, two parts, and many."""

MODES = ("plain", "plain", "faults", "faults", "lost answers", "aborted")


@dataclass
class Tally:
    """What has happened so far; bytes lost and orphans are what must not."""

    kills: int = 0
    recover_kills: int = 0
    ended: int = 0
    faults: int = 0
    accepted: int = 0
    lost: int = 0
    orphans: int = 0
    wrong: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return (
            f"kills {self.kills} (and of recover {self.recover_kills}), ended before {self.ended}, "
            f"faults {self.faults}, bytes accepted {self.accepted}, bytes lost {self.lost}, orphans {self.orphans}, "
            f"seconds {time.monotonic() - self.begun:.0f}"
        )


def play_round(place: Place, seed: int, tally: Tally, *, streams: int = 3, recover_kills: int = 1) -> None:
    """One round; whatever is wrong is noted in ``tally``, with the seed.

    Args:
        place: its gate is calm before and after.
        seed: of all dice of this round.
        tally: counts.
        streams: puts at once.
        recover_kills: how often recover is killed before it may finish.
    """
    dice = Random(seed)
    mode = dice.choice(MODES)
    gate, faults_before = place.gate, place.gate.faults
    gate.dice = Random(seed)
    gate.fault_rate = 0.25 if mode == "faults" else 0.0
    gate.losing = {"complete", "create", "put"} if mode == "lost answers" else set()
    puts = {}
    for _ in range(streams):
        data = stretch(dice, dice.randint(*dice.choice(SIZES)))
        key = place.key()
        durability = ["--durability", "power"] if dice.random() < 0.2 else []
        puts[key] = place.put(key, data, dice, *durability, endless=dice.random() < 0.3)
    codes = {key: _kill_some_time(put, dice, tally) for key, put in puts.items()}
    for key, put in list(puts.items()):
        if codes[key] == -9 and dice.random() < 0.2:
            puts[key] = again = place.put(key, put.data, dice, resume=True)
            again.accepted = put.accepted
            codes[key] = _kill_some_time(again, dice, tally) if dice.random() < 0.5 else again.join()
    if mode == "aborted":
        place.abort_uploads()
    _recover(place, dice, tally, kills=recover_kills)
    gate.calm()
    place.recover_all()
    tally.faults += gate.faults - faults_before
    for key, put in puts.items():
        problem = judge(place, key, put, codes[key], tally)
        if problem:
            tally.wrong.append(f"seed {seed} ({mode}), {key}: {problem}")
        place.forget(key)
    if left := place.left_in_state():
        tally.orphans += len(left)
        tally.wrong.append(f"seed {seed} ({mode}): left in the state directory: {left}")


def _kill_some_time(put: Put, dice: Random, tally: Tally) -> int:
    """Kill a put when it has accepted so much, has got all of its input, or some time after its start."""
    moment = dice.choice(["bytes", "bytes", "fed", "time"])
    pause_s = dice.choice([0.0, dice.random() * 0.02, dice.random() * 0.3])
    if moment == "bytes":
        least = dice.randint(0, len(put.data))
        put.wait_for(lambda: put.accepted >= least or put.fed.is_set())
    elif moment == "fed":
        put.wait_for(put.fed.is_set)
    else:
        pause_s = max(0.0, put.started + dice.random() * 1.5 - time.monotonic())
    time.sleep(pause_s)
    code = put.kill()
    tally.accepted += put.accepted
    tally.kills += code == -9
    tally.ended += code != -9
    return code


def _recover(place: Place, dice: Random, tally: Tally, *, kills: int) -> None:
    """Recover, two at once now and then, and kill it at some moment, again and again."""
    for _ in range(kills):
        running = [place.recover() for _ in range(dice.choice([1, 1, 2]))]
        time.sleep(0.2 + dice.random() * 0.5)
        for one in running:
            one.kill()
            tally.recover_kills += one.process.returncode == -9


def judge(place: Place, key: str, put: Put, code: int, tally: Tally) -> str:
    """What is wrong with what is left of a put; nothing, if all is well."""
    if orphans := place.open_uploads(key):
        tally.orphans += len(orphans)
        return f"the store has open uploads: {orphans}"
    if code not in (-9, 0, 1, 5):
        return f"it ended with {code}: {put.complaints!r}"
    found = place.found(key)
    body = b"" if found.body is None else found.body
    if len(body) < put.accepted:
        tally.lost += put.accepted - len(body)
        return f"{put.accepted} bytes were accepted, but the object has {len(body)}"
    if body != put.data[: len(body)]:
        tally.lost += put.accepted
        return "the object is not a prefix of the input"
    if code == 0 and (found.body is None or len(body) != len(put.data) or found.marked):
        return f"it ended well, but the object has {len(body)} of {len(put.data)} bytes, marked: {found.marked}"
    if found.body is not None and len(body) < len(put.data) and not found.marked:
        return f"a beginning of {len(body)} bytes is not marked as incomplete"
    return ""
