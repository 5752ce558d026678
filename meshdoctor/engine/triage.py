"""Which edges are observably failing, when nobody named one, or only the workload at one end?

Reads the access logs that `proxy_logs.chosen` names. A line with a failure becomes an edge: the
log's owner is the client when the cluster is outbound, the server when the listener refused; peers
are found by service host and pod IP.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from meshdoctor.mesh.access_log import AccessLog, Line, address
from meshdoctor.mesh.addresses import is_address
from meshdoctor.mesh.edge_evidence import BLACK_HOLE, by_upstream
from meshdoctor.mesh.edge_target import ips
from meshdoctor.mesh.outbound import CONNECT
from meshdoctor.mesh.services import fqdn, named_by_client, selected_pods
from meshdoctor.mesh.workloads import WorkloadPods, owner_of, proxy_type
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import EdgeSubject, ServiceSubject, WorkloadSubject
from meshdoctor.ports import EvidenceError, NotRecordedError
from meshdoctor.probes.proxy_logs import chosen, pod_log
from meshdoctor.probes.reading import behind, workloads
from meshdoctor.probes.view import View

MOST_SERVERS = 3
REFUSED = "rbac_"
BAD_REQUEST = 400
FEW = 3
KUBELET = "kube-probe/"
"""The agent of probes that reach an application through its proxy: who refuses them refuses no
caller, and whether they are refused is asked about the workload."""
_QUIET = frozenset({"-", "DC", ""})


def failing_edges(view: View, of: WorkloadSubject | None = None) -> list[EdgeSubject]:
    """Edges that the logs show failing, of one workload or of all; empty when none does.
    Unreadable logs, and edges whose ends cannot be told because Pods or Services may not be read,
    are skipped here: the report names what could not be seen."""
    edges: dict[str, EdgeSubject] = {}
    try:
        pods = chosen(view) if of is None else _proxies_of(view, of)
    except EvidenceError:
        return []
    for pod in pods:
        try:
            teller, log = _told(view, pod)
            for line in failures(log.lines):
                if not line.user_agent.startswith(KUBELET):
                    for edge in edges_of(view, teller, line):
                        edges.setdefault(str(edge), edge)
        except EvidenceError:
            continue
    return list(edges.values())


def _told(view: View, pod: Pod) -> tuple[Pod, AccessLog]:
    """The pod's log; where a recording lacks it, that of another pod of its workload."""
    try:
        return pod, pod_log(view, pod.namespace, pod.name)
    except NotRecordedError:
        for other in _proxies_of(view, owner_of(pod)):
            try:
                return other, pod_log(view, other.namespace, other.name)
            except NotRecordedError:
                continue
        raise


def _proxies_of(view: View, subject: WorkloadSubject) -> tuple[Pod, ...]:
    found = workloads(view).get((subject.namespace, subject.name))
    return found.proxies if found is not None else ()


def failures(lines: Sequence[Line]) -> list[Line]:
    """The lines that a person would call failures: those that failed by themselves, and 400s of an
    application where it gives no other answer. One bad request is its sender's own affair."""
    answers: dict[tuple[str, str], list[int]] = {}
    for line in lines:
        answers.setdefault(stream(line), []).append(line.code)
    spoilt = {
        key for key, codes in answers.items() if len(codes) >= FEW and set(codes) == {BAD_REQUEST}
    }
    return [line for line in lines if failed(line) or stream(line) in spoilt]


def failed(line: Line) -> bool:
    """Whether one line tells of a failure: a flag other than DC, 5xx, 401/403, another refusal of
    the proxy itself, or a TCP connection that a filter refused."""
    if line.flags - _QUIET or (line.code >= BAD_REQUEST and not by_upstream(line)):
        return True
    if line.details.startswith(REFUSED) or line.termination.startswith(REFUSED):
        return True  # gRPC is refused with 200, and a status in the trailers
    return line.code >= 500 or line.code in (401, 403)


