"""The same metrics for OpenTelemetry, collected by its SDK."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from penstock.metrics import METRICS, Meters, UploadMeter
from penstock.metrics.otel import _Snapshot, observe


class Owner:
    """Somebody whose upload it is."""


@pytest.fixture
def exported():
    """A meter, and a function that exports."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meters, owner = Meters(), Owner()
    meter = UploadMeter("s3.example", lambda: (1 << 40, 40, 3))
    meters.open(meter, owner)
    observe(provider.get_meter("penstock"), meters)

    def export():
        data = reader.get_metrics_data()
        found = {}
        for metric in data.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.data.data_points:
                found[metric.name, *dict(point.attributes).values()] = (point.value, metric.unit)
        return found

    yield meter, export
    del owner
    provider.shutdown()


def test_an_export_has_every_metric_with_its_unit(exported):
    meter, export = exported
    meter.requested("put_part", "ok", 0.5)
    meter.requested("put_part", "ok", 1.5)
    meter.retried("no_answer")
    found = export()
    assert found["penstock_upload_bytes",] == (1 << 40, "By")
    assert found["penstock_upload_unacked_bytes",] == ((1 << 40) - 40, "By")
    assert found["penstock_upload_retries", "no_answer"] == (1, "{retry}")
    duration = "penstock_object_store_request_duration_seconds"
    assert found[f"{duration}_sum", "s3.example", "put_part"] == (2.0, "s")
    assert found[f"{duration}_count", "s3.example", "put_part"] == (2, "{request}")
    plain = {name.removesuffix("_total") for name, metric in METRICS.items() if metric.labels == ("node",)}
    assert plain <= {key[0] for key in found}


def test_what_one_export_tells_is_of_one_instant():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    clock = Clock()
    snapshot = _Snapshot(Meters(), clock)
    first = snapshot()
    clock.now = 0.05
    assert snapshot() is first
    clock.now = 0.11
    assert snapshot() is not first
