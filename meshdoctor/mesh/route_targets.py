"""Has istiod a cluster for every destination of a VirtualService?

Mirrors pilot/pkg/networking/core/route GetDestinationCluster and core/cluster.go (1.18 to
1.32-dev): a cluster is made for each port of each Service and ServiceEntry. A destination without
a port takes the only port of its service, or else the port that was called.
"""

from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from meshdoctor.mesh.hosts import Catalogue, service_of
from meshdoctor.mesh.routes import destinations
from meshdoctor.mesh.services import CLUSTER_DOMAIN, resolve_short_name
from meshdoctor.model.istio import VirtualService
from meshdoctor.model.kubernetes import Service

# Hosts of other clusters and domains, which no object of this cluster need define.
_ELSEWHERE = (".global", ".clusterset.local")


class Lost(Struct, frozen=True, kw_only=True):
    """A destination without a cluster; `service` has the host, but not the port (0: no port). With
    `unsaid` the destination names none, and `port` is the one that was called."""

    host: str
    port: int = 0
    service: Service | None = None
    unsaid: bool = False


def lost(
    route: VirtualService,
    known: Catalogue,
    find: Callable[[str, str], Service | None],
    domain: str = CLUSTER_DOMAIN,
    *,
    called: Collection[int] = (),
) -> Lost | None:
    """The first such destination. `find` gives a Service by namespace and name, which `known`
    lacks because it lies outside the scope; `called` are the ports of the servers by which
    gateways take the requests."""
    for one in destinations(route):
        host = resolve_short_name(one.host, route.namespace, domain)
        port = one.port.number if one.port is not None else 0
        if _undecidable(host, domain) or _in_entries(known, host, port):
            continue
        own = service_of(host, domain)
        service = (known.services.get(own) or find(*own)) if own is not None else None
        if service is None:
            return Lost(host=host, port=port)
        numbers = {p.port for p in service.spec.ports}
        if not numbers or (port and port not in numbers):
            return Lost(host=host, port=port, service=service)
        meant = min(called, default=0)
        if not port and len(numbers) > 1 and meant and numbers.isdisjoint(called):
            return Lost(host=host, port=meant, service=service, unsaid=True)
    return None


def unlisted_alias(
    route: VirtualService,
    find: Callable[[str, str], Service | None],
    domain: str = CLUSTER_DOMAIN,
    *,
    called: Iterable[int],
) -> Lost | None:
    """The first destination that is an ExternalName Service of the cluster without one of the ports
    `called` in the mesh. For each port a sidecar's routes know those Services alone that list it,
    so the alias stands for nothing there, and has no cluster of its own (BuildSidecarOutbound-
    VirtualHosts and GetDestinationCluster, 1.21 to 1.32-dev)."""
    for one in destinations(route):
        host = resolve_short_name(one.host, route.namespace, domain)
        own = service_of(host, domain)
        service = find(*own) if own is not None else None
        if service is None or service.spec.type != "ExternalName":
            continue
        listed = {p.port for p in service.spec.ports}
        missing = sorted(set(called) - listed)
        if listed and missing and service.spec.external_name.endswith(f".svc.{domain}"):
            return Lost(host=host, port=missing[0], service=service)
    return None


def _undecidable(host: str, domain: str) -> bool:
    foreign = ".svc." in host and not host.endswith(f".svc.{domain}")
    return not host or "*" in host or foreign or host.endswith(_ELSEWHERE)


def _in_entries(known: Catalogue, host: str, port: int) -> bool:
    """Whether ServiceEntries give it a cluster. That of a wildcard has the wildcard's name, so no
    route to a host below it leads there (seen at 1.31)."""
    exact = known.with_host(host)
    return any(not port or p.number == port for e in exact for p in e.spec.ports)
