"""Does a namespace hold the root certificate that its proxies mount?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.annotations import quantity
from meshdoctor.mesh.ca import ROOT_MAP, root_bundle
from meshdoctor.mesh.certificates import compare
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import ConfigMap, Event, Pod, ResourceQuota
from meshdoctor.model.subjects import NamespaceSubject, SubjectKind
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt, probe

UNKNOWN_WHY = "istiod does not watch the namespace (discoverySelectors) or may not write there"
LOCK = "istio-namespace-controller-election"
LEADER = "control-plane.alpha.kubernetes.io/leader"
_COUNTS = ("configmaps", "count/configmaps")


class NamespaceRoot(Struct, frozen=True, kw_only=True):
    """ConfigMap istio-ca-root-cert of one namespace."""

    waiting: Annotated[Fact[int], "pods that mount it and have not started"]
    pod: Annotated[Fact[str], "one of them"]
    absent: Annotated[Fact[bool], "the ConfigMap does not exist, or holds no certificate"]
    differs: Annotated[Fact[bool], "its root is not the one of istiod's namespace"]
    events: Annotated[Fact[int], "mount failures that name it", OBSERVED]
    quota: Annotated[Fact[Ref], "a ResourceQuota with no room for a ConfigMap; empty: none"]
    why: Annotated[Fact[str], "why istiod may not have written it, in words"]
    istiod: Annotated[
        Fact[Ref], "istiod, where discoverySelectors leave nothing out and no quota is full"
    ]
    lock: Annotated[
        Fact[Ref], "the lock of its namespace controller, where nobody holds it; empty: none is"
    ]
    config_map: Annotated[Fact[Ref], "the ConfigMap"]
    namespace: Annotated[Fact[Ref], "the namespace"]
    name: Annotated[Fact[str], "name of the namespace"]


@probe(
    "namespace-root",
    subject=SubjectKind.NAMESPACE,
    reads=("ConfigMap", "Event", "Pod", "ResourceQuota"),
)
def namespace_root(view: View, subject: NamespaceSubject) -> NamespaceRoot:
    """Does a namespace hold the root certificate that its proxies mount?"""
    name = subject.name
    pods = [p for p in view.objects("Pod", Pod, name) if _waits(p) and _mounts(p)]
    found = attempt(lambda: view.object("ConfigMap", ConfigMap, name, ROOT_MAP))
    quota = attempt(lambda: _full(view, name)) if pods else ""
    lock = attempt(lambda: _unheld(view)) if pods else ""
    return NamespaceRoot(
        waiting=len(pods),
        pod=pods[0].name if pods else "",
        absent=found if isinstance(found, Unavailable) else not root_bundle(found).certificates,
        differs=_differs(view, found),
        events=attempt(lambda: _events(view, name)),
        quota=quota if isinstance(quota, Unavailable) else Ref(quota),
        why=_why(quota, lock),
        istiod=attempt(lambda: _istiod(view)) if pods and not quota else Ref(""),
        lock=lock if isinstance(lock, Unavailable) else Ref(lock),
        config_map=Ref(f"ConfigMap/{name}/{ROOT_MAP}"),
        namespace=Ref(f"Namespace//{name}"),
        name=name,
    )


def _why(quota: Fact[str], lock: Fact[str]) -> str:
    if quota and isinstance(quota, str):
        return f"{quota} has no room for another ConfigMap"
    if lock and isinstance(lock, str):
        return f"no istiod holds {lock}, whose holder writes it into every namespace"
    return UNKNOWN_WHY


def _istiod(view: View) -> Ref:
    if reading.mesh_config(view).discovery_selectors:
        return Ref("")
    pods = reading.istiod_pods(view)
    return Ref(owner_of(pods[0]).ref if pods else "")


def _unheld(view: View) -> str:
    """The lock of the controller that writes the ConfigMap, where the last holder gave it up and
    none took it (pilot/pkg/leaderelection; an annotation of a ConfigMap)."""
    for name in (LOCK, *(f"{LOCK}-{revision}" for revision in shared.running_revisions(view))):
        found = view.object("ConfigMap", ConfigMap, view.istio_namespace, name)
        if found is not None and '"holderIdentity":""' in found.annotations.get(LEADER, ""):
            return found.ref
    return ""


def _waits(pod: Pod) -> bool:
    """Whether the pod has never run: a running one proves that the map was there."""
    return pod.status.phase == "Pending"


def _mounts(pod: Pod) -> bool:
    for volume in pod.spec.volumes:
        maps = [volume.config_map]
        maps += [s.config_map for s in volume.projected.sources] if volume.projected else []
        if any(m is not None and m.name == ROOT_MAP and not m.optional for m in maps):
            return True
    return False


def _differs(view: View, found: ConfigMap | Unavailable | None) -> Fact[bool]:
    if isinstance(found, Unavailable):
        return found
    own = attempt(lambda: view.object("ConfigMap", ConfigMap, view.istio_namespace, ROOT_MAP))
    if isinstance(own, Unavailable):
        return own
    return compare(root_bundle(found).roots, root_bundle(own).roots) == "differ"


def _full(view: View, namespace: str) -> str:
    """The first quota that allows no further ConfigMap; istiod's is refused as any other."""
    for quota in view.objects("ResourceQuota", ResourceQuota, namespace):
        for name in _COUNTS:
            most = quantity(quota.status.hard.get(name, quota.spec.hard.get(name)))
            used = quantity(quota.status.used.get(name, 0))
            if most is not None and used is not None and used >= most:
                return quota.ref
    return ""


def _events(view: View, namespace: str) -> int:
    return sum(
        max(event.count, 1)
        for event in view.objects("Event", Event, namespace)
        if event.reason in ("FailedMount", "FailedAttachVolume")
        and f'"{ROOT_MAP}" not found' in event.message
    )
