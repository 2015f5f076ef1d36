"""What Temporal's SDK measures, for the management port of gateway and worker."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from prometheus_client import REGISTRY, Metric
from prometheus_client.registry import Collector
from temporalio.runtime import (
    BUFFERED_METRIC_KIND_COUNTER,
    BUFFERED_METRIC_KIND_HISTOGRAM,
    BufferedMetric,
    MetricBuffer,
    MetricBufferDurationFormat,
    Runtime,
    TelemetryConfig,
)

from services.runtime.management import EACH_TICK

_BOUNDS = (0.005, 0.025, 0.1, 0.5, 1, 5, 10, 60, 600)
"""Of durations, in seconds."""

_ROOM = 100_000
"""Updates that are kept until the next look. Beyond it the SDK drops some, and warns."""

Labels = tuple[tuple[str, str], ...]


@dataclass
class _Series:
    total: float = 0
    within: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    """How many durations were within each bound and not the one before it; the last, beyond all."""


class SdkMetrics(Collector):
    """Sums up the SDK's updates. The SDK has no other way to hand its metrics to a registry."""

    def __init__(self, buffer: MetricBuffer) -> None:
        self._buffer = buffer
        self._metrics: dict[str, tuple[BufferedMetric, dict[Labels, _Series]]] = {}

    def describe(self) -> Iterator[Metric]:
        """Nothing is known of them before they are used."""
        yield from ()

    def take(self) -> None:
        """Takes up what has been measured since the last time; to be done every few seconds."""
        for update in self._buffer.retrieve_updates():
            metric = update.metric
            _, by_labels = self._metrics.setdefault(metric.name, (metric, {}))
            # Some of the SDK's attributes are not texts.
            labels = tuple(sorted((name, str(value)) for name, value in update.attributes.items()))
            series = by_labels.setdefault(labels, _Series())
            if metric.kind == BUFFERED_METRIC_KIND_COUNTER:
                series.total += update.value
            elif metric.kind == BUFFERED_METRIC_KIND_HISTOGRAM:
                series.total += update.value
                series.within[bisect_left(_BOUNDS, update.value)] += 1
            else:
                series.total = update.value

    def collect(self) -> Iterator[Metric]:
        """All metrics, named as Prometheus wants: with their units, and `_total` for counters."""
        self.take()
        for metric, by_labels in self._metrics.values():
            name = f"{metric.name}_seconds" if metric.unit == "s" else metric.name
            if metric.kind == BUFFERED_METRIC_KIND_COUNTER:
                kind, suffix = "counter", "_total"
            elif metric.kind == BUFFERED_METRIC_KIND_HISTOGRAM:
                kind, suffix = "histogram", "_sum"
            else:
                kind, suffix = "gauge", ""
            shown = Metric(name, metric.description or "Of Temporal's SDK.", kind)
            for labels, series in by_labels.items():
                shown.add_sample(f"{name}{suffix}", dict(labels), series.total)
                if kind == "histogram":
                    count = 0
                    for bound, within in zip((*map(str, _BOUNDS), "+Inf"), series.within, strict=True):
                        count += within
                        shown.add_sample(f"{name}_bucket", {**dict(labels), "le": bound}, count)
                    shown.add_sample(f"{name}_count", dict(labels), count)
            yield shown


@cache
def measured_runtime() -> Runtime:
    """The SDK's runtime of this process whose metrics the management port shows."""
    buffer = MetricBuffer(_ROOM, duration_format=MetricBufferDurationFormat.SECONDS)
    metrics = SdkMetrics(buffer)
    REGISTRY.register(metrics)
    EACH_TICK.append(metrics.take)
    return Runtime(telemetry=TelemetryConfig(metrics=buffer))
