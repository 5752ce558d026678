"""Which proxies judge a request on its way, what would each say, and what did each log?

Not a probe: the shared reading of the authorization probes. A request meets at most a gateway
(when the client is one, or an egress gateway stands between), a waypoint, and the server's sidecar
or ztunnel.
"""

from collections import Counter
from collections.abc import Collection, Iterator

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import authz_evidence, protocols, ztunnel_log
from meshdoctor.mesh.access_log import AccessLog, Line
from meshdoctor.mesh.authorization import Inputs, decide
from meshdoctor.mesh.authz_call import Call, Judge, Settings
from meshdoctor.mesh.authz_evidence import DEFAULT, MATCHED, Summary
from meshdoctor.mesh.authz_inference import NO_TOKEN, lacked_token
from meshdoctor.mesh.authz_request import Expected, call_of
from meshdoctor.mesh.authz_since import settled
from meshdoctor.mesh.authz_verdict import Decision, Verdict
from meshdoctor.mesh.capture import inbound_bypass
from meshdoctor.mesh.client_tls import ISTIO_MUTUAL
from meshdoctor.mesh.edge_evidence import of_host
from meshdoctor.mesh.services import (
    fqdn,
    host_matches,
    named_by_client,
    port_of,
    resolve_short_name,
    selected_pods,
    target_port,
)
from meshdoctor.mesh.workloads import (
    WorkloadPods,
    has_proxy,
    principal,
    proxy_type,
)
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Fact
from meshdoctor.model.istio import MeshConfig, VirtualService
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import EdgeSubject, Request, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import authz_settings as reads
from meshdoctor.probes.authz_ambient import enrolled, waypoint_of, ztunnel_lines
from meshdoctor.probes.authz_peer import peer_speaks_mtls
from meshdoctor.probes.gateway_objects import gateways_of
from meshdoctor.probes.proxy_logs import pod_log
from meshdoctor.probes.reading import edge_service, mesh_config, mesh_config_map, workloads
from meshdoctor.probes.view import View, attempt

MOST_PODS = 3
NOTHING = Summary(counts=Counter())


class Hop(Struct, frozen=True, kw_only=True):
    """One judging proxy. `lines` are its access lines of this edge; `log` says why there are none
    when they could not be read. `kind` is sidecar, gateway, waypoint or ztunnel."""

    kind: str
    workload: WorkloadPods
    expected: Expected
    inputs: Inputs
    verdict: Verdict
    summary: Summary = NOTHING
    lines: tuple[Line, ...] = ()
    tunnels: tuple[ztunnel_log.Connection, ...] = ()
    log: Unavailable | None = None

    @property
    def refused(self) -> int:
        """Refusals that the proxy logged."""
        return self.summary.refused + sum(1 for t in self.tunnels if t.kind in REFUSALS)

    @property
    def pod(self) -> Pod | None:
        return self.workload.pod

    @property
    def token_not_told(self) -> bool:
        """Whether policies refused a request, and whether it had a token decides and is not known:
        nobody described the request, and the log does not tell."""
        rbac = self.summary.count(DEFAULT) + self.summary.count(MATCHED)
        unknown = self.verdict.decision is Decision.UNKNOWN
        return rbac > 0 and unknown and self.verdict.jwt.claims.values is None


TOKEN_NOT_TOLD = Unavailable(
    reason=Reason.NOT_ASKED,
    what="the request's headers",
    detail="no request was described, and no log holds tokens",
    remedy="diagnose again with --request 'METHOD PATH' and its headers (-H)",
)
REFUSALS = ("strict", "denied", "not_allowed")


class Situation(Struct, frozen=True, kw_only=True):
    """All hops of an edge in the order of the request; `judge` is the one that refuses.

    `removed` are headers that a hop takes away: a token that is not forwarded.
    """

    edge: EdgeSubject
    request: Request
    settings: Settings
    hops: tuple[Hop, ...]
    client: WorkloadPods | None
    server: WorkloadPods | None
    service: Service | None
    workload_port: int
    removed: frozenset[str] = frozenset()
    client_lines: tuple[Line, ...] = ()
    server_lines: tuple[Line, ...] = ()

    @property
    def judge(self) -> Hop | None:
        """The last proxy that logged a refusal, else the first that would refuse, else the last."""
        refusing = [hop for hop in self.hops if hop.refused]
        if refusing:
            return refusing[-1]
        denying = [hop for hop in self.hops if hop.verdict.decision is Decision.DENY]
        return denying[0] if denying else (self.hops[-1] if self.hops else None)


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
    if client is not None and _is_gateway(client):
        first = _gateway(view, base, client, outer=True)
        base = replace(base, removed=first.verdict.jwt.claims.removed)
        yield first
    if server is None:
        yield from _egress(view, base)
        return
    if _is_gateway(server):
        yield _gateway(view, base, server, outer=client is None)
        return
    pod = server.pod
    waypoint = waypoint_of(view, server, base.service)
    if waypoint is not None and pod is not None and not has_proxy(pod):
        yield _waypoint(view, base, waypoint)
    if pod is None or (has_proxy(pod) and not inbound_bypass(pod, base.workload_port)):
        yield _sidecar(view, base, server)
    elif enrolled(view, server):
        yield _ztunnel(view, base, server, waypoint)


