"""Do the cheap answers alone rule out every cause of a playbook?

On a whole mesh they nearly always do, and for the same few combinations of values; so what was
found of one combination is remembered. Only what conditions can tell apart belongs to it: of a
text that they compare with the empty text alone, whether it is empty; of a number that they
compare with literal numbers alone, where it lies among those.
"""

import re
from bisect import bisect_left
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
    among the step's values. `ranked`: place and the numbers that conditions compare it with."""

    step: int
    facts: Mapping[str, int]
    exact: Callable[[Values], Any]
    blank: tuple[int, ...]
    ranked: tuple[tuple[int, tuple[int, ...]], ...]

    def key(self, values: Values) -> object:
        """The part of the values that conditions can tell apart."""
        if not self.blank and not self.ranked:
            return self.exact(values)
        texts = [
            value if (value := values[at]).__class__ is Unavailable else not value
            for at in self.blank
        ]
        numbers = [_rank(values[at], bounds) for at, bounds in self.ranked]
        return (self.exact(values), *texts, *numbers)

    def known(self, values: Values) -> Iterable[tuple[str, Scalar]]:
        """The facts that are known, by name."""
        for name, at in self.facts.items():
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
        texts: dict[str, list[str]] = {}
        for one in conditions:
            for name in one.uses:
                texts.setdefault(name, []).append(one.text)
        self._asked = tuple(
            asked
            for number, (step, declares) in enumerate(steps)
            if (asked := _asked(number, step, declares, texts)) is not None
        )

    def clears(self, answers: Sequence[Values]) -> bool:
        """Whether every condition is false for the values of each step; the facts of a step that
        gives none are unknown."""
        key = tuple([one.key(answers[one.step]) for one in self._asked])
        found = self._seen.get(key)
        if found is None:
            facts = dict(p for one in self._asked for p in one.known(answers[one.step]))
            found = all(one.holds(facts) is False for one in self._conditions)
            if len(self._seen) < MOST:
                self._seen[key] = found
        return found


def _asked(
    number: int, step: str, declares: Sequence[FactDeclaration], texts: Mapping[str, Sequence[str]]
) -> Asked | None:
    facts: dict[str, int] = {}
    exact: list[int] = []
    blank: list[int] = []
    ranked: list[tuple[int, tuple[int, ...]]] = []
    for at, fact in enumerate(declares):
        name = f"{step}.{fact.name}"
        if name not in texts:
            continue
        facts[name] = at
        bounds = compared_with(name, texts[name]) if fact.type is int else None
        if bounds is not None:
            ranked.append((at, bounds))
        elif fact.type in (str, Ref) and only_blank(name, texts[name]):
            blank.append(at)
        else:
            exact.append(at)
    if not facts:
        return None
    pick = itemgetter(*exact) if exact else _nothing
    return Asked(step=number, facts=facts, exact=pick, blank=tuple(blank), ranked=tuple(ranked))


def _nothing(values: Values) -> None:
    """No value is needed as it is."""


def _rank(value: Scalar | Unavailable, bounds: tuple[int, ...]) -> object:
    """Where a number lies: below, at or above each of the bounds."""
    if not isinstance(value, int):
        return value
    at = bisect_left(bounds, value)
    return 2 * at + (at < len(bounds) and bounds[at] == value)


_BEFORE, _AFTER = r"(?:^|[(&|?:])\s*", r"(?=\s*(?:$|[)&|?:]))"
"""A comparison that stands by itself: no arithmetic reaches into it."""


def only_blank(name: str, texts: Iterable[str]) -> bool:
    """Whether conditions only ask if that text is empty."""
    return _compared(name, texts, r"[!=]=\s*(''|\"\")") is not None


def compared_with(name: str, texts: Iterable[str]) -> tuple[int, ...] | None:
    """The numbers that conditions compare that number with; None: they ask for more."""
    found = _compared(name, texts, r"(?:[<>]=?|[!=]=)\s*(\d+)")
    return tuple(sorted(set(map(int, found)))) if found is not None else None


def _compared(name: str, texts: Iterable[str], test: str) -> list[str] | None:
    """What conditions compare the fact with in that way; None when they use it otherwise too."""
    use = rf"(?<![\w.]){re.escape(name)}\b"
    out: list[str] = []
    for text in texts:
        found = re.findall(rf"{_BEFORE}{use}\s*{test}{_AFTER}", text)
        if len(found) != len(re.findall(use, text)):
            return None
        out += found
    return out