def stream(line: Line) -> tuple[str, str]:
    """What a line belongs to: an outbound cluster, or a port of the log's owner."""
    if line.authority and not line.upstream_cluster:
        return ("none", line.authority)
    if line.upstream_cluster.startswith(("inbound", "-")) or not line.upstream_cluster:
        return ("in", str(line.local_port))
    return ("out", line.upstream_cluster)


def by_address(view: View) -> dict[str, WorkloadSubject]:
    """Whose pod an address is."""
    return view.memo("workload-by-ip", _by_ip)


def _by_ip(view: View) -> dict[str, WorkloadSubject]:
    out = {}
    for pod in view.objects("Pod", Pod):
        if pod.status.pod_ip and not pod.spec.host_network:
            out[pod.status.pod_ip] = owner_of(pod)
    return out


def edges_of(view: View, pod: Pod, line: Line) -> Iterator[EdgeSubject]:
    """The edges that one line of a pod's access log is about."""
    by_ip = by_address(view)
    owner = owner_of(pod)
    parts = line.upstream_cluster.split("|")
    if parts[0] == "outbound" and len(parts) == 4:
        through = _through_gateway(view, owner, line, parts[3])
        if through is not None:
            yield through
        yield from _to_service(view, owner, parts[3], int(parts[1] or 0))
    elif line.upstream_cluster == "PassthroughCluster":
        called, number = address(line.upstream_host)
        yield from to_address(view, owner, line.host or called, called, number)
    elif line.upstream_cluster == BLACK_HOLE or (
        not line.upstream_cluster and _went_out(pod, line)
    ):
        # No route, or a route to a cluster that does not exist: only name and address tell whose.
        yield from _to_named(view, owner, line)
    elif parts[0] == "inbound" or not line.upstream_cluster:
        yield from _to_server(view, owner, line, by_ip)


def _through_gateway(
    view: View, client: WorkloadSubject, line: Line, called: str
) -> EdgeSubject | None:
    """The call of another host that a route leads through a gateway of the mesh; None: no other
    host, or no gateway."""
    host, port = line.host, line.local_port
    name = named_by_client(called, client.namespace) if ".svc." in called else None
    service = view.object("Service", Service, *name) if name is not None else None
    asked = named_by_client(host, client.namespace) if host and not is_address(host) else name
    if service is None or asked == name or (asked and view.object("Service", Service, *asked)):
        return None
    fronts = list(behind(view, service))
    if not fronts or any(one.proxy_type != "router" for one in fronts):
        return None
    return EdgeSubject(client=client, server=None, host=host, port=port)


def to_address(
    view: View, client: WorkloadSubject, host: str, called: str, port: int
) -> Iterator[EdgeSubject]:
    """A call of an address as it is: a pod's, that of a Service under a host that the proxy does
    not know, or one outside."""
    service = view.memo("service-by-ip", _by_cluster_ip).get(called)
    if service is None:
        server = by_address(view).get(called)
        yield EdgeSubject(client=client, server=server, host=host, port=port)
        return
    yield from _through(view, client, service, host, port)


def _went_out(pod: Pod, line: Line) -> bool:
    """Whether the pod's own application made the call: from an address of the pod to another."""
    called = address(line.downstream_local)[0]
    own = ips(pod)
    return line.peer_ip in own and bool(called) and called not in own


def _to_named(view: View, client: WorkloadSubject, line: Line) -> Iterator[EdgeSubject]:
    called, number = address(line.downstream_local)
    services = view.memo("service-by-ip", _by_cluster_ip)
    found = services.get(called)
    if found is not None:
        yield from _to_service(view, client, fqdn(found), number)
        return
    named = "" if line.method == CONNECT else line.host or line.server_name
    host = named or called  # a tunnel's name is that of its far end
    if host:
        yield EdgeSubject(client=client, server=None, host=host, port=number)


