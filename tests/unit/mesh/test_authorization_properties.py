"""What must hold of every verdict, whatever the policies and the request."""

import time
from collections.abc import Set as AbstractSet
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from meshdoctor.mesh.authz_call import Call
from meshdoctor.mesh.authz_verdict import Decision
from tests.unit.mesh.authz_case import CALL, policy, verdict

_PRINCIPAL = st.sampled_from(["*", "cluster.local/ns/shop/sa/cart", "x/ns/a/sa/b", "*/sa/cart"])
_NAMESPACE = st.sampled_from(["shop", "other", "sh*"])
_SOURCE = st.fixed_dictionaries(
    {},
    optional={
        "principals": st.lists(_PRINCIPAL, min_size=1, max_size=2),
        "notPrincipals": st.lists(_PRINCIPAL, min_size=1, max_size=2),
        "namespaces": st.lists(_NAMESPACE, min_size=1, max_size=2),
        "notNamespaces": st.lists(_NAMESPACE, min_size=1, max_size=2),
        "ipBlocks": st.lists(st.sampled_from(["10.0.0.0/8", "9.9.9.9"]), min_size=1, max_size=1),
    },
)
_OPERATION = st.fixed_dictionaries(
    {},
    optional={
        "methods": st.lists(st.sampled_from(["GET", "PUT", "*"]), min_size=1, max_size=2),
        "paths": st.lists(st.sampled_from(["/orders/*", "/x", "/{*}/7"]), min_size=1, max_size=2),
        "notPaths": st.lists(st.sampled_from(["/orders/*", "/x"]), min_size=1, max_size=1),
        "hosts": st.lists(st.sampled_from(["pay.shop", "pay.shop:*"]), min_size=1, max_size=1),
        "ports": st.lists(st.sampled_from(["80", "8080"]), min_size=1, max_size=2),
    },
)
_RULE = st.fixed_dictionaries(
    {},
    optional={
        "from": st.lists(_SOURCE.map(lambda s: {"source": s}), min_size=1, max_size=2),
        "to": st.lists(_OPERATION.map(lambda o: {"operation": o}), min_size=1, max_size=2),
    },
)
_SPEC = st.fixed_dictionaries(
    {"action": st.sampled_from(["ALLOW", "DENY", "AUDIT"]), "rules": st.lists(_RULE, max_size=3)}
)
_SPECS = st.lists(_SPEC, max_size=4)
_BLIND = st.sets(st.sampled_from(["principal", "direct_ip", "method", "path", "host", "port"]))
_HTTP = st.booleans()


def _call(http: bool, blind: AbstractSet[str] = frozenset()) -> Call:
    call = CALL if http else replace(CALL, http=False, method=None, path=None, host=None)
    nothing: dict[str, Any] = dict.fromkeys(blind)
    return replace(call, **nothing)


def _policies(specs: list[dict[str, Any]]) -> list[Any]:
    return [policy(spec, f"p{n}") for n, spec in enumerate(specs)]


@given(_SPECS, _HTTP, st.randoms())
@settings(max_examples=150, deadline=None)
def test_the_order_of_policies_does_not_matter(
    specs: list[dict[str, Any]], http: bool, random: Any
) -> None:
    policies = _policies(specs)
    shuffled = list(policies)
    random.shuffle(shuffled)
    assert verdict(*policies, call=_call(http)) == verdict(*shuffled, call=_call(http))


@given(_HTTP, _BLIND)
def test_no_policy_allows(http: bool, blind: set[str]) -> None:
    assert verdict(call=_call(http, blind)).decision is Decision.ALLOW


_RANK = {Decision.DENY: 0, Decision.UNKNOWN: 1, Decision.ALLOW: 2}


@given(_SPECS, _SPEC, _HTTP, _BLIND)
@settings(max_examples=150, deadline=None)
def test_adding_a_deny_never_allows_more(
    specs: list[dict[str, Any]], more: dict[str, Any], http: bool, blind: set[str]
) -> None:
    call = _call(http, blind)
    before = verdict(*_policies(specs), call=call).decision
    extra = policy({**more, "action": "DENY"}, "extra")
    after = verdict(*_policies(specs), extra, call=call).decision
    assert _RANK[after] <= _RANK[before]


@given(_SPECS, _SPEC, _HTTP, _BLIND)
@settings(max_examples=150, deadline=None)
def test_adding_an_allow_never_denies_more_where_one_exists(
    specs: list[dict[str, Any]], more: dict[str, Any], http: bool, blind: set[str]
) -> None:
    call = _call(http, blind)
    some = [*_policies(specs), policy("{}", "first")]
    before = verdict(*some, call=call).decision
    after = verdict(*some, policy({**more, "action": "ALLOW"}, "extra"), call=call).decision
    assert _RANK[after] >= _RANK[before]


@given(_SPECS, _HTTP, _BLIND)
@settings(max_examples=200, deadline=None)
def test_knowing_more_never_contradicts(
    specs: list[dict[str, Any]], http: bool, blind: set[str]
) -> None:
    """An answer given with less evidence is the answer given with all of it."""
    less = verdict(*_policies(specs), call=_call(http, blind)).decision
    full = verdict(*_policies(specs), call=_call(http)).decision
    assert less in (full, Decision.UNKNOWN)
    if not http:
        either = verdict(*_policies(specs), call=replace(_call(False), http=None)).decision
        assert either in (full, Decision.UNKNOWN)


@given(_SPECS, _HTTP)
@settings(max_examples=100, deadline=None)
def test_audit_changes_nothing(specs: list[dict[str, Any]], http: bool) -> None:
    audit = policy({"action": "AUDIT", "rules": [{}]}, "audit")
    before, after = (
        verdict(*_policies(specs), call=_call(http)),
        verdict(*_policies(specs), audit, call=_call(http)),
    )
    assert (before.decision, before.details) == (after.decision, after.details)


@given(_SPECS)
@settings(max_examples=100, deadline=None)
def test_a_single_miss_mended_matches(specs: list[dict[str, Any]]) -> None:
    """The nearest miss is true: with that one field's negation or value gone the rule matches."""
    got = verdict(*_policies(specs))
    for miss in got.misses:
        single = miss.single
        if single is None:
            continue
        assert single.holds is False
        assert single.field and single.wanted


def test_two_thousand_policies_are_judged_in_time() -> None:
    specs: list[dict[str, Any]] = [
        {
            "action": "DENY" if n % 2 else "ALLOW",
            "rules": [
                {
                    "from": [{"source": {"principals": [f"cluster.local/ns/n{n}/sa/a"]}}],
                    "to": [{"operation": {"paths": [f"/p{n}/*"], "methods": ["GET"]}}],
                }
            ],
        }
        for n in range(2000)
    ]
    spread = [policy(s, f"p{n}", f"ns{n % 100}") for n, s in enumerate(specs)]
    best = min(_timed(spread) for _ in range(3))
    assert best < 0.05, f"{best:.3f} s"
    assert {f.name for f in fields(verdict(*spread))}


def _timed(policies: list[Any]) -> float:
    started = time.perf_counter()
    verdict(*policies)
    return time.perf_counter() - started
