"""Order, folding and what is only noticed."""

from datetime import UTC, datetime

from msgspec.structs import replace

from meshdoctor.engine.collect import FactSet
from meshdoctor.engine.conditions import Environment
from meshdoctor.engine.findings import _seen_of
from meshdoctor.engine.playbook import Playbook, Rule
from meshdoctor.engine.rank import LastChange, Ranked, rank
from meshdoctor.engine.tree import Judgement
from meshdoctor.model.cause import Cause, Severity, Strength, Verdict, Verify
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Ref
from meshdoctor.model.subjects import (
    ConfigSubject,
    EdgeSubject,
    MeshSubject,
    ServiceSubject,
    Subject,
    SubjectKind,
    WorkloadSubject,
)
from tests.unit.engine.sample import PROBES

CART, PAY = WorkloadSubject("shop", "cart"), WorkloadSubject("shop", "pay")
EDGE = EdgeSubject(client=CART, server=PAY, service=ServiceSubject("shop", "pay"), port=80)
OTHER = WorkloadSubject("web", "front")
CONDITION = Environment({"pod.labelled": bool}).compile("pod.labelled")
BOOK = Playbook(
    name="x",
    title="",
    subject=SubjectKind.EDGE,
    steps=(),
    tree=(),
    rules=(),
    path=__import__("pathlib").Path("x"),
)


def never(_: str) -> datetime | None:
    return None


def judgement(
    code: str,
    subject: Subject = EDGE,
    *,
    strength: Strength = Strength.OBSERVED,
    verdict: Verdict = Verdict.CONFIRMED,
    severity: Severity = Severity.OUTAGE,
    at: str = "",
    explains: tuple[str, ...] = (),
    concerns: str = "",
) -> Judgement:
    cause = Cause(
        code=code,
        name="a-name",
        title="A title",
        severity=severity,
        when="true",
        observed="",
        suspected=False,
        at_fault=("pod.pod",),
        concerns=("pod.other",),
        explains=explains,
        because="",
        fix="",
        by_hand="",
        verify=Verify(run="", expect=""),
        docs="",
        symptom="",
        mesh=True,
        path="x",
        line=1,
    )
    rule = Rule(
        cause=cause, paths=(), when=None, observed=None, whole=CONDITION, observed_by_itself=False
    )
    facts = FactSet(bound={"pod.pod": Ref(at), "pod.other": Ref(concerns)})
    if verdict is Verdict.UNDECIDED:
        facts.unavailable["pod.labelled"] = Unavailable(reason=Reason.FORBIDDEN, what="pods")
    return Judgement(
        playbook=BOOK,
        rule=rule,
        subject=subject,
        verdict=verdict,
        strength=strength,
        facts=facts,
        trail=(),
    )


def ranked(
    *judgements: Judgement, asked: frozenset[str] = frozenset(), change: LastChange = never
) -> list[tuple[str, str]]:
    return [(r.lead.cause.code, r.group) for r in rank(judgements, asked, change)]


def test_the_probes_are_real() -> None:
    assert PROBES


def test_observed_before_derived_whatever_the_severity() -> None:
    derived = judgement("MD1", OTHER, strength=Strength.DERIVED)
    observed = judgement("MD2", CART, severity=Severity.DEGRADED)
    assert ranked(derived, observed) == [("MD2", "main"), ("MD1", "main")]


def test_the_subject_asked_about_comes_first() -> None:
    far, near = judgement("MD1", OTHER), judgement("MD2", EDGE, severity=Severity.PARTIAL)
    assert ranked(far, near, asked=frozenset({str(EDGE)}))[0][0] == "MD2"


def test_severity_then_the_newest_change_then_code() -> None:
    one, two = judgement("MD1", at="A/b/c"), judgement("MD2", at="D/e/f")
    newer = {"D/e/f": datetime(2026, 1, 2, tzinfo=UTC), "A/b/c": datetime(2026, 1, 1, tzinfo=UTC)}
    assert ranked(one, two, change=newer.get)[0][0] == "MD2"
    assert ranked(one, two)[0][0] == "MD1"
    assert ranked(judgement("MD1", severity=Severity.PARTIAL), two)[0][0] == "MD2"


