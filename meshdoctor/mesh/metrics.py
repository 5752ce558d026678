"""What does a page of Prometheus text say?

Counters and gauges by label, quantiles of classic histograms. A metric that is not on the page
is None, never zero: istiod exports most counters only after their first increment, so absence of
one metric on a page that holds others is a zero to the reader who knows that metric, not here.
"""

import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping

from msgspec import Struct

from meshdoctor.model.patterns import pattern

_LINE = pattern(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*(?:#.*)?$")
_LABEL = pattern(r'\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?')
_ESCAPES = {r"\n": "\n", r"\"": '"', r"\\": "\\"}


class Sample(Struct, frozen=True, kw_only=True):
    """One line of the page."""

    labels: Mapping[str, str]
    value: float


class Histogram(Struct, frozen=True, kw_only=True):
    """A classic histogram: cumulative counts by upper bound, ascending, `+Inf` last if given."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    sum: float
    count: float

    def quantile(self, q: float) -> float | None:
        """As Prometheus' histogram_quantile: linear inside a bucket; what lies beyond the last
        finite bound is that bound (pilot_proxy_convergence_time ends at 30 s). None: no
        observations, or a page without usable buckets.

        >>> h = Histogram(bounds=(0.1, 0.5, math.inf), counts=(8, 10, 10), sum=1, count=10)
        >>> h.quantile(0.5), h.quantile(0.9)
        (0.0625, 0.3)
        """
        if not self.bounds or self.counts[-1] <= 0 or not math.isinf(self.bounds[-1]):
            return None
        rank = q * self.counts[-1]
        at = min(bisect_left(self.counts, rank), len(self.bounds) - 1)
        if math.isinf(self.bounds[at]):
            return self.bounds[at - 1] if at > 0 else None
        low = self.bounds[at - 1] if at else 0.0
        before = self.counts[at - 1] if at else 0.0
        inside = self.counts[at] - before
        share = (rank - before) / inside if inside > 0 else 0.0
        return round(low + (self.bounds[at] - low) * share, 6)

    @property
    def mean(self) -> float | None:
        """Average observation; None without observations."""
        return self.sum / self.count if self.count > 0 else None

    def above(self, bound: float) -> float | None:
        """The share of observations above one of the bounds; None when it is no bound here."""
        if self.count <= 0 or bound not in self.bounds:
            return None
        return 1 - self.counts[self.bounds.index(bound)] / self.count


class Page(Struct, frozen=True, kw_only=True):
    """All samples of one page, by metric name."""

    samples: Mapping[str, tuple[Sample, ...]]

    def select(self, name: str, **wanted: str) -> tuple[Sample, ...]:
        """Samples of a metric that have these label values."""
        return tuple(
            s
            for s in self.samples.get(name, ())
            if all(s.labels.get(key) == value for key, value in wanted.items())
        )

    def total(self, name: str, **wanted: str) -> float | None:
        """Sum over the label sets; None when the page has no such sample."""
        found = self.select(name, **wanted)
        return sum(s.value for s in found) if found else None

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """Sum per value of one label, largest first."""
        sums: dict[str, float] = defaultdict(float)
        for sample in self.samples.get(name, ()):
            sums[sample.labels.get(label, "")] += sample.value
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))

    def histogram(self, name: str, **wanted: str) -> Histogram | None:
        """A histogram, summed over label sets; None when the page has none of that name."""
        counts: dict[float, float] = defaultdict(float)
        for sample in self.select(f"{name}_bucket", **wanted):
            bound = number(sample.labels.get("le", ""))
            if bound is not None:
                counts[bound] += sample.value
        count = self.total(f"{name}_count", **wanted)
        if count is None and not counts:
            return None
        bounds = tuple(sorted(counts))
        return Histogram(
            bounds=bounds,
            counts=tuple(counts[b] for b in bounds),
            sum=self.total(f"{name}_sum", **wanted) or 0.0,
            count=count if count is not None else counts[bounds[-1]],
        )


def parse(text: str) -> Page:
    """A page of Prometheus text (or OpenMetrics without exemplars' use); odd lines are skipped.

    >>> page = parse('pilot_xds{version="1.30.0"} 12\\npilot_xds{version="1.29.1"} 3\\n')
    >>> page.total("pilot_xds"), page.total("pilot_xds", version="1.29.1"), page.total("absent")
    (15.0, 3.0, None)
    """
    samples: dict[str, list[Sample]] = defaultdict(list)
    for line in text.splitlines():
        found = _LINE.match(line) if line and line[0] != "#" else None
        value = number(found[3]) if found is not None else None
        if found is not None and value is not None and not math.isnan(value):
            labels = dict(_labels(found[2])) if found[2] else {}
            samples[found[1]].append(Sample(labels=labels, value=value))
    return Page(samples={name: tuple(found) for name, found in samples.items()})


def _labels(text: str) -> Iterator[tuple[str, str]]:
    for found in _LABEL.finditer(text):
        value = found[2]
        if "\\" in value:
            value = re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), value)
        yield found[1], value


def number(text: str) -> float | None:
    """A Prometheus number, `+Inf` and `NaN` included; None when it is none."""
    try:
        return float(text)
    except ValueError:
        return None
