"""Which reads do many probes share? Each is made once per run, whoever asks.

Not a probe: it judges nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from meshdoctor.mesh.callers import Addresses
from meshdoctor.mesh.callers import addresses as addresses_of
from meshdoctor.mesh.endpoints import by_service
from meshdoctor.mesh.meshconfig import parse as parse_mesh_config
from meshdoctor.mesh.peer_authentication import Policies
from meshdoctor.mesh.services import PodsByLabels, selected_pods
from meshdoctor.mesh.visibility import Scope, scope
from meshdoctor.mesh.webhook_call import ready_endpoints
from meshdoctor.mesh.workloads import (
    CONTROLLERS,
    WorkloadPods,
    group,
    is_ready,
    proxy_runs,
    proxy_type,
)
from meshdoctor.model.istio import MeshConfig, PeerAuthentication, Sidecar
from meshdoctor.model.kubernetes import (
    ConfigMap,
    EndpointSlice,
    Namespace,
    NetworkPolicy,
    Node,
    Pod,
    Service,
    Workload,
)
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import EdgeSubject, ServiceSubject, WorkloadSubject
from meshdoctor.ports import EvidenceError, MissingError, UnreachableError
from meshdoctor.probes.view import View, attempt, known

WORKLOAD_READS = ("DaemonSet", "Deployment", "Job", "Pod", "StatefulSet")
"""What a probe reads that asks for a workload and its pods."""
_RELEASE = pattern(r":v?(\d+)\.(\d+)")


def mesh_config(view: View) -> MeshConfig:
    """The mesh config of ConfigMap `istio` (or of the only `istio-REV`) in istiod's namespace.

    Istio's defaults when istiod's namespace holds none.
    """
    return view.memo("mesh-config", _mesh_config)


def _mesh_config(view: View) -> MeshConfig:
    return parse_mesh_config(_config_map(view))


def _config_map(view: View) -> ConfigMap | None:
    maps = view.objects("ConfigMap", ConfigMap, view.istio_namespace)
    named = {m.name: m for m in maps if "mesh" in m.data}
    if "istio" in named:
        return named["istio"]
    revisions = sorted(n for n in named if n.startswith("istio-"))
    return named[revisions[0]] if revisions else None


def mesh_config_ref(view: View) -> str:
    """`ConfigMap/ns/name` of the mesh config; "" when istiod's namespace holds none."""
    found = mesh_config_map(view)
    return found.ref if found is not None else ""


def mesh_config_map(view: View) -> ConfigMap | None:
    """The ConfigMap of the mesh config; None when istiod's namespace holds none."""
    return view.memo("mesh-config-map", _config_map)


def root_namespace(view: View) -> str:
    """The namespace whose policies apply mesh-wide."""
    return mesh_config(view).root_namespace


def workloads(view: View) -> dict[tuple[str, str], WorkloadPods]:
    """All workloads of the run's scope, by (namespace, name).

    Controllers that may not be read leave the pods' owners to name the workloads.
    """
    return view.memo("workloads", _workloads)


def _workloads(view: View) -> dict[tuple[str, str], WorkloadPods]:
    controllers: list[Workload] = []
    for one in _controllers(view):
        if not isinstance(one, EvidenceError):
            controllers += one
    return group(view.objects("Pod", Pod), controllers)


def unread_controllers(view: View) -> list[EvidenceError]:
    """Why workloads without pods may be missing among `workloads`; empty: they are not."""
    return [one for one in _controllers(view) if isinstance(one, EvidenceError)]


def _controllers(view: View) -> Iterator[tuple[Workload, ...] | EvidenceError]:
    for kind in CONTROLLERS:
        if kind in ("CronJob", "ReplicaSet"):
            continue
        try:
            yield view.objects(kind, Workload)
        except EvidenceError as error:
            yield error


def workloads_in(view: View, namespace: str) -> tuple[WorkloadPods, ...]:
    """Those of one namespace."""
    return view.memo("workloads-by-namespace", _by_namespace).get(namespace, ())


def _by_namespace(view: View) -> dict[str, tuple[WorkloadPods, ...]]:
    found: dict[str, list[WorkloadPods]] = defaultdict(list)
    for (namespace, _), one in workloads(view).items():
        found[namespace].append(one)
    return {namespace: tuple(some) for namespace, some in found.items()}


def behind(view: View, service: Service) -> Iterator[WorkloadPods]:
    """Workloads with a pod that the service selects."""
    for one in workloads_in(view, service.namespace):
        if selected_pods(service, one.pods):
            yield one


def workload(view: View, subject: WorkloadSubject) -> WorkloadPods:
    """One workload with its pods; raises MissingError when the scope holds no such workload."""
    found = workloads(view).get((subject.namespace, subject.name))
    if found is None:
        raise MissingError(f"workload {subject}", "it is not among the objects read")
    return found


def service(view: View, subject: ServiceSubject) -> Service | None:
    """One service; None when it does not exist."""
    return view.object("Service", Service, subject.namespace, subject.name)


