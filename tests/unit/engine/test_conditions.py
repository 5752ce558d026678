"""Three-valued conditions: the dozen CEL semantics we rely on."""

from datetime import UTC, datetime, timedelta

import pytest

from meshdoctor.engine.conditions import ConditionError, Environment
from meshdoctor.model.facts import Ref, Scalar

ENV = Environment(
    {"a.x": bool, "a.n": int, "b.s": str, "b.ref": Ref, "t.at": datetime, "t.age": timedelta}
)


@pytest.mark.parametrize(
    ("text", "facts", "expected"),
    [
        ("a.x", {"a.x": True}, True),
        ("a.x", {}, None),
        ("!a.x", {}, None),
        ("a.x || b.s == 'q'", {"a.x": True}, True),
        ("b.s == 'q' || a.x", {"a.x": True}, True),
        ("b.s == 'q' && a.x", {"a.x": False}, False),
        ("a.x && b.s == 'q'", {"a.x": True}, None),
        ("b.s == 'q' || a.x", {"a.x": False}, None),
        ("a.n > 3 ? a.x : false", {"a.n": 2}, False),
        ("b.s in ['a', 'b']", {"b.s": "a"}, True),
        ("b.s.startsWith('q')", {"b.s": "quiet"}, True),
        ("b.ref == 'Pod/a/b'", {"b.ref": Ref("Pod/a/b")}, True),
        ("b.ref != ''", {"b.ref": Ref("")}, False),
        (
            "t.at < timestamp('2026-01-01T00:00:00Z') && t.age > duration('3s')",
            {"t.at": datetime(2025, 1, 1, tzinfo=UTC), "t.age": timedelta(seconds=4)},
            True,
        ),
    ],
)
def test_three_values(text: str, facts: dict[str, Scalar], expected: bool | None) -> None:
    condition = ENV.compile(text)
    assert condition.holds(facts) is expected
    assert condition.holds(facts) is expected, "the remembered result is the same"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a.z", "undeclared reference"),
        ("a.n == 'x'", "no matching overload"),
        ("a.n", "does not yield true or false"),
        ("a.x &&", "Syntax error"),
    ],
)
def test_a_typo_dies_at_compile_time(text: str, word: str) -> None:
    with pytest.raises(ConditionError, match=word):
        ENV.compile(text)


def test_an_error_that_is_no_missing_fact_is_a_broken_playbook() -> None:
    with pytest.raises(ConditionError, match="zero"):
        ENV.compile("1 / a.n == 1").holds({"a.n": 0})


def test_uses_names_facts_and_not_text_or_methods() -> None:
    text = "b.s.contains('a.x a.n') && a.n > 0"
    assert ENV.compile(text).uses == ("a.n",) or ENV.compile(text).uses == ("b.s", "a.n")
    assert "a.x" not in ENV.compile(text).uses


def test_a_method_call_still_uses_its_fact() -> None:
    assert ENV.compile("b.s.contains('q')").uses == ("b.s",)
    assert ENV.compile("b.s.contains('q')").holds({"b.s": "qq"}) is True
