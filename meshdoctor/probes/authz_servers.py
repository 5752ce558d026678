"""Proxies before the server that judge a request: its sidecar, its ztunnel, a waypoint.

Not a probe: builds hops for authz_hops.
"""

from msgspec.structs import replace

from meshdoctor.mesh import authz_evidence, protocols
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.authorization import Inputs, decide
from meshdoctor.mesh.authz_call import Call, Judge, Settings
from meshdoctor.mesh.authz_request import Expected
from meshdoctor.mesh.services import (
    port_of,
)
from meshdoctor.mesh.workloads import (
    WorkloadPods,
    has_proxy,
)
from meshdoctor.model.evidence import Unavailable
from meshdoctor.probes import authz_settings as reads
from meshdoctor.probes.authz_ambient import enrolled, ztunnel_lines
from meshdoctor.probes.authz_hop import (
    REFUSALS,
    Hop,
    Situation,
    identity_of,
    is_gateway,
    judged,
    pod_ips,
    read_log,
)
from meshdoctor.probes.authz_peer import peer_speaks_mtls
from meshdoctor.probes.view import View, attempt


def sidecar_hop(view: View, base: Situation, server: WorkloadPods) -> Hop:
    """What the server's sidecar says of the request."""
    log = read_log(view, server)
    ips = pod_ips(base.client)
    gateway = base.client is not None and is_gateway(base.client)
    lines = () if isinstance(log, Unavailable) else log.lines
    mine = tuple(
        line
        for line in lines
        if line.is_inbound
        and base.workload_port in (0, line.workload_port)
        and _from(line, base, ips, gateway)
    )
    pod = server.pod
    declared = port_of(base.service, base.edge.port) if base.service and base.edge.port else None
    chosen = protocols.select(declared) if declared is not None else None
    expected = Expected(
        kind="sidecar",
        identity=identity_of(view, base.client),
        mtls=peer_speaks_mtls(view, base.edge, base.client, server),
        client_ip=min(ips, default=base.edge.client_ip),
        server_ip=pod.status.pod_ip if pod else "",
        port=base.workload_port,
        http=_http(chosen, base.settings),
        behind_gateway=gateway,
    )
    judge = Judge(namespace=server.subject.namespace, labels=server.labels)
    why = log if isinstance(log, Unavailable) else None
    hop = judged(view, base, server, judge, expected, mine, why)
    if isinstance(log, Unavailable) or hop.summary.total:
        return hop
    return replace(hop, summary=authz_evidence.of_debug_log(log))


def _http(chosen: protocols.Selected | None, settings: Settings) -> bool | None:
    """Whether the inbound chain reads HTTP; None where the first bytes decide. Servers' proxies
    sniff since 1.5 only: before, a port without a protocol is TCP
    (PILOT_ENABLE_PROTOCOL_SNIFFING_FOR_INBOUND)."""
    if chosen is None:
        return None
    if not chosen.sniffed:
        return chosen.http
    return None if settings.since(5) else False


def _from(line: Line, base: Situation, ips: frozenset[str], gateway: bool) -> bool:
    """Whether a server's line is about this client; behind a gateway the address is the user's."""
    if base.client is None:
        return base.edge.client_ip in ("", line.peer_ip)
    if gateway and line.server_name_kind == "istio":
        return line.peer_ip in ips or line.peer_ip not in _own_addresses(base)
    return not ips or line.peer_ip in ips


def _own_addresses(base: Situation) -> frozenset[str]:
    """Addresses that are surely not a user's: the server's own."""
    return pod_ips(base.server)


def waypoint_hop(view: View, base: Situation, found: WorkloadPods) -> Hop:
    """What the waypoint `found` says of the request."""
    log = read_log(view, found)
    lines = () if isinstance(log, Unavailable) else log.lines
    host = base.edge.host
    mine = tuple(one for one in lines if not host or host in one.upstream_cluster)
    services: tuple[tuple[str, str, str], ...] = ()
    if base.service is not None:
        services = ((base.service.namespace, base.service.name, "Service"),)
    expected = Expected(
        kind="waypoint",
        identity=identity_of(view, base.client),
        mtls=True if base.client is not None else None,
        client_ip=min(pod_ips(base.client), default=base.edge.client_ip),
        port=base.edge.port,
        http=True,
    )
    judge = Judge(
        namespace=found.subject.namespace, labels=found.labels, kind="waypoint", services=services
    )
    why = log if isinstance(log, Unavailable) else None
    return judged(view, base, found, judge, expected, mine, why)


def ztunnel_hop(
    view: View, base: Situation, server: WorkloadPods, waypoint: WorkloadPods | None
) -> Hop:
    """What the ztunnel before the server says of the connection."""
    lines = attempt(lambda: ztunnel_lines(view, server))
    found = () if isinstance(lines, Unavailable) else lines
    client = base.client
    mine = tuple(
        one
        for one in found
        if one.direction == "inbound"
        and base.workload_port in (0, one.target_port)
        and (client is None or waypoint is not None or one.source_ip in pod_ips(client))
    )
    last = next((one for one in reversed(mine) if one.kind in REFUSALS), None)
    peer = waypoint if waypoint is not None else client
    identity = identity_of(view, peer)
    if last is not None:
        identity = last.source_identity.removeprefix("spiffe://")
    elif waypoint is None and client is not None:
        pod = client.pod
        meshed = pod is not None and (has_proxy(pod) or enrolled(view, client))
        identity = identity if meshed else ""
    ips = pod_ips(peer)
    call = Call(
        principal=identity,
        direct_ip=last.source_ip if last else min(ips, default=None),
        destination_ip=server.pod.status.pod_ip if server.pod else None,
        port=base.workload_port or None,
        http=False,
    )
    judge = Judge(namespace=server.subject.namespace, labels=server.labels, kind="ztunnel")
    inputs = Inputs(
        policies=reads.policies(view, judge),
        authentications=(),
        judge=judge,
        call=call,
        settings=base.settings,
        now=view.now,
    )
    return Hop(
        kind="ztunnel",
        workload=server,
        expected=Expected(kind="ztunnel", identity=identity),
        inputs=inputs,
        verdict=decide(inputs),
        tunnels=mine,
        log=lines if isinstance(lines, Unavailable) else None,
    )
