"""The parameters of durability: what goes together, and what the store layer makes of them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

import penstock
from penstock.errors import ConfigurationError
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.objects.opening import upload_options

MIB = 1 << 20
PLACE = {"url": "file:takes/k"}


def configure(**parameters):
    return ObjectStoreWriterConfig(**PLACE, **parameters)


def test_nothing_is_durable_unless_it_is_asked_for():
    config = configure()
    assert (config.durability, config.resume, config.on_crash, config.on_outage) == ("none", False, "commit", "wait")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"on_cancel": "keep"}, "on_cancel: keep"),
        ({"on_error": "keep"}, "on_error: keep"),
        ({"on_outage": "fail"}, "on_outage: fail"),
        ({"on_outage": "drop_oldest"}, "on_outage: drop_oldest"),
        ({"resume": True}, "resume"),
    ],
)
def test_what_needs_something_to_go_on_with_needs_durability(given, named):
    with pytest.raises(ValidationError, match=f"{named} needs durability: crash or power"):
        configure(**given)
    for level in ("crash", "power"):
        assert configure(durability=level, **given).durability == level


def test_a_spool_holds_a_part_at_least():
    for size in (5 * MIB, 8 * MIB):
        configure(durability="crash", chunk_size=size, spool_limit=size)
    with pytest.raises(ValidationError, match="spool_limit must hold one part of chunk_size: at least 8388608"):
        configure(durability="crash", chunk_size=8 * MIB, spool_limit=8 * MIB - 1)
    with pytest.raises(ValidationError):
        configure(durability="crash", spool_limit=5 * MIB - 1)


@pytest.mark.parametrize("wrong", [-0.001, 60.001, "often"])
def test_the_time_between_syncs_is_of_a_minute_at_most(wrong):
    for right in (0, 0.05, 60):
        assert configure(sync_interval_s=right).sync_interval_s == right
    with pytest.raises(ValidationError):
        configure(sync_interval_s=wrong)


def test_the_limits_are_those_of_the_spool():
    limits = configure(spool_limit="100MiB", spool_retain=0, sync_interval_s=1).spool_limits(4)
    assert (limits.spool_bytes, limits.retain_bytes) == (100 * MIB, 0)
    assert (limits.spare_slots, limits.sync_interval_s) == (5, 1)


def test_the_state_directory_is_the_one_given_or_that_of_the_environment_or_that_of_the_user(monkeypatch):
    monkeypatch.setenv("PENSTOCK_STATE", "elsewhere")
    assert configure(state="here").state_directory().path == Path("here")
    assert configure().state_directory().path == Path("elsewhere")
    monkeypatch.delenv("PENSTOCK_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setattr("sys.platform", "linux")
    assert configure().state_directory().path == Path("state/penstock")


@pytest.mark.parametrize(
    ("on_error", "made"), [(None, "keep"), ("keep", "keep"), ("commit", "keep"), ("abort", "abort")]
)
def test_what_is_not_committed_in_the_end_is_kept_unless_it_is_to_be_aborted(on_error, made):
    assert upload_options(configure(durability="crash", on_error=on_error)).on_error == made


@pytest.mark.parametrize(
    ("url", "reason"),
    [("memory://takes/k", "ends with the process"), ("opendal+memory:///k", "needs a store with multipart upload")],
)
async def test_a_store_that_another_process_cannot_go_on_with_is_refused_at_the_start(tmp_path, url, reason):
    with pytest.raises(ConfigurationError, match=reason):
        async with penstock.open_object(url, durability="crash", state=tmp_path):
            pytest.fail("it was opened")
    assert list(tmp_path.iterdir()) == []
