"""Does one rule of an AuthorizationPolicy match a request, and if not, which field misses?

Mirrors authz/model/model.go (New, MigrateTrustDomain, Generate, checkError): sources are ORed,
operations are ORed, conditions hold for each; a field that cannot be generated drops the whole
ALLOW rule, but only itself from a DENY, AUDIT or CUSTOM rule. Checked on 1.20 to 1.31.
"""

from collections.abc import Iterator

from msgspec import Struct

from meshdoctor.mesh import authz_match as m
from meshdoctor.mesh.authz_call import Truth, all_of, any_of, negated
from meshdoctor.mesh.authz_fields import (
    OPERATION,
    OPERATION_KINDS,
    SINCE,
    SOURCE,
    Scene,
    camel,
    compare,
    problem,
    when_kind,
)
from meshdoctor.mesh.text import clean
from meshdoctor.model.istio import AuthorizationRule, Operation, Source, When


class Clause(Struct, frozen=True, kw_only=True):
    """One field of a rule, as compared: `where` is its place, `seen` "" is absent or not known.

    `negative` clauses are the `not...` twins: they hold when none of `wanted` matches.
    """

    where: str
    field: str
    kind: str
    wanted: tuple[str, ...]
    seen: str
    holds: Truth
    negative: bool = False

    def __str__(self) -> str:
        verb = "must be none of" if self.negative else "wants"
        wanted = ", ".join(clean(w, 80) for w in self.wanted[:5])
        more = f" and {len(self.wanted) - 5} more" if len(self.wanted) > 5 else ""
        if self.holds is None and not self.seen:
            seen = "not known"
        else:
            nothing = "no identity (plaintext)" if self.kind in IDENTITY else "nothing there"
            seen = clean(self.seen, 120) or nothing
        return f"{self.where}.{self.field} {verb} [{wanted}{more}], seen: {seen}"


class RuleResult(Struct, frozen=True, kw_only=True):
    """One rule, judged. `skipped` says why istiod generates nothing for it ("" : it does).

    `misses` are the fields of the nearest alternative that would have had to match, `unknown`
    those that could not be compared, `dropped` the fields that the proxy does not check.
    """

    index: int
    holds: Truth
    clauses: tuple[Clause, ...] = ()
    misses: tuple[Clause, ...] = ()
    unknown: tuple[Clause, ...] = ()
    skipped: str = ""
    dropped: tuple[str, ...] = ()


IDENTITY = frozenset({"principal", "namespace", "service-account", "trust-domain"})


class _Skip(Exception):
    """The rule is not generated at all."""


def judge_rule(rule: AuthorizationRule, index: int, scene: Scene, *, allow: bool) -> RuleResult:
    """One rule against one request; `allow` is whether its policy's action is ALLOW."""
    dropped: list[str] = []
    try:
        conditions = tuple(_conditions(rule.when, scene, allow, dropped))
        operations = [
            tuple(_fields(to.operation, f"to[{n}]", scene, allow, dropped))
            for n, to in enumerate(rule.to)
        ] or [()]
        sources = [
            tuple(_fields(one.source, f"from[{n}]", scene, allow, dropped))
            for n, one in enumerate(rule.from_)
        ] or [()]
    except _Skip as skip:
        return RuleResult(index=index, holds=False, skipped=str(skip))
    on_request = tuple(c for c in conditions if c.kind in OPERATION_KINDS)
    on_peer = tuple(c for c in conditions if c.kind not in OPERATION_KINDS)
    right = [one + on_request for one in operations]
    left = [one + on_peer for one in sources]
    holds = all_of((_any(left), _any(right)))
    best = _nearest(left) + _nearest(right)
    return RuleResult(
        index=index,
        holds=holds,
        clauses=best,
        misses=tuple(c for c in best if c.holds is False),
        unknown=tuple(c for side in (*left, *right) for c in side if c.holds is None),
        dropped=tuple(dict.fromkeys(dropped)),
    )


def _any(alternatives: list[tuple[Clause, ...]]) -> Truth:
    return any_of(all_of(c.holds for c in one) for one in alternatives)


def _nearest(alternatives: list[tuple[Clause, ...]]) -> tuple[Clause, ...]:
    """The alternative that matches, else the one with the fewest fields that miss."""

    def distance(one: tuple[Clause, ...]) -> tuple[int, int]:
        return (
            sum(c.holds is False for c in one),
            sum(c.holds is None for c in one),
        )

    return min(alternatives, key=distance)


def _conditions(
    conditions: tuple[When, ...], scene: Scene, allow: bool, dropped: list[str]
) -> Iterator[Clause]:
    for condition in conditions:
        key = condition.key
        kind = when_kind(key, scene.settings)
        if not kind:
            raise _Skip(f"unknown attribute {clean(key, 80)}")
        for values, negative in ((condition.values, False), (condition.not_values, True)):
            clause = _clause("when", key, kind, values, negative, scene, allow, dropped)
            if clause is not None:
                yield clause


def _fields(
    part: Source | Operation, where: str, scene: Scene, allow: bool, dropped: list[str]
) -> Iterator[Clause]:
    table = SOURCE if isinstance(part, Source) else OPERATION
    for name, negative_name, negative_field, kind in table:
        positive: tuple[str, ...] = getattr(part, name)
        negative: tuple[str, ...] = getattr(part, negative_name)
        if not positive and not negative:
            continue
        if not scene.settings.since(SINCE.get(kind, 0)):
            dropped.append(f"{where}.{camel(name)} (unknown before 1.{SINCE[kind]})")
            continue
        for values, field, is_not in (
            (positive, camel(name), False),
            (negative, negative_field, True),
        ):
            clause = _clause(where, field, kind, values, is_not, scene, allow, dropped)
            if clause is not None:
                yield clause


def _clause(
    where: str,
    field: str,
    kind: str,
    values: tuple[str, ...],
    negative: bool,
    scene: Scene,
    allow: bool,
    dropped: list[str],
) -> Clause | None:
    if not values:
        return None
    kept = []
    for value in values:
        why = problem(kind, field, value, scene)
        if not why:
            kept.append(value)
        elif allow:
            raise _Skip(f"{where}.{field}: {why}")
        else:
            dropped.append(f"{where}.{field} ({why})")
    if not kept:
        return None
    wanted = _expanded(kind, tuple(kept), scene.settings.trust_domains)
    truth, seen = compare(kind, field, wanted, scene)
    holds = negated(truth) if negative else truth
    return Clause(
        where=where,
        field=field,
        kind=kind,
        wanted=wanted,
        seen=seen,
        holds=holds,
        negative=negative,
    )


def _expanded(kind: str, values: tuple[str, ...], domains: tuple[str, ...]) -> tuple[str, ...]:
    if kind == "principal":
        return m.expand_principals(values, domains)
    if kind == "trust-domain":
        return m.expand_trust_domains(values, domains)
    return values


def would_hold_without(result: RuleResult, clause: Clause) -> bool:
    """Whether this one field alone keeps the rule from matching."""
    others = [c for c in result.clauses if c != clause]
    return clause.holds is False and all(c.holds is True for c in others)
