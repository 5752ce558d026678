"""Which of several Sidecars is in force?

Mirrors pilot/pkg/model/push_context.go getSidecarScope (1.18 to 1.32-dev): one Sidecar per proxy;
a matching workloadSelector beats a namespace-wide one, which beats the root namespace's; within
a level the oldest wins (trap T14).
"""

from collections.abc import Iterable, Mapping

from meshdoctor.mesh.hosts import age_key
from meshdoctor.model.istio import Sidecar
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.snapshot import selects


def selectorless(sidecar: Sidecar) -> bool:
    """Whether it is the default of its namespace."""
    selector = sidecar.spec.workload_selector
    return selector is None or not selector.wanted


def loses_to(
    sidecar: Sidecar, others: Iterable[Sidecar], labels: Iterable[Mapping[str, str]]
) -> Sidecar | None:
    """The older Sidecar of the same level that takes this one's place; `labels` are those of the
    namespace's workloads. None when it has no rival."""
    rivals = [
        o
        for o in others
        if o.namespace == sidecar.namespace
        and o.name != sidecar.name
        and (age_key(o), o.name) < (age_key(sidecar), sidecar.name)
        and selectorless(o) == selectorless(sidecar)
    ]
    if not selectorless(sidecar):
        known = list(labels)
        rivals = [o for o in rivals if any(_both(sidecar, o, one) for one in known)]
    return min(rivals, key=lambda o: (age_key(o), o.name), default=None)


def _both(one: Sidecar, other: Sidecar, labels: Mapping[str, str]) -> bool:
    selectors = (one.spec.workload_selector, other.spec.workload_selector)
    return all(s is not None and selects(s.wanted, labels) for s in selectors)


def astray(sidecar: Sidecar, port: int, pod: Pod) -> str:
    """The defaultEndpoint of the ingress listener for a port of the pod, when it leads to a port
    that no container declares, while one declares the port itself; "": it does not, or nobody can
    tell (listener_inbound.go getFilterChainsByServicePort, 1.13 to 1.32-dev)."""
    declared = {p.container_port for c in pod.spec.containers for p in c.ports}
    for one in sidecar.spec.ingress:
        number = one.default_endpoint.rpartition(":")[2]
        if one.port.number != port or not number.isdigit():
            continue
        if port in declared and int(number) not in declared:
            return one.default_endpoint
    return ""
