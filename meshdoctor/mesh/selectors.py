"""Does a selector select these labels?

Mirrors Kubernetes' LabelSelectorAsSelector and Istio's workload selectors
(pilot/pkg/model/policyattachment.go, labels.Instance.SubsetOf; same in 1.18 to 1.32-dev).
"""

from collections.abc import Mapping

from meshdoctor.model.istio import WorkloadSelector
from meshdoctor.model.kubernetes import LabelRequirement, LabelSelector
from meshdoctor.model.snapshot import selects


def workload_selected(selector: WorkloadSelector | None, labels: Mapping[str, str]) -> bool:
    """Absent, `{}` and empty matchLabels are one thing: every workload."""
    return selector is None or selects(selector.wanted, labels)


def label_selected(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Kubernetes semantics: all matchLabels and all matchExpressions; empty selects everything.

    An operator we do not know selects nothing, as the API server would have refused it.
    """
    return selects(selector.match_labels, labels) and all(
        _requirement(one, labels) for one in selector.match_expressions
    )


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