def edge_service(view: View, edge: EdgeSubject) -> Service | None:
    """The service that an edge leads to; None when it leads to none, or to one that does not
    exist."""
    return service(view, edge.service) if edge.service is not None else None


def pods_of_service(view: View, found: Service) -> tuple[Pod, ...]:
    """Pods that the service selects, in its own namespace."""
    space = found.metadata.namespace
    pods = view.memo(
        ("pods-by-labels", space), lambda v: PodsByLabels(v.objects("Pod", Pod, space), space)
    )
    return pods.of(found)


def ready_behind(view: View, service: Service) -> int:
    """Ready endpoints as the API server counts them for a webhook. No slice at all: not recorded,
    ask the pods. Raises MissingError where nothing but slices could tell."""
    mine = slices_of_service(view, service)
    if mine:
        return ready_endpoints(mine, service.namespace, service.name)
    if not service.spec.selector:
        what = f"endpoints of Service {service.namespace}/{service.name}"
        raise MissingError(what, "it has no selector")
    return sum(is_ready(p) for p in pods_of_service(view, service))


def slices_of_service(view: View, found: Service) -> tuple[EndpointSlice, ...]:
    """The service's EndpointSlices."""
    space = found.metadata.namespace
    slices = view.memo(
        ("slices-by-service", space),
        lambda v: by_service(v.objects("EndpointSlice", EndpointSlice, space)),
    )
    return slices.get(found.metadata.name, ())


def peer_authentications(view: View, namespace: str) -> Policies:
    """The PeerAuthentications that matter to the workloads of a namespace."""

    def build(v: View) -> Policies:
        root = root_namespace(v)
        return Policies(
            [
                policy
                for space in sorted({namespace, root})
                for policy in v.objects("PeerAuthentication", PeerAuthentication, space)
            ],
            namespace,
            root,
        )

    return known(view.memo(("mtls-policies", namespace), lambda v: attempt(lambda: build(v))))


def nodes(view: View) -> tuple[Node, ...]:
    """The nodes; without permission the pods' hostIP must do."""
    try:
        return view.objects("Node", Node)
    except EvidenceError:
        return ()


def addresses(view: View) -> Addresses:
    """Whose address is it, of all pods and nodes of the scope?"""
    pods, found = view.objects("Pod", Pod), nodes(view)
    return view.memo("addresses", lambda _: addresses_of(found, pods))


def network_policies(view: View, namespaces: Iterable[str]) -> tuple[NetworkPolicy, ...]:
    """The NetworkPolicies of these namespaces."""
    spaces = sorted(set(namespaces))
    return tuple(p for ns in spaces for p in view.objects("NetworkPolicy", NetworkPolicy, ns))


def namespace_labels(view: View) -> dict[str, dict[str, str]]:
    """Labels of every namespace, by its name."""
    return {n.name: n.labels for n in view.objects("Namespace", Namespace)}


def sidecar_scope(view: View, pod: Pod) -> Scope:
    """What the Sidecar in force shows the pod's proxy."""
    root = root_namespace(view)
    spaces = sorted({pod.namespace, root})
    sidecars = [s for ns in spaces for s in view.objects("Sidecar", Sidecar, ns)]
    return scope(sidecars, pod.namespace, pod.labels, root, proxy=proxy_type(pod))


def proxy_config(view: View, what: str, pod: Pod, *, host: str = "") -> str:
    """What a pod's proxy holds. One that does not run is not asked: port-forwards to it may wait
    for all the time there is."""
    if not proxy_runs(pod):
        raise UnreachableError(
            f"istioctl proxy-config {what} {pod.name}.{pod.namespace}",
            "its istio-proxy does not run",
            f"kubectl -n {pod.namespace} get pod {pod.name} -o wide",
        )
    return view.proxy_config(what, pod.namespace, pod.name, host=host).text


def istiod_pods(view: View) -> tuple[Pod, ...]:
    """Running or not: every pod labelled app=istiod in istiod's namespace, or, where there is
    none, Pilot's, which was a Deployment of its own before 1.5."""
    return view.memo("istiod-pods", _istiod_pods)


def release(view: View) -> tuple[int, int] | None:
    """(1, 28) from the image of an istiod; None when no tag tells, or pods may not be read."""
    return view.memo("release", _release)


def _release(view: View) -> tuple[int, int] | None:
    try:
        pods = istiod_pods(view)
    except EvidenceError:
        return None
    images = (container.image for pod in pods for container in pod.spec.containers)
    found = next(filter(None, map(_RELEASE.search, images)), None)
    return (int(found[1]), int(found[2])) if found is not None else None


def _istiod_pods(view: View) -> tuple[Pod, ...]:
    pods = view.objects("Pod", Pod, view.istio_namespace)
    named = (tuple(p for p in pods if p.labels.get("app") == app) for app in ("istiod", "pilot"))
    return next(filter(None, named), ())
