"""The long form: ``python -m torture --kills 200 --seed 1 --minutes 10``, from the directory of the tests.

Prints a line for what goes wrong and a summary; the exit code is 1 if bytes were lost or something was left behind.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from torture.outage import Outage, suffer
from torture.own_store import own_store
from torture.place import place_at
from torture.rounds import Tally, play_round


def say(line: str) -> None:
    """At once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Play rounds until there are enough kills, or the time is over."""
    parser = argparse.ArgumentParser(description="Kill puts and recovers at random moments, and count what is lost.")
    parser.add_argument("--kills", type=int, default=200, help="of puts")
    parser.add_argument("--minutes", type=float, default=15.0, help="after which it ends anyway")
    parser.add_argument("--seed", type=int, default=None, help="of the first round; the next has the next")
    parser.add_argument("--streams", type=int, default=3, help="puts at once")
    parser.add_argument("--outage", type=float, default=10.0, help="seconds for ten minutes of outage; 600 is no scale")
    given = parser.parse_args()
    seed = random.randrange(1 << 30) if given.seed is None else given.seed
    say(f"seed {seed}")
    tally = Tally()
    with (
        tempfile.TemporaryDirectory(prefix="penstock-torture-") as home,
        own_store(Path(home) / "store") as store,
        place_at(store.server, Path(home) / "state") as place,
    ):
        while tally.kills < given.kills and time.monotonic() - tally.begun < given.minutes * 60:
            told = len(tally.wrong)
            play_round(place, seed, tally, streams=given.streams, own=store)
            for line in tally.wrong[told:]:
                say(line)
            seed += 1
        suffered = suffer(place, Outage(given.outage), random.Random(seed)) if given.outage else None
    for line in suffered.wrong if suffered else ():
        say(f"outage: {line}")
    say(f"torture: {tally}")
    if suffered:
        say(f"outage: {suffered}")
    if tally.kills < given.kills:
        say(f"only {tally.kills} of {given.kills} kills in {given.minutes:g} minutes")
    return int(bool(tally.wrong or tally.lost or tally.orphans or (suffered and suffered.wrong)))


if __name__ == "__main__":
    sys.exit(main())
