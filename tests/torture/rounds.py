"""Rounds of random kills: several puts in one state directory, each killed at its moment, then recovers, killed too."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from support.spools import small_disk
from torture.damage import fill, harm
from torture.place import MIB, stretch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torture.own_store import OwnStore
    from torture.place import Place
    from torture.processes import Put

LARGEST = 40 * MIB
SIZES = ((0, 1), (1, 65536), (65536, 5 * MIB), (5 * MIB, 11 * MIB), (5 * MIB, LARGEST))
"""Ranges of the sizes of streams: around what is one put, two parts, and many."""

MODES = ("plain", "plain", "faults", "faults", "lost answers", "aborted", "store killed", "damaged", "full disk")

DISK = 16 * MIB
"""Bytes of a small disk; what puts and recovers find free of it changes."""


@dataclass
class Tally:
    """What has happened so far; bytes lost and orphans are what must not.

    Bytes that are known to be lost are those of journals that were damaged and set aside, with the reason.
    """

    kills: int = 0
    recover_kills: int = 0
    store_kills: int = 0
    ended: int = 0
    faults: int = 0
    damaged: int = 0
    full: int = 0
    accepted: int = 0
    known_lost: int = 0
    lost: int = 0
    orphans: int = 0
    wrong: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return (
            f"kills {self.kills} (and {self.recover_kills} of recover, {self.store_kills} of the store), "
            f"ended before {self.ended}, faults {self.faults}, files damaged {self.damaged}, disks filled {self.full}, "
            f"bytes accepted {self.accepted}, bytes known to be lost {self.known_lost}, bytes lost {self.lost}, "
            f"orphans {self.orphans}, seconds {time.monotonic() - self.begun:.0f}"
        )


def play_round(
    place: Place,
    seed: int,
    tally: Tally,
    *,
    streams: int = 3,
    recover_kills: int = 1,
    mode: str = "",
    own: OwnStore | None = None,
) -> None:
    """One round; whatever is wrong is noted in ``tally``, with the seed.

    Args:
        place: its gate is calm before and after.
        seed: of all dice of this round.
        tally: counts.
        streams: puts at once.
        recover_kills: how often recover is killed before it may finish.
        mode: what happens beside kills; by default drawn of what can be done here.
        own: the store, if it may be killed.
    """
    dice = Random(seed)
    mode = mode or dice.choice([one for one in MODES if own is not None or one != "store killed"])
    faults_before = place.gate.faults
    with ExitStack() as stack:
        round_ = _Round(place, seed, mode, dice, tally)
        if mode == "full disk":
            directory = place.state.with_name(f"disk-{seed}")
            if stack.enter_context(small_disk(directory, DISK)) is None:
                return
            round_ = _Round(replace(place, state=directory / "state"), seed, mode, dice, tally)
            round_.disk = directory
        with _killing(own, dice, tally) if own is not None and mode == "store killed" else nullcontext():
            round_.kill_puts(streams)
        round_.kill_recovers(recover_kills)
        place.gate.calm()
        round_.place.recover_all()
        round_.judge()
    tally.faults += place.gate.faults - faults_before


@contextmanager
def _killing(own: OwnStore, dice: Random, tally: Tally) -> Iterator[None]:
    """Kill the store at some moment, and start it again some time later, at the end of the block at the latest."""
    moments = dice.random() * 0.8, dice.random() * 0.8

    def kill() -> None:
        time.sleep(moments[0])
        own.kill()
        time.sleep(moments[1])
        own.start()

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(kill)
        yield
        done.result()
    tally.store_kills += 1


class _Round:
    """One round on its way; ``disk`` is the small one, if there is one."""

    def __init__(self, place: Place, seed: int, mode: str, dice: Random, tally: Tally) -> None:
        self.place = place
        self.disk: Path | None = None
        self._harmed: dict[str, tuple[str, str]] = {}  # by the names of journals, their keys and what was done
        self._name = f"seed {seed} ({mode})"
        self._mode = mode
        self._dice = dice
        self._tally = tally
        self._puts: dict[str, Put] = {}
        self._codes: dict[str, int] = {}
        gate = place.gate
        gate.dice = Random(seed)
        gate.fault_rate = 0.25 if mode == "faults" else 0.0
        gate.losing = {"complete", "create", "put"} if mode == "lost answers" else set()

    def kill_puts(self, streams: int) -> None:
        """Start puts, kill each at its moment, resume some, and do to what they leave what the mode says."""
        dice, place = self._dice, self.place
        with self._less_room():
            for _ in range(streams):
                data = stretch(dice, dice.randint(*dice.choice(SIZES)))
                key = place.key()
                durability = ["--durability", "power"] if dice.random() < 0.2 else []
                self._puts[key] = place.put(key, data, dice, *durability, endless=dice.random() < 0.3)
            for key, put in self._puts.items():
                self._codes[key] = self._kill_some_time(put)
            for key, put in list(self._puts.items()):
                if self._codes[key] == -9 and dice.random() < 0.2:
                    self._resume(key, put)
        if self._mode == "aborted":
            place.abort_uploads()
        if self._mode == "damaged":
            self._harm()

    def kill_recovers(self, kills: int) -> None:
        """Recover, two at once now and then, and kill it at some moment, again and again."""
        with self._less_room():
            for _ in range(kills):
                running = [self.place.recover() for _ in range(self._dice.choice([1, 1, 2]))]
                time.sleep(0.05 + self._dice.random() * 0.4)
                for one in running:
                    one.kill()
                    self._tally.recover_kills += one.process.returncode == -9

    def judge(self) -> None:
        """Note all that is wrong, and leave nothing behind."""
        aside = self._look_aside()
        for key, put in self._puts.items():
            code = self._codes[key]
            known = judge_aside(self.place, key, put, self._tally) if key in aside else None
            problem = judge(self.place, key, put, code, self._tally) if known is None else known
            if problem:
                self._note(f"{key}: {problem}")
            self.place.forget(key)
        if left := self.place.left_in_state():
            self._tally.orphans += len(left)
            self._note(f"left in the state directory: {left}")

    # -- inside ---------------------------------------------------------------------------------------

    def _note(self, problem: str) -> None:
        self._tally.wrong.append(f"{self._name}, {problem}")

    def _resume(self, key: str, put: Put) -> None:
        self._puts[key] = again = self.place.put(key, put.data, self._dice, resume=True)
        again.accepted = put.accepted
        to_the_end = self._mode != "full disk" and self._dice.random() < 0.5
        self._codes[key] = again.join() if to_the_end else self._kill_some_time(again)

    def _kill_some_time(self, put: Put) -> int:
        """Kill a put when it has accepted so much, has got all of its input, or some time after its start."""
        dice, tally = self._dice, self._tally
        moment = dice.choice(["bytes", "bytes", "fed", "time"])
        pause_s = dice.choice([0.0, dice.random() * 0.02, dice.random() * 0.3])
        patience_s = 60 if self.disk is None else 1  # of puts that share a full disk none may get on
        if moment == "bytes":
            least = dice.randint(0, len(put.data))
            put.wait_for(lambda: put.accepted >= least or put.fed.is_set(), patience_s)
        elif moment == "fed":
            put.wait_for(put.fed.is_set, patience_s)
        else:
            pause_s = max(0.0, put.started + dice.random() * 1.0 - time.monotonic())
        time.sleep(pause_s)
        code = put.kill()
        tally.accepted += put.accepted
        tally.kills += code == -9
        tally.ended += code != -9
        return code

    @contextmanager
    def _less_room(self) -> Iterator[None]:
        """Take some of the small disk, or all of it."""
        if self.disk is None:
            yield
            return
        filler = fill(self.disk, self._dice.choice([0, self._dice.randrange(DISK), DISK]))
        self._tally.full += 1
        try:
            yield
        finally:
            filler.unlink()

    def _harm(self) -> None:
        """Damage most of the journals that are there."""
        for directory in sorted((self.place.state / "uploads").glob("[!.]*")):
            text = (directory / "upload.json").read_text()
            key = next(key for key in self._puts if key in text)
            if self._dice.random() < 0.8 and (done := harm(directory, self._dice)):
                self._harmed[directory.name] = key, done
                self._tally.damaged += 1

    def _look_aside(self) -> set[str]:
        """The keys of the journals that were set aside, which are removed, and their uploads swept."""
        keys = set()
        for directory in sorted(self.place.state.glob("aside/*")):
            key, done = self._harmed.get(directory.name, ("", "nothing"))
            reason = directory / "reason.txt"
            if not key or not reason.exists() or not reason.read_text().strip():
                self._note(f"{directory.name} was set aside after {done} was done to it, and does not say why")
            keys.add(key)
        if keys:
            self.place.sweep()
            shutil.rmtree(self.place.state / "aside")
        return keys


def judge_aside(place: Place, key: str, put: Put, tally: Tally) -> str:
    """The same, of one whose journal was damaged and set aside: its bytes are lost, but everybody knows."""
    found = place.found(key)
    if found.body is None:
        tally.known_lost += put.accepted
    elif found.body != put.data[: len(found.body)] or len(found.body) < put.accepted:
        return "the object is not what was accepted, though its journal was set aside"
    if orphans := place.open_uploads(key):
        tally.orphans += len(orphans)
        return f"sweep leaves open uploads of a journal that was set aside: {orphans}"
    return ""


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
