"""What did the ztunnels of both nodes log about this edge?"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh.access_log import address
from meshdoctor.mesh.edge_target import ips, target
from meshdoctor.mesh.external_host import lacks_endpoints, names
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.ztunnel_log import Connection
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import ServiceEntry
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import EdgeSubject, SubjectKind, WorkloadSubject
from meshdoctor.ports import EvidenceError, NotAskedError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe
from meshdoctor.probes.waypoint_reading import waypoint_of
from meshdoctor.probes.ztunnel_reading import connections, ztunnels


class ZtunnelLog(Struct, frozen=True, kw_only=True):
    """Connections of this edge in the logs of the ztunnels on the client's and the server's
    nodes. A mesh without ztunnel has none: zeros."""

    lines: Annotated[Fact[int], "connections of this edge", OBSERVED]
    ok: Annotated[Fact[int], "of them without error", OBSERVED]
    failures: Annotated[Fact[int], "of them with an error", OBSERVED]
    error: Annotated[Fact[str], "most frequent error text", OBSERVED]
    kind: Annotated[
        Fact[str],
        "what it means: strict, denied, not_allowed, hbone_blocked, refused, timeout, "
        "unknown_waypoint, no_upstream, peer_denied, tls, other; empty: no error",
        OBSERVED,
    ]
    strict: Annotated[Fact[int], "plaintext refused because STRICT is in force", OBSERVED]
    denied: Annotated[Fact[int], "refused by a DENY policy", OBSERVED]
    denied_by: Annotated[Fact[str], "that policy, namespace/name", OBSERVED]
    not_allowed: Annotated[Fact[int], "refused because no ALLOW policy matched", OBSERVED]
    hbone_blocked: Annotated[Fact[int], "timed out on port 15008", OBSERVED]
    refused: Annotated[Fact[int], "connection refused", OBSERVED]
    app_refused: Annotated[Fact[int], "of them by the application, at the server's own", OBSERVED]
    no_upstream: Annotated[Fact[int], "no healthy upstream", OBSERVED]
    unknown_waypoint: Annotated[Fact[int], "the waypoint is not known", OBSERVED]
    peer_denied: Annotated[Fact[int], "the peer's ztunnel answered 401", OBSERVED]
    san_mismatch: Annotated[Fact[int], "the peer's certificate has another identity", OBSERVED]
    anonymous: Annotated[Fact[int], "failures of callers without identity (plaintext)", OBSERVED]
    identity: Annotated[Fact[str], "identity of the caller that ztunnel saw", OBSERVED]
    first: Annotated[Fact[datetime], "time of the first failure", OBSERVED]
    last: Annotated[Fact[datetime], "time of the last failure", OBSERVED]
    pod: Annotated[Fact[str], "a ztunnel pod that serves this edge"]
    entry: Annotated[
        Fact[Ref], "a ServiceEntry for the host, where no workload stands behind it; empty: none"
    ]
    entry_name: Annotated[Fact[str], "its name"]
    entry_namespace: Annotated[Fact[str], "its namespace"]
    entry_lacks: Annotated[Fact[str], "why ztunnel has no endpoint for it; empty: it may have"]


@probe(
    "ztunnel-log",
    subject=SubjectKind.EDGE,
    reads=(
        "DaemonSet",
        "Deployment",
        "Job",
        "Namespace",
        "Pod",
        "Service",
        "ServiceEntry",
        "StatefulSet",
        "log",
    ),
    costly=True,
)
def ztunnel_log(view: View, edge: EdgeSubject) -> ZtunnelLog:
    """What did the ztunnels of both nodes log about this edge?"""
    some = ztunnels(view)
    if not some:
        return _facts([], "", None)
    entry = _entry(view, edge)
    if edge.server is None and entry is None:
        raise NotAskedError("ztunnel logs", "no workload stands behind the host")
    client = _pods(view, edge.client) if edge.client is not None else ()
    server = _pods(view, edge.server) if edge.server is not None else ()
    service = reading.edge_service(view, edge)
    wanted = target(edge, service, server)
    nodes = {pod.spec.node_name for pod in (*client, *server)}
    found, pod, missing = _connections(view, some, nodes)
    client_ips = frozenset(ip for one in client for ip in ips(one)) | (
        {edge.client_ip} if edge.client_ip else set()
    )
    if client_ips:
        client_ips |= _waypoint_ips(view, edge, service)
    lines = [
        one
        for one in found
        if one.complete
        and (not client_ips or one.source_ip in client_ips)
        and (
            one.target.rpartition(":")[0].strip("[]") in wanted.addresses
            or wanted.is_host(one.service)
            or (entry is not None and names(entry, address(one.target)[0]))
        )
        and one.target_port in (wanted.workload_port, wanted.port, 15008)
    ]
    found_facts = _facts(lines, pod, missing)
    if entry is None:
        return found_facts
    return replace(
        found_facts,
        entry=Ref(entry.ref),
        entry_name=entry.name,
        entry_namespace=entry.namespace,
        entry_lacks=lacks_endpoints(entry, reading.release(view)),
    )


def _waypoint_ips(view: View, edge: EdgeSubject, service: Service | None) -> frozenset[str]:
    """Addresses of the waypoint by which calls come to the server, in the caller's stead."""
    if edge.server is None:
        return frozenset()
    waypoint = waypoint_of(view, reading.workload(view, edge.server), service)
    return frozenset(ip for one in (waypoint.pods if waypoint else ()) for ip in ips(one))


