"""Readings add up; meters that are gone have counted for good."""

import gc
import threading

import pytest

from penstock.metrics import METRICS, Histogram, Meters, Reading, UploadMeter
from penstock.metrics.names import BOUNDS_S
from penstock.telemetry import context

BIG = (1 << 53) - 1


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Owner:
    """Something with a size."""

    def __init__(self):
        self.sizes = (0, 0, 0)


def meter_of(owner, clock=None):
    facts = owner.__dict__  # not the owner, which would then live as long as its meter
    return UploadMeter("memory", lambda: facts["sizes"], clock or Clock())


def account(reading):
    names = ("bytes_total", "committed_bytes_total", "at_risk_bytes", "dropped_bytes_total")
    accepted, *rest = [reading.value(f"penstock_upload_{name}") for name in names]
    assert accepted == sum(rest)
    return (accepted, *rest)


def test_bytes_left_in_the_state_directory_are_kept_and_not_dropped():
    owner = Owner()
    owner.sizes = (10, 5, 0)
    meter, reading = meter_of(owner), Reading()
    meter.ended("kept")
    meter.read(reading)
    assert reading.value("penstock_upload_kept_bytes_total") == 10
    assert account_of(reading, "at_risk_bytes", "dropped_bytes_total", "committed_bytes_total") == 0
    assert reading.value("penstock_uploads_total", "kept") == 1


def account_of(reading, *names):
    return sum(reading.value(f"penstock_upload_{name}") for name in names)


def test_counters_of_many_meters_are_summed_and_ages_are_not():
    first, second = Reading(), Reading()
    first.put("penstock_upload_bytes_total", BIG)
    second.put("penstock_upload_bytes_total", 5)
    first.put("penstock_upload_oldest_unacked_seconds", 3.0)
    second.put("penstock_upload_oldest_unacked_seconds", 7.0)
    first.add(second)
    assert first.value("penstock_upload_bytes_total") == BIG + 5
    assert first.value("penstock_upload_oldest_unacked_seconds") == 7.0


def test_what_holds_for_an_instant_is_not_kept():
    kept, last = Reading(), Reading()
    last.put("penstock_upload_bytes_total", 5)
    last.put("penstock_upload_at_risk_bytes", 5)
    kept.add(last, gauges=False)
    assert (kept.value("penstock_upload_bytes_total"), kept.value("penstock_upload_at_risk_bytes")) == (5, 0)


def test_a_value_without_labels_given_is_that_of_all_labels():
    reading = Reading()
    reading.put("penstock_uploads_total", 2, "completed")
    reading.put("penstock_uploads_total", 3, "failed")
    assert reading.value("penstock_uploads_total") == 5
    assert reading.value("penstock_uploads_total", "failed") == 3
    assert reading.value("penstock_uploads_total", "aborted") == 0


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.005, 0), (0.0051, 1), (119.9, 13), (120.0, 13), (120.1, 14)]
)
def test_a_duration_is_in_the_first_bucket_that_holds_it(seconds, bucket):
    histogram = Histogram()
    histogram.observe(seconds)
    assert histogram.counts.index(1) == bucket
    assert len(histogram.counts) == len(BOUNDS_S) + 1


def test_a_reading_does_not_change_when_counting_goes_on():
    owner, meters = Owner(), Meters()
    meter = meter_of(owner)
    meters.open(meter, owner)
    meter.requested("put_part", "ok", 1.0)
    before = meters.collect()
    meter.requested("put_part", "ok", 1.0)
    key = ("penstock_object_store_request_duration_seconds", ("memory", "put_part"))
    assert sum(before.histograms[key].counts) == 1
    assert sum(meters.collect().histograms[key].counts) == 2


@pytest.mark.parametrize(
    ("outcome", "where"), [("completed", 1), ("incomplete", 1), ("aborted", 3), ("failed", 3), ("abandoned", 3)]
)
def test_the_bytes_of_an_ended_upload_are_where_its_outcome_says_also_after_it_is_closed(outcome, where):
    owner, meters = Owner(), Meters()
    meter = meter_of(owner)
    meters.open(meter, owner)
    owner.sizes = (1 << 40, 1 << 39, 2)
    assert account(meters.collect()) == (1 << 40, 0, 1 << 40, 0)
    assert meters.collect().value("penstock_upload_unacked_bytes") == 1 << 39
    meter.ended(outcome)
    for _ in range(2):
        reading = meters.collect()
        accepted = account(reading)
        assert (accepted[0], accepted[where]) == (1 << 40, 1 << 40)
        assert reading.value("penstock_uploads_total", outcome) == 1
        assert reading.value("penstock_uploads_in_progress") == reading.value("penstock_upload_parts_in_flight") == 0
        meters.close(meter)


