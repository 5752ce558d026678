"""Does what the client's proxy sends to an egress gateway fit the gateway's server?"""

from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import gateway_tls
from meshdoctor.mesh.access_log import AccessLog, Line
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.client_tls import Client, choose, ruling
from meshdoctor.mesh.edge_evidence import failed
from meshdoctor.mesh.edge_path import entry_of
from meshdoctor.mesh.egress_gateway import Leaving, leading_to, leaving, misfit
from meshdoctor.mesh.gateway_binding import gateway_pods
from meshdoctor.mesh.services import named_by_client
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_sidecar, proxy_type, tls_mode_label
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import DestinationRule, Gateway, VirtualService
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import EdgeSubject, ServiceSubject, SubjectKind
from meshdoctor.probes import edge_objects, proxy_logs, reading
from meshdoctor.probes.view import View, attempt, probe


class EdgeEgressGateway(Struct, frozen=True, kw_only=True):
    """Where a VirtualService sends the calls to a host; all empty where no gateway takes them."""

    sends: Annotated[
        Fact[str],
        "what the client's proxy sends and the gateway's server does not take; empty: none",
    ]
    route: Annotated[Fact[Ref], "the VirtualService"]
    route_name: Annotated[Fact[str], "its name"]
    route_namespace: Annotated[Fact[str], "its namespace"]
    subset: Annotated[Fact[str], "the subset that it names; empty: none"]
    rule: Annotated[Fact[Ref], "the DestinationRule for the gateway's Service; empty: none"]
    service: Annotated[Fact[Ref], "the gateway's Service"]
    port: Annotated[Fact[int], "its port"]
    gateway: Annotated[Fact[Ref], "the Gateway with that server"]
    mode: Annotated[Fact[str], "the server's tls mode"]
    hosts: Annotated[Fact[str], "the names that it takes"]
    works: Annotated[Fact[bool], "calls came through that port; false: none seen"]
    failures: Annotated[Fact[int], "calls of the host that failed there", OBSERVED]
    client_namespace: Annotated[Fact[str], "namespace of the client"]
    client_target: Annotated[Fact[str], "the client as kubectl and istioctl take it, kind/name"]
    host: Annotated[Fact[str], "the gateway's Service by its full name"]


NONE = EdgeEgressGateway(
    sends="",
    route=Ref(""),
    route_name="",
    route_namespace="",
    subset="",
    rule=Ref(""),
    service=Ref(""),
    port=0,
    gateway=Ref(""),
    mode="",
    hosts="",
    works=False,
    failures=0,
    client_namespace="",
    client_target="",
    host="",
)


@probe(
    "edge-egress-gateway",
    subject=SubjectKind.EDGE,
    reads=(*edge_objects.READS, "Gateway", "log"),
    costly=True,
)
def edge_egress_gateway(view: View, edge: EdgeSubject) -> EdgeEgressGateway:
    """Does what the client sends to an egress gateway fit the gateway's server?"""
    if edge.client is None or not edge.host or not _may_leave(view, edge):
        return NONE
    pod = reading.workload(view, edge.client).pod
    if pod is None or not is_sidecar(pod) or _opaque(view, edge):
        return NONE
    routes = view.objects("VirtualService", VirtualService)
    default = reading.mesh_config(view).default_virtual_service_export_to
    seek = leading_to if edge.service is not None else leaving
    found = seek(routes, edge.host, edge.port, pod.namespace, default)
    where = named_by_client(found.host, "") if found is not None and ".svc." in found.host else None
    service = reading.service(view, ServiceSubject(*where)) if where is not None else None
    if found is None or service is None:
        return NONE
    return _at(view, edge, pod, found, service)


def _at(
    view: View, edge: EdgeSubject, pod: Pod, found: Leaving, service: Service
) -> EdgeEgressGateway:
    port = found.port or (service.spec.ports[0].port if len(service.spec.ports) == 1 else 0)
    pods = reading.pods_of_service(view, service)
    routers = [p for p in pods if proxy_type(p) == "router"]
    if not routers:
        return NONE
    gateways = [g for g in view.objects("Gateway", Gateway) if gateway_pods(g, routers)]
    plain = any(s.tls is None for g in gateways for s in g.spec.servers if s.port.number == port)
    servers = [(g, s) for g in gateways for s in gateway_tls.of_gateway(g, service.namespace)]
    mesh = reading.mesh_config(view)
    client = Client(namespace=pod.namespace, labels=pod.labels)
    spaces = sorted({pod.namespace, service.namespace, mesh.root_namespace})
    chosen = choose(
        (r for ns in spaces for r in view.objects("DestinationRule", DestinationRule, ns)),
        client,
        found.host,
        service.namespace,
        mesh.root_namespace,
        default_export=mesh.default_destination_rule_export_to,
    )
    spoken = ruling(chosen, client, port, found.subset)
    auto = all(tls_mode_label(p) == "istio" for p in routers)
    auto = auto and mesh.enable_auto_mtls is not False
    sends = misfit(spoken, (s for _, s in servers), replace(found, port=port), auto=auto)
    there = [(g, s) for g, s in servers if s.port == port]
    if plain or not sends or not there or edge.client is None:
        return NONE
    gateway, server = there[0]
    workload = reading.workload(view, edge.client)
    logs = attempt(lambda: proxy_logs.read(view, workload, CLIENT))
    host = edge.host if edge.service is None else ""
    lines: tuple[Line, ...] = ()
    if not isinstance(logs, Unavailable):
        lines = logs.lines(lambda log: _calls(log, host, found.host, port))
    bad = sum(1 for line in lines if failed(line))
    return EdgeEgressGateway(
        sends=clean(sends, 300),
        route=Ref(found.route.ref),
        route_name=found.route.name,
        route_namespace=found.route.namespace,
        subset=clean(found.subset, 63),
        rule=Ref(chosen.first.ref if chosen is not None else ""),
        service=Ref(service.ref),
        port=port,
        gateway=Ref(gateway.ref),
        mode=server.mode,
        hosts=clean(", ".join(sorted({h for _, s in there for h in s.hosts})), 200),
        works=len(lines) > bad,
        failures=logs if isinstance(logs, Unavailable) else logs.seen(bad),
        client_namespace=pod.namespace,
        client_target=workload.target,
        host=clean(found.host, 200),
    )


def _may_leave(view: View, edge: EdgeSubject) -> bool:
    """A host outside, or the Service of a gateway: of a whole mesh the logs tell no more."""
    if edge.service is None:
        return True
    server = edge.server
    return server is not None and reading.workload(view, server).proxy_type == "router"


def _opaque(view: View, edge: EdgeSubject) -> bool:
    """Whether the host's ServiceEntry declares no HTTP there: then http rules have no say."""
    entry = entry_of(edge_objects.given(view, edge))
    ports = entry.spec.ports if entry is not None else ()
    told = [p.protocol.upper() for p in ports if p.number == edge.port]
    return any(protocol not in ("HTTP", "HTTP2", "GRPC", "GRPC-WEB") for protocol in told)


def _calls(log: AccessLog, host: str, gateway: str, port: int) -> tuple[Line, ...]:
    """Calls of the host that went to the gateway's port. A cluster of TCP tells no host."""
    return tuple(
        line
        for line in log.lines
        if line.is_outbound
        and line.cluster_host == gateway
        and line.cluster_port == port
        and (not host or line.host in ("", host))
    )
