import asyncio
import logging
import math
from datetime import UTC, datetime, timedelta

import pytest

from penstock.stores.multipart import age as module
from penstock.stores.multipart.age import POSTPONE_S, UploadAge, warning_of_age

DAY_S = 86_400.0


class Wall:
    """A clock on the wall, moved by hand."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def test_an_upload_should_end_at_four_fifths_of_what_its_store_allows():
    wall = Wall()
    age = UploadAge(DAY_S, now=wall)
    age.begin()
    for moved, left in ((0, 69_120), (69_119, 1), (1, 0), (1, -1)):
        wall.move(moved)
        assert age.left_s == pytest.approx(left)


def test_time_counts_from_the_opening():
    wall = Wall()
    age = UploadAge(DAY_S, now=wall)
    wall.move(2 * DAY_S)
    assert age.left_s == 0.8 * DAY_S  # nothing is open yet
    age.begin()
    assert age.left_s == 0.8 * DAY_S
    wall.move(DAY_S)
    age.begin()  # the store has lost it, and it was opened again
    assert age.left_s == 0.8 * DAY_S


def test_an_upload_that_another_process_has_opened_is_as_old_as_it_says():
    wall = Wall()
    age = UploadAge(DAY_S, now=wall)
    age.begin(wall.time - timedelta(hours=20))
    assert age.left_s == pytest.approx(-0.8 * 3600)


def test_where_the_store_drops_nothing_there_is_always_time():
    age = UploadAge(None)
    age.begin(datetime(1970, 1, 1, tzinfo=UTC))
    assert age.left_s == math.inf


def test_while_the_store_is_away_the_end_waits_for_it():
    wall, away = Wall(), [True]
    age = UploadAge(DAY_S, lambda: away[0], wall)
    age.begin()
    wall.move(DAY_S)
    assert age.left_s == POSTPONE_S
    away[0] = False
    assert age.left_s == pytest.approx(-0.2 * DAY_S)


@pytest.fixture
def warnings(caplog, monkeypatch):
    monkeypatch.setattr(module.logger, "propagate", True)
    caplog.set_level(logging.WARNING, logger="penstock")
    return caplog


async def test_a_warning_comes_once_although_no_data_does_and_not_before_the_upload_is_that_old(warnings):
    age = UploadAge(0.25)
    with warning_of_age(age, "s3://b/k"):
        await asyncio.sleep(0.15)
        age.begin()  # the first look, 0.2 s after the beginning, is too early for it
        await asyncio.sleep(0.1)
        assert warnings.records == []
        await asyncio.sleep(0.15)
        assert len(warnings.records) == 1
        await asyncio.sleep(0.1)
    (record,) = warnings.records
    assert "the upload of s3://b/k has been open for" in record.message
    assert "drops what is unfinished" in record.message


async def test_an_upload_that_ends_in_time_is_not_warned_of(warnings):
    age = UploadAge(0.05)
    with warning_of_age(age, "s3://b/k"):
        age.begin()
    with warning_of_age(UploadAge(None), "s3://b/k"):
        pass
    await asyncio.sleep(0.1)
    assert warnings.records == []
