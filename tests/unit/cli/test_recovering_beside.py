"""What is recovered beside a run when the run ends: finished if it is soon done, and not after a signal."""

from importlib import import_module
from types import SimpleNamespace

import anyio
import pytest

from penstock.cli.recover import recovering
from penstock.nodes.objects.durability import DurabilityParameters
from penstock.stores.durable.plan import Recovered, Recovery

module = import_module("penstock.cli.recover")  # whose name in the package is the command's


@pytest.fixture
def configs(tmp_path):
    return [DurabilityParameters(durability="crash", state=tmp_path)]


class Work:
    """Takes the place of ``recover``: uploads that are finished one by one, when ``go`` is set."""

    def __init__(self, monkeypatch):
        self.go, self.begun = anyio.Event(), anyio.Event()
        self.cut = False
        self.told = []
        monkeypatch.setattr(module, "recover", self.recover)

    async def recover(self, *_):
        try:
            for token in "abc":
                self.begun.set()
                await self.go.wait()
                yield Recovered(token, Recovery.COMMITTED)
        except anyio.get_cancelled_exc_class():
            self.cut = True
            raise

    def tell(self, one):
        self.told.append(one.token)


@pytest.fixture
def work(monkeypatch):
    return Work(monkeypatch)


async def test_the_upload_that_is_being_recovered_is_finished_and_no_other_begun(configs, work):
    async def end_soon():
        await anyio.wait_all_tasks_blocked()
        work.go.set()

    async with anyio.create_task_group() as group, recovering(configs, anyio.Event(), work.tell):
        await work.begun.wait()
        group.start_soon(end_soon)
    assert (work.told, work.cut) == (["a"], False)


async def test_all_that_is_done_before_the_end_is_done(configs, work):
    work.go.set()
    async with recovering(configs, anyio.Event(), work.tell):
        await anyio.wait_all_tasks_blocked()
    assert work.told == ["a", "b", "c"]


async def test_one_that_takes_too_long_is_cut_off(configs, work, monkeypatch):
    monkeypatch.setattr(module, "GRACE_S", 0.01)
    async with recovering(configs, anyio.Event(), work.tell):
        await work.begun.wait()
    assert (work.told, work.cut) == ([], True)


@pytest.mark.parametrize("when", ["before the end", "in the grace"])
async def test_a_signal_leaves_no_grace(configs, work, when):
    hurry = anyio.Event()

    async def come():
        await anyio.wait_all_tasks_blocked()
        hurry.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, recovering(configs, hurry, work.tell):
            await work.begun.wait()
            if when == "before the end":
                hurry.set()
            else:
                group.start_soon(come)
    assert (work.told, work.cut) == ([], True)


async def test_a_failure_of_the_run_is_raised_at_once(configs, work):
    with anyio.fail_after(5), pytest.raises(ValueError, match="the run failed"):
        async with recovering(configs, anyio.Event(), work.tell):
            await work.begun.wait()
            raise ValueError("the run failed")
    assert work.cut


async def test_no_state_directory_begins_another_upload_while_the_end_waits_for_that_of_the_first():
    first, second = (SimpleNamespace(ending=False, done=anyio.Event()) for _ in range(2))
    async with anyio.create_task_group() as group:
        group.start_soon(module._finish, [first, second], anyio.Event())
        await anyio.wait_all_tasks_blocked()
        assert (first.ending, second.ending) == (True, True)
        first.done.set()
        second.done.set()


@pytest.mark.parametrize("where", ["in recovering", "in telling"])
async def test_a_mistake_of_recovering_is_told_and_does_not_end_the_run_beside_it(
    configs, work, monkeypatch, caplog, where
):
    async def broken(*_):
        work.begun.set()
        raise KeyError("a bug")
        yield

    def tell(_):
        raise KeyError("a bug")

    if where == "in recovering":
        monkeypatch.setattr(module, "recover", broken)
    work.go.set()
    async with recovering(configs, anyio.Event(), tell):
        await work.begun.wait()
        await anyio.wait_all_tasks_blocked()
        recorded = "to its end"
    assert recorded == "to its end"
    (record,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert f"what is left in {configs[0].state}, `penstock recover` finishes" in record.getMessage()
    assert record.exc_info[0] is KeyError
