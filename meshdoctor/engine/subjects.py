"""Which subjects does a scope have?

A pair is one edge, and that beyond an egress gateway on its way, with their workloads, namespaces,
services, proxies, nodes, and the configuration of those namespaces or for their hosts. No scope is
the whole mesh. Reads go through the same view as probes'.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from msgspec import Struct

from meshdoctor.engine.fronts import fronts_of
from meshdoctor.engine.scope import Scope, ScopeError, Target
from meshdoctor.mesh.concerns import HOST_KINDS, Exists, concerns, delegates
from meshdoctor.mesh.edge_target import ips
from meshdoctor.mesh.egress_gateway import leaving, onward
from meshdoctor.mesh.routes import gateway_keys
from meshdoctor.mesh.services import (
    CLUSTER_DOMAIN,
    host_matches,
    named_by_client,
    port_of,
    selected_pods,
    target_port,
)
from meshdoctor.mesh.workloads import WorkloadPods, is_ready
from meshdoctor.model.istio import Gateway, VirtualService
from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.kubernetes import (
    Namespace,
    Node,
    Pod,
    Service,
    WebhookConfiguration,
)
from meshdoctor.model.subjects import (
    ConfigSubject,
    EdgeSubject,
    MeshSubject,
    NamespaceSubject,
    NodeSubject,
    ProxySubject,
    ServiceSubject,
    Subject,
    SubjectKind,
    WebhookSubject,
    WorkloadSubject,
)
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.config_reading import CONFIG_KINDS, read
from meshdoctor.probes.propagation_reading import sync
from meshdoctor.probes.reading import unread_controllers, workloads
from meshdoctor.probes.view import View

MAX_EDGES = 8
ALIKE = 2
"""Of so many pods of one workload every proxy is judged."""

Subjects = dict[SubjectKind, tuple[Subject, ...]]


class Resolved(Struct, frozen=True, kw_only=True):
    """The subjects of a run, and those asked about by name (their identities). `called`: the same
    without the caller, and with the configuration that names what is called."""

    subjects: Subjects
    asked: frozenset[str]
    called: frozenset[str]
    edges: tuple[EdgeSubject, ...]


def resolve(view: View, scope: Scope, edges: Iterable[EdgeSubject] = ()) -> Resolved:
    """Subjects of a scope; `edges` are those seen failing where the scope names one end or none.

    Raises ScopeError when --from, --to or --namespace names nothing that exists.
    """
    if scope.pair:
        return _pair(view, scope, tuple(edges))
    found = _all_workloads(view)
    subjects = _surroundings(view, found.values())
    spaces = set(scope.namespaces)
    if spaces:
        subjects = {
            kind: tuple(s for s in some if getattr(s, "namespace", "") in spaces | {""})
            for kind, some in subjects.items()
        }
        for space in sorted(spaces):
            _must_exist(view, space, subjects)
        subjects[SubjectKind.NAMESPACE] = tuple(NamespaceSubject(ns) for ns in sorted(spaces))
    seen = tuple(dict.fromkeys(edges))
    subjects[SubjectKind.EDGE] = seen
    return Resolved(subjects=subjects, asked=frozenset(), called=frozenset(), edges=seen)


def _all_workloads(view: View) -> dict[tuple[str, str], WorkloadPods]:
    """None when Pods may not be read: the rest of the mesh can still be judged."""
    try:
        return workloads(view)
    except EvidenceError:
        return {}


def _must_exist(view: View, space: str, subjects: Subjects) -> None:
    """A namespace exists if its object does, or anything in it; not being told is no reason."""
    if any(getattr(s, "namespace", "") == space for some in subjects.values() for s in some):
        return
    try:
        found = view.object("Namespace", Namespace, "", space)
    except EvidenceError:
        return
    if found is None:
        raise ScopeError(f"namespace {space} does not exist")


def caller_of(view: View, scope: Scope) -> WorkloadSubject | None:
    """The workload of a scope that names a caller and not whom it calls; None of any other."""
    if scope.from_ is None or scope.to is not None:
        return None
    return _workload(view, workloads(view), scope.from_, "--from")


def calls_of(view: View, scope: Scope, seen: Iterable[EdgeSubject]) -> list[EdgeSubject]:
    """Of a scope that names only what is called: its calls by the gateways that lead to it, and
    those that were seen failing."""
    asked = list(_edges(view, workloads(view), scope, None))
    calls = [replace(one, client=front) for front in fronts_of(view, scope) for one in asked]
    calls += [
        replace(one, request=scope.request)
        for one in seen
        if any(_same_target(one, other) for other in asked)
    ]
    return list(dict.fromkeys(calls))


def _same_target(one: EdgeSubject, asked: EdgeSubject) -> bool:
    if asked.port not in (0, one.port):
        return False
    if asked.service is not None or one.service is not None:
        return one.service == asked.service
    return one.server == asked.server if asked.server is not None else one.host == asked.host


def _pair(view: View, scope: Scope, seen: tuple[EdgeSubject, ...]) -> Resolved:
    found = workloads(view)
    client = _workload(view, found, scope.from_, "--from") if scope.from_ else None
    named = tuple(_edges(view, found, scope, client)) if scope.to else ()
    if client is None:
        named = tuple(e for e in named if not any(_same_target(one, e) for one in seen))
    edges = (*named, *seen)[:MAX_EDGES]
    clients = {e.client for e in edges if e.client} | ({client} if client else set())
    ends = {e.server for e in edges if e.server} | clients
    keys = sorted((w.namespace, w.name) for w in ends)
    near = [found[key] for key in keys if key in found]
    subjects = _surroundings(view, near)
    services = {e.service for e in edges if e.service}
    calling = found[(client.namespace, client.name)] if client is not None else None
    if calling is not None and (not scope.to or calling.proxy_type == "router"):
        services |= set(_services_of(view, calling))
    homes = frozenset({one.namespace for one in ends} | {one.namespace for one in services})
    subjects[SubjectKind.CONFIG] = _near(view, subjects[SubjectKind.CONFIG], edges, homes)
    subjects[SubjectKind.EDGE] = edges
    subjects[SubjectKind.SERVICE] = tuple(sorted(services, key=str))
    asked = {str(s) for s in (*edges, *ends, *services)}
    callers = set(map(str, clients)) - {str(edge.server) for edge in edges}
    config = subjects[SubjectKind.CONFIG]
    served = _served(view, config, edges)
    called = {str(edge) for edge in edges} if served else asked - callers if edges else asked
    called |= set(map(str, _about(view, config, edges, services) | served))
    return Resolved(
        subjects=subjects, asked=frozenset(asked), called=frozenset(called), edges=edges
    )


def _about(
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


def _served(
    view: View, config: Iterable[Subject], edges: Iterable[EdgeSubject]
) -> set[ConfigSubject]:
    """Of a gateway that is asked for a host: the Gateways of all namespaces that serve it, the
    VirtualServices of gateways that have it, and those bound to a Gateway that names just this
    host. What the gateway serves under other hosts does not meet the call."""
    asked = {
        edge.request.host.lower().rsplit(":", 1)[0]
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
    found = _all_workloads(view).get((server.namespace, server.name))
    return found is not None and found.proxy_type == "router"


def _called(edges: Iterable[EdgeSubject]) -> tuple[str, ...]:
    """The hosts that are called, without ports."""
    return tuple(
        {h.rsplit(":", 1)[0] for edge in edges for h in (edge.host, edge.request.host) if h}
    )


def _services_of(view: View, workload: WorkloadPods) -> Iterable[ServiceSubject]:
    for service in view.objects("Service", Service, workload.subject.namespace):
        if any(p in workload.pods for p in selected_pods(service, workload.pods)):
            yield ServiceSubject(service.namespace, service.name)


def _surroundings(view: View, near: Iterable[WorkloadPods]) -> Subjects:
    near = list(near)
    pods = [p for w in near for p in w.pods]
    nodes = {p.spec.node_name for p in pods if p.spec.node_name}
    many = any(len(w.pods) > ALIKE for w in near)
    odd = _odd_proxies(view) if many else ()
    return {
        SubjectKind.MESH: (MeshSubject(),),
        SubjectKind.NAMESPACE: _namespaces(view),
        SubjectKind.WORKLOAD: tuple(w.subject for w in near),
        SubjectKind.PROXY: tuple(
            ProxySubject(p.namespace, p.name, w.subject.name)
            for w in near
            for p in _proxies(w, odd)
        ),
        SubjectKind.SERVICE: _all_services(view),
        SubjectKind.WEBHOOK: _webhooks(view),
        SubjectKind.NODE: _nodes(view, nodes),
        SubjectKind.CONFIG: _config(view),
        SubjectKind.EDGE: (),
    }


def _proxies(workload: WorkloadPods, odd: Collection[str]) -> Iterable[Pod]:
    """Pods of a workload are alike: of many, the oldest and the newest speak for all, beside
    every one that is not ready or whose sync state is odd."""
    pods = workload.proxies
    if len(pods) <= ALIKE:
        return pods
    odd_here = {p.name for p in pods if f"{p.name}.{p.namespace}" in odd} if odd else ()
    if len(workload.ready) == len(workload.pods) and not odd_here:
        return (pods[0], pods[-1])
    ends = (pods[0], pods[-1])
    return [p for p in pods if p in ends or not is_ready(p) or p.name in odd_here]


def _odd_proxies(view: View) -> Collection[str]:
    """`pod.namespace` of proxies with a type that is not in sync; empty when it cannot be told,
    for then the propagation playbook says so."""
    try:
        return sync(view).wrong
    except EvidenceError:
        return ()


def _namespaces(view: View) -> tuple[Subject, ...]:
    try:
        names = {n.name for n in view.objects("Namespace", Namespace)}
    except EvidenceError:
        names = set()
    held = {w.subject.namespace for w in _all_workloads(view).values()}
    scoped = view.namespaces
    if scoped is not None:
        return tuple(NamespaceSubject(n) for n in sorted(set(scoped) & (names | held)))
    return tuple(NamespaceSubject(n) for n in sorted(names | held))


def _all_services(view: View) -> tuple[Subject, ...]:
    try:
        return tuple(ServiceSubject(s.namespace, s.name) for s in view.objects("Service", Service))
    except EvidenceError:
        return ()


def _webhooks(view: View) -> tuple[Subject, ...]:
    out: list[Subject] = []
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        try:
            for config in view.objects(kind, WebhookConfiguration):
                out += [WebhookSubject(kind, config.name, w.name) for w in config.webhooks]
        except EvidenceError:
            continue
    return tuple(out)


def _nodes(view: View, names: set[str]) -> tuple[Subject, ...]:
    try:
        known = {n.name for n in view.objects("Node", Node)}
    except EvidenceError:
        known = set()
    return tuple(NodeSubject(n) for n in sorted(names | (known if not names else set())))


def _config(view: View) -> tuple[Subject, ...]:
    out: list[Subject] = []
    for kind in CONFIG_KINDS:
        try:
            objects = view.objects(kind, BY_NAME[kind].type)
        except EvidenceError:
            continue
        out += [ConfigSubject(kind, o.namespace, o.name) for o in objects]
    return tuple(out)


def _near(
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
    kept |= _parts(view, every, kept) | _served(view, every, edges)
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


def _workload(
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


def _edges(
    view: View,
    found: dict[tuple[str, str], WorkloadPods],
    scope: Scope,
    client: WorkloadSubject | None,
) -> Iterable[EdgeSubject]:
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
            yield from _onward(view, found, client, target, scope)
        return
    if service is None:
        server = _workload(view, found, target, "--to")
        yield EdgeSubject(
            client=client, server=server, host="", port=target.port, request=scope.request
        )
        return
    if target.port and port_of(service, target.port) is None:
        behind = list(_behind(found, service))
        if not any(_serves(service, w, target.port) for w in behind):
            ports = ", ".join(str(p.port) for p in service.spec.ports) or "none"
            raise ScopeError(
                f"--to {target}: service {service.namespace}/{service.name} has no port "
                f"{target.port} (it has: {ports})"
            )
    numbers = [target.port] if target.port else [p.port for p in service.spec.ports][:3] or [0]
    servers: list[WorkloadSubject | None] = [w.subject for w in _behind(found, service)]
    if not servers:
        same = found.get((service.namespace, service.name))
        servers = [same.subject if same else None]
    subject = ServiceSubject(service.namespace, service.name)
    pairs = [(one, number) for one in servers for number in numbers][:MAX_EDGES]
    for one, number in pairs:
        yield EdgeSubject(
            client=client,
            server=one,
            service=subject,
            host=f"{service.name}.{service.namespace}.svc.cluster.local",
            port=number,
            request=scope.request,
        )


def _onward(
    view: View,
    found: dict[tuple[str, str], WorkloadPods],
    client: WorkloadSubject,
    target: Target,
    scope: Scope,
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
    for gateway in _behind(found, service):
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


def _behind(found: dict[tuple[str, str], WorkloadPods], service: Service) -> Iterable[WorkloadPods]:
    for (namespace, _), workload in found.items():
        if namespace == service.namespace and selected_pods(service, workload.pods):
            yield workload


def _serves(service: Service, workload: WorkloadPods, port: int) -> bool:
    return any(target_port(p, workload.pod) == port for p in service.spec.ports)
