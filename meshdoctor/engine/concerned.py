"""Which configuration has to do with the calls of a pair?

Routes and rules are read from every namespace, and most of a large mesh's are for other services.
"""

from collections.abc import Iterable

from meshdoctor.engine.calls import all_workloads
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.concerns import HOST_KINDS, Exists, concerns, delegates
from meshdoctor.mesh.routes import gateway_keys
from meshdoctor.mesh.services import CLUSTER_DOMAIN, host_matches
from meshdoctor.model.istio import Gateway, VirtualService
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import (
    ConfigSubject,
    EdgeSubject,
    ServiceSubject,
    Subject,
    WorkloadSubject,
)
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.config_reading import read
from meshdoctor.probes.view import View


def about(
    view: View,
    config: Iterable[Subject],
    edges: Iterable[EdgeSubject],
    services: Iterable[ServiceSubject],
) -> set[ConfigSubject]:
    """Routes, rules and entries that name what is called, wherever they lie."""
    hosts = (*_called(edges), *(f"{s.name}.{s.namespace}.svc.{CLUSTER_DOMAIN}" for s in services))
    every = [one for one in config if isinstance(one, ConfigSubject)]
    kept = {
        one
        for one in every
        if one.config_kind in HOST_KINDS and concerns(read(view, one), (), hosts, _exists(view))
    }
    return kept | _parts(view, every, kept)


def served(
    view: View, config: Iterable[Subject], edges: Iterable[EdgeSubject]
) -> set[ConfigSubject]:
    """Of a gateway that is asked for a host: the Gateways of all namespaces that serve it, the
    VirtualServices of gateways that have it, and those bound to a Gateway that names just this
    host. What the gateway serves under other hosts does not meet the call."""
    asked = {
        bare_host(edge.request.host)
        for edge in edges
        if edge.request.host and _is_gateway(view, edge.server)
    }
    try:
        gateways = view.objects("Gateway", Gateway) if asked else ()
        routes = view.objects("VirtualService", VirtualService) if asked else ()
    except EvidenceError:
        return set()
    out, exact = set(), set()
    for gateway in gateways:
        hosts = {
            host.rpartition("/")[2].lower()
            for server in gateway.spec.servers
            for host in server.hosts
        }
        if any(host_matches(host, one) for host in hosts for one in asked):
            out.add(ConfigSubject("Gateway", gateway.namespace, gateway.name))
        if hosts & asked:
            exact.add((gateway.namespace, gateway.name))
    for route in routes:
        keys = set(gateway_keys(route))
        named = [host for host in route.spec.hosts if host != "*"] if keys else []
        if exact & keys or any(host_matches(host, one) for host in named for one in asked):
            out.add(ConfigSubject("VirtualService", route.namespace, route.name))
    return out & set(config)


def _is_gateway(view: View, server: WorkloadSubject | None) -> bool:
    if server is None:
        return False
    found = all_workloads(view).get((server.namespace, server.name))
    return found is not None and found.proxy_type == "router"


def _called(edges: Iterable[EdgeSubject]) -> tuple[str, ...]:
    """The hosts that are called, without ports."""
    return tuple({bare_host(h) for edge in edges for h in (edge.host, edge.request.host) if h})


def near_to(
    view: View, config: Iterable[Subject], edges: Iterable[EdgeSubject], ends: frozenset[str]
) -> tuple[Subject, ...]:
    """What of the configuration concerns the calls of a pair: routes and rules are read from every
    namespace, and most of a large mesh's are for other services. `ends`: the namespaces of the
    pair itself; istiod's is not like them for what names hosts."""
    spaces = frozenset(view.namespaces or ())
    if not spaces:
        return tuple(config)
    called = _called(edges)
    every = [one for one in config if isinstance(one, ConfigSubject)]
    near = (spaces - {view.istio_namespace}) | ends
    kept = {one for one in every if _concerned(view, one, spaces, near, called)}
    kept |= _parts(view, every, kept) | served(view, every, edges)
    return tuple(one for one in every if one in kept)


def _concerned(
    view: View,
    one: ConfigSubject,
    spaces: frozenset[str],
    near: frozenset[str],
    called: tuple[str, ...],
) -> bool:
    if one.config_kind in HOST_KINDS:
        return concerns(read(view, one), near, called, _exists(view))
    return one.namespace in spaces or concerns(read(view, one), spaces, called)


def _exists(view: View) -> Exists:
    """Whether there is such a Service; not where it cannot be read."""

    def exists(namespace: str, name: str) -> bool:
        try:
            return view.object("Service", Service, namespace, name) is not None
        except EvidenceError:
            return False

    return exists


def _parts(
    view: View, every: Iterable[ConfigSubject], kept: set[ConfigSubject]
) -> set[ConfigSubject]:
    """VirtualServices that hand requests to one of these, or get them from one of these."""
    found = set()
    for one in every:
        route = read(view, one) if one.config_kind == "VirtualService" else None
        if not isinstance(route, VirtualService):
            continue
        parts = {ConfigSubject(one.config_kind, *key) for key in delegates(route)}
        if one in kept or parts & kept:
            found |= {one, *parts}
    return found
