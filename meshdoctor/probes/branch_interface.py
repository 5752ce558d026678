"""Can the kubelet's health checks reach a pod with a branch interface?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.branch_interface import enforcement, probe_timeouts
from meshdoctor.mesh.control_path import BRANCH_INTERFACE
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Event
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.eks_reads import group_policy, vpc_cni
from meshdoctor.probes.startup_reads import events_of, startups
from meshdoctor.probes.view import View, attempt, probe


class BranchInterface(Struct, frozen=True, kw_only=True):
    """Of the worst pod of a workload; all empty where it has no branch interface."""

    branch: Annotated[Fact[bool], "the pod has a branch interface (security groups of its own)"]
    unreached: Annotated[
        Fact[bool], "strict mode, and TCP early demux is on: the kubelet's TCP does not get there"
    ]
    policy: Annotated[Fact[Ref], "the SecurityGroupPolicy that selects it; empty: none is seen"]
    agent: Annotated[Fact[Ref], "the DaemonSet of the VPC CNI"]
    workload: Annotated[Fact[Ref], "the workload"]
    namespace: Annotated[Fact[str], "its namespace"]
    pod: Annotated[Fact[str], "that pod"]
    timeouts: Annotated[Fact[int], "its health checks that timed out", OBSERVED]
    event: Annotated[Fact[str], "the last of them", OBSERVED]


@probe(
    "branch-interface",
    subject=SubjectKind.WORKLOAD,
    reads=("DaemonSet", "Event", "Pod", "SecurityGroupPolicy", "ServiceAccount"),
)
def branch_interface(view: View, subject: WorkloadSubject) -> BranchInterface:
    """Can the kubelet's health checks reach a pod with a branch interface?"""
    pod = startups(view, subject).worst.pod
    found = BranchInterface(
        branch=False,
        unreached=False,
        policy=Ref(""),
        agent=Ref(""),
        workload=Ref(subject.ref),
        namespace=subject.namespace,
        pod=pod.name,
        timeouts=0,
        event="",
    )
    if BRANCH_INTERFACE not in pod.annotations:
        return found
    agent = vpc_cni(view)
    own = group_policy(view, pod)
    told = attempt(lambda: probe_timeouts(_events(view, pod.namespace, pod.name), pod.name))
    count, text = told if isinstance(told, tuple) else (told, told)
    return BranchInterface(
        branch=True,
        unreached=agent is not None and not enforcement(agent).reached,
        policy=Ref(own.ref if own is not None else ""),
        agent=Ref(agent.ref if agent is not None else ""),
        workload=found.workload,
        namespace=found.namespace,
        pod=pod.name,
        timeouts=count,
        event=clean(text, 300) if isinstance(text, str) else text,
    )


def _events(view: View, namespace: str, pod: str) -> list[Event]:
    return events_of(view, namespace).get(("Pod", pod), [])
