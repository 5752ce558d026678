"""What rules a playbook out is remembered by what its conditions can tell apart."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshdoctor.engine.conditions import Environment
from meshdoctor.engine.playbook import Playbook, load_all
from meshdoctor.engine.screen import Screen
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import FactDeclaration, Ref, Scalar

GONE = Unavailable(reason=Reason.FORBIDDEN, what="kubectl get pods")
BOOKS = load_all()


def _screen(*conditions: str) -> Screen:
    declares = [
        FactDeclaration(name=name, type=type_, doc="", observed=False)
        for name, type_ in (("text", str), ("ref", Ref), ("n", int), ("on", bool), ("m", int))
    ]
    env = Environment({f"a.{d.name}": d.type for d in declares})
    return Screen([("a", declares)], [env.compile(text) for text in conditions])


@pytest.mark.parametrize(
    ("condition", "first", "second"),
    [
        ("a.text != ''", ("", "", 0, False, 0), ("x", "", 0, False, 0)),
        ("a.text != '' && a.ref == ''", ("x", "y", 0, False, 0), ("x", "", 0, False, 0)),
        ("a.text == 'x'", ("y", "", 0, False, 0), ("x", "", 0, False, 0)),
        ("a.text != '' && a.text != 'y'", ("y", "", 0, False, 0), ("x", "", 0, False, 0)),
        ("a.text.startsWith('x')", ("y", "", 0, False, 0), ("x", "", 0, False, 0)),
        ("'' != a.text && a.ref != a.text", ("x", "x", 0, False, 0), ("x", "y", 0, False, 0)),
        ("a.n > 0", ("", "", 0, False, 0), ("", "", 1, False, 0)),
        ("a.n >= 3 && a.n < 5", ("", "", 5, False, 0), ("", "", 3, False, 0)),
        ("a.n >= 3 && a.n < 5", ("", "", 2, False, 0), ("", "", 4, False, 0)),
        ("(a.n==7)", ("", "", 6, False, 0), ("", "", 7, False, 0)),
        ("a.n + a.m == 5", ("", "", 2, False, 1), ("", "", 2, False, 3)),
        ("a.m == 5 - a.n", ("", "", 2, False, 1), ("", "", 2, False, 3)),
        ("a.n > a.m", ("", "", 2, False, 2), ("", "", 2, False, 1)),
        ("a.n in [3, 4]", ("", "", 2, False, 0), ("", "", 3, False, 0)),
        ("a.ref + a.text == ''", ("x", "", 0, False, 0), ("", "", 0, False, 0)),
    ],
)
def test_values_that_a_condition_tells_apart_are_never_taken_for_each_other(
    condition: str, first: tuple[Scalar, ...], second: tuple[Scalar, ...]
) -> None:
    screen = _screen(condition)
    assert screen.clears([first]) is True
    assert screen.clears([second]) is False
    assert screen.clears([first]) is True


def test_a_fact_that_is_unavailable_is_no_text() -> None:
    screen = _screen("a.text == ''", "a.on")
    assert screen.clears([("x", "", 0, False, 0)]) is True
    assert screen.clears([(GONE, "", 0, False, 0)]) is False


def test_numbers_between_two_bounds_are_alike() -> None:
    screen = _screen("a.n > 60 && a.n < 86400 && a.on")
    assert all(screen.clears([("", "", number, False, 0)]) for number in range(61, 2000))
    assert len(screen._seen) == 1


def test_names_are_not_told_apart_where_only_their_presence_counts() -> None:
    screen = _screen("a.text == ''")
    for number in range(100):
        assert screen.clears([(f"pod-{number}", "", 0, False, 0)])
    assert len(screen._seen) == 1


def any_value(type_: type, rng: random.Random) -> Scalar | Unavailable:
    if rng.random() < 0.1:
        return GONE
    if type_ is bool:
        return rng.random() < 0.5
    if type_ is int:
        return rng.choice([0, 1, 2, 15020, 100_000])
    if type_ is datetime:
        return datetime(2026, 1, rng.randint(1, 28), tzinfo=UTC)
    if type_ is timedelta:
        return timedelta(hours=rng.randint(-30, 30))
    text = rng.choice(["", "", "STRICT", "istio", "x"])
    return Ref(text) if type_ is Ref else text


@pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.name)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_it_agrees_with_the_conditions_of_every_playbook(book: Playbook, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(6):
        answers = [
            () if s.probe.costly else tuple(any_value(d.type, rng) for d in s.probe.declares)
            for s in book.steps
        ]
        facts = {
            f"{step.name}.{fact.name}": value
            for step, values in zip(book.steps, answers, strict=True)
            if values
            for fact, value in zip(step.probe.declares, values, strict=True)
            if not isinstance(value, Unavailable)
        }
        expected = all(rule.whole.holds(facts) is False for rule in book.rules)
        assert book.screen.clears(answers) is expected