def _entry(view: View, edge: EdgeSubject) -> ServiceEntry | None:
    """The ServiceEntry that names a host behind which no workload stands."""
    if edge.server is not None or edge.service is not None or not edge.host:
        return None
    entries = view.objects("ServiceEntry", ServiceEntry)
    return min((e for e in entries if names(e, edge.host)), key=lambda e: e.ref, default=None)


def _pods(view: View, subject: WorkloadSubject) -> tuple[Pod, ...]:
    return reading.workload(view, subject).pods


def _connections(
    view: View, some: tuple[Pod, ...], nodes: set[str]
) -> tuple[tuple[Connection, ...], str, Unavailable | None]:
    """Connections of the ztunnels on these nodes, one such pod, and why some are missing."""
    pods = [pod for pod in some if pod.spec.node_name in nodes or not any(nodes)]
    found: list[Connection] = []
    missing: Unavailable | None = None
    for pod in pods:
        try:
            found += connections(view, pod)
        except EvidenceError as error:
            missing = error.unavailable
    return (tuple(found), pods[0].name if pods else "", missing)


def _facts(lines: Iterable[Connection], pod: str, missing: Unavailable | None) -> ZtunnelLog:
    lines = tuple(lines)
    bad = [one for one in lines if one.error]
    times = sorted(one.at for one in bad if one.at is not None)
    kinds = Counter(one.kind for one in bad)
    none = Unavailable(reason=Reason.NOT_FOUND, what="failed connections at the ztunnels")

    def count(value: int) -> Fact[int]:
        return value if value or missing is None else missing

    def text(values: Iterable[str]) -> Fact[str]:
        counted = Counter(value for value in values if value).most_common(1)
        if not counted:
            return missing or ""
        return clean(counted[0][0])

    return ZtunnelLog(
        lines=count(len(lines)),
        ok=count(len(lines) - len(bad)),
        failures=count(len(bad)),
        error=text(one.error for one in bad),
        kind=text(one.kind for one in bad),
        strict=count(kinds["strict"]),
        denied=count(kinds["denied"]),
        denied_by=text(one.denied_by for one in bad if one.kind == "denied"),
        not_allowed=count(kinds["not_allowed"]),
        hbone_blocked=count(kinds["hbone_blocked"]),
        refused=count(kinds["refused"]),
        app_refused=count(sum(one.kind == "refused" and one.direction == "inbound" for one in bad)),
        no_upstream=count(kinds["no_upstream"]),
        unknown_waypoint=count(kinds["unknown_waypoint"]),
        peer_denied=count(kinds["peer_denied"]),
        san_mismatch=count(sum(1 for one in bad if "expected SAN" in one.error)),
        anonymous=count(sum(1 for one in bad if not one.source_identity)),
        identity=text(one.source_identity for one in lines),
        first=times[0] if times else missing or none,
        last=times[-1] if times else missing or none,
        pod=pod,
        entry=Ref(""),
        entry_name="",
        entry_namespace="",
        entry_lacks="",
    )
