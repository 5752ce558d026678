"""Does one PeerAuthentication do what it was written for?

Ways to have no effect: a selector that selects nothing, a selector in the root namespace, an older
policy of the same scope, a port rule under a key that is no workload port (mesh/
peer_authentication.py names the istiod functions).
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh import peer_authentication as pa
from meshdoctor.mesh.services import selected_pods, target_port
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.istio import PeerAuthentication
from meshdoctor.model.kubernetes import Service


class DeadPort(Struct, frozen=True, kw_only=True):
    """A portLevelMtls key that no proxy looks at. `meant` is the workload port behind the
    Service port of that number, 0 when no Service has such a port."""

    key: int = 0
    mode: str = ""
    meant: int = 0
    service: Service | None = None
    in_force: str = ""


class Effect(Struct, frozen=True, kw_only=True):
    """What becomes of one policy."""

    scope: str
    selected: tuple[WorkloadPods, ...]
    candidates: int
    older: PeerAuthentication | None
    dead: DeadPort


def effect(
    policy: PeerAuthentication,
    policies: Iterable[PeerAuthentication],
    workloads: Iterable[WorkloadPods],
    services: Iterable[Service],
    root: str,
) -> Effect:
    """Judge one policy against the workloads and services of its namespace."""
    everyone = tuple(policies)
    local = tuple(w for w in workloads if w.subject.namespace == policy.namespace)
    chosen = tuple(w for w in local if pa.selected(policy, w.labels, root))
    return Effect(
        scope=pa.scope_of(policy, root),
        selected=chosen,
        candidates=len(local),
        older=_older(policy, everyone, chosen, root),
        dead=_dead_port(policy, everyone, chosen, services, root),
    )


def _older(
    policy: PeerAuthentication,
    policies: tuple[PeerAuthentication, ...],
    chosen: tuple[WorkloadPods, ...],
    root: str,
) -> PeerAuthentication | None:
    """The older policy that wins where this one was meant to; None when both say the same."""
    winner = pa.shadowed_by(policy, policies, root)
    if winner is None and pa.scope_of(policy, root) == pa.WORKLOAD:
        for workload in chosen:
            found = pa.scopes(policies, policy.namespace, workload.labels, root).workload
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
    policies: tuple[PeerAuthentication, ...],
    chosen: tuple[WorkloadPods, ...],
    services: Iterable[Service],
    root: str,
) -> DeadPort:
    """The first key that is a Service's port and no workload port."""
    offered = tuple(services)
    for key in pa.dead_ports(policy, listening(chosen, offered)):
        for service, workload in _behind(offered, chosen):
            port = next((p for p in service.spec.ports if p.port == key), None)
            if port is None:
                continue
            meant = target_port(port, workload.pod)
            ruling = pa.effective(policies, policy.namespace, workload.labels, root, meant)
            return DeadPort(
                key=key,
                mode=policy.spec.port_level_mtls[str(key)].mode,
                meant=meant,
                service=service,
                in_force=ruling.mode,
            )
    return DeadPort()
