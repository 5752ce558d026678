"""What can be said of one AuthorizationPolicy from itself and the pods around it?

Selection as in authz_policies.py; shape, pruned fields and unknown keys from the object alone.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from meshdoctor.mesh.authz_call import Settings
from meshdoctor.mesh.authz_fields import when_kind
from meshdoctor.mesh.authz_policies import target_refs
from meshdoctor.mesh.selectors import ByLabels
from meshdoctor.mesh.workloads import WorkloadPods, proxy_type
from meshdoctor.model.istio import AuthorizationPolicy, AuthorizationRule
from meshdoctor.model.snapshot import selects

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ATTACHED = ("targetRef", "targetRefs")
Labels = frozenset[tuple[str, str]]
PRUNABLE = (
    "serviceAccounts",
    "notServiceAccounts",
    "trustDomains",
    "notTrustDomains",
    "remoteIpBlocks",
    "notRemoteIpBlocks",
)


def wanted(policy: AuthorizationPolicy) -> Mapping[str, str]:
    """Labels that the policy selects by; empty: every workload of its scope."""
    return policy.spec.selector.wanted if policy.spec.selector is not None else {}


def unknown_keys(policy: AuthorizationPolicy, settings: Settings) -> tuple[tuple[int, str], ...]:
    """(rule, key) of `when` keys that istiod does not know: it leaves the whole rule out."""
    return tuple(
        (number, when.key)
        for number, rule in enumerate(policy.spec.rules)
        for when in rule.when
        if not when_kind(when.key, settings)
    )


def split_rule(policy: AuthorizationPolicy) -> int:
    """The second of two rules that look like one split in two: one only `from`, the next only
    `to`. -1 when there is none. ORed, they allow (or deny) much more than meant."""
    rules = policy.spec.rules
    for number in range(1, len(rules)):
        first, second = rules[number - 1], rules[number]
        if _only_from(first) and _only_to(second) or _only_to(first) and _only_from(second):
            return number
    return -1


def _only_from(rule: AuthorizationRule) -> bool:
    return bool(rule.from_) and not rule.to and not rule.when


def _only_to(rule: AuthorizationRule) -> bool:
    return bool(rule.to) and not rule.from_ and not rule.when


def pruned_fields(policy: AuthorizationPolicy) -> tuple[str, ...]:
    """Fields that were applied and that the stored object no longer has (an older CRD)."""
    text = policy.annotations.get(APPLIED, "")
    if not text:
        return ()
    try:
        applied = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    spec = applied.get("spec") if isinstance(applied, dict) else None
    gone = _source_fields(spec) - _live_fields(policy)
    if isinstance(spec, dict) and not target_refs(policy):
        # Without it the policy is for its whole namespace.
        gone |= {name for name in ATTACHED if spec.get(name)}
    return tuple(sorted(gone))


def _source_fields(spec: Any) -> set[str]:
    out: set[str] = set()
    rules = spec.get("rules") if isinstance(spec, dict) else None
    for rule in rules if isinstance(rules, list) else []:
        sources = rule.get("from") if isinstance(rule, dict) else None
        for one in sources if isinstance(sources, list) else []:
            source = one.get("source") if isinstance(one, dict) else None
            if isinstance(source, dict):
                out |= {name for name in PRUNABLE if source.get(name)}
    return out


def _live_fields(policy: AuthorizationPolicy) -> set[str]:
    out: set[str] = set()
    for rule in policy.spec.rules:
        for one in rule.from_:
            source = one.source
            pairs = (
                ("serviceAccounts", source.service_accounts),
                ("notServiceAccounts", source.not_service_accounts),
                ("trustDomains", source.trust_domains),
                ("notTrustDomains", source.not_trust_domains),
                ("remoteIpBlocks", source.remote_ip_blocks),
                ("notRemoteIpBlocks", source.not_remote_ip_blocks),
            )
            out |= {name for name, values in pairs if values}
    return out


class Reach(Struct, frozen=True, kw_only=True):
    """Which workloads a policy reaches. `near` is a workload of its namespace that shares some of
    the labels; `away` one of another namespace that has them all."""

    selected: int
    here: int
    near: str = ""
    away: str = ""
    away_namespace: str = ""
    waypoint: str = ""


class Surroundings:
    """Workloads that have a pod, by namespace: sorted out once, asked about for every policy."""

    def __init__(self, workloads: Iterable[WorkloadPods]) -> None:
        found: dict[str, list[tuple[Mapping[str, str], WorkloadPods]]] = defaultdict(list)
        for workload in workloads:
            if workload.pod is not None:
                found[workload.subject.namespace].append((workload.pod.labels, workload))
        self._spaces = {space: ByLabels(some) for space, some in found.items()}
        self._known: dict[tuple[str, Labels], Reach] = {}

    def reach(self, policy: AuthorizationPolicy, settings: Settings) -> Reach:
        """What the policy's selector finds; a policy without selector reaches its whole scope.

        It depends on the policy's namespace and labels alone.
        """
        labels = wanted(policy)
        key = (policy.namespace, frozenset(labels.items()))
        if key not in self._known:
            self._known[key] = self._reach(policy.namespace, labels, settings)
        return self._known[key]

    def _reach(self, namespace: str, labels: Mapping[str, str], settings: Settings) -> Reach:
        """`near` and `away` are looked for only when it finds nothing."""
        here = [self._spaces[namespace]] if namespace in self._spaces else []
        if namespace == settings.root_namespace:
            here = list(self._spaces.values())
        hit = [w for space in here for w in space.selected(labels)]
        away = near = None
        if labels and not hit:
            rest = (s for s in self._spaces.values() if s not in here)
            away = next((w for space in rest for w in space.selected(labels)), None)
            near = next((w for space in here for _, w in space.things if _shares(labels, w)), None)
        kinds = [proxy_type(w.pod) if w.pod is not None else "" for w in hit]
        return Reach(
            selected=len(hit),
            here=sum(len(space.things) for space in here),
            near=near.subject.ref if near else "",
            away=away.subject.ref if away else "",
            away_namespace=away.subject.namespace if away else "",
            waypoint=hit[0].subject.ref if hit and set(kinds) == {"waypoint"} else "",
        )


def _shares(labels: Mapping[str, str], workload: WorkloadPods) -> bool:
    """Whether a controller's own labels match where its pods' do not, or one label matches."""
    controller = workload.controller
    if controller is not None and selects(labels, controller.metadata.labels):
        return True
    return any(workload.labels.get(k) == v for k, v in labels.items())


def has_targets(policy: AuthorizationPolicy) -> bool:
    """Whether the policy names its targets instead of selecting workloads."""
    return bool(target_refs(policy))
