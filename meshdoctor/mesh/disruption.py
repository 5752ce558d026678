"""Does a disruption budget keep a pod on a node that is being drained?

The eviction API lets a pod go while its PodDisruptionBudget has a disruption to spare: healthy pods
over those that must stay (kubernetes/kubernetes, pkg/controller/disruption and registry/core/pod/
rest/eviction.go). One replica with `minAvailable: 1`, as Istio's charts had it for long, spares
none, so `kubectl drain`, the update of an EKS node group and Karpenter wait for ever.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from meshdoctor.mesh.selectors import label_selected
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_ready
from meshdoctor.model.kubernetes import Event, IntOrString, Node, Pod, PodDisruptionBudget
from meshdoctor.model.patterns import pattern

PATIENCE = timedelta(minutes=10)
"""A drain takes its time: pods get their grace period, and their successors have to start."""
_LATELY = timedelta(hours=1)
_LEAVING = frozenset(
    {
        "node.kubernetes.io/unschedulable",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
        "ToBeDeletedByClusterAutoscaler",
    }
)
_HELD_UP = pattern(
    r"violate the pod's disruption budget|(?:PDB|Pdb|pdb|PodDisruptionBudget)\S* .{0,60}prevents? "
    r"(?:pod )?eviction|PodEvictionFailure|[Ff]ailed to (?:drain node|evict pod)"
)


def leaving_since(node: Node) -> datetime | None:
    """Since when a node is known to be cordoned or on its way out; None: it is not, or nobody says
    since when."""
    marks = [t for t in node.spec.taints if t.key in _LEAVING]
    return min((t.time_added for t in marks if t.time_added is not None), default=None)


def is_leaving(node: Node) -> bool:
    """Whether a node takes no new pods because somebody empties it."""
    return node.spec.unschedulable or any(t.key in _LEAVING for t in node.spec.taints)


def has_left_for_long(node: Node, now: datetime) -> bool:
    """Whether it has been so for longer than a drain should take, as far as anyone says."""
    since = leaving_since(node)
    return is_leaving(node) and (since is None or now - since >= PATIENCE)


def too_tight(
    budgets: Iterable[PodDisruptionBudget], pod: Pod, peers: Iterable[Pod]
) -> PodDisruptionBudget | None:
    """The budget that covers the pod and spares nobody even with all its pods healthy; None: none
    does. `peers` are the pods of the namespace."""
    mine = tuple(peers)
    for budget in sorted(budgets, key=lambda b: b.name):
        if not _covers(budget, pod):
            continue
        covered = [p for p in mine if _covers(budget, p)]
        healthy = sum(map(is_ready, covered))
        if healthy == len(covered) and healthy - _must_stay(budget, len(covered)) <= 0:
            return budget
    return None


def _covers(budget: PodDisruptionBudget, pod: Pod) -> bool:
    """policy/v1: an empty selector takes every pod of the namespace, none takes no pod."""
    selector = budget.spec.selector
    return (
        budget.namespace == pod.namespace
        and selector is not None
        and label_selected(selector, pod.labels)
    )


def _must_stay(budget: PodDisruptionBudget, pods: int) -> int:
    """How many of so many pods must stay healthy; shares are rounded up."""
    spec = budget.spec
    if spec.max_unavailable is not None:
        return pods - _share(spec.max_unavailable, pods)
    return _share(spec.min_available if spec.min_available is not None else 0, pods)


def _share(value: IntOrString, pods: int) -> int:
    """
    >>> _share("25%", 3), _share(1, 3), _share("odd", 3)
    (1, 1, 0)
    """
    if isinstance(value, int):
        return value
    number = value.removesuffix("%")
    return -(-int(number) * pods // 100) if number.isdigit() and value.endswith("%") else 0


def held_up(events: Iterable[Event], names: Iterable[str], now: datetime) -> str:
    """What an event on one of these objects says of an eviction that failed lately; "": none."""
    wanted = frozenset(names)
    found = [
        e
        for e in events
        if e.involved_object.name in wanted
        and _HELD_UP.search(f"{e.reason} {e.message[:1000]}")
        and (e.last_seen is None or now - e.last_seen <= _LATELY)
    ]
    return clean(f"{found[-1].reason}: {found[-1].message}", 300) if found else ""
