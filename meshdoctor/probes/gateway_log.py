"""Which TLS connections could a gateway not serve, by its own access log?"""

from datetime import datetime
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh import gateway_tls as gt
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.callers import at_intervals
from meshdoctor.mesh.gateway_evidence import (
    Seen,
    chosen,
    judge,
    mesh_service,
    refused_secret,
)
from meshdoctor.mesh.routes import gateway_keys
from meshdoctor.mesh.services import host_matches
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import K8sGateway, Route, VirtualService
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.gateway_key import suspect
from meshdoctor.probes.gateway_objects import gateways_of
from meshdoctor.probes.view import View, attempt, probe


class GatewayLog(Struct, frozen=True, kw_only=True):
    """Lines of the gateway's listeners. Access logging off: unavailable, never zeros."""

    unserved: Annotated[Fact[int], "refused: no server has the SNI that the client sent", OBSERVED]
    sni: Annotated[Fact[str], "that SNI, most frequent", OBSERVED]
    asked: Annotated[Fact[bool], "it is the host of the request asked about"]
    other: Annotated[Fact[bool], "a host is asked about, and it is another one"]
    mesh_refused: Annotated[Fact[int], "refused: SNI of a mesh service (east-west)", OBSERVED]
    mesh_sni: Annotated[Fact[str], "that SNI", OBSERVED]
    mesh_service: Annotated[Fact[Ref], "the service it names"]
    mesh_exists: Annotated[Fact[bool], "that service exists here"]
    reused: Annotated[Fact[int], "404 for a host over another host's connection", OBSERVED]
    reused_host: Annotated[Fact[str], "that host", OBSERVED]
    reused_sni: Annotated[Fact[str], "the host that the connection was made for", OBSERVED]
    reused_gateway: Annotated[Fact[Ref], "the Gateway with a server for the first host"]
    reused_over: Annotated[Fact[Ref], "the Gateway with a server for the second"]
    bad_requests: Annotated[Fact[int], "DPE: bytes that are no HTTP", OBSERVED]
    nameless: Annotated[Fact[int], "refused: no SNI was sent", OBSERVED]
    nameless_asked: Annotated[
        Fact[bool], "of these no clock's, while no SNI is served, and a server has the host asked"
    ]
    key_refused: Annotated[
        Fact[str], "Envoy's words about a key or certificate that it could not load", OBSERVED
    ]
    key_secret: Annotated[
        Fact[Ref],
        "the Secret that is meant, as no request came over its server; empty: none",
    ]
    key_gateway: Annotated[Fact[Ref], "the Gateway whose server names it"]
    key_how: Annotated[Fact[str], "what tells that this Secret is meant"]
    key_name: Annotated[Fact[str], "the Secret's name"]
    key_namespace: Annotated[Fact[str], "its namespace"]
    unrouted: Annotated[
        Fact[int], "refused: a server passes the SNI's TLS through, and no route takes it", OBSERVED
    ]
    unrouted_sni: Annotated[Fact[str], "that SNI, most frequent", OBSERVED]
    unrouted_asked: Annotated[Fact[bool], "it is the host asked about"]
    unrouted_gateway: Annotated[Fact[Ref], "the Gateway of that server"]
    unrouted_route: Annotated[
        Fact[Ref], "a VirtualService or TLSRoute with other names or gateways; empty: none"
    ]
    unrouted_near: Annotated[Fact[str], "what that has, or that there is none, in words"]
    last: Annotated[Fact[datetime], "the last refused connection", OBSERVED]


@probe(
    "gateway-log",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Gateway",
        "Job",
        "K8sGateway",
        "Pod",
        "Service",
        "StatefulSet",
        "TLSRoute",
        "Telemetry",
        "VirtualService",
        "log",
        "proxy-config",
    ),
    costly=True,
)
def gateway_log(view: View, subject: WorkloadSubject) -> GatewayLog:
    """Which TLS connections could a gateway not serve, by its own access log?"""
    workload = reading.workload(view, subject)
    logs = proxy_logs.read(view, workload, CLIENT)
    servers = _servers(view, workload)
    seen = judge(
        logs.lines(lambda log: proxy_logs.asked(view, log)), [server for _, server in servers]
    )
    found = _with_route(view, _facts(view, logs, seen, servers), seen, servers)
    return _with_key(view, workload.pod, found, logs, servers)


def _with_route(
    view: View, found: GatewayLog, seen: Seen, servers: list[tuple[str, gt.TlsServer]]
) -> GatewayLog:
    """Of connections for which a server that passes TLS through has no route."""
    sni = ev.most_common(line.server_name for line in seen.unrouted)
    owner = _owner(servers, sni) if sni else ""
    if not owner.startswith("Gateway/"):
        return found
    names = _passed(view, owner, _ports(servers, sni))
    if any(host_matches(one, sni) for hosts in names.values() for one in hosts):
        return found
    first = min(names, default="")
    near = f"{first} has {', '.join(names[first])}" if names.get(first) else "there is none"
    away = next(
        filter(lambda r: _has(r, sni), view.objects("VirtualService", VirtualService)), None
    )
    if away is not None and away.ref not in names:
        first, near = away.ref, gt.elsewhere(away)
    return replace(
        found,
        unrouted=sum(line.server_name == sni for line in seen.unrouted),
        unrouted_sni=clean(sni, 253),
        unrouted_asked=sni.lower() == bare_host(view.request.host),
        unrouted_gateway=Ref(owner),
        unrouted_route=Ref(first),
        unrouted_near=clean(near, 300),
    )


