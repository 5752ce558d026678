"""Will this proxy let this request in, by its policies?

Mirrors authz/builder/builder.go and the order of listener_builder.go: CUSTOM, then JWT, then
AUDIT, DENY, ALLOW. Three-valued: an attribute that is not known makes the answer unknown, unless
it does not matter. What an external authorizer answers is never known offline.
Checked on 1.22 to 1.31; ztunnel is judged by authz_ztunnel.py.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import authz_custom as custom
from meshdoctor.mesh.authz_call import Call, Judge, Settings
from meshdoctor.mesh.authz_fields import Claims, Scene
from meshdoctor.mesh.authz_policies import dry_run, in_force, rule_id
from meshdoctor.mesh.authz_rules import Clause, RuleResult, judge_rule
from meshdoctor.mesh.authz_verdict import Decision, Miss, PolicyResult, Verdict
from meshdoctor.mesh.authz_ztunnel import judge_ztunnel
from meshdoctor.mesh.request_authentication import JwtOutcome, authenticate
from meshdoctor.model.istio import AuthorizationPolicy, RequestAuthentication

DETAILS = "rbac_access_denied_matched_policy"
KINDS = ("ALLOW", "DENY", "AUDIT", "CUSTOM")


class Inputs(Struct, frozen=True, kw_only=True):
    """Everything a verdict depends on.

    `claims` stand in for what the token would say, where something else than the request tells it.
    """

    policies: Sequence[AuthorizationPolicy]
    authentications: Sequence[RequestAuthentication]
    judge: Judge
    call: Call
    settings: Settings
    now: datetime
    claims: Claims | None = None


def decide(inputs: Inputs) -> Verdict:
    """The verdict of one proxy on one request.

    When the filter chain (HTTP or TCP) is not known, both are judged and must agree.
    """
    if inputs.judge.kind == "ztunnel":
        return judge_ztunnel(inputs.policies, inputs.judge, inputs.call, inputs.settings)
    if inputs.call.http is not None:
        return _decide(inputs)
    as_http = _decide(replace(inputs, call=replace(inputs.call, http=True)))
    as_tcp = _decide(replace(inputs, call=replace(inputs.call, http=False)))
    if as_http.decision is as_tcp.decision:
        return as_http
    needs = ("whether the port speaks HTTP or TCP", *as_http.needs)
    return replace(as_http, decision=Decision.UNKNOWN, needs=needs, details="", status=0)


def _decide(inputs: Inputs) -> Verdict:
    policies = in_force(inputs.policies, inputs.judge, inputs.settings)
    unauthenticated = replace_scene(inputs, Claims(values={}))
    judged_custom = [
        _judge(p, unauthenticated, inputs.settings) for p in policies if p.spec.action == "CUSTOM"
    ]
    authentications = in_force(inputs.authentications, inputs.judge, inputs.settings)
    outcome = _outcome(inputs, authentications)
    scene = replace_scene(inputs, outcome.claims)
    judged = [_judge(p, scene, inputs.settings) for p in policies if p.spec.action != "CUSTOM"]
    base = Verdict(
        decision=Decision.ALLOW,
        policies=tuple(judged_custom + judged),
        jwt=outcome,
        tcp=inputs.call.http is False,
        misses=_misses(judged),
        assumptions=outcome.assumptions,
    )
    return _combine(base, judged_custom, judged, inputs)


def _outcome(inputs: Inputs, rules: Sequence[RequestAuthentication]) -> JwtOutcome:
    if inputs.claims is None:
        old = not inputs.settings.since(21)
        return authenticate(rules, inputs.call, inputs.now, splits_all=old)
    told = "a verified token" if inputs.claims.values else "no verified token"
    return JwtOutcome(passes=True, claims=inputs.claims, lines=(f"JWT: taken to carry {told}",))


def replace_scene(inputs: Inputs, claims: Claims) -> Scene:
    """What rules are compared with, given the outcome of JWT authentication."""
    return Scene(call=inputs.call, claims=claims, settings=inputs.settings)


def _judge(policy: AuthorizationPolicy, scene: Scene, settings: Settings) -> PolicyResult:
    spec = policy.spec
    scene = replace(scene, policy_namespace=policy.namespace)
    allow = spec.action == "ALLOW"
    return PolicyResult(
        ref=policy.ref,
        action=spec.action,
        namespace=policy.namespace,
        rules=tuple(judge_rule(r, n, scene, allow=allow) for n, r in enumerate(spec.rules)),
        rule_ids=tuple(rule_id(policy, n, settings) for n in range(len(spec.rules))),
        never=not spec.rules,
        enforced=not dry_run(policy),
        provider=spec.provider.name if spec.provider else "",
    )


def _combine(
    base: Verdict, customs: list[PolicyResult], judged: list[PolicyResult], inputs: Inputs
) -> Verdict:
    steps = (
        _custom(base, customs, inputs),
        _jwt(base, base.jwt),
        _deny(base, judged),
        _allow(base, judged),
    )
    notes = tuple(note for one in steps for note in one.notes)
    for number, step in enumerate(steps):
        if step.decision is Decision.DENY:
            # an earlier layer that may deny too would be the one that is logged
            sure = all(one.decision is not Decision.UNKNOWN for one in steps[:number])
            return replace(step, notes=notes, details=step.details if sure else "")
    unsure = [one for one in steps if one.decision is Decision.UNKNOWN]
    if unsure:
        needs = tuple(dict.fromkeys(n for one in unsure for n in one.needs))
        return replace(unsure[0], needs=needs, notes=notes)
    return replace(steps[-1], notes=notes)


def _custom(base: Verdict, customs: list[PolicyResult], inputs: Inputs) -> Verdict:
    settings = inputs.settings
    notes: list[str] = []
    shadows = [p for p in customs if not p.enforced]
    enforced = [p for p in customs if p.enforced]
    names = sorted({p.provider for p in customs})
    several = len(names) > 1 and not settings.multiple_providers
    unknown: list[str] = []
    for policy in enforced:
        problem = custom.provider_problem(policy.provider, settings)
        if several:
            problem = f"several CUSTOM providers on one workload: {' '.join(names)}"
        if problem:
            notes.append(f"{policy.ref}: {problem}")
            if not settings.since(20):
                return _denies_all(policy, base, tuple(notes))
            denied = _first(policy, base, suffix=custom.BAD_SUFFIX)
            if denied is not None and denied.decision is Decision.DENY:
                return replace(denied, layer="CUSTOM", notes=tuple(notes))
            if denied is not None:
                unknown += denied.needs
            continue
        if base.tcp and not custom.applies_to_tcp(policy.provider, settings):
            notes.append(f"{policy.ref}: an HTTP provider is ignored on a TCP filter chain")
            continue
        if policy.holds is not False:
            unknown.append(f"the answer of external authorizer {policy.provider}")
    shadow = _shadows(base, shadows, settings)
    if shadow is not None:
        return shadow
    if unknown:
        return replace(
            base,
            decision=Decision.UNKNOWN,
            layer="CUSTOM",
            policy=next((p.ref for p in enforced if p.holds is not False), ""),
            needs=tuple(unknown),
            notes=tuple(notes),
        )
    return replace(base, notes=tuple(notes))


def _shadows(base: Verdict, shadows: list[PolicyResult], settings: Settings) -> Verdict | None:
    """Since 1.30 a dry-run CUSTOM policy lands in the enforcing DENY rules of its own filter."""
    if not settings.since(30):
        return None
    for policy in shadows:
        denied = _first(policy, base)
        if denied is not None and denied.decision is Decision.DENY:
            note = f"{policy.ref}: dry-run on a CUSTOM policy denies since 1.30"
            return replace(denied, layer="CUSTOM", notes=(note,))
    return None


def _denies_all(policy: PolicyResult, base: Verdict, notes: tuple[str, ...]) -> Verdict:
    """Up to 1.19 a provider that istiod cannot use closes the whole workload, whatever the rules
    of the policy match (getBadCustomDenyRules came with 1.20)."""
    return replace(
        base,
        decision=Decision.DENY,
        layer="CUSTOM",
        policy=policy.ref,
        details=f"{DETAILS}[default-deny-all-{custom.BAD_WORDS}]",
        status=0 if base.tcp else 403,
        notes=notes,
    )


def _first(policy: PolicyResult, base: Verdict, suffix: str = "") -> Verdict | None:
    """The DENY that this policy's first matching rule gives; unknown needs; None when none."""
    return _denied([policy], base, suffix)


