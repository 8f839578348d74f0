"""Series of what happens to every frame, for Prometheus: counted in plain numbers, and made into metrics when it asks.

A Prometheus client's own counter takes 4 us and a lock for each frame and each of its series.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class CountTally(Collector):
    """A counter with one label; used from one thread, the one that is asked.

    Args:
        name: Of the metric.
        documentation: What is counted.
        label: Name of the label.
    """

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self._name, self._documentation, self._label = name, documentation, label
        self._counts: defaultdict[str, int] = defaultdict(int)

    def inc(self, value: str) -> None:
        """Count one for a value of the label."""
        self._counts[value] += 1

    def forget(self, value: str) -> None:
        """Drop the series of a value of the label."""
        self._counts.pop(value, None)

    def collect(self) -> Iterable[Metric]:
        """What Prometheus gets."""
        family = CounterMetricFamily(self._name, self._documentation, labels=[self._label])
        for value, count in self._counts.items():
            family.add_metric([value], count)
        yield family


class HistogramTally(Collector):
    """A histogram with at most one label; used from one thread, the one that is asked.

    Args:
        name: Of the metric.
        documentation: What is observed.
        buckets: Upper bounds, ascending.
        label: Name of the label; empty for a histogram that has one series, which is there from the start.
    """

    def __init__(self, name: str, documentation: str, buckets: Sequence[float], label: str = "") -> None:
        self._name, self._documentation, self._label = name, documentation, label
        self._bounds = tuple(buckets)
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(self._bounds) + 1))
        self._sums: defaultdict[str, float] = defaultdict(float)
        if not label:
            self._counts[""] = [0] * (len(self._bounds) + 1)

    def observe(self, amount: float, value: str = "") -> None:
        """Take an amount into account for a value of the label."""
        self._counts[value][bisect_left(self._bounds, amount)] += 1
        self._sums[value] += amount

    def collect(self) -> Iterable[Metric]:
        """What Prometheus gets."""
        labels = [self._label] if self._label else []
        family = HistogramMetricFamily(self._name, self._documentation, labels=labels)
        bounds = [*map(str, self._bounds), "+Inf"]
        for value, counts in self._counts.items():
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            family.add_metric([value] if self._label else [], buckets, self._sums[value])
        yield family
