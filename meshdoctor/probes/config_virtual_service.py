"""Why does a VirtualService, or a part of it, never apply?"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import route_targets, routes
from meshdoctor.mesh.client_tls import rule_host
from meshdoctor.mesh.delegates import dropped
from meshdoctor.mesh.exports import audience
from meshdoctor.mesh.faults import injected
from meshdoctor.mesh.hosts import Misread, misread, service_of
from meshdoctor.mesh.path_rewrites import doubles_slash, passes_prefix
from meshdoctor.mesh.services import host_matches, resolve_short_name
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import DestinationRule, Gateway, VirtualService
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.outside_reading import kept_of
from meshdoctor.probes.view import View, probe


class VirtualServiceFacts(Struct, frozen=True, kw_only=True):
    """Of a VirtualService; every other kind gives empty facts."""

    ref: Annotated[Fact[Ref], "the VirtualService; empty: the subject is of another kind"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    misread: Annotated[Fact[str], "a host as it is written that istiod reads as another"]
    read_as: Annotated[Fact[str], "how istiod reads that host"]
    meant: Annotated[Fact[Ref], "the service that was probably meant"]
    meant_host: Annotated[Fact[str], "its full host name"]
    winner: Annotated[Fact[Ref], "the older VirtualService that serves the same host in the mesh"]
    shared_host: Annotated[Fact[str], "that host"]
    dangling: Annotated[Fact[str], "a gateway it names that does not exist there, namespace/name"]
    gateway_elsewhere: Annotated[Fact[str], "the namespace that has a Gateway of that name"]
    unbound: Annotated[Fact[str], "what is wrong with its gateways, in words; empty: nothing"]
    refused_host: Annotated[Fact[str], "a host that none of its gateways admits"]
    refusing_gateway: Annotated[Fact[Ref], "the Gateway whose servers do not admit it"]
    shadowed: Annotated[Fact[bool], "an http rule that an earlier one covers entirely"]
    shadowed_rule: Annotated[Fact[int], "that rule, counted from 1"]
    covering_rule: Annotated[Fact[int], "the rule that covers it, counted from 1"]
    subset: Annotated[Fact[str], "a subset that it routes to and no DestinationRule defines"]
    subset_host: Annotated[Fact[str], "the host of that subset"]
    subset_rule: Annotated[
        Fact[Ref], "a DestinationRule that defines it where these proxies do not look; empty: none"
    ]
    subset_said: Annotated[Fact[str], "the same in words; empty: there is none"]
    lost_host: Annotated[Fact[str], "a host that it routes to and istiod has no cluster for"]
    lost_service: Annotated[Fact[Ref], "the Service that has that host, but not the port"]
    lost: Annotated[Fact[str], "what has no cluster and why, in words"]
    narrowed: Annotated[Fact[bool], "it is not exported to every namespace"]
    has_subsets: Annotated[Fact[bool], "it routes to subsets"]
    paths: Annotated[
        Fact[bool], "a rule passes the path that it matches on, or may write two slashes"
    ]
    keeps_name: Annotated[
        Fact[bool], "a rule sends requests outside the mesh and leaves their Host header as it is"
    ]
    dropped_rule: Annotated[Fact[int], "an http rule that its delegate gives nothing; 0: none"]
    dropped: Annotated[Fact[str], "which delegate and why, in words; empty: none"]
    delegate: Annotated[Fact[Ref], "that delegate; empty: it does not exist"]
    dropped_misread: Annotated[Fact[bool], "the rule is there, and its host is read as another"]
    impossible_rule: Annotated[Fact[int], "an http rule that no request can match; 0: none"]
    impossible: Annotated[Fact[str], "the header that it asks for"]
    starred_rule: Annotated[Fact[int], "an http rule that takes a star for a wildcard; 0: none"]
    starred: Annotated[Fact[str], "what that rule matches"]
    fault_rule: Annotated[Fact[int], "an http rule with a fault; 0: none"]
    fault: Annotated[Fact[str], "what that fault does, in words"]
    fault_every: Annotated[Fact[bool], "it ends every request of the rule, whoever asks"]
    fault_aimed: Annotated[Fact[bool], "its rule asks for a header, a query or a caller first"]
    dead_rule: Annotated[Fact[int], "an http rule that none of its gateways uses; 0: none"]
    dead: Annotated[Fact[str], "what its match asks for, in words"]
    dead_foreign: Annotated[Fact[bool], "that is a gateway which the route itself does not name"]
    dead_all: Annotated[Fact[bool], "its gateways use none of its http rules"]
    unlistened: Annotated[
        Fact[Ref], "a Gateway whose servers for its hosts take TCP, while it has http rules only"
    ]
    unlistened_port: Annotated[Fact[int], "the port of that server"]


_NONE = VirtualServiceFacts(
    ref=Ref(""),
    name="",
    namespace="",
    misread="",
    read_as="",
    meant=Ref(""),
    meant_host="",
    winner=Ref(""),
    shared_host="",
    dangling="",
    gateway_elsewhere="",
    unbound="",
    refused_host="",
    refusing_gateway=Ref(""),
    shadowed=False,
    shadowed_rule=0,
    covering_rule=0,
    subset="",
    subset_host="",
    subset_rule=Ref(""),
    subset_said="",
    lost_host="",
    lost_service=Ref(""),
    lost="",
    narrowed=False,
    has_subsets=False,
    paths=False,
    keeps_name=False,
    dropped_rule=0,
    dropped="",
    delegate=Ref(""),
    dropped_misread=False,
    impossible_rule=0,
    impossible="",
    starred_rule=0,
    starred="",
    fault_rule=0,
    fault="",
    fault_every=False,
    fault_aimed=False,
    dead_rule=0,
    dead="",
    dead_foreign=False,
    dead_all=False,
    unlistened=Ref(""),
    unlistened_port=0,
)


@probe(
    "config-virtual-service",
    subject=SubjectKind.CONFIG,
    reads=(
        "ConfigMap",
        "DestinationRule",
        "Gateway",
        "Pod",
        "Service",
        "ServiceEntry",
        "VirtualService",
    ),
    kinds=("VirtualService",),
)
def config_virtual_service(view: View, config: ConfigSubject) -> VirtualServiceFacts:
    """Why does a VirtualService, or a part of it, never apply?"""
    if config.config_kind != "VirtualService":
        return _NONE
    route = view.object("VirtualService", VirtualService, config.namespace, config.name)
    if route is None:
        raise MissingError(str(config), "it does not exist any more")
    facts = replace(_NONE, ref=Ref(route.ref), name=route.name, namespace=route.namespace)
    facts = _hosts(view, route, facts)
    facts = _gateways(view, route, facts)
    mesh = reading.mesh_config(view)
    index = shared.routes_by_host(view)
    others = {r.ref: r for h in routes.hosts(route) for r in index.get(h.lower(), ())}.values()
    loser = routes.loses_to(route, others, mesh.default_virtual_service_export_to)
    if loser is not None:
        facts = replace(facts, winner=Ref(loser.winner.ref), shared_host=clean(loser.host, 253))
    shadow = routes.shadowed(route)
    if shadow is not None:
        facts = replace(
            facts,
            shadowed=True,
            shadowed_rule=shadow.later + 1,
            covering_rule=shadow.earlier + 1,
        )
    rule, header = routes.impossible(route)
    outside = bool(kept_of(view, route))
    seen_in = audience(
        route.spec.export_to, route.namespace, mesh.default_virtual_service_export_to
    )
    facts = replace(
        facts,
        impossible_rule=rule,
        impossible=clean(header, 100),
        paths=passes_prefix(route) or doubles_slash(route),
        keeps_name=outside,
        narrowed="*" not in seen_in,
        has_subsets=any(d.subset for d in routes.destinations(route)),
    )
    fault = injected(route)
    if fault is not None:
        facts = replace(
            facts,
            fault_rule=fault.rule,
            fault=clean(fault.said, 200),
            fault_every=fault.every,
            fault_aimed=fault.aimed,
        )
    rule, text = routes.starred(route)
    facts = replace(facts, starred_rule=rule, starred=clean(text, 200))
    facts = _delegates(view, route, facts, mesh.default_virtual_service_export_to)
    if _unseen(view, route, mesh.default_virtual_service_export_to):
        return facts
    return _targets(view, route, _subsets(view, route, facts))


def _unseen(view: View, route: VirtualService, default: Sequence[str]) -> bool:
    """Whether no namespace with a proxy sees it: no call takes its routes, whatever they say. Who
    sees a delegate is a matter of what names it."""
    if routes.delegate(route):
        return False
    seen_in = audience(route.spec.export_to, route.namespace, default)
    clients = shared.client_namespaces(view)
    return bool(clients) and "*" not in seen_in and seen_in.isdisjoint(clients)


def _hosts(view: View, route: VirtualService, facts: VirtualServiceFacts) -> VirtualServiceFacts:
    known = shared.known_hosts(view)
    written = [d.host for d in routes.destinations(route)]
    if routes.in_mesh(route):
        written = [*route.spec.hosts, *written]
    for host in written:
        found = misread(host, route.namespace, known)
        if found is not None and really(view, found):
            meant = found.meant
            return replace(
                facts,
                misread=clean(host, 253),
                read_as=clean(found.read_as, 253),
                meant=Ref(meant.ref),
                meant_host=f"{meant.name}.{meant.namespace}.svc.cluster.local",
            )
    return facts


def really(view: View, found: Misread) -> bool:
    """Whether the service as istiod reads it is really absent: it may lie outside the scope."""
    if found.literal:
        return True
    return not shared.service_exists(view, found.read_namespace, found.read_name)


def _gateways(view: View, route: VirtualService, facts: VirtualServiceFacts) -> VirtualServiceFacts:
    keys = routes.gateway_keys(route)
    if not keys or routes.delegate(route):
        return facts
    found = {key: view.object("Gateway", Gateway, *key) for key in keys}
    missing = next((key for key, gateway in found.items() if gateway is None), None)
    if missing is not None:
        lost = routes.dangling(route, view.objects("Gateway", Gateway))
        elsewhere = lost.exists_in if lost is not None else ""
        there = f", {elsewhere}/{missing[1]} does" if elsewhere else ""
        return replace(
            facts,
            dangling=f"{missing[0]}/{missing[1]}",
            gateway_elsewhere=elsewhere,
            unbound=clean(f"Gateway {missing[0]}/{missing[1]} does not exist{there}", 300),
        )
    gateways = [gateway for gateway in found.values() if gateway is not None]
    dead = routes.dead_rule(route, gateways)
    if dead is not None:
        facts = replace(
            facts,
            dead_rule=dead.rule,
            dead=clean(dead.why, 200),
            dead_foreign=dead.foreign,
            dead_all=dead.every,
        )
    refused = [(routes.host_outside(route, gateway), gateway) for gateway in gateways]
    split = routes.in_mesh(route) and any(routes.serves(route, one) for one in gateways)
    if refused and not split and all(host for host, _ in refused):
        host, gateway = refused[0]
        return replace(
            facts,
            refused_host=clean(host, 253),
            refusing_gateway=Ref(gateway.ref),
            unbound=clean(f"no server of {gateway.ref} admits host {host}", 300),
        )
    taken = [(routes.tcp_only(route, gateway), gateway) for gateway in gateways]
    if taken and all(port for port, _ in taken):
        port, gateway = taken[0]
        return replace(facts, unlistened=Ref(gateway.ref), unlistened_port=port)
    return facts


def _delegates(
    view: View, route: VirtualService, facts: VirtualServiceFacts, default_export: Sequence[str]
) -> VirtualServiceFacts:
    found = dropped(
        route,
        lambda *key: view.object("VirtualService", VirtualService, *key),
        default_export,
        reading.release(view),
        lambda *key: shared.service_exists(view, *key),
    )
    if found is None:
        return facts
    return replace(
        facts,
        dropped_rule=found.rule,
        dropped=clean(f"VirtualService/{found.name} {found.why}", 300),
        delegate=Ref(found.delegate.ref if found.delegate is not None else ""),
        dropped_misread=found.misread,
    )


def _subsets(view: View, route: VirtualService, facts: VirtualServiceFacts) -> VirtualServiceFacts:
    if not facts.has_subsets:
        return facts
    known = shared.choosable_rules(view)
    hosts = [resolve_short_name(d.host, route.namespace) for d in routes.destinations(route)]
    rules = {r.ref: r for host in hosts for r in known.of(host)}
    missing = routes.subset_without_rule(route, rules.values())
    if missing is None:
        return facts
    host, subset = missing
    others = (
        r
        for r in view.objects("DestinationRule", DestinationRule)
        if host_matches(rule_host(r), host) and any(s.name == subset for s in r.spec.subsets)
    )
    other = min(others, key=lambda r: r.ref, default=None)
    return replace(
        facts,
        subset_host=clean(host, 253),
        subset=clean(subset, 63),
        subset_rule=Ref(other.ref if other is not None else ""),
        subset_said=f" ({other.ref} does, where they do not look)" if other else "",
    )


def _called(view: View, route: VirtualService) -> frozenset[int]:
    """Ports of the servers of the Gateways that a route for gateways alone is bound to."""
    if routes.in_mesh(route):
        return frozenset()
    found = (view.object("Gateway", Gateway, *key) for key in routes.gateway_keys(route))
    return frozenset(s.port.number for one in found if one for s in one.spec.servers)


_ALIASES = (1, 21)


def _alias(view: View, route: VirtualService, facts: VirtualServiceFacts) -> VirtualServiceFacts:
    """Of a route for the mesh, an ExternalName Service that lacks a port of the route's hosts."""
    release = reading.release(view)
    if not routes.in_mesh(route) or (release is not None and release < _ALIASES):
        return facts

    def find(namespace: str, name: str) -> Service | None:
        return view.object("Service", Service, namespace, name)

    owned = filter(None, map(service_of, routes.hosts(route)))
    called = {p.port for own in owned for one in (find(*own),) if one for p in one.spec.ports}
    found = route_targets.unlisted_alias(route, find, called=called) if called else None
    if found is None or found.service is None:
        return facts
    listed = ", ".join(str(p.port) for p in found.service.spec.ports)
    words = (
        f"{found.service.ref}, an alias that lists {listed} and not {found.port}, at which the "
        "host is called; at a port that it does not list, a sidecar resolves no alias"
    )
    return replace(
        facts,
        lost_host=clean(found.host, 253),
        lost_service=Ref(found.service.ref),
        lost=clean(words, 400),
    )


def _targets(view: View, route: VirtualService, facts: VirtualServiceFacts) -> VirtualServiceFacts:
    known = shared.known_hosts(view)
    found = route_targets.lost(
        route,
        known,
        lambda *own: view.object("Service", Service, *own),
        called=_called(view, route),
    )
    if found is None:
        return _alias(view, route, facts)
    port = f"port {found.port} of " if found.port else ""
    if found.service is None:
        words = f"{port}{found.host}, which no Service or ServiceEntry has"
    else:
        listed = ", ".join(str(p.port) for p in found.service.spec.ports) or "no port"
        words = f"{port}{found.service.ref}, which lists {listed}"
        if found.unsaid:
            words += (
                "; the destination names no port, so the one that is called at the gateway counts"
            )
    return replace(
        facts,
        lost_host=clean(found.host, 253),
        lost_service=Ref(found.service.ref if found.service is not None else ""),
        lost=clean(words, 400),
    )