def _denied(policies: list[PolicyResult], base: Verdict, suffix: str = "") -> Verdict | None:
    matched = _matched(policies)
    if matched:
        name, policy, rule = min(matched, key=lambda one: one[0])
        sure = all(name < other for other in _doubtful_names(policies))
        return replace(
            base,
            decision=Decision.DENY,
            layer=policy.action,
            policy=policy.ref,
            rule=rule.index,
            rule_result=rule,
            details=f"{DETAILS}[{name}{suffix}]" if sure else "",
            status=0 if base.tcp else 403,
        )
    doubtful = [
        (policy, rule) for policy in policies for rule in policy.rules if rule.holds is None
    ]
    if not doubtful:
        return None
    policy, rule = doubtful[0]
    return replace(
        base,
        decision=Decision.UNKNOWN,
        layer=policy.action,
        policy=policy.ref,
        rule=rule.index,
        rule_result=rule,
        needs=_needs(c for _, one in doubtful for c in one.unknown),
    )


def _doubtful_names(policies: list[PolicyResult]) -> list[str]:
    """Rules that may match: the first by name is the one that Envoy logs."""
    return [
        name
        for policy in policies
        for name, rule in zip(policy.rule_ids, policy.rules, strict=True)
        if rule.holds is None
    ]


def _matched(policies: list[PolicyResult]) -> list[tuple[str, PolicyResult, RuleResult]]:
    """Matching rules by name; Envoy walks them in the order of their names."""
    return [
        (name, policy, rule)
        for policy in policies
        for name, rule in zip(policy.rule_ids, policy.rules, strict=True)
        if rule.holds is True
    ]


