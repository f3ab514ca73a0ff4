"""Samples on their way to the exposition format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from monitoring.metrics import METRICS, Kind, Metric


@dataclass(slots=True)
class Samples:
    """Values by metric and labels. The labels are those of the metric, in its order."""

    values: dict[str, dict[tuple[str, ...], float]] = field(default_factory=dict)

    def add(self, metric: Metric, value: float | datetime | None, *labels: str) -> None:
        """Add a sample; a time becomes Unix time, and None, which is "not known", adds nothing."""
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, not {labels}")
        if value is not None:
            number = value.timestamp() if isinstance(value, datetime) else float(value)
            self.values.setdefault(metric.name, {})[labels] = number

    def families(self) -> Iterator[Family]:
        """Yield what was added, in the order of the table of metrics."""
        for metric in METRICS:
            found = self.values.get(metric.name)
            if found:
                make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
                family = make(metric.name, metric.help, labels=metric.labels)
                for labels, value in found.items():
                    family.add_metric(labels, value)
                yield family