def _is_gateway(found: WorkloadPods) -> bool:
    return found.pod is not None and proxy_type(found.pod) == "router"


def pod_ips(found: WorkloadPods | None) -> frozenset[str]:
    """Addresses of a workload's live pods."""
    pods = found.pods if found is not None else ()
    return frozenset(
        ip for p in pods for ip in (p.status.pod_ip, *(i.ip for i in p.status.pod_ips)) if ip
    )


def read_log(view: View, found: WorkloadPods) -> AccessLog | Unavailable:
    """The access lines of a workload's proxies together; Unavailable when no log can be read."""
    logs: list[AccessLog] = []
    failed: Unavailable | None = None
    for pod in [p for p in found.pods if has_proxy(p)][-MOST_PODS:]:
        try:
            logs.append(pod_log(view, pod.namespace, pod.name))
        except EvidenceError as error:
            failed = error.unavailable
    if not logs and failed is not None:
        return failed
    return AccessLog(
        lines=tuple(line for log in logs for line in log.lines),
        other=tuple(line for log in logs for line in log.other),
    )


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
        if not line.is_inbound
        and host
        and (line.cluster_host.lower() == host or line.authority.lower().split(":")[0] == host)
    )


def _identity(view: View, who: WorkloadPods | None) -> str | None:
    if who is None:
        return None
    space = who.subject.namespace
    return principal(mesh_config(view).trust_domain, space, who.service_account)


def _judged(
    view: View,
    base: Situation,
    found: WorkloadPods,
    judge: Judge,
    expected: Expected,
    lines: tuple[Line, ...],
    log: Unavailable | None,
) -> Hop:
    asked = base.request
    lines = authz_evidence.relevant(lines, method=asked.method, path=asked.path, host=asked.host)
    summary = authz_evidence.summarise(lines)
    kept = tuple(pair for pair in asked.headers if pair[0].lower() not in base.removed)
    asked = replace(asked, headers=kept)
    inputs = Inputs(
        policies=reads.policies(view, judge),
        authentications=reads.authentications(view, judge),
        judge=judge,
        call=call_of(expected, asked, summary.line),
        settings=base.settings,
        now=view.now,
    )
    verdict = decide(inputs)
    if lacked_token(inputs, verdict, summary.denial):
        inputs = replace(inputs, claims=NO_TOKEN)
        verdict = decide(inputs)
    return Hop(
        kind=judge.kind,
        workload=found,
        expected=expected,
        inputs=inputs,
        verdict=verdict,
        summary=_counted(view, inputs, verdict, summary, lines),
        lines=lines,
        log=log,
    )


def _counted(
    view: View, inputs: Inputs, verdict: Verdict, summary: Summary, lines: tuple[Line, ...]
) -> Summary:
    """What a hop's lines say, where those count that its policies of now let pass."""
    layer = verdict.layer if verdict.decision is Decision.DENY else ""
    summary = authz_evidence.told(summary, layer)
    if not summary.passed:
        return summary
    config = attempt(lambda: mesh_config_map(view))
    known = None if isinstance(config, Unavailable) else config
    since = settled(summary.denial, inputs, verdict, known)
    return authz_evidence.counted_since(summary, lines, since)


def _sidecar(view: View, base: Situation, server: WorkloadPods) -> Hop:
    log = read_log(view, server)
    ips = pod_ips(base.client)
    gateway = base.client is not None and _is_gateway(base.client)
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
        identity=_identity(view, base.client),
        mtls=peer_speaks_mtls(view, base.edge, base.client, server),
        client_ip=min(ips, default=base.edge.client_ip),
        server_ip=pod.status.pod_ip if pod else "",
        port=base.workload_port,
        http=None if chosen is None or chosen.sniffed else chosen.http,
        behind_gateway=gateway,
    )
    judge = Judge(namespace=server.subject.namespace, labels=server.labels)
    why = log if isinstance(log, Unavailable) else None
    hop = _judged(view, base, server, judge, expected, mine, why)
    if isinstance(log, Unavailable) or hop.summary.total:
        return hop
    return replace(hop, summary=authz_evidence.of_debug_log(log))


def _from(line: Line, base: Situation, ips: frozenset[str], gateway: bool) -> bool:
    """Whether a server's line is about this client; behind a gateway the address is the user's."""
    if base.client is None:
        return base.edge.client_ip in ("", line.peer_ip)
    if gateway and line.server_name_kind == "istio":
        return line.peer_ip in ips or line.peer_ip not in base_peers(base)
    return not ips or line.peer_ip in ips


def base_peers(base: Situation) -> frozenset[str]:
    """Addresses that are surely not a user's: the server's own."""
    return pod_ips(base.server)


