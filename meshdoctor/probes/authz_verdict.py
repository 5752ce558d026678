"""What must the judging proxy answer, by the policies in force, and who decides?"""

from typing import Annotated

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh.authorization import decide
from meshdoctor.mesh.authz_evidence import DEFAULT, MATCHED
from meshdoctor.mesh.authz_explain import answer
from meshdoctor.mesh.authz_policies import dry_run
from meshdoctor.mesh.authz_rules import IDENTITY
from meshdoctor.mesh.authz_verdict import Decision, Verdict
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import AuthorizationPolicy
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hop import Hop, Situation
from meshdoctor.probes.authz_hops import situation
from meshdoctor.probes.view import View, probe


class AuthzVerdict(Struct, frozen=True, kw_only=True):
    """The offline verdict at the judging proxy, for the request asked about or seen refused."""

    decision: Annotated[Fact[str], "allow, deny, or unknown: something needed is not known"]
    denies: Annotated[Fact[bool], "the policies deny, and no log shows such a request passing"]
    contradicted: Annotated[Fact[bool], "the log shows the opposite of what the policies say"]
    service: Annotated[Fact[Ref], "the service called"]
    service_name: Annotated[Fact[str], "its name"]
    service_namespace: Annotated[Fact[str], "its namespace"]
    default: Annotated[Fact[bool], "denied because ALLOW policies exist and no rule matches"]
    layer: Annotated[Fact[str], "what decides: CUSTOM, JWT, DENY, ALLOW, or nothing"]
    policy: Annotated[Fact[Ref], "the policy that decides, or whose rule is nearest"]
    policy_name: Annotated[Fact[str], "its name"]
    policy_namespace: Annotated[Fact[str], "its namespace"]
    rule: Annotated[Fact[int], "the rule that decides; -1: none"]
    why: Annotated[Fact[str], "the verdict in one line"]
    policies: Annotated[Fact[int], "enforced policies that reach the proxy"]
    allows: Annotated[Fact[int], "of them with action ALLOW"]
    allow: Annotated[Fact[Ref], "the ALLOW policy whose rule is nearest, or one of them"]
    allow_name: Annotated[Fact[str], "its name"]
    allow_namespace: Annotated[Fact[str], "its namespace"]
    unknown_rule: Annotated[Fact[Ref], "a policy of which istiod leaves out a rule: unknown key"]
    unknown_rule_name: Annotated[Fact[str], "its name"]
    unknown_rule_namespace: Annotated[Fact[str], "its namespace"]
    unknown_rule_why: Annotated[Fact[str], "the rule and why"]
    never: Annotated[Fact[Ref], "an ALLOW policy without rules; empty: none"]
    never_name: Annotated[Fact[str], "its name"]
    never_namespace: Annotated[Fact[str], "its namespace"]
    only_never: Annotated[Fact[bool], "every ALLOW policy in force is without rules"]
    root_wide: Annotated[Fact[Ref], "a root-namespace policy without selector that decides"]
    root_wide_name: Annotated[Fact[str], "its name"]
    own_allows: Annotated[Fact[int], "ALLOW policies in force from the workload's own namespace"]
    tcp: Annotated[Fact[bool], "judged as a TCP connection: HTTP fields cannot be checked"]
    declared_tcp: Annotated[Fact[bool], "the service port is declared TCP"]
    looks_http: Annotated[Fact[bool], "yet it is called with an HTTP request, or named http"]
    port_name: Annotated[Fact[str], "name of the service port, or its number"]
    dropped: Annotated[Fact[str], "fields of the matching rule that the proxy does not check"]
    not_on_plaintext: Annotated[Fact[bool], "a not... field of the rule hit a plaintext caller"]
    dry_allows: Annotated[Fact[int], "ALLOW policies that only run dry"]
    dry_allow: Annotated[Fact[Ref], "one of them"]
    dry_allow_name: Annotated[Fact[str], "its name"]
    shadow_denies: Annotated[Fact[bool], "the dry-run policies, if enforced, would deny"]
    shadow: Annotated[Fact[Ref], "the dry-run policy that would deny"]
    shadow_name: Annotated[Fact[str], "its name"]
    shadow_namespace: Annotated[Fact[str], "its namespace"]
    custom_dry: Annotated[Fact[Ref], "a dry-run CUSTOM policy that denies (istiod 1.30 and newer)"]
    custom_dry_name: Annotated[Fact[str], "its name"]
    custom_dry_namespace: Annotated[Fact[str], "its namespace"]
    http_at_ztunnel: Annotated[Fact[Ref], "a policy with HTTP attributes that ztunnel must enforce"]
    http_at_ztunnel_name: Annotated[Fact[str], "its name"]
    http_at_ztunnel_namespace: Annotated[Fact[str], "its namespace"]


