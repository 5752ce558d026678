"""Which requests does a gateway send round, not find a route for, or not read as HTTP?"""

from collections.abc import Iterable
from functools import partial
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh import gateway_requests as gr
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.gateway_front import behind
from meshdoctor.mesh.hosts import service_of
from meshdoctor.mesh.route_match import Mine, every_match, for_gateway
from meshdoctor.mesh.routes import gateway_keys, hosts
from meshdoctor.mesh.services import host_matches, services_of
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import Gateway, Server, VirtualService
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.gateway_objects import gateways_of, routes_of
from meshdoctor.probes.view import View, probe

PLAIN = (
    "they came to the gateway without TLS, so it tells the application x-forwarded-proto http, "
    "whatever the client spoke to the load balancer"
)
ENDED = "the gateway ends TLS and calls the application over plain HTTP"


NONE_TAKES = "none of its rules matches path, method and authority"
FOR_OTHERS = (
    "its rule for them is for others, by sourceLabels, sourceNamespace, gateways or port of the "
    "match (the port of the Gateway's server, also where that ends TLS)"
)


ASKS = (
    "its rule for them also asks for {asks}, which they did not meet (a browser's preflight, "
    "OPTIONS, carries no header of the application)"
)


class GatewayRequests(Struct, frozen=True, kw_only=True):
    """By the access log of a gateway; zeros and empty for other workloads. Access logging off:
    unavailable, never zeros."""

    circles: Annotated[Fact[int], "redirects of one path that lead back to it", OBSERVED]
    circle_url: Annotated[Fact[str], "its host and path", OBSERVED]
    circle_host: Annotated[Fact[str], "its host", OBSERVED]
    circle_code: Annotated[Fact[int], "the response code", OBSERVED]
    circle_upstream: Annotated[Fact[bool], "the application redirects, not the gateway", OBSERVED]
    circle_plain: Annotated[Fact[bool], "the requests came to the gateway without TLS", OBSERVED]
    circle_why: Annotated[Fact[str], "what an application that redirects probably misses"]
    circle_by: Annotated[
        Fact[Ref], "what redirects: Gateway (httpsRedirect), VirtualService, or the Service asked"
    ]
    unread: Annotated[Fact[int], "no HTTP, on a port where nothing else was read", OBSERVED]
    unread_port: Annotated[Fact[int], "that port of the pod", OBSERVED]
    unread_by: Annotated[Fact[Ref], "the Gateway whose HTTP server listens there; empty: none"]
    unread_protocol: Annotated[Fact[str], "the protocol of that server"]
    unread_server: Annotated[Fact[int], "the port number of that server"]
    unrouted: Annotated[
        Fact[int], "404 for a path that only a wider host routes, or of the host asked", OBSERVED
    ]
    unrouted_host: Annotated[Fact[str], "the host of these requests", OBSERVED]
    unrouted_path: Annotated[Fact[str], "their path", OBSERVED]
    narrow: Annotated[Fact[Ref], "the VirtualService whose host takes them; empty: none has it"]
    narrow_name: Annotated[Fact[str], "its name"]
    narrow_namespace: Annotated[Fact[str], "its namespace"]
    narrow_said: Annotated[Fact[str], "why no rule of it takes them, in words"]
    ported: Annotated[
        Fact[int], "the port in the Host header, for which the release has no domain; 0: none"
    ]
    ported_gateway: Annotated[Fact[Ref], "the Gateway with the server that they came to"]
    short: Annotated[Fact[Ref], "the VirtualService that names the host without dot; empty: none"]
    short_name: Annotated[Fact[str], "its name"]
    short_namespace: Annotated[Fact[str], "its namespace"]
    passing: Annotated[Fact[Ref], "the VirtualService with tls or tcp rules only; empty: none"]
    passing_name: Annotated[Fact[str], "its name"]
    passing_namespace: Annotated[Fact[str], "its namespace"]
    bound: Annotated[
        Fact[bool], "a VirtualService bound there, or to a Gateway that is none, has the host asked"
    ]
    serving: Annotated[Fact[Ref], "the Gateway that serves the host on that port; empty: none"]
    elsewhere: Annotated[
        Fact[Ref], "a VirtualService of the host that is bound to none of that port's Gateways"
    ]
    elsewhere_name: Annotated[Fact[str], "its name"]
    elsewhere_namespace: Annotated[Fact[str], "its namespace"]
    elsewhere_bound: Annotated[Fact[str], "what it is bound to, in words; empty: there is none"]
    wide: Annotated[Fact[Ref], "the VirtualService of a wider host with a rule for the path"]
    wide_hosts: Annotated[Fact[str], "its hosts"]


