"""Does the client's proxy know the service, and which routes and rules apply to it there?"""

from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import protocols, route_match, routes
from meshdoctor.mesh.client_tls import Client, Merged, choose, rule_host
from meshdoctor.mesh.exports import audience, sees
from meshdoctor.mesh.hosts import age_key, service_of
from meshdoctor.mesh.services import fqdn, host_matches, port_of, resolve_short_name
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.visibility import Scope, service_export_to
from meshdoctor.mesh.visibility import sees as sees_service
from meshdoctor.mesh.workloads import WorkloadPods, has_proxy, proxy_type
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import Delegate, DestinationRule, MeshConfig, VirtualService
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.route_reading import as_served
from meshdoctor.probes.view import View, probe


class EdgeScope(Struct, frozen=True, kw_only=True):
    """Of a client with a sidecar or gateway proxy and a Kubernetes Service; else all empty."""

    judged: Annotated[Fact[bool], "the client has a proxy and the service exists"]
    host: Annotated[Fact[str], "the service's full host name"]
    client_namespace: Annotated[Fact[str], "the client's namespace"]
    client_pod: Annotated[Fact[str], "one of the client's pods"]
    service: Annotated[Fact[Ref], "the service"]
    service_name: Annotated[Fact[str], "its name"]
    service_namespace: Annotated[Fact[str], "its namespace"]
    hidden_by: Annotated[Fact[str], "exportTo or sidecar hides the service; empty: it is seen"]
    export: Annotated[Fact[str], "the service's exportTo; empty: the mesh default"]
    sidecar: Annotated[Fact[Ref], "the Sidecar in force for the client; empty: none"]
    sidecar_said: Annotated[Fact[str], "the same, or `none`"]
    sidecar_name: Annotated[Fact[str], "its name"]
    sidecar_namespace: Annotated[Fact[str], "its namespace"]
    registry_only: Annotated[Fact[bool], "unknown hosts are refused, not passed through"]
    hidden_route: Annotated[
        Fact[Ref], "a VirtualService for the host that the client does not get; empty: none"
    ]
    hidden_route_namespace: Annotated[Fact[str], "its namespace"]
    route_hidden_by: Annotated[Fact[str], "exportTo or sidecar"]
    unbound_route: Annotated[
        Fact[Ref],
        "a VirtualService that names this host and shapes its traffic, but for gateways only, "
        "while none is for the mesh; empty: none",
    ]
    unbound_gateways: Annotated[Fact[str], "the gateways that it names"]
    unbound_name: Annotated[Fact[str], "its name"]
    unbound_namespace: Annotated[Fact[str], "its namespace"]
    route: Annotated[Fact[Ref], "the VirtualService in force at the client; empty: none"]
    route_namespace: Annotated[Fact[str], "its namespace"]
    delegate: Annotated[Fact[Ref], "the first VirtualService to which it hands requests; or empty"]
    subset: Annotated[Fact[str], "a subset it routes to that the rule in force lacks; empty: none"]
    rule: Annotated[Fact[Ref], "the DestinationRule in force at the client; empty: none"]
    rule_said: Annotated[Fact[str], "the same, or `no rule`"]
    rule_elsewhere: Annotated[
        Fact[Ref], "a DestinationRule that has the missing subset and is not chosen; empty: none"
    ]
    protocol: Annotated[Fact[str], "protocol of the service port: HTTP, TCP, auto ..."]
    http_ignored: Annotated[
        Fact[bool], "the port is declared TCP or TLS while the route in force has http rules"
    ]
    unread: Annotated[
        Fact[bool], "of a host outside: its entry has TLS ports only, and the route http rules"
    ]
    port_name: Annotated[Fact[str], "name of the service port"]
    no_rule: Annotated[Fact[bool], "no rule of the route in force takes the request asked about"]
    takes_all: Annotated[
        Fact[bool], "a rule of the route in force takes the request, whatever else is in it"
    ]
    astray: Annotated[
        Fact[Ref], "a VirtualService that shapes calls to this service alone, but names another one"
    ]
    astray_hosts: Annotated[Fact[str], "the hosts that it names"]
    astray_name: Annotated[Fact[str], "its name"]
    wants: Annotated[Fact[str], "what the http rules of the route in force ask of a request"]


_NONE = EdgeScope(
    judged=False,
    host="",
    client_namespace="",
    client_pod="",
    service=Ref(""),
    service_name="",
    service_namespace="",
    hidden_by="",
    export="",
    sidecar=Ref(""),
    sidecar_said="none",
    sidecar_name="",
    sidecar_namespace="",
    registry_only=False,
    hidden_route=Ref(""),
    hidden_route_namespace="",
    route_hidden_by="",
    unbound_route=Ref(""),
    unbound_gateways="",
    unbound_name="",
    unbound_namespace="",
    route=Ref(""),
    route_namespace="",
    delegate=Ref(""),
    subset="",
    rule=Ref(""),
    rule_said="no rule",
    rule_elsewhere=Ref(""),
    protocol="",
    http_ignored=False,
    unread=False,
    port_name="",
    no_rule=False,
    takes_all=False,
    astray=Ref(""),
    astray_hosts="",
    astray_name="",
    wants="",
)


