"""Will ztunnel let this connection in, by its policies?

Mirrors serviceregistry/ambient/authorization.go (convertAuthorizationPolicy, handleRule) and
ztunnel's src/rbac.rs: only ALLOW and DENY without targetRefs; an ALLOW rule with any HTTP
attribute is left out; in a DENY rule the HTTP fields are emptied, and a clause left without any
field matches nothing, so a DENY on HTTP fields alone has no effect. Checked on 1.26 to 1.31.
"""

from collections.abc import Iterable, Sequence

from meshdoctor.mesh import authz_match as m
from meshdoctor.mesh.authz_call import Call, Judge, Settings, Truth, all_of, any_of, negated
from meshdoctor.mesh.authz_fields import OPERATION, SOURCE, camel
from meshdoctor.mesh.authz_policies import dry_run, in_force
from meshdoctor.mesh.authz_rules import Clause, RuleResult
from meshdoctor.mesh.authz_verdict import Decision, Miss, PolicyResult, Verdict
from meshdoctor.model.istio import AuthorizationPolicy, AuthorizationRule, Operation, Source

CLAUSES = frozenset({"principal", "namespace", "service-account", "source-ip", "port"})
WHEN = {
    "source.ip": "source-ip",
    "source.namespace": "namespace",
    "source.principal": "principal",
    "destination.ip": "destination-ip",
    "destination.port": "port",
}


def http_attributes(rule: AuthorizationRule) -> tuple[str, ...]:
    """The fields of a rule that ztunnel cannot check, as the policy's status names them."""
    found: list[str] = []
    for to in rule.to:
        found += _unsupported(to.operation)
    for one in rule.from_:
        found += _unsupported(one.source)
    found += [w.key for w in rule.when if w.key not in WHEN]
    return tuple(sorted(set(found)))


def _unsupported(part: Source | Operation) -> list[str]:
    table = SOURCE if isinstance(part, Source) else OPERATION
    names: list[str] = []
    for name, negative, negative_field, kind in table:
        if kind in CLAUSES or kind == "trust-domain":
            continue
        names += [camel(name)] if getattr(part, name) else []
        names += [negative_field] if getattr(part, negative) else []
    return names


def judge_ztunnel(
    policies: Sequence[AuthorizationPolicy], judge: Judge, call: Call, settings: Settings
) -> Verdict:
    """The verdict of the server's ztunnel on one connection."""
    found = [
        _judge(p, call)
        for p in in_force(policies, judge, settings)
        if p.spec.action in ("ALLOW", "DENY")
    ]
    enforced = [p for p in found if p.enforced]
    misses = _misses(enforced)
    base = Verdict(decision=Decision.ALLOW, policies=tuple(found), tcp=True, misses=misses)
    for policy in enforced:
        if policy.action == "DENY" and policy.holds is True:
            rule = next(r for r in policy.rules if r.holds is True)
            return Verdict(
                decision=Decision.DENY,
                layer="DENY",
                policy=policy.ref,
                rule=rule.index,
                rule_result=rule,
                details=f"explicitly denied by: {_key(policy.ref)}",
                policies=tuple(found),
                tcp=True,
                misses=misses,
            )
    allows = [p for p in enforced if p.action == "ALLOW"]
    doubt = [c for p in enforced for r in p.rules if r.holds is None for c in r.unknown]
    states = [p.holds for p in allows]
    if allows and not any(states) and None not in states:
        return Verdict(
            decision=Decision.DENY,
            layer="ALLOW",
            policy=misses[0].policy if misses else allows[0].ref,
            details="allow policies exist, but none allowed",
            policies=tuple(found),
            tcp=True,
            misses=misses,
        )
    denies_unknown = any(p.action == "DENY" and p.holds is None for p in enforced)
    if denies_unknown or (allows and True not in states):
        needs = tuple(dict.fromkeys(f"{c.where}.{c.field}" for c in doubt))
        return Verdict(
            decision=Decision.UNKNOWN,
            policies=tuple(found),
            tcp=True,
            misses=misses,
            needs=needs,
        )
    if allows:
        policy = next(p for p in allows if p.holds is True)
        return Verdict(
            decision=Decision.ALLOW,
            layer="ALLOW",
            policy=policy.ref,
            rule=next(r.index for r in policy.rules if r.holds is True),
            policies=tuple(found),
            tcp=True,
            misses=misses,
        )
    return base


def _key(ref: str) -> str:
    return "/".join(ref.split("/")[1:])