@probe(
    "gateway-requests",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Gateway",
        "Job",
        "Pod",
        "Service",
        "StatefulSet",
        "Telemetry",
        "VirtualService",
        "log",
    ),
    costly=True,
)
def gateway_requests(view: View, subject: WorkloadSubject) -> GatewayRequests:
    """Which requests does a gateway send round, not find a route for, or not read?"""
    workload = reading.workload(view, subject)
    pod = workload.pod
    logs = proxy_logs.read(view, workload, CLIENT)
    lines = logs.lines(lambda log: proxy_logs.asked(view, log))
    asked, path = bare_host(view.request.host), view.request.path
    circle, unread = gr.circle(lines, asked), gr.unread(lines)
    gateways = gateways_of(view, pod)
    routes = routes_of(view, gateways)
    lost, here = _lost(view, pod, gateways, lines, asked, path.partition("?")[0])
    bare = lost is not None and not (lost.narrow or lost.short or lost.passing)
    away = _elsewhere(view, here, lost.host) if lost is not None and bare else None
    if away is not None and _dangles(view, away):
        bare, away = False, None
    serving = (one.ref for one in here if lost is not None and _serves(one, lost.host))
    listens = _listens(view, pod, gateways, unread.port) if unread is not None else None
    return GatewayRequests(
        circles=logs.seen(circle.count if circle else 0),
        circle_url=logs.seen(clean(f"{circle.host}{circle.path}") if circle else ""),
        circle_host=logs.seen(clean(circle.host, 253) if circle else ""),
        circle_code=logs.seen(circle.sample.code if circle else 0),
        circle_upstream=circle is not None and circle.by_upstream,
        circle_plain=circle is not None and circle.plain,
        circle_why=(PLAIN if circle.plain else ENDED) if circle else "",
        circle_by=Ref(_redirects(circle, gateways, routes) if circle else ""),
        unread=logs.seen(unread.count if unread else 0),
        unread_port=unread.port if unread else 0,
        unread_by=Ref(listens[0].ref if listens else ""),
        unread_protocol=listens[1].port.protocol if listens else "",
        unread_server=listens[1].port.number if listens else 0,
        unrouted=logs.seen(lost.count if lost else 0),
        unrouted_host=logs.seen(clean(lost.host, 253) if lost else ""),
        unrouted_path=logs.seen(clean(lost.path) if lost else ""),
        narrow=Ref(lost.narrow.ref if lost and lost.narrow else ""),
        narrow_name=lost.narrow.name if lost and lost.narrow else "",
        narrow_namespace=lost.narrow.namespace if lost and lost.narrow else "",
        narrow_said=_why(lost),
        ported=lost.ported if lost else 0,
        ported_gateway=Ref(here[0].ref if lost and lost.ported and here else ""),
        short=Ref(lost.short.ref if lost and lost.short else ""),
        short_name=lost.short.name if lost and lost.short else "",
        short_namespace=lost.short.namespace if lost and lost.short else "",
        passing=Ref(lost.passing.ref if lost and lost.passing else ""),
        passing_name=lost.passing.name if lost and lost.passing else "",
        passing_namespace=lost.passing.namespace if lost and lost.passing else "",
        bound=not bare,
        serving=Ref(next(serving, "")),
        elsewhere=Ref(away.ref if away else ""),
        elsewhere_name=away.name if away else "",
        elsewhere_namespace=away.namespace if away else "",
        elsewhere_bound=_said(away) if away else "",
        wide=Ref(lost.wide.ref if lost and lost.wide else ""),
        wide_hosts=clean(", ".join(lost.wide.spec.hosts), 253) if lost and lost.wide else "",
    )


