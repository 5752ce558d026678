"""Does one AuthorizationPolicy reach what it names, and say what it means?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import authz_object as obj
from meshdoctor.mesh.authz_policies import GATEWAY_GROUP, target_refs
from meshdoctor.mesh.text import clean, pairs
from meshdoctor.mesh.workloads import has_proxy
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import AuthorizationPolicy, K8sGateway, PolicyTargetRef
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.probes.authz_settings import settings
from meshdoctor.probes.reading import pods_of_service, workloads, workloads_in
from meshdoctor.probes.view import View, probe
from meshdoctor.probes.waypoint_reading import waypoint_name


class AuthzObject(Struct, frozen=True, kw_only=True):
    """Facts of one policy. Of an object of another kind `is_policy` is false, and all else
    empty."""

    is_policy: Annotated[Fact[bool], "the object is an AuthorizationPolicy"]
    policy: Annotated[Fact[Ref], "the policy"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    action: Annotated[Fact[str], "ALLOW, DENY, AUDIT or CUSTOM"]
    selector: Annotated[Fact[str], "its labels; empty: no selector"]
    selected: Annotated[Fact[int], "workloads that the selector finds"]
    here: Annotated[Fact[int], "workloads of the policy's scope"]
    whole_scope: Annotated[Fact[bool], "every namespace that the policy could reach was read"]
    near: Annotated[Fact[Ref], "a workload of the namespace with some of the labels"]
    away: Annotated[Fact[Ref], "a workload of another namespace with all the labels"]
    away_namespace: Annotated[Fact[str], "that namespace"]
    ignored: Annotated[Fact[str], "why the attachment is ignored; empty: it is not"]
    target: Annotated[Fact[Ref], "the target or workload that it is about"]
    split_rule: Annotated[Fact[int], "second of two rules that look like one split; -1: none"]
    unknown_key: Annotated[Fact[str], "a condition key that istiod does not know; empty: none"]
    unknown_rule: Annotated[Fact[int], "the rule with that key; -1: none"]
    pruned: Annotated[Fact[str], "fields applied but gone from the stored object"]


_EMPTY = AuthzObject(
    is_policy=False,
    policy=Ref(""),
    name="",
    namespace="",
    action="",
    selector="",
    selected=0,
    here=0,
    whole_scope=False,
    near=Ref(""),
    away=Ref(""),
    away_namespace="",
    ignored="",
    target=Ref(""),
    split_rule=-1,
    unknown_key="",
    unknown_rule=-1,
    pruned="",
)
READS = (
    "AuthorizationPolicy",
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "Job",
    "K8sGateway",
    "Namespace",
    "Pod",
    "Service",
    "ServiceEntry",
    "StatefulSet",
)


@probe("authz-object", subject=SubjectKind.CONFIG, reads=READS, kinds=("AuthorizationPolicy",))
def authz_object(view: View, config: ConfigSubject) -> AuthzObject:
    """Does this AuthorizationPolicy reach what it names?"""
    if config.config_kind != "AuthorizationPolicy":
        return _EMPTY
    policy = view.object("AuthorizationPolicy", AuthorizationPolicy, config.namespace, config.name)
    if policy is None:
        return _EMPTY
    known = settings(view)
    around = view.memo("surroundings", lambda v: obj.Surroundings(workloads(v).values()))
    reach = around.reach(policy, known)
    ignored, target = _ignored(view, policy, reach)
    keys = obj.unknown_keys(policy, known)
    mesh_wide = policy.namespace == known.root_namespace
    labels = obj.wanted(policy)
    return AuthzObject(
        is_policy=True,
        policy=Ref(policy.ref),
        name=policy.name,
        namespace=policy.namespace,
        action=clean(policy.spec.action, 20),
        selector=pairs(labels),
        selected=reach.selected,
        here=reach.here,
        whole_scope=view.namespaces is None or not mesh_wide,
        near=Ref(reach.near),
        away=Ref(reach.away),
        away_namespace=reach.away_namespace,
        ignored=ignored,
        target=Ref(target),
        split_rule=obj.split_rule(policy),
        unknown_key=clean(keys[0][1], 120) if keys else "",
        unknown_rule=keys[0][0] if keys else -1,
        pruned=clean(", ".join(obj.pruned_fields(policy)), 200),
    )


def _ignored(view: View, policy: AuthorizationPolicy, reach: obj.Reach) -> tuple[str, str]:
    """(why, target): why istiod attaches the policy to nothing; ("", "") when it does not."""
    refs = target_refs(policy)
    if not refs:
        if obj.wanted(policy) and reach.waypoint:
            return "a waypoint ignores policies without targetRefs", reach.waypoint
        return "", ""
    reasons = [_target(view, policy, ref) for ref in refs]
    if any(not why for why, _ in reasons):
        return "", ""
    return reasons[0]


def _target(view: View, policy: AuthorizationPolicy, ref: PolicyTargetRef) -> tuple[str, str]:
    space = policy.namespace
    where = f"{ref.kind}/{ref.namespace or space}/{ref.name}"
    if ref.namespace not in ("", space):
        return "a target in another namespace is never matched", where
    if ref.kind == "Gateway" and ref.group == GATEWAY_GROUP:
        if view.object("K8sGateway", K8sGateway, space, ref.name) is None:
            return "the namespace has no such Gateway of the Gateway API", where
        return "", ""
    if ref.kind == "Service" and ref.group in ("", "core"):
        return _service(view, space, ref, where)
    if ref.kind in ("GatewayClass", "ServiceEntry"):
        return "", ""
    return f"{clean(ref.group, 60)}/{clean(ref.kind, 60)} is no target that istiod knows", where


def _service(view: View, space: str, ref: PolicyTargetRef, where: str) -> tuple[str, str]:
    """A Service target works at a waypoint only."""
    service = view.object("Service", Service, space, ref.name)
    if service is None:
        return "the namespace has no such Service", where
    pods = pods_of_service(view, service)
    found = workloads_in(view, space)
    behind = next((w for w in found if any(p in w.pods for p in pods)), None)
    if behind is None:
        return "", ""
    meshed = behind.pod is not None and has_proxy(behind.pod)
    if meshed and not waypoint_name(view, behind, service)[1]:
        return "a sidecar ignores policies with targetRefs", behind.subject.ref
    return "", ""
