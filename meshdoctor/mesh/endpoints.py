"""Which endpoints does a service have, and do they agree with its pods?

Mirrors pilot/pkg/serviceregistry/kube/controller/endpointslice.go (1.18 to 1.32-dev): an address
counts when its `ready` is true or absent, or when the Service publishes not-ready addresses; a
target port given by name is looked up per pod.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from meshdoctor.mesh.changes import last_change
from meshdoctor.mesh.services import selected_pods, target_port
from meshdoctor.mesh.workloads import PROXY, WorkloadPods, is_ready
from meshdoctor.model.istio import DestinationRule, Subset
from meshdoctor.model.kubernetes import Endpoint, EndpointSlice, IntOrString, Pod, Service
from meshdoctor.model.snapshot import selects

_SETTLED = timedelta(seconds=60)


class Addresses(Struct, frozen=True, kw_only=True):
    """Addresses of a service's slices; `pods` are names of pods that ready ones stand for."""

    ready: frozenset[str]
    not_ready: frozenset[str]
    pods: frozenset[str] = frozenset()

    @property
    def all(self) -> frozenset[str]:
        """Every address, ready or not."""
        return self.ready | self.not_ready

    def has(self, pods: Iterable[Pod]) -> bool:
        """Whether the address of each of these pods is among the ready ones."""
        return self.ready.issuperset([p.status.pod_ip for p in pods])


def slices_of(service: Service, slices: Iterable[EndpointSlice]) -> tuple[EndpointSlice, ...]:
    """The EndpointSlices of one service."""
    space, name = service.metadata.namespace, service.metadata.name
    return tuple([s for s in slices if s.metadata.namespace == space and s.service_name == name])


def addresses(service: Service, slices: Iterable[EndpointSlice]) -> Addresses:
    """Ready and other addresses of a service."""
    ready: set[str] = set()
    rest: set[str] = set()
    pods: set[str] = set()
    for one in slices_of(service, slices):
        for endpoint in one.endpoints:
            if endpoint.conditions.ready:
                ready.update(endpoint.addresses)
                name = _pod_of(endpoint)
                if name is not None:
                    pods.add(name)
            else:
                rest.update(endpoint.addresses)
    if service.spec.publish_not_ready_addresses:
        ready |= rest
    return Addresses(
        ready=frozenset(ready), not_ready=frozenset(rest - ready), pods=frozenset(pods)
    )


def _pod_of(endpoint: Endpoint) -> str | None:
    """The name of the pod that an endpoint with an address stands for; None: it names no pod."""
    target = endpoint.target_ref
    if target is None or target.kind != "Pod" or not endpoint.addresses:
        return None
    return target.name


def by_service(slices: Iterable[EndpointSlice]) -> Mapping[str, tuple[EndpointSlice, ...]]:
    """EndpointSlices of one namespace by the name of their service."""
    found: dict[str, list[EndpointSlice]] = defaultdict(list)
    for one in slices:
        found[one.service_name].append(one)
    return {name: tuple(some) for name, some in found.items()}


def settled_disagreement(
    service: Service,
    found: Addresses,
    live: Iterable[Pod],
    now: datetime,
    slices: Iterable[EndpointSlice] = (),
) -> Pod | None:
    """Of the selected pods that are not being deleted, one that became ready over a minute ago and
    is in no slice, or whose address is still ready in one though it is not: Kubernetes itself
    lags. None: they agree, or one of the `slices` was written within that minute, as when a pod's
    readiness changes between the reads of both."""
    written = (last_change(one) for one in slices_of(service, slices))
    if any(at is not None and now - at < _SETTLED for at in written):
        return None
    for pod in live:
        listed = pod.status.pod_ip in found.ready
        wanted = service.spec.publish_not_ready_addresses or is_ready(pod)
        if listed == wanted or not pod.status.pod_ip:
            continue
        condition = pod.condition("Ready")
        since = condition.last_transition_time if condition is not None else None
        if since is not None and now - since >= _SETTLED:
            return pod
    return None


