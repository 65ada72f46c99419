"""What a process that writes objects tells its operator, in numbers.

Whoever counts has plain integers of its own, and a meter that reads them; ``METERS`` knows the meters that are live and
keeps what those before them had counted. Nothing is computed until somebody asks: the collector for Prometheus
(``penstock.metrics.prometheus``), the callbacks for OpenTelemetry (``penstock.metrics.otel``), or a program itself::

    METERS.collect().value("penstock_upload_oldest_unacked_seconds")
"""

from penstock.metrics.meters import METERS, Meter, Meters
from penstock.metrics.names import METRICS, Metric
from penstock.metrics.reading import Histogram, Reading
from penstock.metrics.uploads import UploadMeter

__all__ = ["METERS", "METRICS", "Histogram", "Meter", "Meters", "Metric", "Reading", "UploadMeter"]
