"""Which pods are one workload, and is a pod in the mesh?

A workload is named by its controller: a ReplicaSet's owner when it is known, else the pod name
without the hashes that Kubernetes appends (pilot/pkg/util GetDeployMetaFromPod does the same).
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property

from meshdoctor.model.kubernetes import Container, ContainerState, OwnerReference, Pod, Workload
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import WorkloadSubject

PROXY = "istio-proxy"
NOT_INJECTED = "auto"  # the image in a gateway's template; injection replaces it
_POD_HASH = pattern(r"-[a-z0-9]{5,10}$")
_RS_HASH = pattern(r"-[a-z0-9]{6,10}$")
_TARGETS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
CONTROLLERS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet", "CronJob")


@dataclass(frozen=True, kw_only=True)
class WorkloadPods:
    """One workload: its controller when it was read, its live pods oldest first.

    `template_labels` are those a new pod would get; from the controller, else from a pod.
    """

    subject: WorkloadSubject
    controller: Workload | None
    pods: tuple[Pod, ...]

    @cached_property
    def pod(self) -> Pod | None:
        """The pod that speaks for the workload: a ready one if there is one, else the newest."""
        candidates = self.ready or self.pods
        return candidates[-1] if candidates else None

    @cached_property
    def ready(self) -> tuple[Pod, ...]:
        """Its pods that are ready."""
        return tuple(p for p in self.pods if is_ready(p))

    @cached_property
    def proxy_types(self) -> tuple[str, ...]:
        """`proxy_type` of each of its pods."""
        return tuple(map(proxy_type, self.pods))

    @property
    def proxy_type(self) -> str:
        """`proxy_type` of the pod that speaks for the workload; "" without pods."""
        return self.type_of(self.pod)

    def type_of(self, pod: Pod | None) -> str:
        """`proxy_type` of one of its pods."""
        for known, kind in zip(self.pods, self.proxy_types, strict=True):
            if known is pod:
                return kind
        return ""

    @cached_property
    def proxies(self) -> tuple[Pod, ...]:
        """Its pods that have a proxy."""
        if all(self.proxy_types):
            return self.pods
        return tuple(p for p, kind in zip(self.pods, self.proxy_types, strict=True) if kind)

    @cached_property
    def envoys(self) -> tuple[Pod, ...]:
        """Its pods that have an Envoy, which writes access logs: ztunnel is none."""
        if all(kind and kind != "ztunnel" for kind in self.proxy_types):
            return self.pods
        kinds = zip(self.pods, self.proxy_types, strict=True)
        return tuple(p for p, kind in kinds if kind and kind != "ztunnel")

    @cached_property
    def live(self) -> tuple[Pod, ...]:
        """Pods that run or should: neither ended nor being deleted."""
        return tuple(
            p
            for p in self.pods
            if p.status.phase not in ("Succeeded", "Failed")
            and p.metadata.deletion_timestamp is None
        )

    @cached_property
    def bare(self) -> tuple[Pod, ...]:
        """Of the live pods those into which nothing was injected: without istio-proxy, or with
        that of a gateway whose image is still `auto`."""
        proxies = zip(self.live, map(proxy_container, self.live), strict=True)
        return tuple([p for p, proxy in proxies if proxy is None or proxy.image == NOT_INJECTED])

    @cached_property
    def sidecars(self) -> tuple[Pod, ...]:
        """Its pods that have a sidecar."""
        kinds = zip(self.pods, self.proxy_types, strict=True)
        return tuple(p for p, kind in kinds if kind == "sidecar")

    @property
    def labels(self) -> dict[str, str]:
        """Labels that policies select on: a pod's, else the template's."""
        if self.pod is not None:
            return self.pod.labels
        return self.controller.spec.template.metadata.labels if self.controller else {}

    @property
    def target(self) -> str:
        """The workload as `kubectl logs` and `istioctl` take it: `deployment/cart` outlives a
        restart, a pod's name does not. A pod where its controller is of a kind they do not know;
        "" without pods."""
        if self.subject.owner in _TARGETS:
            return f"{self.subject.owner.lower()}/{self.subject.name}"
        return f"pod/{self.pod.name}" if self.pod is not None else ""

    @property
    def service_account(self) -> str:
        """Kubernetes fills in `default`."""
        if self.pod is not None:
            return self.pod.spec.service_account_name or "default"
        if self.controller is not None:
            return self.controller.spec.template.spec.service_account_name or "default"
        return "default"


def owner_of(pod: Pod) -> WorkloadSubject:
    """The workload a pod belongs to, from its owner references alone."""
    meta = pod.metadata
    owner = _controller(meta.owner_references)
    if owner is None:
        return WorkloadSubject(meta.namespace, meta.name, "Pod")
    given = owner.name
    if owner.kind == "ReplicaSet":
        digest = meta.labels.get("pod-template-hash", "")
        name = given.removesuffix(f"-{digest}") if digest else _RS_HASH.sub("", given)
        return WorkloadSubject(meta.namespace, name, "Deployment" if name != given else owner.kind)
    if owner.kind == "Job":
        name = re.sub(r"-\d{8,}$", "", given)
        return WorkloadSubject(meta.namespace, name, "CronJob" if name != given else owner.kind)
    return WorkloadSubject(meta.namespace, given, owner.kind)


def _controller(owners: tuple[OwnerReference, ...]) -> OwnerReference | None:
    """The owner that controls; the first where none says so."""
    for owner in owners:
        if owner.controller:
            return owner
    return owners[0] if owners else None


def group(
    pods: Iterable[Pod], controllers: Iterable[Workload] = ()
) -> dict[tuple[str, str], WorkloadPods]:
    """Workloads by (namespace, name); a controller without pods is a workload too.

    ReplicaSets and Jobs that another controller owns are not workloads of their own, nor are
    pods that ended (Succeeded, or Failed by eviction).
    """
    members: dict[tuple[str, str], list[Pod]] = defaultdict(list)
    subjects: dict[tuple[str, str], WorkloadSubject] = {}
    for pod in pods:
        if pod.status.phase == "Succeeded" and pod.spec.restart_policy == "Always":
            continue
        subject = owner_of(pod)
        key = (subject.namespace, subject.name)
        subjects.setdefault(key, subject)
        members[key].append(pod)
    known: dict[tuple[str, str], Workload] = {}
    for controller in controllers:
        if any(o.controller or o.kind in CONTROLLERS for o in controller.metadata.owner_references):
            continue
        key = (controller.namespace, controller.name)
        if key in known and controller.kind == "ReplicaSet":
            continue
        known[key] = controller
        subjects[key] = WorkloadSubject(controller.namespace, controller.name, controller.kind)
    return {
        key: WorkloadPods(
            subject=subject,
            controller=known.get(key),
            pods=_oldest_first(members.get(key, [])),
        )
        for key, subject in sorted(subjects.items())
    }


def _oldest_first(pods: list[Pod]) -> tuple[Pod, ...]:
    """By `_age`; times of one zone compare as their texts do."""
    if len(pods) < 2:
        return tuple(pods)
    created = [p.metadata.creation_timestamp for p in pods]
    known = [at for at in created if at is not None and at.tzinfo is UTC]
    if len(known) < len(pods):
        return tuple(sorted(pods, key=_age))
    ages = sorted(zip(known, [p.metadata.name for p in pods], range(len(pods)), strict=True))
    return tuple([pods[number] for _, _, number in ages])


def _age(pod: Pod) -> tuple[str, str]:
    meta = pod.metadata
    created = meta.creation_timestamp
    return (created.isoformat() if created else "", meta.name)


def is_ready(pod: Pod) -> bool:
    """Whether the pod's Ready condition is True; an absent condition is not ready."""
    for condition in pod.status.conditions:
        if condition.type == "Ready":
            return condition.status == "True"
    return False