def orphans(
    service: Service, slices: Iterable[EndpointSlice], pods: Iterable[Pod]
) -> tuple[str, ...]:
    """`address (pod NAME)` of ready endpoints whose targetRef names a pod that does not exist."""
    names = {p.metadata.name for p in pods if p.metadata.namespace == service.namespace}
    return tuple(
        f"{endpoint.addresses[0]} (pod {name})"
        for one in slices_of(service, slices)
        for endpoint in one.endpoints
        if endpoint.conditions.ready
        and (name := _pod_of(endpoint)) is not None
        and name not in names
    )


class NearMiss(Struct, frozen=True, kw_only=True):
    """The workload that was probably meant, and the label that keeps it out."""

    workload: WorkloadPods
    label: str
    has: str


def probably_meant(service: Service, workloads: Iterable[WorkloadPods]) -> NearMiss | None:
    """Of the namespace's workloads with ready pods that the selector misses, the one that shares
    most with it (a label, or the service's name); None when none shares anything."""
    wanted = service.spec.selector
    scored = []
    for one in workloads:
        if one.subject.namespace != service.namespace or not any(map(is_ready, one.pods)):
            continue
        labels = one.labels
        shared = sum(labels.get(k) == v for k, v in wanted.items())
        alike = one.subject.name == service.name or one.subject.name.startswith(f"{service.name}-")
        alike = alike or any(
            labels.get(k) == service.name for k in ("app", "app.kubernetes.io/name")
        )
        wrong = next((k for k, v in sorted(wanted.items()) if labels.get(k) != v), "")
        if (shared or alike) and wrong:
            scored.append((2 * shared + alike, one.subject.name, one, wrong))
    if not scored:
        return None
    _, _, best, label = max(scored, key=lambda s: (s[0], s[1]))
    return NearMiss(workload=best, label=label, has=best.labels.get(label, ""))


def application_unready(pod: Pod) -> bool:
    """Whether the application keeps the pod from being ready: it is scheduled, its init containers
    are done, a proxy (if any) is ready, and a container of the application is not."""
    if pod.status.phase != "Running":
        return False
    proxy = pod.container_status(PROXY)
    if proxy is not None and not proxy.ready:
        return False
    return any(not s.ready for s in pod.status.container_statuses if s.name != PROXY)


def starting(pods: Iterable[Pod], now: datetime) -> bool:
    """Whether all of these began less than a minute ago, and no container of theirs has ended yet:
    they have had no time to become ready."""
    return all(
        pod.status.start_time is not None
        and now - pod.status.start_time < _SETTLED
        and not any(s.restart_count for s in pod.all_statuses)
        for pod in pods
    )


def template_selected(service: Service, workloads: Iterable[WorkloadPods]) -> bool:
    """Whether the selector means a workload that has no pods (scaled to zero, none created)."""
    return any(
        w.subject.namespace == service.namespace
        and w.controller is not None
        and selects(service.spec.selector, w.controller.spec.template.metadata.labels)
        for w in workloads
    )


class PortMiss(Struct, frozen=True, kw_only=True):
    """A named target port that a selected pod does not declare."""

    port: int
    target: str
    pod: Pod
    of_pods: int
    missing: int


def port_miss(service: Service, selected: Iterable[Pod]) -> PortMiss | None:
    """The first named target port that some selected, running pod lacks."""
    named = [p for p in service.spec.ports if not _is_number(p.target_port)]
    running = [p for p in selected if p.status.phase == "Running"] if named else []
    for port in named:
        lacking = [p for p in running if target_port(port, p) == 0]
        if lacking:
            return PortMiss(
                port=port.port,
                target=str(port.target_port),
                pod=lacking[0],
                of_pods=len(running),
                missing=len(lacking),
            )
    return None


def _is_number(port: IntOrString) -> bool:
    return isinstance(port, int) or port.isdigit()


def empty_subset(
    rule: DestinationRule, service: Service, pods: Iterable[Pod], used: Iterable[str]
) -> Subset | None:
    """The first subset that routes use and that selects no ready pod, where the service itself
    has ready pods."""
    ready = [p for p in selected_pods(service, pods) if is_ready(p)]
    wanted = set(used)
    if not ready:
        return None
    for subset in rule.spec.subsets:
        if subset.name in wanted and not any(selects(subset.labels, p.labels) for p in ready):
            return subset
    return None
