"""What does a branch interface keep from a pod, or does it get none?"""

from collections.abc import Callable, Iterable
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.branch_interface import (
    enforcement,
    identity_failures,
    names_unanswered,
    no_interface,
    probe_timeouts,
)
from meshdoctor.mesh.control_path import BRANCH_INTERFACE
from meshdoctor.mesh.pod_startup import Stage, Startup
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_ready
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Event, Object, Pod, Workload
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import container_logs
from meshdoctor.probes.eks_reads import node_dns, selecting, vpc_cni
from meshdoctor.probes.startup_reads import events_of, startups
from meshdoctor.probes.view import View, attempt, probe


class BranchInterface(Struct, frozen=True, kw_only=True):
    """Of the worst pod of a workload; all empty where it has no branch interface, nor waits for
    one. Logs are read of a pod that is not ready, or that is asked about; of one whose proxy is
    ready names were resolved."""

    branch: Annotated[Fact[bool], "the pod has a branch interface (security groups of its own)"]
    unscheduled: Annotated[Fact[bool], "it has no node yet"]
    waits: Annotated[Fact[bool], "it waits for one, and no node has one left", OBSERVED]
    strict: Annotated[Fact[bool], "strict mode: what it sends to its own node leaves the node"]
    unreached: Annotated[
        Fact[bool], "strict mode, and TCP early demux is on: the kubelet's TCP does not get there"
    ]
    policy: Annotated[Fact[Ref], "the SecurityGroupPolicy that selects it; empty: none is seen"]
    agent: Annotated[Fact[Ref], "the DaemonSet of the VPC CNI"]
    node_dns: Annotated[Fact[Ref], "the DaemonSet of NodeLocal DNSCache; empty: there is none"]
    workload: Annotated[Fact[Ref], "the workload"]
    namespace: Annotated[Fact[str], "its namespace"]
    pod: Annotated[Fact[str], "that pod"]
    timeouts: Annotated[Fact[int], "its health checks that timed out", OBSERVED]
    event: Annotated[Fact[str], "the last of them; or why it waits", OBSERVED]
    no_identity: Annotated[
        Fact[str], "log: the Pod Identity agent is not reached; empty: nothing", OBSERVED
    ]
    no_names: Annotated[Fact[str], "log: no DNS server answers; empty: nothing", OBSERVED]


@probe(
    "branch-interface",
    subject=SubjectKind.WORKLOAD,
    reads=("DaemonSet", "Event", "Pod", "SecurityGroupPolicy", "ServiceAccount", "log"),
)
def branch_interface(view: View, subject: WorkloadSubject) -> BranchInterface:
    """What does a branch interface keep from this workload's worst pod, or does it get none?"""
    one = startups(view, subject).worst
    pod = one.pod
    branch, waits = BRANCH_INTERFACE in pod.annotations, _waits(one)
    agent = vpc_cni(view) if branch or waits else None
    own = attempt(lambda: selecting(view, pod)) if branch or waits else None
    told = attempt(lambda: probe_timeouts(_events(view, pod), pod.name)) if branch else (0, "")
    count, text = told if isinstance(told, tuple) else (told, told)
    rule = enforcement(agent) if branch and agent is not None else None
    strict = rule is not None and rule.strict
    fails = strict and not is_ready(pod)
    read = fails or (strict and view.namespaces is not None)
    return BranchInterface(
        branch=branch,
        unscheduled=one.stage is Stage.UNSCHEDULED,
        waits=waits,
        strict=strict,
        unreached=rule is not None and not rule.reached,
        policy=_ref(own),
        agent=_ref(agent),
        node_dns=_ref(attempt(lambda: node_dns(view))) if strict else Ref(""),
        workload=Ref(subject.ref),
        namespace=subject.namespace,
        pod=pod.name,
        timeouts=count,
        event=clean(one.event, 300) if waits else _clean(text),
        no_identity=attempt(lambda: _last(view, pod, identity_failures, 1 if fails else 2))
        if read
        else "",
        no_names=attempt(lambda: _last(view, pod, names_unanswered, 1)) if fails else "",
    )


def _waits(one: Startup) -> bool:
    return one.stage is Stage.UNSCHEDULED and no_interface(one.event)


def _clean(text: Fact[str]) -> Fact[str]:
    return text if isinstance(text, Unavailable) else clean(text, 300).rstrip(".")


def _ref(found: Object | Workload | Unavailable | None) -> Fact[Ref]:
    if isinstance(found, Unavailable):
        return found
    return Ref(found.ref if found is not None else "")


def _events(view: View, pod: Pod) -> Iterable[Event]:
    return events_of(view, pod.namespace).get(("Pod", pod.name), [])


def _last(view: View, pod: Pod, of: Callable[[str], tuple[str, ...]], least: int) -> str:
    """The last line of its kind in the logs of the pod's containers; "" when there are fewer than
    `least`: one that a pod which is ready tried again after is over."""
    texts = container_logs.read(view, pod, pod.spec.containers)
    found = [line for text in texts for line in of(text)]
    return clean(found[-1], 300) if len(found) >= least else ""
