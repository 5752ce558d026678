"""Does an Istio Gateway reach a gateway pod, and on a port that the pod's Service has?

Mirrors pilot/pkg/model/gateway.go (mergeGateways, resolvePorts; 1.18 to 1.32-dev): the selector
must be part of the pod's labels; a server's port number is a *service* port of the Services in
front of the gateway pods, in namespaces that istiod sees, and becomes the pod's target port.
Without one there is no listener.
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.services import services_of
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.istio import Gateway
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.snapshot import selects


def gateway_pods(gateway: Gateway, pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Pods with a router proxy whose labels hold the selector (in any namespace, unless istiod
    runs with PILOT_SCOPE_GATEWAY_TO_NAMESPACE)."""
    return tuple(
        p
        for p in pods
        if p.status.phase not in ("Succeeded", "Failed")
        and proxy_type(p) == "router"
        and selects(gateway.spec.selector, p.labels)
    )


def nearest(gateway: Gateway, pods: Iterable[Pod]) -> Pod | None:
    """The gateway pod that comes closest to the selector: same keys, other values."""
    routers = [p for p in pods if proxy_type(p) == "router"]
    wanted = gateway.spec.selector
    scored = [(sum(k in p.labels for k in wanted), p.namespace, p.name, p) for p in routers]
    return max(scored, key=lambda s: (s[0], s[1], s[2]))[3] if scored else None


class MissingPort(Struct, frozen=True, kw_only=True):
    """A server's port that no Service in front of the gateway's pods has."""

    port: int
    service: Service | None


def missing_port(
    gateway: Gateway, pods: Iterable[Pod], services: Iterable[Service]
) -> MissingPort | None:
    """The first server port without listener; `service` None: the pods have no Service at all."""
    front = {
        (s.namespace, s.name): s
        for pod in pods
        for s in services_of(pod.labels, (s for s in services if s.namespace == pod.namespace))
    }
    known = {p.port for s in front.values() for p in s.spec.ports}
    for server in gateway.spec.servers:
        if server.port.number and server.port.number not in known and not server.bind:
            first = front[min(front)] if front else None
            return MissingPort(port=server.port.number, service=first)
    return None