def proxy_container(pod: Pod) -> Container | None:
    """The istio-proxy container, native sidecar (init container) or not; None: no proxy."""
    return pod.container(PROXY)


def proxy_runs(pod: Pod) -> bool:
    """Whether the pod's proxy may be asked: its container runs, as far as the kubelet told."""
    told = pod.container_status(PROXY)
    return told is None or told.state.running is not None or told.state == ContainerState()


def image_release(pod: Pod) -> str:
    """The Istio release that the proxy's image tag names; "" when it names none."""
    container = proxy_container(pod)
    tag = container.image.rpartition(":")[2] if container is not None else ""
    return tag.partition("-")[0] if tag[:1].isdigit() and "." in tag else ""


def has_proxy(pod: Pod) -> bool:
    """Whether the pod has an Istio proxy container: sidecar, gateway, waypoint or ztunnel."""
    return proxy_container(pod) is not None


def proxy_type(pod: Pod) -> str:
    """sidecar, router (gateway), waypoint, ztunnel or "" (no proxy); from the proxy's arguments.

    A gateway of the gateway chart that was not injected keeps the image `auto`: no proxy either."""
    container = proxy_container(pod)
    if container is None or container.image == NOT_INJECTED:
        return ""
    args = container.args
    if "ztunnel" in args or pod.labels.get("app") == "ztunnel":
        return "ztunnel"
    if (
        "waypoint" in args
        or "gateway.istio.io/managed" in pod.labels
        and pod.labels["gateway.istio.io/managed"].endswith("mesh-controller")
    ):
        return "waypoint"
    if "router" in args:
        return "router"
    return "sidecar"


def is_sidecar(pod: Pod) -> bool:
    """Whether the pod's proxy is a sidecar."""
    return proxy_type(pod) == "sidecar"


def is_native_sidecar(pod: Pod) -> bool:
    """Whether the proxy is an init container that restarts (Kubernetes native sidecar)."""
    for container in pod.spec.init_containers:
        if container.name == PROXY and container.restart_policy == "Always":
            return True
    return False


def tls_mode_label(pod: Pod) -> str:
    """`istio` makes clients use mTLS to this endpoint (label security.istio.io/tlsMode)."""
    return pod.labels.get("security.istio.io/tlsMode", "")


def app_containers(pod: Pod) -> tuple[Container, ...]:
    """The application's own containers, without Istio's."""
    return tuple([c for c in pod.spec.containers if c.name not in (PROXY, "istio-init")])


def principal(trust_domain: str, namespace: str, service_account: str) -> str:
    """The identity without scheme: `td/ns/NS/sa/SA`."""
    return f"{trust_domain}/ns/{namespace}/sa/{service_account or 'default'}"
