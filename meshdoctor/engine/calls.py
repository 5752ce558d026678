"""Which workloads and calls does a scope name?

A call is one edge for each workload and port behind what is named, and the way on beyond an egress
gateway. Names that mean nothing raise ScopeError.
"""

from collections.abc import Iterable
from dataclasses import replace

from meshdoctor.engine.fronts import fronts_of
from meshdoctor.engine.scope import Scope, ScopeError, Target
from meshdoctor.mesh import protocols, versions
from meshdoctor.mesh.edge_target import ips
from meshdoctor.mesh.egress_gateway import leaving, onward
from meshdoctor.mesh.exports import audience
from meshdoctor.mesh.routes import of_sidecars
from meshdoctor.mesh.services import (
    fqdn,
    host_matches,
    named_by_client,
    port_of,
    selected_pods,
    target_port,
)
from meshdoctor.mesh.workloads import WorkloadPods, proxy_type
from meshdoctor.model.istio import DestinationRule, VirtualService
from meshdoctor.model.kubernetes import Pod, Service, ServicePort
from meshdoctor.model.subjects import EdgeSubject, ServiceSubject, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.reading import (
    behind,
    mesh_config,
    sidecar_scope,
    unread_controllers,
    workloads,
)
from meshdoctor.probes.view import View

MAX_EDGES = 8


def caller_of(view: View, scope: Scope) -> WorkloadSubject | None:
    """The workload of a scope that names a caller and not whom it calls; None of any other."""
    if scope.from_ is None or scope.to is not None:
        return None
    return workload_named(view, workloads(view), scope.from_, "--from")


def calls_of(view: View, scope: Scope, seen: Iterable[EdgeSubject]) -> list[EdgeSubject]:
    """Of a scope that names only what is called: its calls by the gateways that lead to it, and
    those that were seen failing."""
    asked = list(edges_named(view, workloads(view), scope, None))
    calls = [replace(one, client=front) for front in fronts_of(view, scope) for one in asked]
    calls += [
        replace(one, request=scope.request)
        for one in seen
        if any(same_target(one, other) for other in asked)
    ]
    return list(dict.fromkeys(calls))


def same_target(one: EdgeSubject, asked: EdgeSubject) -> bool:
    """Whether a call is one of what is asked about, whoever calls."""
    if asked.port not in (0, one.port):
        return False
    if asked.service is not None or one.service is not None:
        return one.service == asked.service
    return one.server == asked.server if asked.server is not None else one.host == asked.host


def workload_named(
    view: View, found: dict[tuple[str, str], WorkloadPods], target: Target, option: str
) -> WorkloadSubject:
    """By workload name, pod name, `app` label, or the one workload behind a service."""
    namespace, name = target.namespace or "default", target.name
    if (namespace, name) in found:
        return found[(namespace, name)].subject
    local = {key: w for key, w in found.items() if key[0] == namespace}
    for workload in local.values():
        if any(p.name == name for p in workload.pods):
            return workload.subject
    for workload in local.values():
        if name in (workload.labels.get("app"), workload.labels.get("app.kubernetes.io/name")):
            return workload.subject
    service = view.object("Service", Service, namespace, name)
    if service is not None:
        for workload in local.values():
            if selected_pods(service, workload.pods):
                return workload.subject
    raise ScopeError(_nothing(view, option, f"{namespace}/{name}", namespace, local))


def _nothing(
    view: View, option: str, wanted: str, namespace: str, local: dict[tuple[str, str], WorkloadPods]
) -> str:
    unread = unread_controllers(view)
    if unread:
        reads = ", ".join(f"{one.unavailable.what} ({one.reason.value})" for one in unread)
        return f"{option} {wanted}: no pod or service of that name, and not seen: {reads}"
    if not local:
        return f"{option} {wanted}: namespace {namespace} has no workloads, or does not exist"
    names = ", ".join(sorted(name for _, name in local)[:8])
    return f"{option} {wanted}: no such workload or service. {namespace} has: {names}"