def test_consequences_fold_under_their_cause_on_related_subjects() -> None:
    cause = judgement("MD1", PAY, explains=("MD2",), strength=Strength.DERIVED)
    effect = judgement("MD2", EDGE)
    unrelated = judgement("MD2", OTHER, at="X/y/z")
    assert ranked(cause, effect, unrelated) == [
        ("MD2", "main"),
        ("MD1", "main"),
        ("MD2", "folded"),
    ]


def test_a_workload_explains_no_stranger_of_its_namespace() -> None:
    cause = judgement("MD1", CART, explains=("MD2",), at="Deployment/shop/cart")
    far = judgement("MD2", ServiceSubject("shop", "pay"), at="Deployment/shop/pay")
    near = judgement("MD2", ServiceSubject("shop", "front"), at="Deployment/shop/cart")
    assert ranked(cause, far) == [("MD1", "main"), ("MD2", "main")]
    assert ranked(cause, near) == [("MD1", "main"), ("MD2", "folded")]


def test_configuration_that_names_whom_it_concerns_stands_for_them() -> None:
    rule = ConfigSubject("VirtualService", "web", "pay")
    cause = judgement("MD1", rule, explains=("MD2",), concerns="Service/shop/pay")
    far = judgement("MD1", rule, explains=("MD2",), concerns="Service/shop/store")
    effect = judgement("MD2", EDGE, at="A/b/c")
    assert ranked(cause, effect) == [("MD1", "main"), ("MD2", "folded")]
    assert ("MD2", "main") in ranked(far, effect)
    asked = frozenset({"shop/pay"})
    near = judgement("MD3", rule, concerns="Service/shop/pay")
    assert ranked(far, near, asked=asked)[0][0] == "MD3"


def test_a_mesh_wide_cause_explains_everywhere() -> None:
    cause = judgement("MD1", MeshSubject(), explains=("MD2",))
    assert ("MD2", "folded") in ranked(cause, judgement("MD2", OTHER))


def test_two_causes_that_explain_each_other_do_not_both_vanish() -> None:
    one = judgement("MD1", explains=("MD2",))
    two = judgement("MD2", explains=("MD1",))
    groups = [g for _, g in ranked(one, two)]
    assert sorted(groups) == ["folded", "main"]


def test_a_derived_cause_beside_an_observed_one_is_only_noticed() -> None:
    observed, derived = judgement("MD2"), judgement("MD1", PAY, strength=Strength.DERIVED)
    assert ranked(observed, derived) == [("MD2", "main"), ("MD1", "also_noticed")]


def test_a_mistake_in_configuration_for_other_calls_is_set_aside() -> None:
    """Where the call asked about works, or has a cause of its own."""
    other = judgement(
        "MD1", ConfigSubject("VirtualService", "shop", "x"), strength=Strength.DERIVED
    )
    mine, asked = judgement("MD2", strength=Strength.DERIVED), frozenset({str(EDGE)})

    def groups(*some: Judgement, works: bool) -> list[tuple[str, str, bool]]:
        found = rank(some, asked, never, works=lambda: works)
        return [(one.lead.cause.code, one.group, one.aside) for one in found]

    assert groups(other, works=False) == [("MD1", "main", False)]
    assert groups(other, works=True) == [("MD1", "also_noticed", True)]
    both = [("MD2", "main", False), ("MD1", "also_noticed", True)]
    assert groups(other, mine, works=False) == both
    seen = judgement("MD1", ConfigSubject("VirtualService", "shop", "x"))
    assert groups(seen, works=True) == [("MD1", "also_noticed", True)]
    assert groups(seen, mine, works=False) == both
    gateway = judgement("MD1", ConfigSubject("Gateway", "edge", "x"))
    assert groups(gateway, works=True) == [("MD1", "also_noticed", True)]
    policy = ConfigSubject("AuthorizationPolicy", "shop", "x")
    open_ = judgement("MD1", policy, strength=Strength.DERIVED)
    assert groups(open_, works=True) == [("MD1", "main", False)]
    named = judgement("MD1", strength=Strength.DERIVED, concerns=f"Edge/{EDGE}")
    assert groups(named, works=True) == [("MD1", "main", False)]


