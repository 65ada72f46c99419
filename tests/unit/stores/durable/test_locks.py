"""Why an upload is left alone, in words that are true of whoever holds it."""

import os
import subprocess
import sys

import pytest

from penstock.stores.durable import StateDirectory
from penstock.stores.durable.locks import Lock, why_locked
from penstock.stores.durable.recover import Recovery, recover


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "uploads" / "token"
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    ("purpose", "does"),
    [("write", "writes to it"), ("recover", "recovers it"), ("sweep", "looks at it, for a sweep")],
)
async def test_recover_says_who_holds_what_it_leaves_alone_and_what_for(tmp_path, directory, purpose, does):
    lock = Lock.take(directory, purpose)
    (one,) = [found async for found in recover(StateDirectory(tmp_path), lambda record: None)]
    assert (one.outcome, one.reason) == (Recovery.BUSY, f"process {os.getpid()} {does}")
    lock.release()


def test_one_who_has_gone_is_not_named(directory):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (directory / "lock").write_text(f"{gone.pid} write\n")  # who holds it now has not signed yet
    assert why_locked(directory) == "another process holds it"


@pytest.mark.parametrize("text", ["", "write", "1 juggle", f"{10**30} write"])
def test_a_lock_that_says_nothing_of_use_is_held_by_another(directory, text):
    (directory / "lock").write_text(text)
    assert why_locked(directory) == "another process holds it"