def _gateway(view: View, base: Situation, found: WorkloadPods, *, outer: bool) -> Hop:
    log = read_log(view, found)
    lines = () if isinstance(log, Unavailable) else log.lines
    hosts = _routed(view, base) if outer else frozenset()
    asked = _bare(base.request.host) if found is base.server else ""
    mine = tuple(line for line in of_host(lines, asked) if _through(line, base, hosts, outer))
    config = mesh_config(view)
    topology = config.default_config.gateway_topology
    asks = _ends_mtls(view, base, found)
    expected = Expected(
        kind="gateway",
        identity=None if outer else _identity(view, base.client),
        mtls=asks is True if outer else asks,
        client_ip=base.edge.client_ip if outer else min(pod_ips(base.client), default=""),
        server_ip=found.pod.status.pod_ip if found.pod else "",
        port=0 if outer and base.client is found else base.workload_port,
        http=True,
        hops=hops_of(found, config),
        proxied=topology.proxy_protocol is not None,
    )
    judge = Judge(namespace=found.subject.namespace, labels=found.labels, kind="gateway")
    why = log if isinstance(log, Unavailable) else None
    return _judged(view, base, found, judge, expected, mine, why)


def _bare(host: str) -> str:
    return host.lower().partition(":")[0]


def _ends_mtls(view: View, base: Situation, found: WorkloadPods) -> bool | None:
    """Whether a gateway asks its callers of the mesh for their certificate; None: cannot be told.

    The servers of its Gateways for the host that is asked about, else all: mode ISTIO_MUTUAL.
    """
    servers = [server for one in gateways_of(view, found.pod) for server in one.spec.servers]
    host = (base.request.host or base.edge.host).partition(":")[0]
    named = [
        server
        for server in servers
        if any(host_matches(name.rpartition("/")[2], host) for name in server.hosts)
    ]
    modes = {server.tls.mode if server.tls else "" for server in named or servers}
    return modes == {ISTIO_MUTUAL} if len(modes) == 1 else None


def hops_of(found: WorkloadPods, config: MeshConfig) -> int:
    """numTrustedProxies of a gateway: its pod's annotation `proxy.istio.io/config`, else the
    mesh's."""
    text = found.pod.annotations.get("proxy.istio.io/config", "") if found.pod else ""
    for part in text.replace("{", "\n").replace(",", "\n").splitlines():
        key, _, value = part.strip().strip("}").partition(":")
        if key.strip().strip('"') == "numTrustedProxies":
            number = value.strip().strip('}"')
            if number.isdigit():
                return int(number)
    return config.default_config.gateway_topology.num_trusted_proxies


def _routed(view: View, base: Situation) -> frozenset[str]:
    """Hosts by which a gateway's own refusals of this edge are told apart; empty: cannot be told.

    The host asked about, else those that VirtualServices route to the service.
    """
    host = base.request.host.lower()
    if host:
        return frozenset({host, _bare(host)})
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
    bare = name.partition(":")[0]
    return not hosts or name in hosts or any(host_matches(host, bare) for host in hosts)


def _egress(view: View, base: Situation) -> Iterator[Hop]:
    """Gateways through which calls of this client to this external host went."""
    ips = pod_ips(base.client)
    if base.client is None or _is_gateway(base.client) or not base.edge.host:
        return
    called = {line.cluster_host for line in base.client_lines if cluster_service(line)}
    for found in workloads(view).values():
        if not _is_gateway(found) or not (_is_egress(found) or _behind(view, called, found)):
            continue
        hop = _gateway(view, base, found, outer=False)
        host = base.edge.host.lower()
        mine = tuple(
            line
            for line in hop.lines
            if line.peer_ip in ips and line.authority.lower().partition(":")[0] in (host, "")
        )
        if mine:
            told = authz_evidence.summarise(mine)
            told = _counted(view, hop.inputs, hop.verdict, told, mine)
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


def _waypoint(view: View, base: Situation, found: WorkloadPods) -> Hop:
    log = read_log(view, found)
    lines = () if isinstance(log, Unavailable) else log.lines
    host = base.edge.host
    mine = tuple(one for one in lines if not host or host in one.upstream_cluster)
    services: tuple[tuple[str, str, str], ...] = ()
    if base.service is not None:
        services = ((base.service.namespace, base.service.name, "Service"),)
    expected = Expected(
        kind="waypoint",
        identity=_identity(view, base.client),
        mtls=True if base.client is not None else None,
        client_ip=min(pod_ips(base.client), default=base.edge.client_ip),
        port=base.edge.port,
        http=True,
    )
    judge = Judge(
        namespace=found.subject.namespace, labels=found.labels, kind="waypoint", services=services
    )
    why = log if isinstance(log, Unavailable) else None
    return _judged(view, base, found, judge, expected, mine, why)


def _ztunnel(
    view: View, base: Situation, server: WorkloadPods, waypoint: WorkloadPods | None
) -> Hop:
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
    identity = _identity(view, peer)
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


def subject_of(found: WorkloadPods | None) -> WorkloadSubject | None:
    """The workload as a subject."""
    return found.subject if found is not None else None


__all__ = ["EvidenceError", "Hop", "Situation", "situation"]
