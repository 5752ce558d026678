"""Do pods on Amazon EKS have subnets and security groups that are not their node's?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import EniConfig, Pod
from meshdoctor.model.subjects import MeshSubject, SubjectKind, WorkloadSubject
from meshdoctor.probes.eks_reads import eni_config
from meshdoctor.probes.reading import istiod_pods
from meshdoctor.probes.startup_reads import startups
from meshdoctor.probes.view import View, attempt, probe

READS = ("DaemonSet", "ENIConfig", "Node", "Pod")


class CustomNetworking(Struct, frozen=True, kw_only=True):
    """The ENIConfigs of istiod's first pod and of the workload's worst one."""

    istiod: Annotated[Fact[Ref], "the ENIConfig of istiod's pod; empty: it has its node's network"]
    istiod_said: Annotated[Fact[str], "what it gives the pod, as the end of a sentence"]
    pod: Annotated[Fact[Ref], "the ENIConfig of the workload's pod; empty: none, or no workload"]
    pod_said: Annotated[Fact[str], "what it gives that pod, as the end of a sentence"]


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
    return CustomNetworking(istiod=istiod, istiod_said=istiod_said, pod=own, pod_said=said)


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
