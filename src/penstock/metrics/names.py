"""The name of every metric, with its type, unit, labels and meaning; the one place where they stand.

References: Prometheus, "Metric and label naming"; OpenMetrics 1.0, "Metric types"; UCUM for the units.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BOUNDS_S", "METRICS", "OF_UPLOAD", "Kind", "Metric"]

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the buckets of a duration, in seconds; the last bucket has none."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        kind: a counter never falls while the process lives.
        unit: ``By`` for bytes, ``s`` for seconds, else what is counted, in braces.
        largest: of a gauge: the value of several meters is their largest, not their sum.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    largest: bool = False


NODE: Final = "node"
OF_UPLOAD: Final = (NODE,)
"""The node of the pipeline that writes; empty for a writer without one, such as that of ``open_object``."""

UPLOADS: Final = (
    Metric("penstock_upload_bytes_total", "counter", "By", "Bytes accepted by writers.", OF_UPLOAD),
    Metric(
        "penstock_upload_committed_bytes_total", "counter", "By", "Bytes in objects that were committed.", OF_UPLOAD
    ),
    Metric(
        "penstock_upload_dropped_bytes_total",
        "counter",
        "By",
        "Accepted bytes that are in no object, for good.",
        OF_UPLOAD,
    ),
    Metric(
        "penstock_upload_kept_bytes_total", "counter", "By", "Accepted bytes left in the state directory.", OF_UPLOAD
    ),
    Metric(
        "penstock_upload_at_risk_bytes", "gauge", "By", "Bytes accepted, and neither committed nor dropped.", OF_UPLOAD
    ),
    Metric(
        "penstock_upload_unacked_bytes", "gauge", "By", "Bytes at risk that the store has not acknowledged.", OF_UPLOAD
    ),
    Metric(
        "penstock_upload_oldest_unacked_seconds",
        "gauge",
        "s",
        "Age of the oldest part with bytes that the store has not acknowledged, from its first byte; 0 if none.",
        OF_UPLOAD,
        largest=True,
    ),
    Metric("penstock_upload_parts_in_flight", "gauge", "{part}", "Parts on their way to the store.", OF_UPLOAD),
    Metric("penstock_upload_parts_total", "counter", "{part}", "Parts that the store has acknowledged.", OF_UPLOAD),
    Metric("penstock_upload_retries_total", "counter", "{retry}", "Requests tried again, by cause.", ("reason", NODE)),
    Metric(
        "penstock_upload_backpressure_seconds_total",
        "counter",
        "s",
        "Time that writers made their input wait, because the store was slower or away.",
        OF_UPLOAD,
    ),
    Metric(
        "penstock_uploads_in_progress", "gauge", "{upload}", "Uploads neither committed nor dropped yet.", OF_UPLOAD
    ),
    Metric("penstock_uploads_total", "counter", "{upload}", "Uploads that have ended, by outcome.", ("outcome", NODE)),
)
REQUESTS: Final = (
    Metric(
        "penstock_object_store_requests_total",
        "counter",
        "{request}",
        "Requests of writers to stores, each try counted.",
        ("store", "operation", "outcome"),
    ),
    Metric(
        "penstock_object_store_request_duration_seconds",
        "histogram",
        "s",
        "Time of a request of a writer, each try by itself; that of put_part is the latency of parts.",
        ("store", "operation"),
    ),
)
OF_NODE: Final = ("pipeline", "node", "kind")
NODES: Final = (
    Metric("penstock_node_received_packets_total", "counter", "{packet}", "Packets that a node took.", OF_NODE),
    Metric("penstock_node_received_bytes_total", "counter", "By", "Bytes that a node took.", OF_NODE),
    Metric("penstock_node_sent_packets_total", "counter", "{packet}", "Packets that a node sent on.", OF_NODE),
    Metric("penstock_node_sent_bytes_total", "counter", "By", "Bytes that a node sent on.", OF_NODE),
    Metric(
        "penstock_node_discarded_packets_total",
        "counter",
        "{packet}",
        "Packets that were dropped on purpose before a node.",
        (*OF_NODE, "reason"),
    ),
    Metric("penstock_node_errors_total", "counter", "{packet}", "Packets that a node could not use.", OF_NODE),
    Metric("penstock_node_state", "gauge", "{node}", "Nodes in a state, of runs that go on.", (*OF_NODE, "state")),
)

METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {metric.name: metric for metric in (*UPLOADS, *REQUESTS, *NODES)}
)
"""Every metric by its name."""