def _lost(
    view: View,
    pod: Pod | None,
    gateways: tuple[Gateway, ...],
    lines: tuple[Line, ...],
    asked: str,
    path: str,
) -> tuple[gr.Unrouted | None, tuple[Gateway, ...]]:
    """The requests without a route, and the Gateways of the port that they came to: each port has
    the routes of its own."""
    found: list[tuple[gr.Unrouted, tuple[Gateway, ...]]] = []
    services = view.objects("Service", Service, pod.namespace) if pod is not None else ()
    mine = services_of(pod.labels, services) if pod is not None else ()
    for port in sorted({line.local_port for line in lines if ev.unrouted(line)}):
        serving = list(behind(mine, gateways, pod, port)) if pod is not None else []
        here = tuple({g.ref: g for g, _ in serving}.values()) or gateways
        numbers = frozenset(server.port.number for _, server in serving)
        came = [line for line in lines if line.local_port == port]
        exact = _exact(view, here)
        one = gr.unrouted(came, routes_of(view, here), asked, path, _mine(pod, numbers), exact)
        if one is not None:
            found.append((one, here))
    return max(found, key=lambda pair: gr.weight(pair[0], asked), default=(None, ()))


def _exact(view: View, here: Iterable[Gateway]) -> gr.Exact | None:
    release = reading.release(view)
    ports = frozenset(server.port.number for one in here for server in one.spec.servers)
    return gr.Exact(release=release, ports=ports) if release is not None else None


def _why(lost: gr.Unrouted | None) -> str:
    """Why no rule of the virtual host takes the requests, in words."""
    if lost is not None and lost.asks:
        return clean(ASKS.format(asks=lost.asks), 300)
    return FOR_OTHERS if lost is not None and lost.for_others else NONE_TAKES


def _mine(pod: Pod | None, numbers: frozenset[int]) -> Mine:
    """Which matches a gateway's pod gets for requests that came by servers of these ports (none:
    not known)."""
    if pod is None:
        return every_match
    own = partial(for_gateway, namespace=pod.namespace, labels=pod.labels)
    return lambda match: own(match) and (not numbers or match.port in (0, *numbers))


def _serves(gateway: Gateway, host: str) -> bool:
    names = (own.rpartition("/")[2] for server in gateway.spec.servers for own in server.hosts)
    return any(host_matches(name, host) for name in names)


def _elsewhere(view: View, gateways: Iterable[Gateway], host: str) -> VirtualService | None:
    """A VirtualService of the host that is bound to none of these Gateways: one that names just
    this host before others."""
    keys = {(one.namespace, one.name) for one in gateways}
    found = [
        (name.lower() != host, route.ref, route)
        for route in view.objects("VirtualService", VirtualService)
        if not keys.intersection(gateway_keys(route))
        for name in hosts(route)
        if name != "*" and host_matches(name, host)
    ]
    return min(found, default=(False, "", None))[2]


def _dangles(view: View, route: VirtualService) -> bool:
    """Whether it names a Gateway that does not exist: that is a fault of its own."""
    known = {(one.namespace, one.name) for one in view.objects("Gateway", Gateway)}
    return not known.issuperset(gateway_keys(route))


def _said(route: VirtualService) -> str:
    """`; VirtualService/shop/web has it, and is bound to mesh`."""
    bound = ", ".join(route.spec.gateways) or "mesh"
    return clean(f"; {route.ref} has it, and is bound to {bound}", 300)


def _listens(
    view: View, pod: Pod | None, gateways: Iterable[Gateway], port: int
) -> tuple[Gateway, Server] | None:
    """The HTTP server that listens on a port of the pod."""
    if pod is None:
        return None
    services = services_of(pod.labels, view.objects("Service", Service, pod.namespace))
    for gateway, server in behind(services, gateways, pod, port):
        if server.port.protocol.upper() in ("HTTP", "HTTP2", "GRPC", "GRPC-WEB"):
            return gateway, server
    return None


def _redirects(
    circle: gr.Circle, gateways: Iterable[Gateway], routes: Iterable[VirtualService]
) -> str:
    """What answers with the redirect; "" when nothing that was read does."""
    line = circle.sample
    if circle.by_upstream:
        own = service_of(line.cluster_host)
        return f"Service/{own[0]}/{own[1]}" if own is not None else ""
    if circle.plain:
        for gateway in gateways:
            if any(gr.sends_to_https(server, circle.host) for server in gateway.spec.servers):
                return gateway.ref
    route = gr.redirecting(routes, circle.host, circle.path, line.method)
    return route.ref if route is not None else ""