@probe("authz-verdict", subject=SubjectKind.EDGE, reads=READS)
def authz_verdict(view: View, edge: EdgeSubject) -> AuthzVerdict:
    """What must the judging proxy answer by the policies in force?"""
    found = situation(view, edge)
    judge = found.judge
    if judge is None:
        return _facts(found, None, Verdict(decision=Decision.ALLOW))
    return _facts(found, judge, judge.verdict)


def name_of(ref: str) -> str:
    """The name in `Kind/ns/name`."""
    return ref.rpartition("/")[2]


def namespace_of(ref: str) -> str:
    """The namespace in `Kind/ns/name`."""
    parts = ref.split("/")
    return parts[1] if len(parts) == 3 else ""


def contradicted(judge: Hop | None) -> bool:
    """Whether the log shows such requests passing, or may, and none refused."""
    return judge is not None and judge.summary.passed != 0 and not judge.refused


def _opposite(judge: Hop | None, verdict: Verdict) -> bool:
    if judge is None:
        return False
    rbac = judge.summary.count(DEFAULT) + judge.summary.count(MATCHED)
    if verdict.decision is Decision.ALLOW:
        return rbac > 0
    return verdict.decision is Decision.DENY and contradicted(judge)


def _facts(found: Situation, judge: Hop | None, verdict: Verdict) -> AuthzVerdict:
    denies = verdict.decision is Decision.DENY and not contradicted(judge)
    allows = verdict.of("ALLOW")
    never = next((p.ref for p in allows if p.never), "")
    allow = verdict.misses[0].policy if verdict.misses else ""
    allow = allow or next((p.ref for p in allows), "")
    left_out, why = _left_out(verdict)
    wide = _root_wide(found, judge, verdict) if denies else ""
    shadow = _shadow(judge) if verdict.decision is Decision.ALLOW else ""
    dry = [p.ref for p in verdict.policies if p.action == "ALLOW" and not p.enforced]
    custom_dry = _custom_dry(verdict) if denies else ""
    http = _http_at_ztunnel(judge, verdict)
    port = _port(found)
    one = found.service
    service = f"Service/{one.namespace}/{one.name}" if one is not None else ""
    rule = verdict.rule_result
    space = judge.workload.subject.namespace if judge is not None else ""
    return AuthzVerdict(
        decision=verdict.decision.value,
        denies=denies,
        contradicted=_opposite(judge, verdict),
        service=Ref(service),
        service_name=name_of(service),
        service_namespace=namespace_of(service),
        default=denies and verdict.layer == "ALLOW",
        layer=verdict.layer,
        policy=Ref(verdict.policy),
        policy_name=name_of(verdict.policy),
        policy_namespace=namespace_of(verdict.policy),
        rule=verdict.rule,
        why=clean(answer(verdict), 500),
        policies=sum(1 for p in verdict.policies if p.enforced),
        allows=len(allows),
        allow=Ref(allow),
        allow_name=name_of(allow),
        allow_namespace=namespace_of(allow),
        unknown_rule=Ref(left_out),
        unknown_rule_name=name_of(left_out),
        unknown_rule_namespace=namespace_of(left_out),
        unknown_rule_why=why,
        never=Ref(never),
        never_name=name_of(never),
        never_namespace=namespace_of(never),
        only_never=bool(allows) and all(p.never for p in allows),
        root_wide=Ref(wide),
        root_wide_name=name_of(wide),
        own_allows=sum(1 for p in allows if p.namespace == space),
        tcp=verdict.tcp,
        declared_tcp=judge is not None and judge.expected.http is False,
        looks_http=bool(found.request.method or found.request.path) or _named_http(found),
        port_name=clean(port or f"{found.edge.port} (without a name)", 60),
        dropped=clean(", ".join(rule.dropped), 300) if rule is not None else "",
        not_on_plaintext=_not_on_plaintext(verdict),
        dry_allows=len(dry),
        dry_allow=Ref(dry[0] if dry else ""),
        dry_allow_name=name_of(dry[0]) if dry else "",
        shadow_denies=bool(shadow),
        shadow=Ref(shadow),
        shadow_name=name_of(shadow),
        shadow_namespace=namespace_of(shadow),
        custom_dry=Ref(custom_dry),
        custom_dry_name=name_of(custom_dry),
        custom_dry_namespace=namespace_of(custom_dry),
        http_at_ztunnel=Ref(http),
        http_at_ztunnel_name=name_of(http),
        http_at_ztunnel_namespace=namespace_of(http),
    )


