"""Do the logs show the edge working, and who is refused at the server?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import callers
from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.access_logging import CLIENT, SERVER
from meshdoctor.mesh.edge_target import peers, target
from meshdoctor.mesh.edge_tls import is_ambient
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import has_proxy, owner_of
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import EvidenceError, NotAskedError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe

READS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "Job",
    "Node",
    "Pod",
    "Service",
    "StatefulSet",
    "Telemetry",
    "log",
)


class EdgeSeen(Struct, frozen=True, kw_only=True):
    """What the proxies' logs of this edge add up to."""

    working: Annotated[
        Fact[bool],
        "logs of the client or the server were read, hold calls of this edge, and none failed",
    ]


@probe("edge-seen", subject=SubjectKind.EDGE, reads=READS, costly=True)
def edge_seen(view: View, edge: EdgeSubject) -> EdgeSeen:
    """Do the logs show the edge working? (A log that cannot be read shows nothing.)

    A connection that brought no byte back tells its proxy nothing: the server's lines tell whether
    it was taken, and without them it shows no work."""
    lines = _client_lines(view, edge)
    told = [line for line in lines if not ev.mute(line)]
    if len(told) == len(lines) > 0:
        return EdgeSeen(working=not any(map(ev.failed, told)))
    told += _server_lines(view, edge)
    return EdgeSeen(working=bool(told) and not any(map(ev.failed, told)))


def _wanted(view: View, edge: EdgeSubject) -> ev.Target:
    pods = reading.workload(view, edge.server).pods if edge.server is not None else ()
    return target(edge, reading.edge_service(view, edge), pods)


def _client_lines(view: View, edge: EdgeSubject) -> tuple[Line, ...]:
    if edge.client is None:
        return ()
    try:
        logs = proxy_logs.read(view, reading.workload(view, edge.client), CLIENT)
        wanted = _wanted(view, edge)
    except EvidenceError:
        return ()
    return logs.lines(lambda log: ev.of_client(log, wanted))


def _server_lines(view: View, edge: EdgeSubject) -> tuple[Line, ...]:
    if edge.server is None or edge.client is None:
        return ()
    try:
        client = reading.workload(view, edge.client)
        logs = proxy_logs.read(view, reading.workload(view, edge.server), SERVER)
        wanted = _wanted(view, edge)
    except EvidenceError:
        return ()
    of = ev.of_gateway if wanted.named else ev.of_server
    return ev.from_peers(logs.lines(lambda log: of(log, wanted)), peers(client.pods))


class RefusedPeers(Struct, frozen=True, kw_only=True):
    """Who sent plaintext to this port and was refused, by what the address belongs to."""

    peers: Annotated[Fact[int], "different addresses refused", OBSERVED]
    nodes: Annotated[Fact[int], "of them addresses of nodes (kubelet, NodePort)", OBSERVED]
    outside: Annotated[Fact[int], "of them no pod and no node that we know", OBSERVED]
    bare: Annotated[Fact[int], "of them pods without a proxy", OBSERVED]
    meshed: Annotated[Fact[int], "of them pods with a proxy", OBSERVED]
    scrapers: Annotated[Fact[int], "of them collectors of metrics", OBSERVED]
    ingresses: Annotated[Fact[int], "of them ingress controllers other than Istio's", OBSERVED]
    workload: Annotated[Fact[Ref], "the workload behind the first pod without a proxy", OBSERVED]
    workload_name: Annotated[Fact[str], "its name"]
    workload_namespace: Annotated[Fact[str], "its namespace"]
    ingress: Annotated[Fact[Ref], "the workload of the first ingress controller", OBSERVED]
    first: Annotated[Fact[str], "the address refused most often", OBSERVED]
    lines: Annotated[Fact[int], "refused plaintext connections", OBSERVED]
    regular: Annotated[
        Fact[bool], "each address comes at a fixed interval, as health checks do", OBSERVED
    ]


@probe("refused-peers", subject=SubjectKind.EDGE, reads=READS, costly=True)
def refused_peers(view: View, edge: EdgeSubject) -> RefusedPeers:
    """Who sent plaintext to this port and was refused?"""
    if edge.server is None:
        raise NotAskedError("the server's log", "no workload stands behind the host")
    logs = proxy_logs.read(view, reading.workload(view, edge.server), SERVER)
    wanted = _wanted(view, edge)
    lines = [
        line
        for line in logs.lines(lambda log: ev.of_server(log, wanted))
        if ev.refused(line) and line.server_name_kind == "plaintext"
    ]
    return _classified(logs, lines, reading.addresses(view))


def _classified(
    logs: proxy_logs.ProxyLogs, lines: list[Line], known: callers.Addresses
) -> RefusedPeers:
    addresses = ev.peers(lines)
    at = {ip: known.pods.get(ip) for ip in addresses if ip not in known.nodes}
    found = [pod for pod in at.values() if pod is not None]
    bare = [p for p in found if not has_proxy(p) and not is_ambient(p)]
    ingresses = [p for p in found if callers.is_ingress_controller(p)]
    plain = [p for p in bare if p not in ingresses]
    first = owner_of(plain[0]) if plain else None
    return RefusedPeers(
        peers=logs.seen(len(addresses)),
        nodes=logs.seen(sum(1 for ip in addresses if ip in known.nodes)),
        outside=logs.seen(sum(1 for pod in at.values() if pod is None)),
        bare=logs.seen(len(plain)),
        meshed=logs.seen(sum(1 for p in found if has_proxy(p))),
        scrapers=logs.seen(sum(1 for p in found if callers.is_scraper(p))),
        ingresses=logs.seen(len(ingresses)),
        workload=logs.seen(Ref(first.ref if first else "")),
        workload_name=first.name if first else "",
        workload_namespace=first.namespace if first else "",
        ingress=logs.seen(Ref(owner_of(ingresses[0]).ref if ingresses else "")),
        first=logs.seen(clean(addresses[0]) if addresses else ""),
        lines=logs.seen(len(lines)),
        regular=logs.seen(callers.at_intervals((line.peer_ip, line.start) for line in lines)),
    )
