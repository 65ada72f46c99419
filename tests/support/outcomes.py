"""What is in the store after each way to end: the table that the tests go by and that the documentation shows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

ANY = "any"
NOTHING, SOME, PARTS = "nothing", "under a part", "several parts"
AMOUNTS = (NOTHING, SOME, PARTS)
POLICIES = ("commit", "abort")

WHOLE, EMPTY, CAME, MARKED, NONE = "whole", "empty", "what came", "what came, marked", "none"
ENDS, FAILS, CUT_OFF = "ends after the commit", "fails", "is cut off"


@dataclass(frozen=True)
class Ending:
    """A way in which a run of the writer ends; ``any`` stands for each value there is.

    Attributes:
        way: the name of the function in ``test_outcomes`` or ``test_outcomes_of_signals`` that brings it about.
        words: the same for people.
        sent: what had come until then.
        object, uploads, out: what is under the key, how many uploads are open, and how the output ends.
    """

    way: str
    words: str
    sent: str
    on_cancel: str
    on_error: str
    object: str
    uploads: int
    out: str

    def cases(self) -> list[tuple[str, str, str]]:
        """Every combination of amount, on_cancel and on_error that the row speaks of."""
        return list(product(each(self.sent, AMOUNTS), each(self.on_cancel, POLICIES), each(self.on_error, POLICIES)))


def each(value: str, values: tuple[str, ...]) -> list[str]:
    """The values that a cell of a row stands for."""
    return [one for one in values if value == ANY or one in value.split(" or ")]


BYTES = f"{SOME} or {PARTS}"
INPUT_ENDED = "the input ended"
STOPPED = "a stop was asked for (SIGINT, SIGTERM), and the rest drained in time"
INPUT_FAILED = "the input failed"
CUT_SHORT = "the run was cut short while data came: the drain deadline, a second signal"
CUT_AT_COMMIT = "the same, but the input had ended: the commit was under way"

ENDINGS = (
    Ending("input_ends", INPUT_ENDED, NOTHING, ANY, ANY, EMPTY, 0, ENDS),
    Ending("input_ends", INPUT_ENDED, BYTES, ANY, ANY, WHOLE, 0, ENDS),
    Ending("stopped", STOPPED, NOTHING, ANY, ANY, NONE, 0, FAILS),
    Ending("stopped", STOPPED, BYTES, "commit", ANY, CAME, 0, ENDS),
    Ending("stopped", STOPPED, BYTES, "abort", ANY, NONE, 0, FAILS),
    Ending("input_fails", INPUT_FAILED, NOTHING, ANY, ANY, NONE, 0, FAILS),
    Ending("input_fails", INPUT_FAILED, BYTES, ANY, "abort", NONE, 0, FAILS),
    Ending("input_fails", INPUT_FAILED, BYTES, ANY, "commit", MARKED, 0, FAILS),
    Ending("cut_short", CUT_SHORT, NOTHING, ANY, ANY, NONE, 0, FAILS),
    Ending("cut_short", CUT_SHORT, BYTES, ANY, "abort", NONE, 0, FAILS),
    Ending("cut_short", CUT_SHORT, BYTES, ANY, "commit", MARKED, 0, FAILS),
    Ending("cut_at_commit", CUT_AT_COMMIT, BYTES, "commit", "abort", NONE, 0, FAILS),
    Ending("cut_at_commit", CUT_AT_COMMIT, BYTES, "commit", "commit", CAME, 0, FAILS),
    Ending("store_refuses", "the store failed for good", ANY, ANY, ANY, NONE, 0, FAILS),
    Ending("store_is_gone", "the store failed for good, the abort too", PARTS, ANY, ANY, NONE, 1, FAILS),
    Ending("input_is_not_binary", "a packet was not Binary", ANY, ANY, ANY, NONE, 0, FAILS),
    Ending("killed", "the process was killed", f"{NOTHING} or {SOME}", ANY, ANY, NONE, 0, CUT_OFF),
    Ending("killed", "the process was killed", PARTS, ANY, ANY, NONE, 1, CUT_OFF),
)
CASES = [(row, *case) for row in ENDINGS for case in row.cases()]


@dataclass(frozen=True)
class Way:
    """A way to leave the block of ``open_object``, of ``open_object_sync``, or of both.

    Attributes:
        words: for people.
        face: which of the two.
        object, uploads: what is under the key, and how many uploads are open.
        ways: the functions in ``test_ways_to_leave`` that do it.
    """

    words: str
    face: str
    object: str
    uploads: int
    ways: tuple[str, ...]


WAYS = (
    Way("clean end", "both", WHOLE, 0, ("leave_cleanly", "leave_the_file_cleanly")),
    Way("exception in the block", "both", NONE, 0, ("raise_in_the_block", "raise_beside_the_file")),
    Way("`out.close()`, then an exception", "`_sync`", NONE, 0, ("close_the_file_and_raise",)),
    Way("cancelled scope or task", "async", NONE, 0, ("cancel_the_scope", "cancel_the_task")),
    Way("failure of another task of the group", "async", NONE, 0, ("fail_beside_it",)),
    Way("closed generator around it", "both", NONE, 0, ("close_the_generator", "close_the_generator_of_the_file")),
    Way("KeyboardInterrupt", "both", NONE, 0, ("interrupt", "interrupt_the_file")),
    Way("end of `asyncio.run` before it", "async", NONE, 0, ("stop_the_loop",)),
    Way("never left, and garbage-collected", "`_sync`", NONE, 0, ("forget_the_file",)),
    Way("loop closed under it, and garbage-collected", "async", NONE, 1, ("forget_it",)),
    Way("exit of the interpreter", "`_sync`", NONE, 0, ("leave_the_interpreter",)),
)
