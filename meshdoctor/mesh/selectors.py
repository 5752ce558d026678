"""Does a selector select these labels?

Mirrors Kubernetes' LabelSelectorAsSelector and Istio's workload selectors
(pilot/pkg/model/policyattachment.go, labels.Instance.SubsetOf; same in 1.18 to 1.32-dev).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Generic, TypeVar

from meshdoctor.model.istio import WorkloadSelector
from meshdoctor.model.kubernetes import LabelRequirement, LabelSelector
from meshdoctor.model.snapshot import selects

T = TypeVar("T")
Values = tuple[str | None, ...]


def workload_selected(selector: WorkloadSelector | None, labels: Mapping[str, str]) -> bool:
    """Absent, `{}` and empty matchLabels are one thing: every workload."""
    return selector is None or selects(selector.wanted, labels)


class ByLabels(Generic[T]):
    """Labelled things, in order, looked up for many selectors without a scan for each: they are
    sorted out once for each set of label keys that a selector asks for."""

    def __init__(self, things: Iterable[tuple[Mapping[str, str], T]]) -> None:
        self.things = tuple(things)
        self._by_keys: dict[tuple[str, ...], dict[Values, tuple[T, ...]]] = {}

    def selected(self, wanted: Mapping[str, str]) -> tuple[T, ...]:
        """Those that have all these labels: `selects`."""
        keys = tuple(wanted)
        found = self._by_keys.get(keys)
        if found is None:
            found = self._by_keys[keys] = self._sorted_out(keys)
        return found.get(tuple(wanted.values()), ())

    def _sorted_out(self, keys: tuple[str, ...]) -> dict[Values, tuple[T, ...]]:
        """Things that have all labels of these keys, by their values."""
        found: dict[Values, list[T]] = defaultdict(list)
        for labels, thing in self.things:
            values = tuple(map(labels.get, keys))
            if None not in values:
                found[values].append(thing)
        return {values: tuple(some) for values, some in found.items()}


class BySelector(Generic[T]):
    """Things with a selector, in order, looked up for many sets of labels.

    A selector that asks for labels is found by one of them; a thing that asks for none always is.
    """

    def __init__(self, things: Iterable[tuple[Mapping[str, str], T]]) -> None:
        self._always: list[tuple[int, T]] = []
        self._by_label: dict[tuple[str, str], list[tuple[int, T]]] = {}
        for place, (wanted, thing) in enumerate(things):
            some = self._always
            if wanted:
                some = self._by_label.setdefault(next(iter(wanted.items())), [])
            some.append((place, thing))

    def candidates(self, labels: Mapping[str, str]) -> list[T]:
        """Those that may select these labels: every other one does not. In their own order."""
        found = list(self._always)
        if self._by_label:
            for label in labels.items():
                found += self._by_label.get(label, ())
            found.sort(key=itemgetter(0))
        return [thing for _, thing in found]


def label_selected(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Kubernetes semantics: all matchLabels and all matchExpressions; empty selects everything.

    An operator we do not know selects nothing, as the API server would have refused it.
    """
    return selects(selector.match_labels, labels) and all(
        _requirement(one, labels) for one in selector.match_expressions
    )


def requirements_unmet(
    selector: LabelSelector, labels: Mapping[str, str]
) -> tuple[LabelRequirement, ...]:
    """What of a selector these labels do not meet; matchLabels as `In` with one value."""
    equal = (
        LabelRequirement(key=key, operator="In", values=(value,))
        for key, value in selector.match_labels.items()
    )
    found = (*equal, *selector.match_expressions)
    return tuple(one for one in found if not _requirement(one, labels))


def _requirement(one: LabelRequirement, labels: Mapping[str, str]) -> bool:
    match one.operator:
        case "In":
            return labels.get(one.key) in one.values
        case "NotIn":
            return labels.get(one.key) not in one.values
        case "Exists":
            return one.key in labels
        case "DoesNotExist":
            return one.key not in labels
        case _:
            return False
