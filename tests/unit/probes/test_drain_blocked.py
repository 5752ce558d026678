"""`drain-blocked`: which budgets keep a pod on a node that is being emptied?"""

import pytest

from meshdoctor.mesh.disruption import held_up
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.kubernetes import Event
from meshdoctor.model.subjects import WorkloadSubject
from meshdoctor.ports import ForbiddenError
from meshdoctor.probes.drain_blocked import drain_blocked
from tests.unit.mesh.objects import many
from tests.unit.world import NOW, world

ISTIOD = WorkloadSubject("istio-system", "istiod")
TAINT = "taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule%s}]"
LONG, JUST = ", timeAdded: '2026-11-18T09:00:00Z'", ", timeAdded: '2026-11-18T09:28:00Z'"


def objects(node: str, budget: str, pods: int = 1, ready: str = "True") -> str:
    text = f"""
kind: Node
apiVersion: v1
metadata: {{name: n1}}
spec: {{{node}}}
---
kind: PodDisruptionBudget
apiVersion: policy/v1
metadata: {{name: istiod, namespace: istio-system}}
spec: {{{budget}}}
"""
    for number in range(pods):
        text += f"""
---
kind: Pod
apiVersion: v1
metadata:
  name: istiod-7c9d8b6f5-{number}
  namespace: istio-system
  labels: {{app: istiod, pod-template-hash: 7c9d8b6f5}}
  ownerReferences: [{{kind: ReplicaSet, name: istiod-7c9d8b6f5, controller: true}}]
spec: {{nodeName: n1, containers: [{{name: discovery}}]}}
status: {{phase: Running, conditions: [{{type: Ready, status: '{ready}'}}]}}
"""
    return text


ONE = "minAvailable: 1, selector: {matchLabels: {app: istiod}}"
OTHERS = "minAvailable: 1, selector: {matchLabels: {app: other}}"


@pytest.mark.parametrize(
    ("node", "budget", "pods", "ready", "blocked"),
    [
        (f"unschedulable: true, {TAINT % LONG}", ONE, 1, "True", True),
        ("unschedulable: true", ONE, 1, "True", True),
        ("taints: [{key: karpenter.sh/disrupted, effect: NoSchedule}]", ONE, 1, "True", True),
        (
            "unschedulable: true",
            ONE.replace("minAvailable: 1", "maxUnavailable: 0"),
            2,
            "True",
            True,
        ),
        ("unschedulable: true", ONE.replace("1,", "100%,"), 3, "True", True),
        ("unschedulable: true", "minAvailable: 1, selector: {}", 1, "True", True),
        # Each of these lets it go, now or soon, or is none of its business.
        (f"unschedulable: true, {TAINT % JUST}", ONE, 1, "True", False),
        ("taints: [{key: dedicated, effect: NoSchedule}]", ONE, 1, "True", False),
        ("unschedulable: true", ONE, 2, "True", False),
        ("unschedulable: true", ONE, 1, "False", False),
        ("unschedulable: true", ONE.replace("1,", "25%,"), 2, "True", False),
        (
            "unschedulable: true",
            ONE.replace("minAvailable: 1", "maxUnavailable: 1"),
            1,
            "True",
            False,
        ),
        ("unschedulable: true", OTHERS, 1, "True", False),
        ("unschedulable: true", "minAvailable: 1", 1, "True", False),
    ],
)
def test_budgets_and_nodes(node: str, budget: str, pods: int, ready: str, blocked: bool) -> None:
    found = drain_blocked.run(world(objects(node, budget, pods, ready)), ISTIOD)
    assert bool(found.budget) is blocked
    if blocked:
        assert (found.budget, found.node, found.replicas) == (
            "PodDisruptionBudget/istio-system/istiod",
            "n1",
            pods,
        )


@pytest.mark.parametrize("kind", ["Node", "PodDisruptionBudget"])
def test_what_may_not_be_read_is_not_told(kind: str) -> None:
    view = world(objects("unschedulable: true", ONE), failing={kind: ForbiddenError(kind)})
    assert isinstance(drain_blocked.run(view, ISTIOD).budget, Unavailable)


EVENT = """
kind: Event
apiVersion: v1
metadata: {{name: e, namespace: default}}
reason: {reason}
message: "{message}"
lastTimestamp: "{at}"
involvedObject: {{kind: Node, name: n1}}
"""


@pytest.mark.parametrize(
    ("reason", "message", "at", "told"),
    [
        ("DisruptionBlocked", "Pdb istio-system/istiod prevents pod evictions", "09:20", True),
        ("FailedDraining", "Failed to drain node, 1 pods are waiting to be evicted", "09:20", True),
        (
            "FailedDraining",
            "Failed to drain node, 1 pods are waiting to be evicted",
            "07:20",
            False,
        ),
        ("NodeNotSchedulable", "Node n1 status is now: NodeNotSchedulable", "09:20", False),
    ],
)
def test_events_of_evictions_that_fail(reason: str, message: str, at: str, told: bool) -> None:
    text = EVENT.format(reason=reason, message=message, at=f"2026-11-18T{at}:00Z")
    events = tuple(many(Event, text))
    assert bool(held_up(events, ("n1",), NOW)) is told
    assert held_up(events, ("n2",), NOW) == ""
