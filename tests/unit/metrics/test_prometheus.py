"""The collector for Prometheus, scraped over a real socket, and read by a parser that is not ours."""

import urllib.request

import anyio
import pytest
from anyio import to_thread
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from penstock.errors import ConfigurationError
from penstock.metrics import METRICS, Meters, UploadMeter
from penstock.metrics.names import BOUNDS_S
from penstock.metrics.prometheus import PenstockCollector, serving
from penstock.stores.base import Capability
from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.stores.memory import MemoryStore
from penstock.stores.multipart import UploadOptions, open_upload


def scrape(url):
    """Every sample by name and labels; of uploads those without a node, as other tests of the process have some."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    families = list(text_string_to_metric_families(text))
    samples = [one for family in families for one in family.samples if not one.labels.get("node")]
    return {(one.name, *_labels(one.labels)): one.value for one in samples}


def _labels(labels):
    """The values of the labels in the order that people name them in, whatever that of the text is."""
    return [labels[name] for name in ("store", "operation", "outcome", "reason", "le") if name in labels]


class Owner:
    """Somebody whose upload it is."""


def test_a_scrape_has_every_metric_that_was_counted():
    meters, owner = Meters(), Owner()
    meter = UploadMeter("s3.example", lambda: (100, 40, 3))
    meters.open(meter, owner)
    meter.part_begun(1)
    meter.retried("throttled")
    meter.requested("put_part", "ok", 0.02)
    meter.requested("put_part", "throttled", 7.0)
    with serving(0, meters) as url:
        assert url.startswith("http://127.0.0.1:")
        found = scrape(url)
        assert found["penstock_upload_bytes_total",] == found["penstock_upload_at_risk_bytes",] == 100
        assert found["penstock_upload_unacked_bytes",] == 60
        assert found["penstock_upload_parts_in_flight",] == 3
        assert found["penstock_upload_retries_total", "throttled"] == 1
        assert found["penstock_uploads_in_progress",] == 1
        assert 0 < found["penstock_upload_oldest_unacked_seconds",] < 60
        requests = "penstock_object_store_requests_total"
        assert found[requests, "s3.example", "put_part", "ok"] == 1
        duration = "penstock_object_store_request_duration_seconds"
        buckets = [found[f"{duration}_bucket", "s3.example", "put_part", str(bound)] for bound in BOUNDS_S]
        assert buckets == sorted(buckets)
        assert (buckets[1], buckets[2], buckets[-1]) == (0, 1, 2)
        assert found[f"{duration}_count", "s3.example", "put_part"] == 2
        assert found[f"{duration}_sum", "s3.example", "put_part"] == pytest.approx(7.02)
        meter.ended("completed")
        meters.close(meter)
        found = scrape(url)
        assert found["penstock_upload_committed_bytes_total",] == found["penstock_upload_bytes_total",] == 100
        assert found["penstock_upload_at_risk_bytes",] == found["penstock_upload_oldest_unacked_seconds",] == 0
        assert found["penstock_uploads_total", "completed"] == 1


def test_what_has_no_label_but_the_node_is_there_before_anything_has_happened():
    with serving(0, Meters()) as url:
        found = scrape(url)
    assert {key[0] for key in found} == {name for name, metric in METRICS.items() if metric.labels == ("node",)}
    assert set(found.values()) == {0}


def test_the_collector_goes_into_any_registry_and_out_again():
    registry = CollectorRegistry()
    collector = PenstockCollector(Meters())
    registry.register(collector)
    assert registry.get_sample_value("penstock_upload_bytes_total", {"node": ""}) == 0
    registry.unregister(collector)
    assert registry.get_sample_value("penstock_upload_bytes_total", {"node": ""}) is None


def test_a_port_that_is_taken_is_a_clear_error():
    with serving(0, Meters()) as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(ConfigurationError, match=f"metrics cannot be served on 127.0.0.1:{port}: "), serving(port):
            pass
    with serving(port, Meters()) as again:  # it is free once the block has ended
        assert again == url


async def test_a_store_that_hangs_shows_in_a_scrape():
    script = FaultScript(put_part=["ok", "hang"])
    store = FaultLayer(MemoryStore("hanging", Capability(min_part_bytes=1)), script)
    options = UploadOptions(chunk_size=10, memory_limit=20, parts_in_flight=1)
    with serving(0) as url:

        async def write():
            async with open_upload(store, "k", options) as out:
                await out.write(bytes(100))

        before = await to_thread.run_sync(scrape, url)
        async with anyio.create_task_group() as group:
            group.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            found = await to_thread.run_sync(scrape, url)
            group.cancel_scope.cancel()
        after = await to_thread.run_sync(scrape, url)
    waited = "penstock_upload_backpressure_seconds_total"
    assert found["penstock_upload_parts_in_flight",] == 1
    assert found["penstock_upload_unacked_bytes",] == 20
    assert found["penstock_upload_oldest_unacked_seconds",] > 0
    assert found[waited,] > before[waited,]
    requests = ("penstock_object_store_requests_total", "memory", "put_part", "cancelled")
    assert after[requests] == before.get(requests, 0) + 1
    dropped = "penstock_upload_dropped_bytes_total"
    assert after[dropped,] == before[dropped,] + 30
