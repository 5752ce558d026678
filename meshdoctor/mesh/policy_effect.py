"""Does one PeerAuthentication do what it was written for?

Ways to have no effect: a selector that selects nothing, a selector in the root namespace, an older
policy of the same scope, a port rule under a key that is no workload port (mesh/
peer_authentication.py names the istiod functions).
"""

from collections.abc import Iterable
from difflib import SequenceMatcher

from msgspec import Struct

from meshdoctor.mesh import peer_authentication as pa
from meshdoctor.mesh.services import selected_pods, target_port
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.istio import PeerAuthentication
from meshdoctor.model.kubernetes import Service

ALIKE = 0.8


class DeadPort(Struct, frozen=True, kw_only=True):
    """A portLevelMtls key that no proxy looks at. `meant` is the workload port behind the
    Service port of that number, 0 when no Service has such a port."""

    key: int = 0
    mode: str = ""
    meant: int = 0
    service: Service | None = None
    in_force: str = ""


class Meant(Struct, frozen=True, kw_only=True):
    """The workload whose labels a selector misses by one misspelt value."""

    workload: WorkloadPods
    label: str
    has: str


class Effect(Struct, frozen=True, kw_only=True):
    """What becomes of one policy.

    `suffering` are the workloads that go without what it asks for, `in_force` the mode that the
    first of them really has: on the port behind a dead key, else on ports without a rule.
    """

    scope: str
    selected: tuple[WorkloadPods, ...]
    candidates: int
    older: PeerAuthentication | None
    dead: DeadPort
    meant: Meant | None
    suffering: tuple[WorkloadPods, ...]
    in_force: str


def effect(
    policy: PeerAuthentication,
    policies: pa.Policies,
    workloads: Iterable[WorkloadPods],
    services: Iterable[Service],
    root: str,
) -> Effect:
    """Judge one policy among those that matter to its namespace, against the workloads and
    services of that namespace."""
    local = tuple(workloads)
    chosen = tuple(w for w in local if pa.selected(policy, w.labels, root))
    dead = _dead_port(policy, policies, chosen, services)
    meant = None if chosen else meant_by(policy, local)
    suffering = (meant.workload,) if meant is not None else chosen
    if not dead.key:
        suffering = tuple(w for w in suffering if _source(policies, w) != policy.ref)
    mode = policies.effective(suffering[0].labels).mode if suffering else ""
    return Effect(
        scope=pa.scope_of(policy, root),
        selected=chosen,
        candidates=len(local),
        older=_older(policy, policies, chosen, root),
        dead=dead,
        meant=meant,
        suffering=suffering,
        in_force=dead.in_force or mode,
    )


def _source(policies: pa.Policies, workload: WorkloadPods) -> str:
    return policies.effective(workload.labels).source


def meant_by(policy: PeerAuthentication, workloads: Iterable[WorkloadPods]) -> Meant | None:
    """The one workload that has every label the selector asks for but one, and under that key a
    value that reads alike; None for none or for several."""
    wanted = policy.spec.selector.wanted if policy.spec.selector is not None else {}
    found = []
    for one in workloads:
        wrong = [key for key, value in wanted.items() if one.labels.get(key) != value]
        if len(wrong) == 1 and reads_alike(wanted[wrong[0]], one.labels.get(wrong[0], "")):
            found.append(Meant(workload=one, label=wrong[0], has=one.labels[wrong[0]]))
    return found[0] if len(found) == 1 else None


def reads_alike(one: str, other: str) -> bool:
    """Whether one text may be a slip of the other: case, a swapped or a wrong letter, an ending."""
    left, right = one.lower(), other.lower()
    if min(len(left), len(right)) < 2 or left == right:
        return bool(left) and left == right
    if left.startswith(right) or right.startswith(left) or sorted(left) == sorted(right):
        return True
    return SequenceMatcher(None, left, right).ratio() >= ALIKE


def _older(
    policy: PeerAuthentication,
    policies: pa.Policies,
    chosen: tuple[WorkloadPods, ...],
    root: str,
) -> PeerAuthentication | None:
    """The older policy that wins where this one was meant to; None when both say the same."""
    winner = pa.shadowed_by(policy, policies.oldest_first, root)
    if winner is None and pa.scope_of(policy, root) == pa.WORKLOAD:
        for workload in chosen:
            found = policies.workload(workload.labels)
            if found is not None and found.ref != policy.ref:
                winner = found
                break
    return winner if winner is not None and _says(winner) != _says(policy) else None


def _says(policy: PeerAuthentication) -> tuple[str, tuple[tuple[str, str], ...]]:
    ports = tuple(sorted((k, v.mode) for k, v in policy.spec.port_level_mtls.items()))
    return (policy.spec.mtls.mode, ports)


def listening(workloads: Iterable[WorkloadPods], services: Iterable[Service]) -> frozenset[int]:
    """Ports that pods of these workloads declare, or that Services send to them."""
    found: set[int] = set()
    for workload in workloads:
        containers = workload.pod.all_containers if workload.pod is not None else ()
        if not containers and workload.controller is not None:
            containers = workload.controller.spec.template.spec.containers
        found |= {p.container_port for c in containers for p in c.ports}
    for service, workload in _behind(services, workloads):
        found |= {target_port(p, workload.pod) for p in service.spec.ports}
    return frozenset(found - {0})


def _behind(
    services: Iterable[Service], workloads: Iterable[WorkloadPods]
) -> tuple[tuple[Service, WorkloadPods], ...]:
    known = tuple(workloads)
    return tuple(
        (service, workload)
        for service in services
        for workload in known
        if selected_pods(service, workload.pods)
    )


def _dead_port(
    policy: PeerAuthentication,
    policies: pa.Policies,
    chosen: tuple[WorkloadPods, ...],
    services: Iterable[Service],
) -> DeadPort:
    """The first key that is a Service's port and no workload port."""
    if not policy.spec.port_level_mtls:
        return DeadPort()
    offered = tuple(services)
    for key in pa.dead_ports(policy, listening(chosen, offered)):
        for service, workload in _behind(offered, chosen):
            port = next((p for p in service.spec.ports if p.port == key), None)
            if port is None:
                continue
            meant = target_port(port, workload.pod)
            ruling = policies.effective(workload.labels, meant)
            return DeadPort(
                key=key,
                mode=policy.spec.port_level_mtls[str(key)].mode,
                meant=meant,
                service=service,
                in_force=ruling.mode,
            )
    return DeadPort()