def test_an_upload_that_nobody_ended_has_dropped_its_bytes_when_it_is_collected():
    meters = Meters()
    owner = Owner()
    meters.open(meter_of(owner), owner)
    owner.sizes = (10, 0, 0)
    del owner
    gc.collect()
    reading = meters.collect()
    assert account(reading) == (10, 0, 0, 10)
    assert reading.value("penstock_uploads_total", "abandoned") == 1


def test_a_collection_in_the_middle_of_a_reading_waits_for_no_lock():
    meters, owner, lost = Meters(), Owner(), Owner()

    class Collects(UploadMeter):
        def read(self, into):
            nonlocal lost
            lost = None  # freed here, while the lock is held
            super().read(into)

    meters.open(meter_of(lost), lost)
    facts = owner.__dict__
    meters.open(Collects("memory", lambda: facts["sizes"], Clock()), owner)
    done = threading.Thread(target=meters.collect, daemon=True)
    done.start()
    done.join(timeout=10)
    assert not done.is_alive()
    assert meters.collect().value("penstock_uploads_total", "abandoned") == 1


def test_the_age_is_that_of_the_oldest_part_that_is_not_stored():
    owner, clock = Owner(), Clock()
    meter = meter_of(owner, clock)

    def age():
        reading = Reading()
        meter.read(reading)
        return reading.value("penstock_upload_oldest_unacked_seconds")

    assert age() == 0
    owner.sizes = (10, 0, 0)
    meter.part_begun(1)
    clock.now += 5
    meter.part_begun(2)
    clock.now += 2
    assert age() == 7
    meter.part_stored(1)
    assert age() == 2
    owner.sizes = (10, 10, 0)
    assert age() == 0


def test_a_wait_counts_while_it_lasts():
    owner, clock = Owner(), Clock()
    meter = meter_of(owner, clock)

    def waited():
        reading = Reading()
        meter.read(reading)
        return reading.value("penstock_upload_backpressure_seconds_total")

    with meter.waiting():
        clock.now += 3
        assert waited() == 3
    clock.now += 10
    assert waited() == 3


def test_bytes_accepted_never_fall_while_a_part_is_being_cut():
    owner = Owner()
    meter = meter_of(owner)
    seen = []
    for size in (10, 4, 12):
        owner.sizes = (size, 0, 0)
        reading = Reading()
        meter.read(reading)
        seen.append(reading.value("penstock_upload_bytes_total"))
    assert seen == [10, 10, 12]


def test_names_follow_the_conventions():
    for name, metric in METRICS.items():
        assert name == metric.name
        assert name.endswith("_total") == (metric.kind == "counter"), name
        if metric.unit == "By":
            assert "_bytes" in name
        if metric.unit == "s":
            assert "_seconds" in name
        assert not metric.largest or metric.kind == "gauge"


def test_an_upload_says_of_which_node_it_is_and_all_are_added_up():
    meters, owners = Meters(), [Owner(), Owner(), Owner()]
    with context(node="first"):
        of_first = UploadMeter("memory", lambda: (10, 0, 0))
    meters_of = {"first": of_first, "second": UploadMeter("memory", lambda: (5, 5, 0), node="second")}
    meters_of[""] = UploadMeter("memory", lambda: (1, 1, 0))
    for owner, meter in zip(owners, meters_of.values(), strict=True):
        meters.open(meter, owner)
    kept = ("penstock_upload_kept_bytes_total", ("first",))
    assert meters.collect().values[kept] == 0  # or a rate of it would miss its first bytes
    of_first.ended("kept")
    reading = meters.collect()
    assert reading.values[kept] == 10
    accepted = "penstock_upload_bytes_total"
    assert [reading.value(accepted, node) for node in meters_of] == [10, 5, 1]
    assert reading.value(accepted) == 16
    assert reading.value("penstock_uploads_total", "kept", "first") == reading.value("penstock_uploads_total") == 1
