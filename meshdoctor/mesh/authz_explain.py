"""How did the verdict come about, line by line, for a person?"""

from meshdoctor.mesh.authz_rules import RuleResult
from meshdoctor.mesh.authz_verdict import Decision, PolicyResult, Verdict

ORDER = ("CUSTOM", "AUDIT", "DENY", "ALLOW")
MAX_LINES = 200


def explain(verdict: Verdict) -> tuple[str, ...]:
    """The reasoning: one line per layer, policy and rule, then the answer; bounded."""
    lines: list[str] = []
    for action in ORDER:
        if action == "AUDIT":
            lines += verdict.jwt.lines
        policies = [p for p in verdict.policies if p.action == action]
        if not policies:
            if action in ("DENY", "ALLOW"):
                lines.append(f"{action}: no policy reaches the proxy{_default(action)}")
            continue
        for policy in policies:
            lines += _policy(policy)
    lines += [f"note: {note}" for note in verdict.notes]
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"({len(lines) - MAX_LINES} more lines)"]
    lines.append(answer(verdict))
    lines += [f"needs: {need}" for need in verdict.needs if verdict.decision is Decision.UNKNOWN]
    lines += [f"assumed: {text}" for text in verdict.assumptions]
    return tuple(lines)


def _default(action: str) -> str:
    return ": everything not denied is allowed" if action == "ALLOW" else ""


def answer(verdict: Verdict) -> str:
    """One line: the decision and who took it."""
    where = f" by {verdict.policy}" if verdict.policy else ""
    rule = f" rule {verdict.rule}" if verdict.rule >= 0 else ""
    if verdict.decision is Decision.DENY:
        code = f"{verdict.status}" if verdict.status else "connection closed"
        if verdict.layer == "ALLOW":
            reason = "ALLOW policies reach the proxy and no rule matches"
            return f"deny ({code}): {reason}{_nearest(verdict)}"
        return f"deny ({code}){where}{rule}, action {verdict.layer}"
    if verdict.decision is Decision.ALLOW:
        return f"allow{where}{rule}"
    return f"unknown: {', '.join(verdict.needs) or 'evidence is missing'}"


def _nearest(verdict: Verdict) -> str:
    """The ALLOW rule that comes nearest to the request, and where it misses."""
    near = next((miss for miss in verdict.misses if miss.clauses and not miss.skipped), None)
    if near is None:
        return f"; nearest is {verdict.policy}" if verdict.policy else ""
    where = " and ".join(str(clause) for clause in near.clauses[:3])
    return f"; nearest is {near.policy} rule {near.rule}: {where}"


def _policy(policy: PolicyResult) -> list[str]:
    head = f"{policy.action}: {policy.ref}"
    if not policy.enforced:
        head += " (dry-run)"
    if policy.never:
        return [f"{head} has no rules and matches nothing"]
    out = []
    for rule in policy.rules:
        out.append(f"{head} rule {rule.index}: {_state(rule)}")
        out += [f"    {clause}" for clause in (*rule.misses, *rule.unknown)[:6]]
        out += [f"    not checked: {name}" for name in rule.dropped[:6]]
    return out


def _state(rule: RuleResult) -> str:
    if rule.skipped:
        return f"left out by istiod: {rule.skipped}"
    return {True: "matches", False: "does not match", None: "cannot be told"}[rule.holds]