def _jwt(base: Verdict, outcome: JwtOutcome) -> Verdict:
    if outcome.passes is True:
        return base
    if outcome.passes is None:
        return replace(
            base,
            decision=Decision.UNKNOWN,
            layer="JWT",
            policy=outcome.policy,
            needs=("the request's token (headers)",),
        )
    text = outcome.text.replace(" ", "_")
    return replace(
        base,
        decision=Decision.DENY,
        layer="JWT",
        policy=outcome.policy,
        details=f"jwt_authn_access_denied{{{text}}}",
        status=outcome.status,
    )


def _deny(base: Verdict, judged: list[PolicyResult]) -> Verdict:
    policies = [p for p in judged if p.action == "DENY" and p.enforced]
    return _denied(policies, base) or base


def _allow(base: Verdict, judged: list[PolicyResult]) -> Verdict:
    policies = [p for p in judged if p.action == "ALLOW" and p.enforced]
    if not policies:
        return base
    matched = _matched(policies)
    if matched:
        _, policy, rule = min(matched, key=lambda one: one[0])
        return replace(base, layer="ALLOW", policy=policy.ref, rule=rule.index, rule_result=rule)
    doubtful = [(p, r) for p in policies for r in p.rules if r.holds is None]
    if doubtful:
        return replace(
            base,
            decision=Decision.UNKNOWN,
            layer="ALLOW",
            policy=doubtful[0][0].ref,
            rule=doubtful[0][1].index,
            needs=_needs(c for _, rule in doubtful for c in rule.unknown),
        )
    return replace(
        base,
        decision=Decision.DENY,
        layer="ALLOW",
        policy=_guilty(policies, base.misses),
        details=f"{DETAILS}[none]",
        status=0 if base.tcp else 403,
    )


def _guilty(policies: list[PolicyResult], misses: tuple[Miss, ...]) -> str:
    """The policy that a default denial is laid at: the one whose rule came nearest."""
    return misses[0].policy if misses else policies[0].ref


def _misses(judged: list[PolicyResult]) -> tuple[Miss, ...]:
    """Every enforced ALLOW rule that does not match, nearest first."""
    found = [
        Miss(
            policy=policy.ref,
            rule=rule.index,
            clauses=rule.misses,
            unknown=rule.unknown,
            skipped=rule.skipped,
        )
        for policy in judged
        if policy.action == "ALLOW" and policy.enforced
        for rule in policy.rules
        if rule.holds is not True
    ]
    found.sort(
        key=lambda one: (len(one.clauses) + 3 * bool(one.skipped), len(one.unknown), one.policy)
    )
    return tuple(found)


def _needs(clauses: Iterable[Clause]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{c.where}.{c.field}" for c in clauses))
