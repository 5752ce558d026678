"""Which subjects does a scope have?

A pair is one edge, and that beyond an egress gateway on its way, with their workloads, namespaces,
services, proxies, nodes, and the configuration of those namespaces or for their hosts. No scope is
the whole mesh. Reads go through the same view as probes'.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from meshdoctor.engine.calls import (
    MAX_EDGES,
    all_workloads,
    edges_named,
    same_target,
    workload_named,
)
from meshdoctor.engine.concerned import about, near_to, served
from meshdoctor.engine.scope import Scope, ScopeError
from meshdoctor.mesh.services import (
    selected_pods,
)
from meshdoctor.mesh.workloads import WorkloadPods, is_ready
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
)
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.config_reading import CONFIG_KINDS
from meshdoctor.probes.propagation_reading import sync
from meshdoctor.probes.reading import edge_service, workloads
from meshdoctor.probes.view import View
from meshdoctor.probes.waypoint_reading import waypoint_of

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
    found = all_workloads(view)
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


def _pair(view: View, scope: Scope, seen: tuple[EdgeSubject, ...]) -> Resolved:
    found = workloads(view)
    client = workload_named(view, found, scope.from_, "--from") if scope.from_ else None
    named = tuple(edges_named(view, found, scope, client)) if scope.to else ()
    if client is None:
        named = tuple(e for e in named if not any(same_target(one, e) for one in seen))
    edges = (*named, *seen)[:MAX_EDGES]
    clients = {e.client for e in edges if e.client} | ({client} if client else set())
    ends = {e.server for e in edges if e.server} | clients
    keys = sorted((w.namespace, w.name) for w in ends)
    near = [found[key] for key in keys if key in found]
    near += [one for one in _waypoints(view, found, edges) if one not in near]
    subjects = _surroundings(view, near)
    services = {e.service for e in edges if e.service}
    calling = found[(client.namespace, client.name)] if client is not None else None
    if calling is not None and (not scope.to or calling.proxy_type == "router"):
        services |= set(_services_of(view, calling))
    homes = frozenset({one.namespace for one in ends} | {one.namespace for one in services})
    subjects[SubjectKind.CONFIG] = near_to(view, subjects[SubjectKind.CONFIG], edges, homes)
    subjects[SubjectKind.EDGE] = edges
    subjects[SubjectKind.SERVICE] = tuple(sorted(services, key=str))
    asked = {str(s) for s in (*edges, *ends, *services)}
    callers = set(map(str, clients)) - {str(edge.server) for edge in edges}
    config = subjects[SubjectKind.CONFIG]
    gate = served(view, config, edges)
    called = {str(edge) for edge in edges} if gate else asked - callers if edges else asked
    called |= set(map(str, about(view, config, edges, services) | gate))
    return Resolved(
        subjects=subjects, asked=frozenset(asked), called=frozenset(called), edges=edges
    )


def _waypoints(
    view: View, found: Mapping[tuple[str, str], WorkloadPods], edges: Iterable[EdgeSubject]
) -> Iterable[WorkloadPods]:
    """The waypoints that calls of ambient servers pass: without them nothing arrives."""
    for edge in edges:
        key = (edge.server.namespace, edge.server.name) if edge.server is not None else None
        server = found.get(key) if key is not None else None
        if server is None or server.proxy_type:
            continue
        try:
            service = edge_service(view, edge)
            waypoint = waypoint_of(view, server, service)
        except EvidenceError:
            continue
        if waypoint is not None:
            yield waypoint


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
    held = {w.subject.namespace for w in all_workloads(view).values()}
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