def _misses(policies: Iterable[PolicyResult]) -> tuple[Miss, ...]:
    found = [
        Miss(policy=p.ref, rule=r.index, clauses=r.misses, unknown=r.unknown, skipped=r.skipped)
        for p in policies
        if p.action == "ALLOW"
        for r in p.rules
        if r.holds is not True
    ]
    return tuple(sorted(found, key=lambda one: (bool(one.skipped), len(one.clauses), one.policy)))


def _judge(policy: AuthorizationPolicy, call: Call) -> PolicyResult:
    allow = policy.spec.action == "ALLOW"
    return PolicyResult(
        ref=policy.ref,
        action=policy.spec.action,
        namespace=policy.namespace,
        rules=tuple(
            _rule(rule, n, call, policy.namespace, allow)
            for n, rule in enumerate(policy.spec.rules)
        ),
        rule_ids=tuple("" for _ in policy.spec.rules),
        never=not policy.spec.rules,
        enforced=not dry_run(policy),
    )


def _rule(
    rule: AuthorizationRule, index: int, call: Call, namespace: str, allow: bool
) -> RuleResult:
    http = http_attributes(rule)
    if http and allow:
        names = ", ".join(http)
        return RuleResult(
            index=index, holds=False, skipped=f"ztunnel does not support HTTP attributes ({names})"
        )
    groups = [
        [_part(to.operation, f"to[{n}]", call, namespace) for n, to in enumerate(rule.to)],
        [_part(one.source, f"from[{n}]", call, namespace) for n, one in enumerate(rule.from_)],
        *([_condition(w.key, w.values, w.not_values, call)] for w in rule.when),
    ]
    clauses: list[Clause] = []
    states: list[Truth] = []
    for group in groups:
        if not group:
            continue
        states.append(any_of(all_of(c.holds for c in one) if one else False for one in group))
        clauses += min(group, key=lambda one: (not one, sum(c.holds is False for c in one)))
    return RuleResult(
        index=index,
        holds=all_of(states),
        clauses=tuple(clauses),
        misses=tuple(c for c in clauses if c.holds is False),
        unknown=tuple(c for c in clauses if c.holds is None),
        dropped=http,
    )


def _part(part: Source | Operation, where: str, call: Call, namespace: str) -> tuple[Clause, ...]:
    table = SOURCE if isinstance(part, Source) else OPERATION
    out: list[Clause] = []
    for name, negative, negative_field, kind in table:
        if kind not in CLAUSES:
            continue
        for values, field, is_not in (
            (getattr(part, name), camel(name), False),
            (getattr(part, negative), negative_field, True),
        ):
            if values:
                out.append(_clause(where, field, kind, values, is_not, call, namespace))
    return tuple(out)


def _condition(
    key: str, values: tuple[str, ...], not_values: tuple[str, ...], call: Call
) -> tuple[Clause, ...]:
    kind = WHEN.get(key)
    if kind is None:
        return ()
    pairs = ((values, False), (not_values, True))
    return tuple(_clause("when", key, kind, v, neg, call, "") for v, neg in pairs if v)


def _clause(
    where: str,
    field: str,
    kind: str,
    values: tuple[str, ...],
    negative: bool,
    call: Call,
    namespace: str,
) -> Clause:
    truth, seen = _compare(kind, values, call, namespace)
    return Clause(
        where=where,
        field=field,
        kind=kind,
        wanted=values,
        seen=seen,
        holds=negated(truth) if negative else truth,
        negative=negative,
    )


def _compare(kind: str, values: tuple[str, ...], call: Call, namespace: str) -> tuple[Truth, str]:
    if kind in ("source-ip", "destination-ip"):
        seen = call.direct_ip if kind == "source-ip" else call.destination_ip
        return (None, "") if seen is None else (any(m.cidr(v, seen) for v in values), seen)
    if kind == "port":
        port = call.port
        if port is None:
            return None, ""
        return any(m.port_number(v) == port for v in values), str(port)
    identity = call.principal
    if identity is None:
        return None, ""
    _, space, account = m.split_identity(identity)
    if kind == "namespace":
        return any(m.generic(v, space) for v in values), identity
    if kind == "service-account":
        wanted = (v if "/" in v else f"{namespace}/{v}" for v in values)
        return bool(identity) and f"{space}/{account}" in wanted, identity
    return bool(identity) and any(m.generic(v, identity) for v in values), identity