def _has(route: VirtualService, name: str) -> bool:
    every = (sni for rule in route.spec.tls for one in rule.match for sni in one.sni_hosts)
    return any(host_matches(sni, name) for sni in every)


def _ports(servers: list[tuple[str, gt.TlsServer]], name: str) -> set[int]:
    """The ports of the servers that take a name."""
    return {s.port for _, s in servers if gt.serves_sni((s,), s.port, name)}


def _passed(view: View, gateway: str, ports: set[int]) -> dict[str, list[str]]:
    """What the routes of a Gateway (`Gateway/ns/name`, Istio's or the Gateway API's) take on these
    ports of TLS that passes through, by route: a TLSRoute without names takes all."""
    key = (gateway.split("/")[1], gateway.split("/")[2])
    out = {
        route.ref: [
            host
            for rule in route.spec.tls
            for one in rule.match
            for host in one.sni_hosts
            if one.port in (0, *ports)
        ]
        for route in view.objects("VirtualService", VirtualService)
        if route.spec.tls and key in gateway_keys(route)
    }
    for one in view.objects("TLSRoute", Route):
        if any((p.namespace or one.namespace, p.name) == key for p in one.spec.parent_refs):
            out[one.ref] = list(one.spec.hostnames) or ["*"]
    return out


def _with_key(
    view: View,
    pod: Pod | None,
    found: GatewayLog,
    logs: proxy_logs.ProxyLogs,
    servers: list[tuple[str, gt.TlsServer]],
) -> GatewayLog:
    words = refused_secret(line for one in logs.pods for line in one.log.other)
    if not words or pod is None:
        return found
    lines = logs.lines(lambda log: log.lines)
    meant = suspect(view, pod, [server for _, server in servers], lines)
    if isinstance(meant, Unavailable):
        return replace(found, key_refused=clean(words), key_secret=meant)
    if meant is None:
        return replace(found, key_refused=clean(words))
    key = (meant.namespace, meant.name)
    owner = (ref for ref, server in servers if key in server.credentials)
    return replace(
        found,
        key_refused=clean(words),
        key_secret=Ref(f"Secret/{meant.namespace}/{meant.name}"),
        key_gateway=Ref(next(owner, "")),
        key_how=meant.how,
        key_name=meant.name,
        key_namespace=meant.namespace,
    )


def _servers(view: View, workload: WorkloadPods) -> list[tuple[str, gt.TlsServer]]:
    """Each TLS server of the gateway, with the reference of its Gateway."""
    pod = workload.pod
    if pod is None:
        return []
    own = [
        (gateway.ref, server)
        for gateway in gateways_of(view, pod)
        for server in gt.of_gateway(gateway, pod.namespace)
    ]
    api = view.objects("K8sGateway", K8sGateway, pod.namespace)
    return own + [(gateway.ref, one) for gateway in api for one in gt.of_k8s_gateway(gateway)]


def _facts(
    view: View, logs: proxy_logs.ProxyLogs, seen: Seen, servers: list[tuple[str, gt.TlsServer]]
) -> GatewayLog:
    namespace, name, _ = mesh_service(seen.mesh_sni)
    asked = bare_host(view.request.host)
    refused = {line.server_name.lower() for line in seen.unserved}
    host = ev.most_common(line.authority for line in seen.reused)
    over = ev.most_common(line.server_name for line in seen.reused if line.authority == host)
    last = ev.span((*seen.unserved, *seen.mesh))[1]
    none = Unavailable(reason=Reason.NOT_FOUND, what="refused connections in the gateway's log")
    return GatewayLog(
        unserved=logs.seen(len(seen.unserved)),
        sni=logs.seen(clean(seen.sni)),
        asked=bool(asked) and asked in refused,
        other=bool(asked) and asked not in refused,
        mesh_refused=logs.seen(len(seen.mesh)),
        mesh_sni=logs.seen(clean(seen.mesh_sni)),
        mesh_service=Ref(f"Service/{namespace}/{name}" if name else ""),
        mesh_exists=attempt(
            lambda: bool(name) and view.object("Service", Service, namespace, name) is not None
        ),
        reused=logs.seen(len(seen.reused)),
        reused_host=logs.seen(clean(host)),
        reused_sni=logs.seen(clean(over)),
        reused_gateway=Ref(_owner(servers, bare_host(host))),
        reused_over=Ref(_owner(servers, over)),
        bad_requests=logs.seen(seen.bad_requests),
        nameless=logs.seen(len(seen.nameless)),
        nameless_asked=bool(asked)
        and not seen.named
        and not at_intervals((line.peer_ip, line.start) for line in seen.nameless)
        and chosen((server for _, server in servers), asked) is not None,
        key_refused="",
        key_secret=Ref(""),
        key_gateway=Ref(""),
        key_how="",
        key_name="",
        key_namespace="",
        unrouted=logs.seen(0),
        unrouted_sni="",
        unrouted_asked=False,
        unrouted_gateway=Ref(""),
        unrouted_route=Ref(""),
        unrouted_near="",
        last=last or logs.missing or none,
    )


def _owner(servers: list[tuple[str, gt.TlsServer]], name: str) -> str:
    """The Gateway whose server a client with this SNI meets; "": none."""
    met = chosen((server for _, server in servers), name) if name else None
    return next((ref for ref, server in servers if server is met), "")
