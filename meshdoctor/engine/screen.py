"""Do the cheap answers alone rule out every cause of a playbook?

On a whole mesh they nearly always do, and for the same few combinations of values; so what was
found of one combination is remembered. Only what conditions read belongs to a combination, and of
a text that they compare with the empty text alone, only whether it is empty.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from msgspec import Struct

from meshdoctor.engine.conditions import Condition
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import FactDeclaration, Ref, Scalar

MOST = 4096
Values = Sequence[Scalar | Unavailable]


class Asked(Struct, frozen=True, kw_only=True):
    """What a playbook's conditions read of one step: its facts' names, and where they stand
    among the step's values."""

    step: int
    exact: Mapping[str, int]
    blank: Mapping[str, int]
    pick_exact: Callable[[Values], Any]
    pick_blank: Callable[[Values], tuple[Any, ...]]

    def key(self, values: Values) -> object:
        """The part of the values that conditions can tell apart."""
        if not self.blank:
            return self.pick_exact(values)
        texts = tuple([v if v.__class__ is Unavailable else not v for v in self.pick_blank(values)])
        return (self.pick_exact(values), texts) if self.exact else texts

    def facts(self, values: Values) -> Iterable[tuple[str, Scalar]]:
        """The facts that are known, by name."""
        for name, at in (*self.exact.items(), *self.blank.items()):
            value = values[at]
            if not isinstance(value, Unavailable):
                yield name, value


class Screen:
    """Remembers of which combinations of values every condition is false."""

    def __init__(
        self,
        steps: Sequence[tuple[str, Sequence[FactDeclaration]]],
        conditions: Sequence[Condition],
    ) -> None:
        self._conditions = tuple(conditions)
        self._seen: dict[object, bool] = {}
        used = {name for one in conditions for name in one.uses}
        blank = {name for name in used if all(_only_blank(name, c.text) for c in conditions)}
        self._asked = tuple(
            asked
            for number, (step, declares) in enumerate(steps)
            if (asked := _asked(number, step, declares, used, blank)) is not None
        )

    def clears(self, answers: Sequence[Values]) -> bool:
        """Whether every condition is false for the values of each step; the facts of a step that
        gives none are unknown."""
        key = tuple([one.key(answers[one.step]) for one in self._asked])
        found = self._seen.get(key)
        if found is None:
            facts = dict(p for one in self._asked for p in one.facts(answers[one.step]))
            found = all(one.holds(facts) is False for one in self._conditions)
            if len(self._seen) < MOST:
                self._seen[key] = found
        return found


def _asked(
    number: int,
    step: str,
    declares: Sequence[FactDeclaration],
    used: set[str],
    blank: set[str],
) -> Asked | None:
    exact: dict[str, int] = {}
    empty: dict[str, int] = {}
    for at, fact in enumerate(declares):
        name = f"{step}.{fact.name}"
        if name in used:
            text = name in blank and fact.type in (str, Ref)
            (empty if text else exact)[name] = at
    if not exact and not empty:
        return None
    return Asked(
        step=number,
        exact=exact,
        blank=empty,
        pick_exact=itemgetter(*exact.values()) if exact else tuple,
        pick_blank=_tuple_of(list(empty.values())),
    )


def _tuple_of(places: list[int]) -> Callable[[Values], tuple[Any, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[at] for at in places)


def _only_blank(name: str, text: str) -> bool:
    """Whether a condition only asks if that text is empty."""
    uses = re.findall(rf"(?<![\w.']){re.escape(name)}\b(?!\.)", text)
    tests = re.findall(rf"(?<![\w.']){re.escape(name)}\b\s*[!=]=\s*(?:''|\"\")(?!['\"])", text)
    return len(uses) == len(tests) and text.count(name) == len(tests)