def _by_cluster_ip(view: View) -> dict[str, Service]:
    return {
        ip: one
        for one in view.objects("Service", Service)
        for ip in (one.spec.cluster_ip, *one.spec.cluster_ips)
        if ip and ip != "None"
    }


def _to_service(view: View, client: WorkloadSubject, host: str, port: int) -> Iterator[EdgeSubject]:
    name = named_by_client(host, client.namespace) if ".svc." in host else None
    service = view.object("Service", Service, *name) if name else None
    if service is None:
        yield EdgeSubject(client=client, server=None, host=host, port=port)
        return
    yield from _through(view, client, service, host, port)


def _through(
    view: View, client: WorkloadSubject, service: Service, host: str, port: int
) -> Iterator[EdgeSubject]:
    """Calls of a Service, to each of the first workloads behind it."""
    named = ServiceSubject(service.namespace, service.name)
    servers: list[WorkloadSubject | None] = [one.subject for one in behind(view, service)]
    for server in (servers or [None])[:MOST_SERVERS]:
        yield EdgeSubject(client=client, server=server, service=named, host=host, port=port)


def _passed_on(view: View, line: Line) -> WorkloadSubject | None:
    """The gateway that passed a request on, by the request's id: the address in the line is not
    the peer's, but that of whoever called the gateway."""
    return view.memo("passed-on", _by_request).get(line.request_id)


def _by_request(view: View) -> dict[str, WorkloadSubject]:
    """Requests that the gateways of this run passed on, by their id."""
    out = {}
    for pod in chosen(view):
        if proxy_type(pod) != "router":
            continue
        try:
            lines = pod_log(view, pod.namespace, pod.name).lines
        except EvidenceError:
            continue
        passed = (one for one in lines if one.is_outbound and one.request_id)
        out.update(dict.fromkeys((one.request_id for one in passed), owner_of(pod)))
    return out


def _to_server(
    view: View, server: WorkloadSubject, line: Line, by_ip: dict[str, WorkloadSubject]
) -> Iterator[EdgeSubject]:
    port, peer = line.local_port, line.peer_ip
    client = _passed_on(view, line) if line.forwarded else by_ip.get(peer)
    workload: WorkloadPods | None = workloads(view).get((server.namespace, server.name))
    named = _by_server_name(view, server, line, workload)
    if named is not None:
        yield replace(named, client=client, client_ip="" if client else peer)
        return
    yield to_port(view, server, port, client, peer)


def to_port(
    view: View, server: WorkloadSubject, port: int, client: WorkloadSubject | None, peer: str
) -> EdgeSubject:
    """Calls of a workload's port, under the Service that leads there."""
    workload = workloads(view).get((server.namespace, server.name))
    service = None
    service_port = port
    if workload is not None:
        for candidate in view.objects("Service", Service, server.namespace):
            if not selected_pods(candidate, workload.pods):
                continue
            for declared in candidate.spec.ports:
                if declared.port == port or declared.target_port == port:
                    service = candidate
                    service_port = declared.port
                    break
    return EdgeSubject(
        client=client,
        server=server,
        service=ServiceSubject(service.namespace, service.name) if service else None,
        host=f"{service.name}.{service.namespace}.svc.cluster.local" if service else "",
        port=service_port,
        client_ip="" if client else peer,
    )


def _by_server_name(
    view: View, server: WorkloadSubject, line: Line, workload: WorkloadPods | None
) -> EdgeSubject | None:
    """The Service and port that the caller's proxy meant, which Istio's own SNI names: several
    ports of a Service may lead to one of the pod. None: the SNI does not tell."""
    port, host = line.server_name_target
    name = named_by_client(host, server.namespace) if host and workload is not None else None
    found = view.object("Service", Service, *name) if name is not None else None
    if found is None or workload is None or not selected_pods(found, workload.pods):
        return None
    return EdgeSubject(
        client=None,
        server=server,
        service=ServiceSubject(found.namespace, found.name),
        host=host,
        port=port,
    )
