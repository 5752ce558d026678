"""Does a disruption budget keep this workload on a node that is being drained?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.disruption import has_left_for_long, held_up, too_tight
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Event, Node, Pod, PodDisruptionBudget
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.reading import WORKLOAD_READS, workload
from meshdoctor.probes.view import View, attempt, known, probe

NODE_EVENTS = "default"


class DrainBlocked(Struct, frozen=True, kw_only=True):
    """Of the first pod on a node that has been cordoned or on its way out for a while."""

    pod: Annotated[Fact[str], "that pod; empty: none"]
    node: Annotated[Fact[str], "its node"]
    node_ref: Annotated[Fact[Ref], "the same as an object"]
    budget: Annotated[
        Fact[Ref], "the disruption budget that lets it go never, even with all healthy; empty: none"
    ]
    budget_name: Annotated[Fact[str], "its name"]
    said: Annotated[Fact[str], "what an event says of an eviction that failed", OBSERVED]
    workload: Annotated[Fact[Ref], "the workload"]
    workload_name: Annotated[Fact[str], "its name"]
    resource: Annotated[Fact[str], "what kubectl calls it"]
    namespace: Annotated[Fact[str], "its namespace"]
    replicas: Annotated[Fact[int], "its pods"]


@probe(
    "drain-blocked",
    subject=SubjectKind.WORKLOAD,
    reads=(*WORKLOAD_READS, "Event", "Node", "PodDisruptionBudget"),
)
def drain_blocked(view: View, subject: WorkloadSubject) -> DrainBlocked:
    """Does a disruption budget keep this workload on a node that is being drained?"""
    found = workload(view, subject)
    pods = () if found.subject.owner == "DaemonSet" else found.live
    leaving = attempt(lambda: view.memo("leaving-nodes", _leaving))
    pod: Fact[Pod | None]
    if isinstance(leaving, Unavailable):
        pod = leaving if pods else None
    else:
        pod = next((p for p in pods if p.spec.node_name in leaving), None)
    if pod is None or isinstance(pod, Unavailable):
        return _nothing(pod, subject)
    one = pod
    budget = attempt(lambda: _budget(view, one))
    name = attempt(lambda: tight.name if (tight := known(budget)) else "")
    owner = owner_of(one)
    return DrainBlocked(
        pod=one.name,
        node=one.spec.node_name,
        node_ref=Ref(f"Node//{one.spec.node_name}"),
        budget=attempt(lambda: Ref(tight.ref if (tight := known(budget)) else "")),
        budget_name=name,
        said=attempt(lambda: _said(view, one) if known(budget) else ""),
        workload=Ref(owner.ref),
        workload_name=owner.name,
        resource=owner.owner.lower(),
        namespace=one.namespace,
        replicas=len(pods),
    )


def _nothing(why: Unavailable | None, subject: WorkloadSubject) -> DrainBlocked:
    return DrainBlocked(
        pod=why or "",
        node="",
        node_ref=Ref(""),
        budget=why or Ref(""),
        budget_name="",
        said=why or "",
        workload=Ref(subject.ref),
        workload_name=subject.name,
        resource="",
        namespace=subject.namespace,
        replicas=0,
    )


def _leaving(view: View) -> frozenset[str]:
    """Nodes that somebody has been emptying for longer than that should take."""
    nodes = view.objects("Node", Node)
    return frozenset(n.name for n in nodes if has_left_for_long(n, view.now))


def _budget(view: View, pod: Pod) -> PodDisruptionBudget | None:
    space = pod.namespace
    budgets = view.objects("PodDisruptionBudget", PodDisruptionBudget, space)
    if not budgets:
        return None
    return too_tight(budgets, pod, view.objects("Pod", Pod, space))


def _said(view: View, pod: Pod) -> str:
    spaces = dict.fromkeys((NODE_EVENTS, pod.namespace))
    events = [e for space in spaces for e in view.objects("Event", Event, space)]
    return held_up(events, (pod.name, pod.spec.node_name), view.now)
