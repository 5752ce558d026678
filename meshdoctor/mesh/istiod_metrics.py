"""How fast does each istiod deliver configuration, and what do proxies refuse?

Metric names and buckets as in pilot/pkg/xds/monitoring.go and pilot/pkg/model/push_context.go,
the same from 1.18 to 1.32-dev. pilot_proxy_convergence_time counts until *sent*, not until
acknowledged, and tops out at 30 s; pilot_xds_{cds,lds,rds,eds}_reject are gauges that never fall
(use pilot_total_xds_rejects).
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.mesh.metrics import Page
from meshdoctor.mesh.xds import short_type

CONVERGENCE = "pilot_proxy_convergence_time"
_LAST_BUCKET = 30.0


class Quantiles(Struct, frozen=True, kw_only=True):
    """Seconds; None where the page has no usable buckets or no observations. No observation was
    above `most` (30 s of the convergence time stands for that and more)."""

    p50: float | None
    p90: float | None
    p99: float | None
    mean: float | None
    count: int
    most: float | None = None


NONE = Quantiles(p50=None, p90=None, p99=None, mean=None, count=0)


class Delivery(Struct, frozen=True, kw_only=True):
    """One istiod's page. `rejects` by short type; `conflicts` counts clashing outbound or inbound
    listeners; counts are totals since that istiod started."""

    istiod: str
    proxies: int
    services: int
    convergence: Quantiles
    queue: Quantiles
    debounce: Quantiles
    rejects: Mapping[str, int]
    triggers: Mapping[str, int]
    pushes: Mapping[str, int]
    write_timeouts: int
    internal_errors: int
    conflicts: int
    duplicate_hosts: int
    duplicate_subsets: int
    endpoints_without_pod: int
    dns_without_endpoints: int
    remote_sync_timeouts: int
    validation_failures: int
    largest_config: int

    @property
    def rejected(self) -> int:
        """Refusals of all types."""
        return sum(self.rejects.values())


def quantiles(page: Page, name: str) -> Quantiles:
    """Quantiles of a histogram of seconds."""
    found = page.histogram(name)
    if found is None:
        return NONE
    return Quantiles(
        p50=found.quantile(0.5),
        p90=found.quantile(0.9),
        p99=found.quantile(0.99),
        mean=found.mean,
        count=int(found.count),
        most=found.quantile(1.0),
    )


def delivery(istiod: str, page: Page) -> Delivery:
    """What one istiod's metrics say of its deliveries."""
    return Delivery(
        istiod=istiod,
        proxies=_count(page, "pilot_xds"),
        services=_count(page, "pilot_services"),
        convergence=quantiles(page, CONVERGENCE),
        queue=quantiles(page, "pilot_proxy_queue_time"),
        debounce=quantiles(page, "pilot_debounce_time"),
        rejects=_rejects(page),
        triggers=_integers(page.by_label("pilot_push_triggers", "type")),
        pushes=_integers(page.by_label("pilot_xds_pushes", "type")),
        write_timeouts=_count(page, "pilot_xds_write_timeout"),
        internal_errors=_count(page, "pilot_total_xds_internal_errors"),
        conflicts=sum(
            _count(page, name)
            for name in page.samples
            if name.startswith(("pilot_conflict_outbound_listener", "pilot_conflict_inbound"))
        ),
        duplicate_hosts=_count(page, "pilot_vservice_dup_domain"),
        duplicate_subsets=_count(page, "pilot_destrule_subsets"),
        endpoints_without_pod=_count(page, "endpoint_no_pod"),
        dns_without_endpoints=_count(page, "pilot_dns_cluster_without_endpoints"),
        remote_sync_timeouts=_count(page, "remote_cluster_sync_timeouts_total"),
        validation_failures=_count(page, "galley_validation_failed"),
        largest_config=_largest(page),
    )


def slowest(deliveries: Iterable[Delivery]) -> Delivery | None:
    """The istiod with the highest convergence p99 (mean, where it has no buckets)."""
    measured = [d for d in deliveries if seconds(d.convergence) is not None]
    return max(measured, key=lambda d: (seconds(d.convergence) or 0.0, d.istiod), default=None)


def never_longer(deliveries: Iterable[Delivery]) -> float | None:
    """Seconds that no push of these istiods exceeded from change to sent, since they started;
    None where that is not known."""
    most = [d.convergence.most for d in deliveries]
    known = [m for m in most if m is not None]
    return max(known) if known and len(known) == len(most) and max(known) < _LAST_BUCKET else None


def seconds(found: Quantiles) -> float | None:
    """p99, or the mean where a page lacks buckets."""
    return found.p99 if found.p99 is not None else found.mean


def _count(page: Page, name: str) -> int:
    return int(page.total(name) or 0)


def _integers(found: Mapping[str, float]) -> dict[str, int]:
    return {name: int(value) for name, value in found.items()}


def _rejects(page: Page) -> dict[str, int]:
    total = page.by_label("pilot_total_xds_rejects", "type")
    if total:
        return {short_type(url): int(value) for url, value in total.items() if value > 0}
    gauges = {
        t: _count(page, f"pilot_xds_{t.lower()}_reject") for t in ("CDS", "LDS", "RDS", "EDS")
    }
    return {name: value for name, value in gauges.items() if value}


def _largest(page: Page) -> int:
    """The upper bound, in bytes, of the largest configuration pushed; 0 when unknown."""
    best = 0.0
    for url in page.by_label("pilot_xds_config_size_bytes_count", "type"):
        found = page.histogram("pilot_xds_config_size_bytes", type=url)
        top = found.quantile(1.0) if found is not None else None
        best = max(best, top or 0.0)
    return int(best)
