"""Does locality load balancing confine a client to too few endpoints?

Mirrors pilot/pkg/networking/core/loadbalancer and endpoint_builder.go (1.18 to 1.32-dev):
outlierDetection switches locality failover on unless localityLbSetting.enabled is false;
trafficDistribution PreferClose asks for it by itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.model.istio import MeshConfig, TrafficPolicy
from meshdoctor.model.kubernetes import EndpointSlice, Service

ANNOTATION = "networking.istio.io/traffic-distribution"
ZONE = "topology.kubernetes.io/zone"


class Confinement(Struct, frozen=True, kw_only=True):
    """Ready endpoints in the client's zone, in all, and the zones there are."""

    local: int
    total: int
    zones: int

    @property
    def uneven(self) -> bool:
        """The client's zone has endpoints, but less than half of its even share."""
        return self.zones > 1 and 0 < self.local * self.zones * 2 < self.total


def prefers_local(policy: TrafficPolicy | None, service: Service, mesh: MeshConfig) -> str:
    """What makes clients prefer their own zone; "" when nothing does."""
    wanted = service.spec.traffic_distribution or service.annotations.get(ANNOTATION, "")
    if wanted.startswith("Prefer"):
        return f"trafficDistribution {wanted}"
    if policy is None or policy.outlier_detection is None:
        return ""
    balancer = policy.load_balancer
    setting = balancer.locality_lb_setting if balancer is not None else None
    enabled = setting.enabled if setting is not None else None
    if enabled is None and mesh.locality_lb_setting is not None:
        enabled = mesh.locality_lb_setting.enabled
    return "" if enabled is False else "outlierDetection with locality failover"


def confinement(slices: Iterable[EndpointSlice], zone: str) -> Confinement:
    """Count ready endpoints by zone; endpoints without zone are of none."""
    counts: Mapping[str, int] = Counter(
        endpoint.zone
        for one in slices
        for endpoint in one.endpoints
        if endpoint.conditions.ready and endpoint.zone
    )
    return Confinement(local=counts.get(zone, 0), total=sum(counts.values()), zones=len(counts))
