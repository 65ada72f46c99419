"""Requests are counted by operation and outcome, each try by itself."""

import anyio
import pytest

from penstock.errors import PermissionDenied, StoreError, StoreUnavailable
from penstock.metrics import Reading, UploadMeter
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.layers.metered import MeteredLayer, reason_of, store_label
from penstock.stores.layers.retry import RetryLayer, RetryPolicy
from penstock.stores.memory import MemoryStore

REQUESTS = "penstock_object_store_requests_total"


@pytest.mark.parametrize(
    ("status", "retryable", "reason"),
    [
        (429, True, "throttled"),
        (503, True, "throttled"),
        (500, True, "server_error"),
        (501, False, "server_error"),
        (408, True, "temporary"),
        (400, True, "temporary"),
        (403, False, "refused"),
        (None, True, "no_answer"),
        (None, False, "refused"),
    ],
)
def test_a_failure_has_one_of_five_reasons(status, retryable, reason):
    error = StoreError("it failed", operation="put", status=status, retryable=retryable)
    assert reason_of(error) == reason


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("https://s3.eu-central-1.amazonaws.com/takes", "s3.eu-central-1.amazonaws.com"),
        ("http://127.0.0.1:8333/takes", "127.0.0.1:8333"),
        ("https://me:secret@host/b", "host"),
        ("file:///var/takes", "file"),
        ("memory://takes", "memory"),
        ("opendal+webdav:///takes", "opendal+webdav"),
    ],
)
def test_a_store_is_labelled_by_host_or_scheme_and_never_by_bucket_or_secret(url, label):
    assert store_label(url) == label


async def test_each_try_is_counted_with_its_outcome():
    meter = UploadMeter("memory", lambda: (0, 0, 0))
    script = FaultScript(put=["503", "timeout", "ok", "403", "hang"])
    store = RetryLayer(MeteredLayer(FaultLayer(MemoryStore(), script), meter), RetryPolicy(60.0, 0.0, 0.0))
    await store.put("k", [b"x"])
    with pytest.raises(PermissionDenied):
        await store.put("k", [b"x"])
    with anyio.CancelScope() as scope:
        scope.deadline = anyio.current_time()
        await store.put("k", [b"x"])
    reading = Reading()
    meter.read(reading)
    counted = {labels[2]: count for (name, labels), count in reading.values.items() if name == REQUESTS}
    assert counted == {"throttled": 1, "no_answer": 1, "ok": 1, "refused": 1, "cancelled": 1}
    durations = reading.histograms["penstock_object_store_request_duration_seconds", ("memory", "put")]
    assert sum(durations.counts) == 5


async def test_the_error_goes_on_as_it_is():
    store = MeteredLayer(FaultLayer(MemoryStore(), FaultScript(head=["500"])), UploadMeter("memory", lambda: (0, 0, 0)))
    with pytest.raises(StoreUnavailable):
        await store.head("k")
