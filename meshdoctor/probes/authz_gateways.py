"""Gateways that judge a request: the one that takes it from outside, or those it leaves by.

Not a probe: builds hops for authz_hops.
"""

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from meshdoctor.mesh import authz_evidence
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.authz_call import Judge
from meshdoctor.mesh.authz_request import Expected
from meshdoctor.mesh.client_tls import ISTIO_MUTUAL
from meshdoctor.mesh.edge_evidence import of_host
from meshdoctor.mesh.proxy_bootstrap import topology
from meshdoctor.mesh.services import (
    fqdn,
    host_matches,
    named_by_client,
    resolve_short_name,
    selected_pods,
)
from meshdoctor.mesh.workloads import (
    WorkloadPods,
)
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.istio import VirtualService
from meshdoctor.model.kubernetes import Service
from meshdoctor.probes.authz_hop import (
    Hop,
    Situation,
    counted_since,
    identity_of,
    is_gateway,
    judged,
    pod_ips,
    read_log,
)
from meshdoctor.probes.gateway_objects import gateways_of
from meshdoctor.probes.reading import mesh_config, workloads
from meshdoctor.probes.view import View


def gateway_hop(view: View, base: Situation, found: WorkloadPods, *, outer: bool) -> Hop:
    """What a gateway says of the request; `outer`: it takes the request from outside the mesh."""
    log = read_log(view, found)
    lines = () if isinstance(log, Unavailable) else log.lines
    hosts = _routed(view, base) if outer else frozenset()
    asked = bare_host(base.request.host) if found is base.server else ""
    mine = tuple(line for line in of_host(lines, asked) if _through(line, base, hosts, outer))
    front = topology(found.pod, mesh_config(view))
    asks = _ends_mtls(view, base, found)
    expected = Expected(
        kind="gateway",
        identity=None if outer else identity_of(view, base.client),
        mtls=asks is True if outer else asks,
        client_ip=base.edge.client_ip if outer else min(pod_ips(base.client), default=""),
        server_ip=found.pod.status.pod_ip if found.pod else "",
        port=0 if outer and base.client is found else base.workload_port,
        http=True,
        hops=front.num_trusted_proxies,
        proxied=front.proxy_protocol is not None,
    )
    judge = Judge(namespace=found.subject.namespace, labels=found.labels, kind="gateway")
    why = log if isinstance(log, Unavailable) else None
    return judged(view, base, found, judge, expected, mine, why)


def _ends_mtls(view: View, base: Situation, found: WorkloadPods) -> bool | None:
    """Whether a gateway asks its callers of the mesh for their certificate; None: cannot be told.

    The servers of its Gateways for the host that is asked about, else all: mode ISTIO_MUTUAL.
    """
    servers = [server for one in gateways_of(view, found.pod) for server in one.spec.servers]
    host = bare_host(base.request.host or base.edge.host)
    named = [
        server
        for server in servers
        if any(host_matches(name.rpartition("/")[2], host) for name in server.hosts)
    ]
    modes = {server.tls.mode if server.tls else "" for server in named or servers}
    return modes == {ISTIO_MUTUAL} if len(modes) == 1 else None


def _routed(view: View, base: Situation) -> frozenset[str]:
    """Hosts by which a gateway's own refusals of this edge are told apart; empty: cannot be told.

    The host asked about, else those that VirtualServices route to the service.
    """
    host = base.request.host.lower()
    if host:
        return frozenset({host, bare_host(host)})
    if base.service is None:
        return frozenset()
    name = fqdn(base.service)
    return frozenset(
        one.lower()
        for rule in view.objects("VirtualService", VirtualService)
        for route in rule.spec.http
        for target in route.route
        if resolve_short_name(target.destination.host, rule.namespace) == name
        for one in rule.spec.hosts
    )


def _through(line: Line, base: Situation, hosts: frozenset[str], outer: bool) -> bool:
    """Whether a gateway's line is about this edge: routed to its host, or refused before that."""
    if line.is_outbound:
        return line.cluster_host == base.edge.host or not outer or base.client is None
    if line.upstream_cluster:
        return False
    if authz_evidence.of_line(line) is None:
        return False
    name = line.authority.lower()
    return not hosts or name in hosts or any(host_matches(host, line.host) for host in hosts)


def egress_hops(view: View, base: Situation) -> Iterator[Hop]:
    """Gateways through which calls of this client to this external host went."""
    ips = pod_ips(base.client)
    if base.client is None or is_gateway(base.client) or not base.edge.host:
        return
    called = {line.cluster_host for line in base.client_lines if cluster_service(line)}
    for found in workloads(view).values():
        if not is_gateway(found) or not (_is_egress(found) or _behind(view, called, found)):
            continue
        hop = gateway_hop(view, base, found, outer=False)
        host = base.edge.host.lower()
        mine = tuple(line for line in hop.lines if line.peer_ip in ips and line.host in (host, ""))
        if mine:
            told = authz_evidence.summarise(mine)
            told = counted_since(view, hop.inputs, hop.verdict, told, mine)
            yield replace(hop, lines=mine, summary=told)


def cluster_service(line: Line) -> tuple[str, str] | None:
    """Namespace and name of the Service of this cluster to which a proxy sent a call."""
    host = line.cluster_host
    return named_by_client(host, "") if ".svc." in host else None


def _behind(view: View, hosts: Collection[str], found: WorkloadPods) -> bool:
    """Whether one of these Services selects the workload's pods."""
    names = {named_by_client(host, "") for host in hosts} - {None}
    mine = (name for name in names if name and name[0] == found.subject.namespace)
    services = (view.object("Service", Service, *name) for name in mine)
    return any(one is not None and selected_pods(one, found.pods) for one in services)


def _is_egress(found: WorkloadPods) -> bool:
    words = (found.subject.name, *found.labels.values())
    return any("egress" in word for word in words)
