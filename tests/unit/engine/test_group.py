"""Playbooks asked together find what each finds by itself."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshdoctor.engine.group import Group
from meshdoctor.engine.playbook import Step, load_all
from meshdoctor.engine.screen import Values
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Scalar
from meshdoctor.model.subjects import SubjectKind
from meshdoctor.probes.config_reading import CONFIG_KINDS
from tests.unit.engine.test_screen import any_value

GROUPS = {
    kind: group
    for kind in SubjectKind
    if (group := Group([book for book in load_all() if book.subject is kind])).books
}


@pytest.mark.parametrize("kind", GROUPS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_playbook_is_cleared_exactly_when_its_conditions_are_false(
    kind: SubjectKind, seed: int
) -> None:
    rng = random.Random(seed)
    group = GROUPS[kind]
    about = rng.choice(CONFIG_KINDS) if kind is SubjectKind.CONFIG else ""
    answers = [
        tuple(any_value(d.type, one) for d in s.probe.declares)
        for s in group.steps
        for one in [rng if s.probe.concerns(about) else random.Random(s.probe.name)]
    ]
    said = {(s.probe.name, s.on): a for s, a in zip(group.steps, answers, strict=True)}
    cleared = group.cleared(lambda step: said[step.probe.name, step.on], about)
    for book in group.books:
        facts = {
            f"{step.name}.{fact.name}": value
            for step in book.steps
            if not step.probe.costly
            for fact, value in zip(step.probe.declares, said[step.probe.name, step.on], strict=True)
            if not isinstance(value, Unavailable)
        }
        expected = all(rule.whole.holds(facts) is False for rule in book.rules)
        assert (book.name in cleared) is expected


def test_a_probe_is_asked_once_for_all_playbooks() -> None:
    for group in GROUPS.values():
        asked = [(step.probe.name, step.on) for step in group.steps]
        assert len(asked) == len(set(asked))
        assert not any(step.probe.costly for step in group.steps)


def test_no_probe_is_asked_once_every_playbook_is_cleared() -> None:
    group = GROUPS[SubjectKind.WORKLOAD]
    asked: list[str] = []

    def ask(step: Step) -> Values:
        asked.append(step.probe.name)
        return tuple(healthy(d.type) for d in step.probe.declares)

    for _ in range(2):
        asked.clear()
        assert group.cleared(ask) == {book.name for book in group.books}
        assert len(asked) == len(set(asked)) < len(group.steps)


def healthy(type_: type) -> Scalar:
    """False, 0 and the empty text: what most facts say of a workload that is well."""
    if type_ is datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)
    return timedelta(0) if type_ is timedelta else type_()
