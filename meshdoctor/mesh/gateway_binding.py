"""Does an Istio Gateway reach a gateway pod, and on a port that the pod's Service has?

Mirrors pilot/pkg/model/gateway.go (mergeGateways, resolvePorts; 1.18 to 1.32-dev): the selector
must be part of the pod's labels; a server's port number is a *service* port of the Services in
front of the gateway pods, in namespaces that istiod sees, and becomes the pod's target port.
Without one there is no listener.
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.services import services_of, target_port
from meshdoctor.mesh.workloads import proxy_container, proxy_type
from meshdoctor.model.istio import Gateway
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.snapshot import selects

_UNPRIVILEGED_FROM = 1024


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


class PortFault(Struct, frozen=True, kw_only=True):
    """A port without listener: of a server, or of the pods it leads to; `service` is in front of
    the pods, None: they have none."""

    port: int
    service: Service | None


def missing_port(
    gateway: Gateway, pods: Iterable[Pod], services: Iterable[Service]
) -> PortFault | None:
    """The first server port that no Service in front of the pods has."""
    front = [s for _, s in _front(pods, services)]
    known = {p.port for s in front for p in s.spec.ports}
    for server in gateway.spec.servers:
        if server.port.number and server.port.number not in known and not server.bind:
            return PortFault(port=server.port.number, service=front[0] if front else None)
    return None


def privileged_port(
    gateway: Gateway,
    pods: Iterable[Pod],
    services: Iterable[Service],
    skipped: Iterable[tuple[str, int]] = (),
) -> PortFault | None:
    """The first pod port below 1024 that a server leads to and istiod leaves out: the pods say that
    they are unprivileged, or istiod said so (`skipped`, pod.namespace and port).

    Mirrors pilot/pkg/networking/core/gateway.go buildGatewayListeners (1.7 to 1.32-dev).
    """
    told = frozenset(skipped)
    wanted = {s.port.number for s in gateway.spec.servers}
    for pod, service in _front(pods, services):
        for port in service.spec.ports:
            low = target_port(port, pod)
            if port.port not in wanted or not 0 < low < _UNPRIVILEGED_FROM:
                continue
            if _unprivileged(pod) or (f"{pod.name}.{pod.namespace}", low) in told:
                return PortFault(port=low, service=service)
    return None


def _front(pods: Iterable[Pod], services: Iterable[Service]) -> list[tuple[Pod, Service]]:
    """Gateway pods with each Service in front of them, by the Services' names."""
    known = tuple(services)
    found = [
        (pod, s)
        for pod in pods
        for s in services_of(pod.labels, (x for x in known if x.namespace == pod.namespace))
    ]
    return sorted(found, key=lambda f: (f[1].namespace, f[1].name, f[0].name))


def _unprivileged(pod: Pod) -> bool:
    proxy = proxy_container(pod)
    env = {e.name: e.value for e in proxy.env} if proxy is not None else {}
    return env.get("ISTIO_META_UNPRIVILEGED_POD") == "true"