def test_a_route_for_calls_to_the_caller_is_for_other_calls() -> None:
    derived, asked = Strength.DERIVED, frozenset({str(EDGE), str(CART), str(PAY)})
    subject = ConfigSubject("VirtualService", "shop", "x")
    route = judgement("MD1", subject, strength=derived, concerns=f"Deployment/{CART}")
    filter_ = judgement(
        "MD2", ConfigSubject("EnvoyFilter", "shop", "x"), strength=derived, concerns=f"D/{CART}"
    )
    called = asked - {str(CART)}
    found = rank([route, filter_], asked, never, called=called, works=lambda: True)
    assert [(one.lead.cause.code, one.aside) for one in found] == [("MD2", False), ("MD1", True)]
    named = rank([route], asked, never, called=called | {str(subject)}, works=lambda: True)
    assert not named[0].aside


def test_advice_never_outranks_a_failure() -> None:
    advice = judgement("MD1", severity=Severity.HYGIENE)
    assert ranked(advice) == [("MD1", "also_noticed")]


def test_advice_that_explains_a_failure_is_its_cause() -> None:
    """A failure folded under mere advice would vanish from the findings."""
    for strength in (Strength.OBSERVED, Strength.DERIVED):
        advice = judgement(
            "MD1",
            PAY,
            explains=("MD2", "MD3"),
            severity=Severity.HYGIENE,
            strength=Strength.DERIVED,
        )
        failure = judgement("MD2", strength=strength, severity=Severity.PARTIAL)
        found = rank([advice, failure, judgement("MD3")], frozenset(), never)
        groups = {r.lead.cause.code: r.group for r in found}
        assert groups == {"MD1": "main", "MD2": "folded", "MD3": "folded"}
        assert (found[0].severity, found[0].strength) == (Severity.OUTAGE, Strength.OBSERVED)


def test_advice_that_explains_advice_is_still_advice() -> None:
    some = [
        judgement("MD1", severity=Severity.HYGIENE, explains=("MD2",)),
        judgement("MD2", severity=Severity.HYGIENE),
    ]
    assert ranked(*some) == [("MD2", "folded"), ("MD1", "also_noticed")]


def test_a_guess_hides_no_failure() -> None:
    guess = judgement("MD1", explains=("MD2",), strength=Strength.SUSPECTED)
    assert ranked(guess, judgement("MD2", strength=Strength.DERIVED)) == [
        ("MD2", "main"),
        ("MD1", "main"),
    ]


def test_a_cause_of_something_observed_is_not_only_noticed() -> None:
    """Its consequence was seen; another observed finding beside it makes it no bystander."""
    cause = judgement("MD3", CART, strength=Strength.DERIVED, explains=("MD4",))
    found = ranked(cause, judgement("MD4"), judgement("MD1"))
    assert found == [("MD1", "main"), ("MD3", "main"), ("MD4", "folded")]
    alone = ranked(cause, judgement("MD1"))
    assert alone == [("MD1", "main"), ("MD3", "also_noticed")]


def test_what_a_consequence_showed_is_seen_of_its_cause() -> None:
    cause = judgement("MD3", CART, strength=Strength.DERIVED, explains=("MD4",))
    found = rank([cause, judgement("MD4")], frozenset(), never)
    assert _seen_of(found[0], []).startswith("what it explains, MD4 a-name:")
    assert _seen_of(rank([cause], frozenset(), never)[0], []) == ""


def test_a_chain_of_consequences_ranks_as_its_worst() -> None:
    some = [
        judgement("MD1", severity=Severity.DEGRADED, strength=Strength.DERIVED, explains=("MD2",)),
        judgement("MD2", severity=Severity.PARTIAL, strength=Strength.DERIVED, explains=("MD3",)),
        judgement("MD3"),
        judgement("MD0", OTHER, severity=Severity.PARTIAL),
    ]
    assert [code for code, group in ranked(*some) if group == "main"] == ["MD1", "MD0"]


def test_one_object_that_breaks_many_subjects_is_one_finding() -> None:
    some = [judgement("MD1", s, at="Kind/a/b") for s in (CART, PAY, OTHER)]
    result = rank(some, frozenset(), never)
    assert len(result) == 1
    assert isinstance(result[0], Ranked)
    assert [str(m.subject) for m in result[0].members] == ["shop/cart", "shop/pay", "web/front"]


def test_undecided_last_and_ruled_out_never() -> None:
    open_ = judgement("MD1", verdict=Verdict.UNDECIDED, strength=Strength.DERIVED)
    out = judgement("MD2", verdict=Verdict.RULED_OUT)
    assert ranked(open_, out, judgement("MD3")) == [("MD3", "main"), ("MD1", "undecided")]
    assert replace(open_, verdict=Verdict.CONFIRMED).missing == ()
