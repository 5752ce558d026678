"""A probe that names the kinds it judges says the same of every other, and reads nothing."""

from collections import Counter

import pytest

from meshdoctor.engine.collect import Collector
from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.engine.group import Group
from meshdoctor.engine.playbook import Playbook, load_all
from meshdoctor.engine.tree import judge
from meshdoctor.model.subjects import ConfigSubject, Request, SubjectKind
from meshdoctor.probes.config_reading import CONFIG_KINDS
from meshdoctor.probes.registry import BY_NAME
from meshdoctor.probes.view import Probe
from tests.unit.world import FakeSource

CHOOSY = [one for one in BY_NAME.values() if one.kinds]


def test_there_are_such_probes() -> None:
    assert {one.subject for one in CHOOSY} == {SubjectKind.CONFIG}
    assert all(one.kinds < set(CONFIG_KINDS) for one in CHOOSY)


@pytest.mark.parametrize("probe", CHOOSY, ids=lambda one: one.name)
def test_other_kinds_are_none_of_its_concern(probe: Probe) -> None:
    said = set()
    for kind in CONFIG_KINDS:
        if kind not in probe.kinds:
            view = RecordingView(Evidence(FakeSource(""), Request(), None))
            said.add(probe.run(view, ConfigSubject(kind, "shop", "x")))
            assert not view.commands
    assert len(said) == 1


BOOKS = [book for book in load_all() if book.subject is SubjectKind.CONFIG]


@pytest.mark.parametrize("book", BOOKS, ids=lambda one: one.name)
def test_a_playbook_of_some_kinds_clears_every_other(book: Playbook) -> None:
    if not all(step.probe.kinds for step in book.steps):
        pytest.skip("it judges every kind")
    collector = Collector(Evidence(FakeSource(""), Request(), None), strict=True)
    others = set(CONFIG_KINDS).difference(*(step.probe.kinds for step in book.steps))
    assert others
    for kind in others:
        subject = ConfigSubject(kind, "shop", "x")
        assert collector.cleared(Group([book]), subject) == {book.name}
        assert judge(book, subject, collector.facts(book, subject), Counter(book.codes)) == []
