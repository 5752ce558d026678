"""Where does the client of an edge mean to go, and does its proxy know the place?

A host that the proxy has no cluster for leaves through PassthroughCluster, in plaintext
(pilot/pkg/networking/core/httproute.go buildCatchAllVirtualHost, 1.18 to 1.32-dev). Only routes of
declared HTTP ports look at the host: a port of another protocol, or of none (sniffed:
getVirtualHostsForSniffedServicePort), leads to the one service that the address belongs to.
"""

from msgspec import Struct

from meshdoctor.mesh import protocols
from meshdoctor.mesh.addresses import is_address
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.client_tls import Client
from meshdoctor.mesh.services import fqdn, host_matches, named_by_client
from meshdoctor.mesh.visibility import Scope, Sight, sees
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.istio import (
    DestinationRule,
    MeshConfig,
    PeerAuthentication,
    ServiceEntry,
    Sidecar,
)
from meshdoctor.model.kubernetes import Pod, Service

POD_IP = "pod-ip"
UNKNOWN_HOST = "unknown-host"


class Given(Struct, frozen=True, kw_only=True):
    """Everything the judgement is made of. `client` None: the caller is not known.

    `named_exists`: the cluster service that `asked_host` names, if it names one, exists.
    """

    client: WorkloadPods | None
    server: WorkloadPods | None
    service: Service | None
    service_pods: tuple[Pod, ...]
    host: str
    port: int
    asked_host: str
    mesh: MeshConfig
    policies: tuple[PeerAuthentication, ...]
    rules: tuple[DestinationRule, ...]
    sidecars: tuple[Sidecar, ...] = ()
    entries: tuple[ServiceEntry, ...] = ()
    routed_hosts: tuple[str, ...] = ()
    named_exists: bool = True

    @property
    def root(self) -> str:
        return self.mesh.root_namespace


def service_namespace(given: Given) -> str:
    """The namespace that owns the host: of the Service, the ServiceEntry, or the server."""
    if given.service is not None:
        return given.service.namespace
    entry = entry_of(given)
    if entry is not None:
        return entry.namespace
    return given.server.subject.namespace if given.server is not None else ""


def host_of(given: Given) -> str:
    """The service's full name, or the host asked for."""
    return fqdn(given.service) if given.service is not None else given.host


def entry_of(given: Given) -> ServiceEntry | None:
    """The ServiceEntry that names the host; None when there is none."""
    host = host_of(given)
    if not host:
        return None
    return next(
        (e for e in given.entries if any(host_matches(h, host) for h in e.spec.hosts)), None
    )


def sight_of(given: Given, in_force: Scope) -> Sight:
    """Whether the client's proxy has a cluster for the service."""
    if given.service is None:
        return Sight(visible=True)
    return sees(given.service, fqdn(given.service), in_force, given.mesh)


def passthrough_of(given: Given, client: Client, sight: Sight, selected: protocols.Selected) -> str:
    """Why the client's proxy does not know the destination; "" when it does."""
    if client.proxy != "sidecar" or given.client is None:
        return ""
    if given.service is None:
        return POD_IP if given.server is not None and entry_of(given) is None else ""
    if not sight.visible:
        return sight.hidden_by
    host = bare_host(given.asked_host)
    if not host:
        return ""
    if is_address(host):
        known = {given.service.spec.cluster_ip, *given.service.spec.cluster_ips}
        return "" if host in known or given.service.headless else POD_IP
    meant = named_by_client(host, client.namespace)
    if meant == (given.service.namespace, given.service.name) or not selected.http:
        return ""
    known_hosts = (*given.routed_hosts, *(h for e in given.entries for h in e.spec.hosts))
    if meant is not None and given.named_exists or any(host_matches(h, host) for h in known_hosts):
        return ""
    return UNKNOWN_HOST


def addresses_of(given: Given) -> tuple[str, ...]:
    """What the client's packets are addressed to."""
    service = given.service
    asked = bare_host(given.asked_host)
    if is_address(asked):
        return (asked,)
    if service is not None and not service.headless:
        found = tuple(ip for ip in (service.spec.cluster_ip, *service.spec.cluster_ips) if ip)
        return tuple(dict.fromkeys(found))
    pods = given.service_pods or (given.server.pods if given.server is not None else ())
    return tuple(p.status.pod_ip for p in pods if p.status.pod_ip)