def _left_out(verdict: Verdict) -> tuple[str, str]:
    """An enforced policy with a rule that istiod leaves out for an unknown key, and why."""
    for policy in verdict.policies:
        for rule in policy.rules:
            if policy.enforced and "unknown attribute" in rule.skipped:
                return policy.ref, clean(f"rule {rule.index}, {rule.skipped}", 200)
    return "", ""


def _root_wide(found: Situation, judge: Hop | None, verdict: Verdict) -> str:
    """The selectorless root-namespace policy that denies, outright or as the only ALLOW."""
    root = found.settings.root_namespace
    if judge is None or judge.workload.subject.namespace == root:
        return ""
    wide = {
        p.ref
        for p in judge.inputs.policies
        if p.namespace == root and not (p.spec.selector and p.spec.selector.wanted)
    }
    if verdict.layer == "DENY":
        return verdict.policy if verdict.policy in wide else ""
    allows = [p.ref for p in verdict.of("ALLOW")]
    if verdict.layer == "ALLOW" and allows and all(ref in wide for ref in allows):
        return allows[0]
    return ""


def _shadow(judge: Hop | None) -> str:
    """The dry-run policy whose enforcement would turn an allow into a deny; "" when none."""
    if judge is None:
        return ""
    dry = [p for p in judge.inputs.policies if dry_run(p) and p.spec.action in ("ALLOW", "DENY")]
    if not dry:
        return ""
    enforced = tuple(_enforced(p) if p in dry else p for p in judge.inputs.policies)
    verdict = decide(replace(judge.inputs, policies=enforced))
    if verdict.decision is not Decision.DENY:
        return ""
    refs = {p.ref for p in dry}
    if verdict.policy in refs:
        return verdict.policy
    return next((p.ref for p in verdict.policies if p.ref in refs), "")


def _enforced(policy: AuthorizationPolicy) -> AuthorizationPolicy:
    meta = msgspec.structs.replace(policy.metadata, annotations={})
    return msgspec.structs.replace(policy, metadata=meta)


def _custom_dry(verdict: Verdict) -> str:
    dry = {p.ref for p in verdict.policies if p.action == "CUSTOM" and not p.enforced}
    return verdict.policy if verdict.layer == "CUSTOM" and verdict.policy in dry else ""


def _http_at_ztunnel(judge: Hop | None, verdict: Verdict) -> str:
    if judge is None or judge.kind != "ztunnel":
        return ""
    for policy in verdict.policies:
        if any(r.skipped or r.dropped for r in policy.rules) and policy.enforced:
            return policy.ref
    return ""


def _not_on_plaintext(verdict: Verdict) -> bool:
    rule = verdict.rule_result
    if rule is None or verdict.layer != "DENY":
        return False
    return any(c.negative and c.kind in IDENTITY and not c.seen for c in rule.clauses)


def _port(found: Situation) -> str:
    ports = found.service.spec.ports if found.service is not None else ()
    return next((p.name for p in ports if p.port == found.edge.port), "")


def _named_http(found: Situation) -> bool:
    """Whether the pod itself names the port http, or it is a usual HTTP port."""
    pod = found.server.pod if found.server is not None else None
    if pod is None:
        return False
    names = {
        p.name
        for c in pod.spec.containers
        for p in c.ports
        if p.container_port == found.workload_port
    }
    return any(name.startswith(("http", "grpc", "web")) for name in names)
