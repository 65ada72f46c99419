"""What is in the store and in the state directory after each way to end with durability, and what is recovered.

Like ``support.outcomes``, whose words it uses; the tests are ``tests/faults/test_durable_outcomes.py`` in one process,
and ``tests/integration/test_durable_signals.py`` for those ways that a signal to a real process brings about.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from support.outcomes import (
    AMOUNTS,
    ANY,
    BYTES,
    CAME,
    EMPTY,
    INPUT_ENDED,
    MARKED,
    NONE,
    NOTHING,
    PARTS,
    STOPPED,
    WHOLE,
    each,
)

CANCEL_POLICIES = ("commit", "abort", "keep")
ERROR_POLICIES = ("keep", "commit", "abort")
CRASH_POLICIES = ("commit", "keep", "abort")

OPEN = "1 of several parts"
"""Uploads that are open: one if parts have been sent, none if nothing was sent yet."""

CLEAN, KEPT = "nothing", "kept"
WAITS = "kept, to be resumed"
SAME = "-"
AS_BEFORE, EXIT_KEPT = "as without", "5"


@dataclass(frozen=True)
class DurableEnding:
    """A way in which a run of a durable writer ends; ``any`` stands for each value there is.

    Attributes:
        ways: the functions that bring it about.
        words: the same for people.
        sent, on_cancel, on_error, on_crash: what had come until then, and the policies.
        object, uploads: what is under the key then, and how many uploads are open.
        exit: the exit code, where it is not that of a run without durability.
        left: what is in the state directory.
        recovered: what ``penstock recover`` makes of it.
    """

    ways: tuple[str, ...]
    words: str
    sent: str
    on_cancel: str
    on_error: str
    on_crash: str
    object: str = NONE
    uploads: int | str = 0
    exit: str = AS_BEFORE
    left: str = CLEAN
    recovered: str = SAME

    def cases(self) -> list[tuple[str, str, str, str]]:
        """Every combination of amount and policies that the row speaks of."""
        policies = (
            each(self.on_cancel, CANCEL_POLICIES),
            each(self.on_error, ERROR_POLICIES),
            each(self.on_crash, CRASH_POLICIES),
        )
        return list(product(each(self.sent, AMOUNTS), *policies))

    def runs(self) -> list[tuple[str, str, str, str]]:
        """Of these cases so many that every amount meets every value of every policy."""
        made = []
        for sent in dict.fromkeys(case[0] for case in self.cases()):
            policies = list(zip(*(case[1:] for case in self.cases()), strict=True))
            values = [list(dict.fromkeys(column)) for column in policies]
            longest = max(map(len, values))
            made += [(sent, *(one[turn % len(one)] for one in values)) for turn in range(longest)]
        return made

    def open_uploads(self, sent: str) -> int:
        """How many are open after so much was sent."""
        return int(sent == PARTS) if self.uploads == OPEN else int(self.uploads)


def kept(ways: tuple[str, ...], words: str, sent: str, on_error: str, exit_code: str) -> tuple[DurableEnding, ...]:
    """The three rows of an input that did not end: ``on_crash`` decides when it is recovered."""
    row = (ways, words, sent, ANY, on_error)
    outcomes = (("commit", MARKED), ("keep", WAITS), ("abort", NONE))
    return tuple(DurableEnding(*row, policy, NONE, OPEN, exit_code, KEPT, made) for policy, made in outcomes)


KEEPS = "commit or keep"
FAILED = ("input_fails", "cut_short")
FAILED_WORDS = "the input failed, or the run was cut short while data came: the drain deadline, a second signal"
CUT_AT_COMMIT = "the run was cut short, but the input had ended: the commit was under way"
KILLED = ("killed",)
KILLED_WORDS = "the process was killed while data came"
NOT_BINARY = "a packet was not Binary"
REFUSES = "the store failed for good"
FAILS_IN_OUTAGE = "the store was away beyond `retry` while data came, with `on_outage: fail`"

DURABLE_ENDINGS = (
    DurableEnding(("input_ends",), INPUT_ENDED, NOTHING, ANY, ANY, ANY, EMPTY),
    DurableEnding(("input_ends",), INPUT_ENDED, BYTES, ANY, ANY, ANY, WHOLE),
    DurableEnding(("stopped",), STOPPED, NOTHING, ANY, ANY, ANY),
    DurableEnding(("stopped",), STOPPED, BYTES, "commit", ANY, ANY, CAME),
    DurableEnding(("stopped",), STOPPED, BYTES, "abort", ANY, ANY),
    DurableEnding(("stopped",), STOPPED, BYTES, "keep", ANY, ANY, NONE, OPEN, AS_BEFORE, KEPT, WAITS),
    DurableEnding(FAILED, FAILED_WORDS, NOTHING, ANY, ANY, ANY),
    DurableEnding(FAILED, FAILED_WORDS, BYTES, ANY, "abort", ANY),
    DurableEnding(FAILED, FAILED_WORDS, BYTES, ANY, "commit", ANY, MARKED),
    *kept(FAILED, FAILED_WORDS, BYTES, "keep", EXIT_KEPT),
    DurableEnding(
        ("rescue_fails",),
        "the input failed, and the store did not take what had come within 10 s",
        *(BYTES, ANY, "commit", ANY, NONE, OPEN, EXIT_KEPT, KEPT, MARKED),
    ),
    DurableEnding(("cut_at_commit",), CUT_AT_COMMIT, BYTES, "commit", "abort", ANY),
    DurableEnding(("cut_at_commit",), CUT_AT_COMMIT, BYTES, "commit", "commit", ANY, CAME),
    DurableEnding(("cut_at_commit",), CUT_AT_COMMIT, BYTES, "commit", "keep", ANY, NONE, OPEN, EXIT_KEPT, KEPT, CAME),
    DurableEnding(("store_refuses",), REFUSES, ANY, ANY, "abort", ANY),
    DurableEnding(("store_refuses",), REFUSES, NOTHING, ANY, KEEPS, ANY, NONE, 0, EXIT_KEPT, KEPT, EMPTY),
    DurableEnding(("store_refuses",), REFUSES, BYTES, ANY, KEEPS, ANY, NONE, OPEN, EXIT_KEPT, KEPT, WHOLE),
    DurableEnding(
        ("store_is_gone",), f"{REFUSES}, the abort too", PARTS, ANY, "abort", ANY, NONE, 1, AS_BEFORE, KEPT, NONE
    ),
    DurableEnding(
        ("outage_ends",),
        "the store was away beyond `retry` while data came, and came back, with `on_outage: wait`",
        *(PARTS, ANY, ANY, ANY, WHOLE),
    ),
    DurableEnding(("outage_fails",), FAILS_IN_OUTAGE, PARTS, ANY, "abort", ANY),
    *kept(("outage_fails",), FAILS_IN_OUTAGE, PARTS, KEEPS, EXIT_KEPT),
    DurableEnding(("input_is_not_binary",), NOT_BINARY, NOTHING, ANY, ANY, ANY),
    DurableEnding(("input_is_not_binary",), NOT_BINARY, BYTES, ANY, "abort", ANY),
    *kept(("input_is_not_binary",), NOT_BINARY, BYTES, KEEPS, EXIT_KEPT),
    DurableEnding(KILLED, KILLED_WORDS, NOTHING, ANY, ANY, ANY),
    *kept(KILLED, KILLED_WORDS, BYTES, ANY, AS_BEFORE),
    DurableEnding(
        ("killed_at_commit",),
        "the process was killed, but the input had ended: the commit was under way",
        *(BYTES, ANY, ANY, ANY, NONE, OPEN, AS_BEFORE, KEPT, WHOLE),
    ),
)
DURABLE_CASES = [(way, *case) for row in DURABLE_ENDINGS for way in row.ways for case in row.cases()]
OF_PROCESSES = {"killed", "killed_at_commit"}
