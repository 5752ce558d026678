"""Which proxies judge a request on its way, what would each say, and what did each log?

Not a probe: the shared reading of the authorization probes. A request meets at most a gateway
(when the client is one, or an egress gateway stands between), a waypoint, and the server's sidecar
or ztunnel.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.capture import inbound_bypass
from meshdoctor.mesh.services import (
    port_of,
    target_port,
)
from meshdoctor.mesh.workloads import (
    WorkloadPods,
    has_proxy,
)
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Fact
from meshdoctor.model.subjects import EdgeSubject
from meshdoctor.probes import authz_settings as reads
from meshdoctor.probes.authz_ambient import enrolled
from meshdoctor.probes.authz_gateways import egress_hops, gateway_hop
from meshdoctor.probes.authz_hop import Hop, Situation, is_gateway, read_log
from meshdoctor.probes.authz_servers import sidecar_hop, waypoint_hop, ztunnel_hop
from meshdoctor.probes.reading import edge_service, workloads
from meshdoctor.probes.view import View
from meshdoctor.probes.waypoint_reading import past_waypoint, waypoint_of

TOKEN_NOT_TOLD = Unavailable(
    reason=Reason.NOT_ASKED,
    what="the request's headers",
    detail="no request was described, and no log holds tokens",
    remedy="diagnose again with --request 'METHOD PATH' and its headers (-H)",
)


def situation(view: View, edge: EdgeSubject) -> Situation:
    """The hops of an edge, read and judged once per run."""
    key = ("authz-situation", edge, edge.client_ip, edge.request)
    return view.memo(key, lambda inner: _situation(inner, edge))


def _situation(view: View, edge: EdgeSubject) -> Situation:
    known = workloads(view)
    client = known.get((edge.client.namespace, edge.client.name)) if edge.client else None
    server = known.get((edge.server.namespace, edge.server.name)) if edge.server else None
    found = edge_service(view, edge)
    declared = port_of(found, edge.port) if found and edge.port else None
    pod = server.pod if server else None
    port = target_port(declared, pod) if declared is not None else edge.port
    asked = edge.request if edge.request.given else view.request
    base = Situation(
        edge=edge,
        request=asked,
        settings=reads.settings(view),
        hops=(),
        client=client,
        server=server,
        service=found,
        workload_port=port,
    )
    base = replace(base, client_lines=_client_lines(view, base))
    hops = tuple(_hops(view, base))
    server_lines = next((h.lines for h in reversed(hops) if h.kind == "sidecar"), ())
    return replace(base, hops=hops, server_lines=server_lines)


def _hops(view: View, base: Situation) -> Iterator[Hop]:
    client, server = base.client, base.server
    if client is not None and is_gateway(client):
        first = gateway_hop(view, base, client, outer=True)
        base = replace(base, removed=first.verdict.jwt.claims.removed)
        yield first
    if server is None:
        yield from egress_hops(view, base)
        return
    if is_gateway(server):
        yield gateway_hop(view, base, server, outer=client is None)
        return
    pod = server.pod
    waypoint = _on_the_way(view, base, server)
    if waypoint is not None:
        yield waypoint_hop(view, base, waypoint)
    if pod is None or (has_proxy(pod) and not inbound_bypass(pod, base.workload_port)):
        yield sidecar_hop(view, base, server)
    elif enrolled(view, server):
        yield ztunnel_hop(view, base, server, waypoint)


def _on_the_way(view: View, base: Situation, server: WorkloadPods) -> WorkloadPods | None:
    """The waypoint that requests pass; None when they go past it, or there is none."""
    pod = server.pod
    waypoint = waypoint_of(view, server, base.service)
    if waypoint is None or pod is None or has_proxy(pod):
        return None
    return None if past_waypoint(view, base.client, server, base.service).why else waypoint


def _client_lines(view: View, base: Situation) -> tuple[Line, ...]:
    """What the client's proxy logged of calls to this edge's host."""
    if base.client is None or base.client.pod is None or not has_proxy(base.client.pod):
        return ()
    log = read_log(view, base.client)
    if isinstance(log, Unavailable):
        return ()
    host = base.edge.host.lower()
    return tuple(
        line
        for line in log.lines
        if not line.is_inbound and host and (line.cluster_host.lower() == host or line.host == host)
    )


PASSED_BEFORE = Unavailable(
    reason=Reason.NOT_FOUND,
    what="since when the policies are as they are",
    detail="requests passed, and neither managedFields nor creationTimestamp tells whether before",
)


def counted(found: Situation, judge: Hop | None, value: int | None) -> Fact[int]:
    """Zero refusals are a fact only when the log could be read, or the caller's shows none."""
    if value is None:
        return PASSED_BEFORE
    if judge is None or value or judge.log is None or unseen_by_caller(found):
        return value
    return judge.log


REFUSAL_CODES = frozenset({401, 403, 413, 429})


def unseen_by_caller(found: Situation) -> bool:
    """Whether the caller's own log shows its answers, and no refusal among them: then a judge's
    unread log hides none."""
    lines = [line for line in found.client_lines if not line.is_tcp]
    return bool(lines) and not any(line.code in REFUSAL_CODES for line in lines)
