"""Playbook tests are exhaustive, and mutation finds untested conditions."""

from pathlib import Path

import pytest

from meshdoctor.engine.playbook import PlaybookError
from meshdoctor.engine.selftest import cases, lint, mutate, run
from tests.unit.engine.sample import PLAYBOOK, TESTS, loaded


def test_the_sample_holds(tmp_path: Path) -> None:
    book = loaded(tmp_path)
    assert run(book) == []
    assert lint(book) == []
    assert list(mutate(book)) == []


def test_an_unexpected_cause_fails(tmp_path: Path) -> None:
    tests = TESTS.replace("  expect: [MD9002 observed]\n", "")
    failures = run(loaded(tmp_path, tests=tests))
    assert len(failures) == 1
    assert "MD9002 observed" in failures[0].problem
    assert failures[0].where.startswith("playbooks/sample/tests.yaml:")


def test_mutation_finds_an_untested_condition(tmp_path: Path) -> None:
    tests = TESTS.split("- case: an error without a restart")[0]
    survivors = [f.problem for f in mutate(loaded(tmp_path, tests=tests))]
    assert survivors == [] or all("no case notices" in s for s in survivors)
    thin = TESTS.split("- case: labelled but quiet")[0]
    assert any("MD9002" in f.problem for f in mutate(loaded(tmp_path, tests=thin)))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("cases:", "casez:", "unknown key"),
        ("restarts: 0,", "", "healthy does not say pod.restarts"),
        ("pod: {labelled: true}}\n", "pot: {labelled: true}}\n", "no step is named 'pot'"),
        ("pod: {labelled: true}}\n", "pod: {labeled: true}}\n", "no fact is named"),
        ("pod: {labelled: true}}\n", "pod: {labelled: 1}}\n", "is no bool"),
    ],
)
def test_broken_tests_are_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in TESTS
    with pytest.raises(PlaybookError, match=problem):
        cases(loaded(tmp_path, tests=TESTS.replace(old, new, 1)))


def test_a_playbook_without_tests_is_refused(tmp_path: Path) -> None:
    book = loaded(tmp_path)
    book.path.with_name("tests.yaml").unlink()
    with pytest.raises(PlaybookError, match="missing"):
        cases(book)


def test_lint_says_what_is_missing(tmp_path: Path) -> None:
    text = PLAYBOOK.replace("docs: https://example.com/", "docs: none", 1)
    text = text.replace("{pod.pod} logged {log.errors} errors.", "it logged", 1)
    text = text.replace("at_fault: [pod.pod]\n", "at_fault: []\n", 1)
    tests = TESTS.split("- case: complaining\n")[0]
    problems = " ".join(f.problem for f in lint(loaded(tmp_path, text, tests)))
    for word in ("https", "nothing real", "period", "no object", "no case confirms"):
        assert word in problems