def edges_named(
    view: View,
    found: dict[tuple[str, str], WorkloadPods],
    scope: Scope,
    client: WorkloadSubject | None,
) -> Iterable[EdgeSubject]:
    """The calls of a scope with `--to`, of this client or nobody in particular; raises ScopeError
    when it names nothing that exists."""
    target = scope.to
    assert target is not None
    home = client.namespace if client else "default"
    where = (target.namespace, target.name)
    if not target.namespace:
        where = named_by_client(target.name, home) or ("", target.name)
    service = view.object("Service", Service, *where) if where[0] else None
    if service is None and not target.namespace:
        yield EdgeSubject(
            client=client,
            server=_at_address(found, target.name),
            host=target.name,
            port=target.port,
            request=scope.request,
        )
        if client is not None:
            yield from _onward(view, client, target, scope)
        return
    if service is None:
        server = workload_named(view, found, target, "--to")
        yield EdgeSubject(
            client=client, server=server, host="", port=target.port, request=scope.request
        )
        return
    some = list(behind(view, service))
    listed = not target.port or port_of(service, target.port) is not None
    if not listed and not any(_serves(service, w, target.port) for w in some):
        ports = ", ".join(str(p.port) for p in service.spec.ports) or "none"
        raise ScopeError(
            f"--to {target}: service {service.namespace}/{service.name} has no port "
            f"{target.port} (it has: {ports})"
        )
    numbers = [target.port] if target.port else [p.port for p in service.spec.ports][:3] or [0]
    subject = ServiceSubject(service.namespace, service.name)
    pairs: list[tuple[WorkloadSubject | None, int]]
    if some:
        calling = found.get((client.namespace, client.name)) if client is not None else None
        called = {number: _called(view, calling, service, some, number) for number in numbers}
        pairs = [(w.subject, n) for w in some for n in numbers if w.subject in called[n]]
    else:
        same = found.get((service.namespace, service.name))
        pairs = [(same.subject if same else None, number) for number in numbers]
    for one, number in pairs[:MAX_EDGES]:
        yield EdgeSubject(
            client=client,
            server=one,
            service=subject,
            host=fqdn(service),
            port=number,
            request=scope.request,
        )


def _called(
    view: View,
    client: WorkloadPods | None,
    service: Service,
    servers: list[WorkloadPods],
    number: int,
) -> list[WorkloadSubject]:
    """Those of the workloads behind a service that a sidecar's calls can reach by the routes in
    force; all of them where that cannot be told."""
    every = [one.subject for one in servers]
    port = port_of(service, number)
    if len(every) < 2 or port is None or client is None or client.pod is None:
        return every
    try:
        picked = _picked(view, client.pod, service, port)
    except EvidenceError:
        return every
    kept = [one.subject for one in servers if versions.gets_calls(one.labels, picked)]
    return kept or every


def _picked(
    view: View, client: Pod, service: Service, port: ServicePort
) -> tuple[versions.Labels, ...]:
    """Labels that the subsets in use want; empty where a call may reach any pod, and where a
    Sidecar or exportTo may hide the route from this client."""
    host = fqdn(service)
    routes = tuple(of_sidecars(view.objects("VirtualService", VirtualService), host))
    if not routes or proxy_type(client) != "sidecar":
        return ()
    default = audience(mesh_config(view).default_virtual_service_export_to, "")
    seen_in = (default, *(audience(one.spec.export_to, one.namespace) for one in routes))
    if not all("*" in one for one in seen_in) or sidecar_scope(view, client).sidecar is not None:
        return ()
    rules = view.objects("DestinationRule", DestinationRule)
    return versions.chosen(host, protocols.select(port), routes, rules)


def _onward(
    view: View, client: WorkloadSubject, target: Target, scope: Scope
) -> Iterable[EdgeSubject]:
    """The second half of a way out: from the egress gateway to which a route of the mesh leads
    the calls. What cannot be read leads nowhere."""
    try:
        routes = view.objects("VirtualService", VirtualService)
        first = leaving(routes, target.name, target.port, client.namespace)
        where = named_by_client(first.host, "") if first is not None else None
        service = view.object("Service", Service, *where) if where is not None else None
    except EvidenceError:
        return
    if service is None:
        return
    for gateway in behind(view, service):
        if gateway.proxy_type != "router":
            continue
        for host, port in onward(routes, target.name):
            if host_matches(target.name, host):
                yield EdgeSubject(
                    client=gateway.subject,
                    server=None,
                    host=host,
                    port=port or target.port,
                    request=scope.request,
                )


def _at_address(found: dict[tuple[str, str], WorkloadPods], address: str) -> WorkloadSubject | None:
    """The workload one of whose pods has this address; None for a name, or an unknown address."""
    owners = (w.subject for w in found.values() if any(address in ips(pod) for pod in w.pods))
    return next(owners, None)


def _serves(service: Service, workload: WorkloadPods, port: int) -> bool:
    return any(target_port(p, workload.pod) == port for p in service.spec.ports)


def all_workloads(view: View) -> dict[tuple[str, str], WorkloadPods]:
    """Empty when Pods may not be read: the rest of the mesh can still be judged."""
    try:
        return workloads(view)
    except EvidenceError:
        return {}
