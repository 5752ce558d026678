"""Do the cheap answers alone rule out every cause of a playbook?

On a whole mesh they nearly always do, and for the same few combinations of values; so what was
found of one combination is remembered. Only what conditions can tell apart belongs to it: of a
text that they compare with the empty text alone, whether it is empty; of a number that they
compare with literal numbers alone, where it lies among those.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import itemgetter, or_
from typing import Any

from msgspec import Struct

from meshdoctor.engine.conditions import Condition
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import FactDeclaration, Ref, Scalar

MOST = 4096
Values = Sequence[Scalar | Unavailable]


class Use(Struct, frozen=True, kw_only=True):
    """How conditions use a fact: they only ask if it is empty (`blank`), only compare it with
    these numbers (`bounds`), or more than that (neither)."""

    blank: bool = False
    bounds: frozenset[int] | None = None

    def __or__(self, other: "Use") -> "Use":
        bounds = None
        if self.bounds is not None and other.bounds is not None:
            bounds = self.bounds | other.bounds
        return Use(blank=self.blank and other.blank, bounds=bounds)


Uses = Mapping[str, Use]
"""By `step.fact`."""


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
    of each; one that declares none here, or gives no values, has unknown facts."""

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

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of the steps whose facts the conditions read."""
        return tuple(number for number, _ in self._keys)

    def clears(self, answers: Sequence[Values]) -> bool:
        """Whether every condition is false for the values of each step."""
        key = tuple([key.of(v) if (v := answers[n]) else None for n, key in self._keys])
        found = self._seen.get(key)
        if found is None:
            facts = {
                name: value
                for values, names in zip(answers, self._names, strict=True)
                if values
                for at, name in names
                if not isinstance(value := values[at], Unavailable)
            }
            found = all(one.holds(facts) is False for one in self._conditions)
            if len(self._seen) < MOST:
                self._seen[key] = found
        return found


def uses_of(conditions: Iterable[Condition]) -> Uses:
    """How conditions use each fact that they name."""
    out: dict[str, Use] = {}
    for one in conditions:
        for name, use in _uses_in(one).items():
            out[name] = out[name] | use if name in out else use
    return out


_FACT = r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*"
_NAMED = re.compile(rf"(?<![\w.]){_FACT}\b")
_TEST = re.compile(
    rf"(?:^|[(&|?:])\s*(?P<name>{_FACT})\s*"
    r"(?:[!=]=\s*(?P<empty>''|\"\")|(?:[<>]=?|[!=]=)\s*(?P<number>\d+))(?=\s*(?:$|[)&|?:]))"
)
"""A comparison that stands by itself: no arithmetic reaches into it."""


def _uses_in(condition: Condition) -> dict[str, Use]:
    named = Counter(_NAMED.findall(condition.text))
    empty: Counter[str] = Counter()
    numbers: dict[str, list[int]] = {}
    for test in _TEST.finditer(condition.text):
        if test["empty"]:
            empty[test["name"]] += 1
        else:
            numbers.setdefault(test["name"], []).append(int(test["number"]))
    return {
        name: Use(
            blank=0 < named[name] == empty[name],
            bounds=frozenset(found) if 0 < named[name] == len(found) else None,
        )
        for name in condition.uses
        for found in [numbers.get(name, [])]
    }


def key_of(declares: Sequence[FactDeclaration], asked: Iterable[tuple[str, Uses]]) -> Key | None:
    """What conditions tell apart of a probe that steps of these names ask; None: nothing."""
    askers = list(asked)
    exact: list[int] = []
    blank: list[int] = []
    ranked: list[tuple[int, tuple[int, ...]]] = []
    for at, fact in enumerate(declares):
        found = [uses[name] for step, uses in askers if (name := f"{step}.{fact.name}") in uses]
        if not found:
            continue
        use = reduce(or_, found)
        if fact.type is int and use.bounds is not None:
            ranked.append((at, tuple(sorted(use.bounds))))
        elif fact.type in (str, Ref) and use.blank:
            blank.append(at)
        else:
            exact.append(at)
    if not exact and not blank and not ranked:
        return None
    pick = itemgetter(*exact) if exact else _nothing
    return Key(exact=pick, blank=tuple(blank), ranked=tuple(ranked))


def _nothing(values: Values) -> None:
    """No value is needed as it is."""


def _rank(value: Scalar | Unavailable, bounds: tuple[int, ...]) -> object:
    """Where a number that is not 0 lies: below, at or above each of the bounds."""
    if not isinstance(value, int):
        return value
    at = bisect_left(bounds, value)
    return 2 * at + (at < len(bounds) and bounds[at] == value)
