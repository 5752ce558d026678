"""Which requests does a gateway's proxy answer itself before any rule has a say?"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import gateway_refusals as gr
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.filter_blame import of_proxy
from meshdoctor.mesh.gateway_requests import redirecting, sends_to_https
from meshdoctor.mesh.routes import hosts
from meshdoctor.mesh.services import host_matches
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import EnvoyFilter, Gateway, VirtualService
from meshdoctor.model.kubernetes import Ingress, Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.gateway_objects import gateways_of, routes_of
from meshdoctor.probes.view import View, probe


class GatewayRefusals(Struct, frozen=True, kw_only=True):
    """By the access log of a gateway; zeros and empty for other workloads. Access logging off:
    unavailable, never zeros."""

    upgrades: Annotated[Fact[int], "upgrades to no websocket, which it answered 403", OBSERVED]
    upgrade_url: Annotated[Fact[str], "their host and path", OBSERVED]
    upgrade_route: Annotated[Fact[Ref], "the VirtualService of that host; empty: none"]
    upgrade_gateway: Annotated[Fact[Ref], "a Gateway that serves it; empty: none"]
    oversized: Annotated[Fact[int], "requests with too many headers, answered 431", OBSERVED]
    oversized_details: Annotated[Fact[str], "Envoy's word for it", OBSERVED]
    cut: Annotated[Fact[int], "streams that it ended for how long they lasted", OBSERVED]
    cut_seconds: Annotated[Fact[int], "how long that was", OBSERVED]
    cut_url: Annotated[Fact[str], "their host and path", OBSERVED]
    cut_by: Annotated[Fact[Ref], "the EnvoyFilter that limits streams; empty: none"]
    cut_by_name: Annotated[Fact[str], "its name"]
    cut_by_namespace: Annotated[Fact[str], "its namespace"]
    challenges: Annotated[Fact[int], "ACME challenges that it answered itself", OBSERVED]
    challenge_url: Annotated[Fact[str], "their host and path", OBSERVED]
    challenge_code: Annotated[Fact[int], "the response code", OBSERVED]
    challenge_by: Annotated[
        Fact[Ref], "what takes them: Gateway with httpsRedirect, VirtualService, or Gateway"
    ]
    solver: Annotated[Fact[Ref], "cert-manager's Ingress for a challenge of the host; empty: none"]


@probe(
    "gateway-refusals",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "EnvoyFilter",
        "Gateway",
        "Ingress",
        "Job",
        "Pod",
        "StatefulSet",
        "Telemetry",
        "VirtualService",
        "log",
    ),
    costly=True,
)
def gateway_refusals(view: View, subject: WorkloadSubject) -> GatewayRefusals:
    """Which requests does a gateway's proxy answer itself before any rule has a say?"""
    workload = reading.workload(view, subject)
    logs = proxy_logs.read(view, workload, CLIENT)
    lines = logs.lines(lambda log: proxy_logs.asked(view, log))
    upgrade, big, challenge = gr.upgrades(lines), gr.oversized(lines), gr.challenges(lines)
    ended = gr.cut(lines)
    limit = _limit(view, workload.pod) if ended else None
    gateways = gateways_of(view, workload.pod)
    routes = routes_of(view, gateways)
    return GatewayRefusals(
        upgrades=logs.seen(upgrade.count if upgrade else 0),
        upgrade_url=logs.seen(_url(upgrade)),
        upgrade_route=Ref(_route(routes, upgrade.host) if upgrade else ""),
        upgrade_gateway=Ref(_gateway(gateways, upgrade.host) if upgrade else ""),
        oversized=logs.seen(big.count if big else 0),
        oversized_details=logs.seen(clean(big.sample.details, 100) if big else ""),
        cut=logs.seen(ended.count if ended else 0),
        cut_seconds=logs.seen(round(ended.sample.duration_ms / 1000) if ended else 0),
        cut_url=logs.seen(_url(ended)),
        cut_by=Ref(limit.ref if limit else ""),
        cut_by_name=limit.name if limit else "",
        cut_by_namespace=limit.namespace if limit else "",
        challenges=logs.seen(challenge.count if challenge else 0),
        challenge_url=logs.seen(_url(challenge)),
        challenge_code=logs.seen(challenge.sample.code if challenge else 0),
        challenge_by=Ref(_taker(challenge, gateways, routes) if challenge else ""),
        solver=Ref(_solver(view, challenge) if challenge else ""),
    )


def _limit(view: View, pod: Pod | None) -> EnvoyFilter | None:
    if pod is None:
        return None
    root = reading.mesh_config(view).root_namespace
    some = view.objects("EnvoyFilter", EnvoyFilter)
    return gr.limits_streams(of_proxy(some, root, pod.namespace, pod.labels))


def _url(some: gr.Some | None) -> str:
    return clean(f"{some.host}{some.path}") if some is not None else ""


def _route(routes: Iterable[VirtualService], host: str) -> str:
    return next((r.ref for r in routes if any(host_matches(own, host) for own in hosts(r))), "")


def _gateway(gateways: Iterable[Gateway], host: str) -> str:
    for gateway in gateways:
        named = (own.rpartition("/")[2] for server in gateway.spec.servers for own in server.hosts)
        if any(host_matches(own, host) for own in named):
            return gateway.ref
    return ""


def _taker(some: gr.Some, gateways: tuple[Gateway, ...], routes: tuple[VirtualService, ...]) -> str:
    """What keeps a challenge from its solver: a redirect before all."""
    for gateway in gateways:
        if any(sends_to_https(server, some.host) for server in gateway.spec.servers):
            return gateway.ref
    rule = redirecting(routes, some.host, some.path, some.sample.method)
    if rule is not None:
        return rule.ref
    return _route(routes, some.host) or _gateway(gateways, some.host)


def _solver(view: View, some: gr.Some) -> str:
    return next(
        (one.ref for one in view.objects("Ingress", Ingress) if gr.solves(one, some.host)), ""
    )