@probe(
    "edge-scope",
    subject=SubjectKind.EDGE,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "DestinationRule",
        "Job",
        "Pod",
        "Service",
        "ServiceEntry",
        "Sidecar",
        "StatefulSet",
        "VirtualService",
    ),
)
def edge_scope(view: View, edge: EdgeSubject) -> EdgeScope:
    """Does the client's proxy know the service, and which routes and rules apply to it there?"""
    service = reading.edge_service(view, edge)
    if edge.client is None or (service is None and not edge.host):
        return _NONE
    client = reading.workload(view, edge.client)
    pod = client.pod
    if pod is None or not has_proxy(pod) or proxy_type(pod) not in ("sidecar", "router"):
        return _NONE
    mesh = reading.mesh_config(view)
    in_force = reading.sidecar_scope(view, pod)
    if service is None:
        return _outside(view, edge, client, in_force, mesh)
    facts = _visibility(service, in_force, mesh)
    facts = replace(facts, client_pod=pod.name, client_namespace=pod.namespace)
    port = port_of(service, edge.port)
    if port is not None:
        chosen = protocols.select(port)
        facts = replace(facts, protocol=chosen.protocol, port_name=clean(port.name, 63))
    if proxy_type(pod) != "sidecar":
        return facts
    return _routing(view, edge, client, service, in_force, mesh, facts)


def _outside(
    view: View, edge: EdgeSubject, client: WorkloadPods, in_force: Scope, mesh: MeshConfig
) -> EdgeScope:
    """Of a host that is no Service only the route in force, and whether it takes the request."""
    host, pod = edge.host.lower(), client.pod
    every = view.objects("VirtualService", VirtualService)
    bound = sorted(routes.of_sidecars(every, host), key=age_key)
    seen = next((r for r in bound if not _route_hidden(r, in_force, mesh, host)), None)
    if seen is None or not seen.spec.http or pod is None or proxy_type(pod) != "sidecar":
        return _NONE
    sealed = _sealed(view, host, edge.port)
    return replace(
        _NONE,
        protocol=sealed,
        unread=bool(sealed) and not seen.spec.tls,
        host=host,
        client_pod=pod.name,
        client_namespace=pod.namespace,
        route=Ref(seen.ref),
        route_namespace=seen.namespace,
        no_rule=edge.request.given and route_match.takes(seen, _asked(edge, client)) is False,
        wants=route_match.wants(seen),
    )


def _sealed(view: View, host: str, port: int) -> str:
    """TLS or HTTPS, where the host's entry has that on the port and HTTP on none; else ""."""
    entry = shared.known_hosts(view).entry_for(host)
    ports = entry.spec.ports if entry is not None else ()
    found = {p.number: p.protocol.upper() for p in ports}
    closed = all(one in (protocols.TLS, protocols.HTTPS) for one in found.values())
    return found.get(port, "") if closed else ""


def _visibility(service: Service, in_force: Scope, mesh: MeshConfig) -> EdgeScope:
    sight = sees_service(service, fqdn(service), in_force, mesh)
    _, space, name = (in_force.source or "//").split("/")
    return replace(
        _NONE,
        judged=True,
        host=fqdn(service),
        service=Ref(service.ref),
        service_name=service.name,
        service_namespace=service.namespace,
        hidden_by=sight.hidden_by,
        export=clean(", ".join(service_export_to(service)), 200),
        sidecar=Ref(in_force.source),
        sidecar_said=in_force.source or "none",
        sidecar_name=name,
        sidecar_namespace=space,
        registry_only=in_force.outbound_policy(mesh) == "REGISTRY_ONLY",
    )


