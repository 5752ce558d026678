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
Uses = Mapping[str, Sequence[str]]
"""`step.fact` -> the conditions that name it."""


class Key(Struct, frozen=True, kw_only=True):
    """The part of a probe's values that conditions can tell apart, by their places: those taken
    as they are, texts that are empty or not, numbers that lie among bounds."""

    exact: Callable[[Values], Any]
    blank: tuple[int, ...]
    ranked: tuple[tuple[int, tuple[int, ...]], ...]

    def of(self, values: Values) -> object:
        if not self.blank and not self.ranked:
            return self.exact(values)
        texts = [
            value if (value := values[at]).__class__ is Unavailable else not value
            for at in self.blank
        ]
        numbers = [
            bounds if (number := values[at]) == 0 else _rank(number, bounds)
            for at, bounds in self.ranked
        ]
        return (self.exact(values), *texts, *numbers)


class Screen:
    """Remembers of which combinations of values every condition is false. `steps`: name and facts
    of each; one that declares none here has unknown facts."""

    def __init__(
        self,
        steps: Sequence[tuple[str, Sequence[FactDeclaration]]],
        conditions: Sequence[Condition],
    ) -> None:
        self.uses = uses_of(conditions)
        self._conditions = tuple(conditions)
        self._seen: dict[object, bool] = {}
        self._names = [
            [(at, n) for at, d in enumerate(facts) if (n := f"{step}.{d.name}") in self.uses]
            for step, facts in steps
        ]
        keys = [key_of(declares, [(step, self.uses)]) for step, declares in steps]
        self._keys = [(number, key) for number, key in enumerate(keys) if key is not None]

    def clears(self, answers: Sequence[Values]) -> bool:
        """Whether every condition is false for the values of each step."""
        key = tuple([key.of(answers[number]) for number, key in self._keys])
        found = self._seen.get(key)
        if found is None:
            facts = {
                name: value
                for values, names in zip(answers, self._names, strict=True)
                for at, name in names
                if not isinstance(value := values[at], Unavailable)
            }
            found = all(one.holds(facts) is False for one in self._conditions)
            if len(self._seen) < MOST:
                self._seen[key] = found
        return found


def uses_of(conditions: Iterable[Condition]) -> Uses:
    """The facts that conditions name."""
    out: dict[str, list[str]] = {}
    for one in conditions:
        for name in one.uses:
            out.setdefault(name, []).append(one.text)
    return out


def key_of(declares: Sequence[FactDeclaration], asked: Iterable[tuple[str, Uses]]) -> Key | None:
    """What conditions tell apart of a probe that steps of these names ask; None: nothing."""
    askers = list(asked)
    exact: list[int] = []
    blank: list[int] = []
    ranked: list[tuple[int, tuple[int, ...]]] = []
    for at, fact in enumerate(declares):
        named = [(f"{step}.{fact.name}", uses) for step, uses in askers]
        wanted = [(name, uses[name]) for name, uses in named if name in uses]
        if not wanted:
            continue
        bounds = _bounds(wanted) if fact.type is int else None
        if bounds is not None:
            ranked.append((at, bounds))
        elif fact.type in (str, Ref) and all(only_blank(n, texts) for n, texts in wanted):
            blank.append(at)
        else:
            exact.append(at)
    if not exact and not blank and not ranked:
        return None
    pick = itemgetter(*exact) if exact else _nothing
    return Key(exact=pick, blank=tuple(blank), ranked=tuple(ranked))


def _bounds(wanted: Iterable[tuple[str, Sequence[str]]]) -> tuple[int, ...] | None:
    out: set[int] = set()
    for name, texts in wanted:
        found = compared_with(name, texts)
        if found is None:
            return None
        out.update(found)
    return tuple(sorted(out))


def _nothing(values: Values) -> None:
    """No value is needed as it is."""


def _rank(value: Scalar | Unavailable, bounds: tuple[int, ...]) -> object:
    """Where a number that is not 0 lies: below, at or above each of the bounds."""
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
