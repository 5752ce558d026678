"""Which policies does a proxy enforce, and why not the others?

Mirrors pilot/pkg/model/policyattachment.go ShouldAttachPolicy and authorization.go
ListAuthorizationPolicies: candidates are those of the root namespace, of the proxy's namespace
and, for a waypoint, of the service's namespace. Holds for RequestAuthentication too.
Checked on 1.22 to 1.31 (targetRef since 1.20, Service targets since 1.22).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from meshdoctor.mesh.authz_call import Judge, Settings
from meshdoctor.mesh.selectors import BySelector, workload_selected
from meshdoctor.model.istio import (
    AuthorizationPolicy,
    PolicyTargetRef,
    RequestAuthentication,
)

Policy = AuthorizationPolicy | RequestAuthentication
P = TypeVar("P", AuthorizationPolicy, RequestAuthentication)
GATEWAY_GROUP = "gateway.networking.k8s.io"
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class Attachment(StrEnum):
    """Whether a policy reaches a proxy, or the first reason why not."""

    ATTACHED = "attached"
    OTHER_NAMESPACE = "other-namespace"
    SELECTOR_MISSES = "selector-misses"
    TARGET_REF_ON_SIDECAR = "target-ref-on-sidecar"
    SELECTOR_ON_WAYPOINT = "selector-on-waypoint"
    TARGET_IS_ANOTHER = "target-is-another"
    TARGET_IN_OTHER_NAMESPACE = "target-in-other-namespace"


def target_refs(policy: Policy) -> tuple[PolicyTargetRef, ...]:
    """The policy's targetRefs, the older targetRef included."""
    spec = policy.spec
    if spec.target_refs:
        return spec.target_refs
    return (spec.target_ref,) if spec.target_ref is not None else ()


def candidate_namespaces(judge: Judge, settings: Settings) -> tuple[str, ...]:
    """The namespaces whose policies can reach a proxy at all."""
    spaces = (settings.root_namespace, judge.namespace, *(s[0] for s in judge.services))
    return tuple(dict.fromkeys(spaces))


def attachment(policy: Policy, judge: Judge, settings: Settings) -> Attachment:
    """Whether this policy reaches this proxy."""
    if policy.namespace not in candidate_namespaces(judge, settings):
        return Attachment.OTHER_NAMESPACE
    refs = target_refs(policy)
    selected = workload_selected(policy.spec.selector, judge.labels)
    if judge.kind == "ztunnel":
        if refs:
            return Attachment.TARGET_REF_ON_SIDECAR
        return Attachment.ATTACHED if selected else Attachment.SELECTOR_MISSES
    waypoint = judge.kind == "waypoint"
    if not judge.gateway_name and not waypoint:
        if refs:
            return Attachment.TARGET_REF_ON_SIDECAR
        return Attachment.ATTACHED if selected else Attachment.SELECTOR_MISSES
    if not refs:
        if waypoint or not settings.selector_on_gateways:
            return Attachment.SELECTOR_ON_WAYPOINT
        return Attachment.ATTACHED if selected else Attachment.SELECTOR_MISSES
    reasons = [_target(ref, policy.namespace, judge, settings) for ref in refs]
    if Attachment.ATTACHED in reasons:
        return Attachment.ATTACHED
    return reasons[0]


def _target(ref: PolicyTargetRef, namespace: str, judge: Judge, settings: Settings) -> Attachment:
    waypoint = judge.kind == "waypoint"
    if waypoint and (namespace, ref.name, ref.kind) in judge.services:
        groups = ("networking.istio.io",) if ref.kind == "ServiceEntry" else ("", "core")
        if ref.group in groups:
            return Attachment.ATTACHED
    if ref.kind == "GatewayClass" and ref.group == GATEWAY_GROUP:
        mine = waypoint and ref.name == "istio-waypoint" and namespace == settings.root_namespace
        return Attachment.ATTACHED if mine else Attachment.TARGET_IS_ANOTHER
    if namespace != judge.namespace or ref.namespace not in ("", judge.namespace):
        return Attachment.TARGET_IN_OTHER_NAMESPACE
    mine = ref.kind == "Gateway" and ref.group == GATEWAY_GROUP
    if mine and ref.name == judge.gateway_name:
        return Attachment.ATTACHED
    return Attachment.TARGET_IS_ANOTHER


def in_force(policies: Iterable[P], judge: Judge, settings: Settings) -> tuple[P, ...]:
    """The policies that reach the proxy, in a stable order (their order does not matter)."""
    found = [p for p in policies if attachment(p, judge, settings) is Attachment.ATTACHED]
    return tuple(sorted(found, key=_by_name))


class Candidates(Generic[P]):
    """Policies of some namespaces, asked about for many proxies without comparing each with each.

    A policy without targetRefs reaches a proxy only if its selector does (`attachment`).
    """

    def __init__(self, policies: Iterable[P]) -> None:
        ordered = sorted(policies, key=_by_name)
        self._found: BySelector[P] = BySelector((_must_have(p), p) for p in ordered)

    def first(self, judge: Judge, settings: Settings) -> P | None:
        """The first of those that `in_force` gives for this proxy; None: it gives none."""
        for policy in self._found.candidates(judge.labels):
            if attachment(policy, judge, settings) is Attachment.ATTACHED:
                return policy
        return None


def _must_have(policy: Policy) -> Mapping[str, str]:
    """Labels that every proxy has which the policy reaches."""
    selector = policy.spec.selector
    return selector.wanted if selector is not None and not target_refs(policy) else {}


def _by_name(policy: Policy) -> tuple[str, str]:
    return (policy.metadata.namespace, policy.metadata.name)


def dry_run(policy: AuthorizationPolicy) -> bool:
    """Whether the policy only runs in the shadow; a value that is no boolean enforces it."""
    return policy.annotations.get("istio.io/dry-run", "") in TRUE


def rule_id(policy: AuthorizationPolicy, index: int, settings: Settings) -> str:
    """The name Envoy logs for a rule (builder.go policyName)."""
    prefix = ""
    if policy.spec.action == "CUSTOM":
        provider = policy.spec.provider.name if policy.spec.provider else ""
        with_provider = provider and settings.since(30)
        prefix = f"istio-ext-authz-{provider}-" if with_provider else "istio-ext-authz-"
    return f"{prefix}ns[{policy.namespace}]-policy[{policy.name}]-rule[{index}]"
