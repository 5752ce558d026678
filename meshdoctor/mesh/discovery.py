"""Which namespaces does istiod see?

Mirrors pkg/kube/namespace/filter.go (1.18 to 1.32-dev): without discoverySelectors all; else
those whose labels match any of them. There is no exception for the root namespace. Since 1.22
Istio's own objects are left out too, not only services, endpoints and pods (trap T44).
"""

from collections.abc import Mapping

from meshdoctor.mesh.selectors import label_selected
from meshdoctor.model.istio import MeshConfig


def discovered(mesh: MeshConfig, labels: Mapping[str, str]) -> bool:
    """Whether a namespace with these labels is seen."""
    selectors = mesh.discovery_selectors
    return not selectors or any(label_selected(one, labels) for one in selectors)


def wanted_label(mesh: MeshConfig) -> str:
    """A `key=value` that makes a namespace discovered; "" when no selector is that simple."""
    for selector in mesh.discovery_selectors:
        if len(selector.match_labels) == 1 and not selector.match_expressions:
            ((key, value),) = selector.match_labels.items()
            return f"{key}={value}"
        if not selector.match_labels and len(selector.match_expressions) == 1:
            one = selector.match_expressions[0]
            if one.operator == "In" and one.values:
                return f"{one.key}={one.values[0]}"
            if one.operator == "Exists":
                return f"{one.key}=enabled"
    return ""
