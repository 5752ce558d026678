"""Do the calls to a host outside meet what the policy and the ServiceEntries in force say?"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh import outbound
from meshdoctor.mesh.access_log import AccessLog, Line
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.changes import last_change
from meshdoctor.mesh.edge_target import ips, target
from meshdoctor.mesh.external_host import visible
from meshdoctor.mesh.protocols import speaks_first
from meshdoctor.mesh.services import fqdn
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.visibility import REGISTRY_ONLY, Scope, sees
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import MeshConfig, ServiceEntry
from meshdoctor.model.kubernetes import Namespace, Object, Pod, Service
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.proxy_logs import ProxyLogs
from meshdoctor.probes.view import View, attempt, probe

MOST_NAMESPACES = 60


class EdgeOutbound(Struct, frozen=True, kw_only=True):
    """Of a client with a sidecar and a host that is no Service; else all empty."""

    policy: Annotated[Fact[str], "the outboundTrafficPolicy in force for the client"]
    policy_by: Annotated[Fact[Ref], "the Sidecar or ConfigMap that sets it; empty: the default"]
    policy_from: Annotated[Fact[str], "the same in words"]
    contrary: Annotated[
        Fact[int], "calls since that was set whose end is the opposite of what it says", OBSERVED
    ]
    met_http: Annotated[Fact[int], "calls that met HTTP's routes, and none took them", OBSERVED]
    dialled: Annotated[Fact[str], "the address that most of those dialled", OBSERVED]
    ranged: Annotated[Fact[Ref], "the ServiceEntry that has it in a range, as TCP; empty: none"]
    ranged_name: Annotated[Fact[str], "its name"]
    ranged_namespace: Annotated[Fact[str], "its namespace"]
    nameless: Annotated[
        Fact[int], "TCP calls to the port that no cluster took, and that told no SNI", OBSERVED
    ]
    garbled: Annotated[
        Fact[int], "calls of that port outside whose bytes are no HTTP, refused for it", OBSERVED
    ]
    adrift: Annotated[
        Fact[int], "calls that failed at an address of istiod's own making, as it is", OBSERVED
    ]
    adrift_to: Annotated[Fact[str], "that address, with the port", OBSERVED]
    adrift_entry: Annotated[
        Fact[Ref], "the ServiceEntry for which it stands, without that port; empty: none"
    ]
    adrift_ports: Annotated[Fact[str], "the ports of that entry"]
    ported: Annotated[
        Fact[int], "requests of the host that found no route, with another port in it", OBSERVED
    ]
    said_port: Annotated[Fact[int], "that port", OBSERVED]
    tunnels: Annotated[Fact[int], "HTTP CONNECT requests to the port that no route took", OBSERVED]
    http_by: Annotated[
        Fact[Ref], "what makes HTTP of that port: a ServiceEntry, or a Service; empty: not seen"
    ]
    http_from: Annotated[Fact[str], "the same in words"]
    host: Annotated[Fact[str], "the host called"]
    port: Annotated[Fact[int], "the port called"]
    pod: Annotated[Fact[str], "a pod of the client"]
    namespace: Annotated[Fact[str], "its namespace"]


_NONE = EdgeOutbound(
    policy="",
    policy_by=Ref(""),
    policy_from="",
    contrary=0,
    met_http=0,
    dialled="",
    ranged=Ref(""),
    ranged_name="",
    ranged_namespace="",
    nameless=0,
    garbled=0,
    adrift=0,
    adrift_to="",
    adrift_entry=Ref(""),
    adrift_ports="",
    ported=0,
    said_port=0,
    tunnels=0,
    http_by=Ref(""),
    http_from="",
    host="",
    port=0,
    pod="",
    namespace="",
)


@probe(
    "edge-outbound",
    subject=SubjectKind.EDGE,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Job",
        "Namespace",
        "Pod",
        "Service",
        "ServiceEntry",
        "Sidecar",
        "StatefulSet",
        "Telemetry",
        "log",
    ),
    costly=True,
)
def edge_outbound(view: View, edge: EdgeSubject) -> EdgeOutbound:
    """Do the calls to a host outside meet what the policy and the entries in force say?"""
    if edge.client is None or edge.service is not None or edge.server is not None or not edge.host:
        return _NONE
    workload = reading.workload(view, edge.client)
    pod = workload.pod
    if pod is None or proxy_type(pod) != "sidecar":
        return _NONE
    mesh = reading.mesh_config(view)
    in_force = reading.sidecar_scope(view, pod)
    logs = proxy_logs.read(view, workload, CLIENT)
    facts = replace(
        _NONE, host=clean(edge.host, 253), port=edge.port, pod=pod.name, namespace=pod.namespace
    )
    facts = _policy(view, edge, in_force, mesh, logs, facts)
    return _lost(view, edge, pod, in_force, mesh, logs, facts)


def _policy(
    view: View,
    edge: EdgeSubject,
    in_force: Scope,
    mesh: MeshConfig,
    logs: ProxyLogs,
    facts: EdgeOutbound,
) -> EdgeOutbound:
    policy = in_force.outbound_policy(mesh)
    own = in_force.sidecar
    setter: Object | None = own if own is not None and own.spec.outbound_traffic_policy else None
    setter = setter or reading.mesh_config_map(view)
    since = last_change(setter) if setter is not None else None

    def opposite(line: Line) -> bool:
        later = since is None or line.start is None or line.start > since
        return later and outbound.contrary(line, policy == REGISTRY_ONLY)

    return replace(
        facts,
        policy=policy,
        policy_by=Ref(setter.ref if setter is not None else ""),
        policy_from=setter.ref if setter is not None else "the default",
        contrary=logs.seen(ev.count(logs.lines(lambda log: _calls(log, edge)), opposite)),
    )


def _lost(
    view: View,
    edge: EdgeSubject,
    pod: Pod,
    in_force: Scope,
    mesh: MeshConfig,
    logs: ProxyLogs,
    facts: EdgeOutbound,
) -> EdgeOutbound:
    lost = logs.lines(lambda log: _lost_lines(log, edge))
    tunnels = [line for line in lost if outbound.connects(line, edge.port)]
    nameless = logs.lines(
        lambda log: tuple(x for x in log.lines if outbound.nameless(x, edge.port))
    )
    seen = visible(view.objects("ServiceEntry", ServiceEntry), in_force, mesh)
    dialled = ev.most_common(map(outbound.dialled, lost))
    entry = outbound.ranged(seen, dialled, edge.port) if dialled else None
    own = frozenset(ips(pod))
    garbled = logs.lines(
        lambda log: tuple(x for x in log.lines if outbound.garbled(x, edge.port, own))
    )
    if nameless:
        there = attempt(lambda: tuple(_services(view, in_force, mesh)))
        others = () if isinstance(there, Unavailable) else there
        taken = outbound.of_others(edge.host, seen, others)
        nameless = tuple(x for x in nameless if outbound.dialled(x) not in taken)
    facts = _adrift(edge, logs, seen, facts)
    said = [p for x in lost if (p := outbound.ported(x, edge.host, edge.port))]
    holder = None
    past = logs.lines(
        lambda log: tuple(x for x in log.lines if outbound.read_as_http(x, edge.port))
    )
    if tunnels or garbled or past or speaks_first(edge.port):
        services = _services(view, in_force, mesh)
        holder = outbound.http_on(edge.port, (edge.host,), seen, services)
    return replace(
        facts,
        met_http=logs.seen(len(lost)),
        dialled=logs.seen(clean(dialled)),
        ranged=logs.seen(Ref(entry.ref if entry is not None else "")),
        ranged_name=entry.name if entry is not None else "",
        ranged_namespace=entry.namespace if entry is not None else "",
        nameless=logs.seen(len(nameless)),
        garbled=logs.seen(len(garbled)),
        ported=logs.seen(len(said)),
        said_port=said[-1] if said else 0,
        tunnels=logs.seen(len(tunnels)),
        http_by=Ref(holder.ref if holder is not None else ""),
        http_from=holder.ref if holder is not None else "a service that was not seen",
    )


def _adrift(
    edge: EdgeSubject, logs: ProxyLogs, seen: tuple[ServiceEntry, ...], facts: EdgeOutbound
) -> EdgeOutbound:
    lines = logs.lines(
        lambda log: tuple(x for x in log.lines if outbound.adrift(x, edge.host, edge.port))
    )
    called = ev.most_common(map(outbound.dialled, lines))
    entry = outbound.stands_for(seen, called, edge.host, edge.port) if called else None
    return replace(
        facts,
        adrift=logs.seen(len(lines)),
        adrift_to=logs.seen(f"{called}:{edge.port}" if called else ""),
        adrift_entry=Ref(entry.ref if entry is not None else ""),
        adrift_ports=", ".join(str(p.number) for p in entry.spec.ports) if entry else "",
    )


def _lost_lines(log: AccessLog, edge: EdgeSubject) -> tuple[Line, ...]:
    """A tunnel's line tells of its far end, and only by its port of the proxy that was called."""
    calls = set(map(id, _calls(log, edge)))
    return tuple(
        line
        for line in log.lines
        if outbound.connects(line, edge.port) or (outbound.met_http(line) and id(line) in calls)
    )


def _calls(log: AccessLog, edge: EdgeSubject) -> tuple[Line, ...]:
    return ev.of_client(log, target(edge, None, ()))


def _services(view: View, in_force: Scope, mesh: MeshConfig) -> Iterable[Service]:
    """Those that the client's proxy knows, of any namespace: each has a say in its listeners."""
    spaces = [n.name for n in view.objects("Namespace", Namespace)][:MOST_NAMESPACES]
    every = (s for space in spaces for s in view.objects("Service", Service, space))
    return (s for s in every if sees(s, fqdn(s), in_force, mesh).visible)