def _routing(
    view: View,
    edge: EdgeSubject,
    client: WorkloadPods,
    service: Service,
    in_force: Scope,
    mesh: MeshConfig,
    facts: EdgeScope,
) -> EdgeScope:
    host = fqdn(service)
    found = [
        r
        for r in view.objects("VirtualService", VirtualService)
        if any(host_matches(h, host) for h in routes.hosts(r))
    ]
    bound = sorted((r for r in found if routes.in_mesh(r)), key=age_key)
    hidden = {r.ref: _route_hidden(r, in_force, mesh, host) for r in bound}
    seen = [r for r in bound if not hidden[r.ref]]
    lost = next((r for r in bound if hidden[r.ref]), None) if not seen else None
    if lost is not None:
        facts = replace(
            facts,
            hidden_route=Ref(lost.ref),
            hidden_route_namespace=lost.namespace,
            route_hidden_by=hidden[lost.ref],
        )
    if not bound and service.spec.type != "ExternalName":
        facts = _unbound(found, host, facts)
        facts = facts if found else _astray(view, service, facts)
    rules = view.objects("DestinationRule", DestinationRule)
    chosen = choose(
        rules,
        Client(namespace=in_force.namespace, labels=client.labels),
        host,
        service.namespace,
        mesh.root_namespace,
        default_export=mesh.default_destination_rule_export_to,
    )
    if chosen is not None:
        facts = replace(facts, rule=Ref(chosen.first.ref), rule_said=chosen.first.ref)
    if not seen:
        return facts
    route = as_served(view, seen[0])
    handed = (rule.delegate for rule in seen[0].spec.http if rule.delegate is not None)
    facts = replace(facts, delegate=Ref(_delegate(next(handed, None), seen[0].namespace)))
    facts = _in_force(route, host, chosen, rules, facts)
    if not seen[0].spec.http or facts.http_ignored:
        return facts
    asked = _asked(edge, client)
    taken = route_match.takes(route, asked)
    return replace(
        facts,
        no_rule=edge.request.given and taken is False,
        takes_all=taken is True,
        wants=route_match.wants(route),
    )


def _delegate(named: Delegate | None, home: str) -> str:
    return f"VirtualService/{named.namespace or home}/{named.name}" if named is not None else ""


def _asked(edge: EdgeSubject, client: WorkloadPods) -> route_match.Asked:
    request = edge.request
    return route_match.Asked(
        namespace=client.subject.namespace,
        labels=client.labels,
        port=edge.port,
        method=request.method or None,
        path=request.path or None,
        authority=request.host or None,
        headers={name.lower(): value for name, value in request.headers},
    )


def _unbound(found: list[VirtualService], host: str, facts: EdgeScope) -> EdgeScope:
    """Only a route that spells the service's own host was meant for calls of the service; `*` is
    not, and what an ExternalName leads to is a gateway, mostly."""
    one = next((r for r in found if host in routes.hosts(r) and routes.shapes(r)), None)
    if one is None:
        return facts
    return replace(
        facts,
        unbound_route=Ref(one.ref),
        unbound_gateways=clean(", ".join(one.spec.gateways), 200),
        unbound_name=one.name,
        unbound_namespace=one.namespace,
    )


def _astray(view: View, service: Service, facts: EdgeScope) -> EdgeScope:
    """A route for the mesh that leads to this service alone, while its hosts are other Services of
    the namespace: it was meant for calls of this one."""
    host = fqdn(service)
    for one in view.objects("VirtualService", VirtualService, service.namespace):
        ends = {resolve_short_name(d.host, one.namespace) for d in routes.destinations(one)}
        if not routes.in_mesh(one) or ends != {host} or not routes.shapes(one):
            continue
        named = [service_of(name) for name in routes.hosts(one)]
        if named and all(own and view.object("Service", Service, *own) for own in named):
            return replace(
                facts,
                astray=Ref(one.ref),
                astray_hosts=clean(", ".join(routes.hosts(one)), 200),
                astray_name=one.name,
            )
    return facts


def _route_hidden(route: VirtualService, in_force: Scope, mesh: MeshConfig, host: str) -> str:
    """exportTo, sidecar or "" (the client gets it)."""
    exported = audience(
        route.spec.export_to, route.namespace, mesh.default_virtual_service_export_to
    )
    if not sees(exported, in_force.namespace):
        return "exportTo"
    return "" if in_force.imports(host, route.namespace) else "sidecar"


def _in_force(
    route: VirtualService,
    host: str,
    chosen: Merged | None,
    rules: tuple[DestinationRule, ...],
    facts: EdgeScope,
) -> EdgeScope:
    facts = replace(
        facts,
        route=Ref(route.ref),
        route_namespace=route.namespace,
        http_ignored=bool(route.spec.http)
        and facts.protocol not in ("", protocols.AUTO)
        and facts.protocol in (protocols.TCP, protocols.TLS, protocols.HTTPS, "MySQL", "Mongo"),
    )
    wanted = routes.used_subsets([route], host)
    has = {s.name for s, _ in chosen.subsets} if chosen is not None else set()
    missing = min(wanted - has, default="")
    if not missing:
        return facts
    other = next(
        (
            r
            for r in rules
            if host_matches(rule_host(r), host) and any(s.name == missing for s in r.spec.subsets)
        ),
        None,
    )
    return replace(facts, subset=clean(missing, 63), rule_elsewhere=Ref(other.ref if other else ""))
