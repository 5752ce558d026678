"""Do pods on Amazon EKS have subnets and security groups that are not their node's?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import EniConfig, Node, Pod, Workload
from meshdoctor.model.subjects import MeshSubject, SubjectKind, WorkloadSubject
from meshdoctor.probes.eks_reads import eni_config, vpc_cni
from meshdoctor.probes.reading import istiod_pods
from meshdoctor.probes.startup_reads import startups
from meshdoctor.probes.view import View, attempt, probe

_OVERLAYS = (
    ("kube-system", "weave-net"),
    ("kube-flannel", "kube-flannel-ds"),
    ("kube-system", "kube-flannel-ds"),
    ("calico-system", "calico-node"),
    ("kube-system", "calico-node"),
    ("kube-system", "cilium"),
)
_OVERLAY = "; on EKS the API server cannot reach pod addresses that {} gives"
READS = ("DaemonSet", "ENIConfig", "Node", "Pod")


class CustomNetworking(Struct, frozen=True, kw_only=True):
    """The ENIConfigs of istiod's first pod and of the workload's worst one."""

    istiod: Annotated[Fact[Ref], "the ENIConfig of istiod's pod; empty: it has its node's network"]
    istiod_said: Annotated[Fact[str], "what it gives the pod, as the end of a sentence"]
    pod: Annotated[Fact[Ref], "the ENIConfig of the workload's pod; empty: none, or no workload"]
    pod_said: Annotated[Fact[str], "what it gives that pod, as the end of a sentence"]
    overlay: Annotated[
        Fact[Ref], "the network plugin whose addresses the API server of EKS cannot reach; empty"
    ]
    overlay_said: Annotated[Fact[str], "the same as the end of a sentence"]


@probe("istiod-network", subject=SubjectKind.MESH, reads=READS)
def istiod_network(view: View, _: MeshSubject) -> CustomNetworking:
    """Has istiod's pod a network that is not its node's?"""
    return _facts(view, None)


@probe("workload-network", subject=SubjectKind.WORKLOAD, reads=(*READS, "Event"))
def workload_network(view: View, subject: WorkloadSubject) -> CustomNetworking:
    """Has a pod of the workload, or istiod's, a network that is not its node's?"""
    return _facts(view, startups(view, subject).worst.pod)


def _facts(view: View, pod: Pod | None) -> CustomNetworking:
    istiod, istiod_said = _of(view, next(iter(istiod_pods(view)), None))
    own, said = _of(view, pod)
    overlay = attempt(lambda: _overlay(view))
    if isinstance(overlay, Unavailable):
        shown: Fact[Ref] = overlay
        told: Fact[str] = overlay
    else:
        shown, told = Ref(overlay), _OVERLAY.format(overlay) if overlay else ""
    return CustomNetworking(
        istiod=istiod,
        istiod_said=istiod_said,
        pod=own,
        pod_said=said,
        overlay=shown,
        overlay_said=told,
    )


def _overlay(view: View) -> str:
    """Amazon runs the API server outside of the cluster: it reaches addresses of the VPC, which the
    VPC CNI gives, and the nodes' own, not those of an overlay."""
    pod = next(iter(istiod_pods(view)), None)
    if pod is None or pod.spec.host_network:
        return ""
    nodes = view.objects("Node", Node)
    if not any("-eks-" in n.status.node_info.kubelet_version for n in nodes):
        return ""
    if vpc_cni(view) is not None:
        return ""
    agents = (view.object("DaemonSet", Workload, *key) for key in _OVERLAYS)
    return next((found.ref for found in agents if found is not None), "")


def _of(view: View, pod: Pod | None) -> tuple[Fact[Ref], Fact[str]]:
    found = attempt(lambda: eni_config(view, pod)) if pod is not None else None
    if isinstance(found, Unavailable):
        return found, found
    return Ref(found.ref if found is not None else ""), _said(found)


def _said(found: EniConfig | None) -> str:
    if found is None:
        return ""
    groups = ", ".join(found.spec.security_groups) or "the node's"
    return clean(f"; {found.ref} puts it into subnet {found.spec.subnet}, groups {groups}", 300)
