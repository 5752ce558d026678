"""Do NetworkPolicies let one pod reach a port of another, and which does not?

Kubernetes' semantics (networking.k8s.io/v1): a pod that any policy selects for a direction is
isolated in it, and then only what some rule of some policy allows passes. Judged on the port that
packets carry: 15008 between ztunnels, the pod's own port between sidecars (redirection to 15006
happens inside the pod).
"""

import ipaddress
from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.mesh.selectors import label_selected
from meshdoctor.model.kubernetes import (
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    Pod,
)

HBONE = 15008
INGRESS, EGRESS = "Ingress", "Egress"
Wire = tuple[int, str]
"""Port and protocol, as the packets carry them."""


class Blocked(Struct, frozen=True, kw_only=True):
    """The policy that isolates a pod and allows nothing of this; `policy` None: it passes."""

    policy: NetworkPolicy | None = None
    direction: str = ""

    def __bool__(self) -> bool:
        return self.policy is not None


def blocked(
    policies: Iterable[NetworkPolicy],
    source: Pod | None,
    target: Pod | None,
    port: int,
    namespaces: Mapping[str, Mapping[str, str]],
    *,
    protocol: str = "TCP",
) -> Blocked:
    """Whether a connection from `source` to `target` on `port` (as the packets carry it) is
    dropped. An unknown end (None) is judged only in the other's direction, by no peer rule.

    `namespaces` are the labels of namespaces by name.
    """
    known = sorted(policies, key=lambda p: (p.namespace, p.name))
    wire = (port, protocol)
    if source is not None:
        guilty = _isolating(known, source, EGRESS, target, wire, target, namespaces)
        if guilty is not None:
            return Blocked(policy=guilty, direction=EGRESS)
    if target is not None:
        guilty = _isolating(known, target, INGRESS, source, wire, target, namespaces)
        if guilty is not None:
            return Blocked(policy=guilty, direction=INGRESS)
    return Blocked()


def _isolating(
    policies: Iterable[NetworkPolicy],
    pod: Pod,
    direction: str,
    other: Pod | None,
    wire: Wire,
    server: Pod | None,
    namespaces: Mapping[str, Mapping[str, str]],
) -> NetworkPolicy | None:
    mine = [
        p
        for p in policies
        if p.namespace == pod.namespace
        and direction in _types(p)
        and label_selected(p.spec.pod_selector, pod.labels)
    ]
    for policy in mine:
        for peers, ports in _rules(policy, direction):
            if _port_allowed(ports, wire, server) and _peer_allowed(
                peers, other, policy.namespace, namespaces
            ):
                return None
    return mine[0] if mine else None


def _types(policy: NetworkPolicy) -> tuple[str, ...]:
    """policyTypes absent: Ingress always, Egress when there are egress rules."""
    if policy.spec.policy_types:
        return policy.spec.policy_types
    return (INGRESS, EGRESS) if policy.spec.egress else (INGRESS,)


Rule = tuple[tuple[NetworkPolicyPeer, ...], tuple[NetworkPolicyPort, ...]]


def _rules(policy: NetworkPolicy, direction: str) -> tuple[Rule, ...]:
    if direction == INGRESS:
        return tuple((r.from_, r.ports) for r in policy.spec.ingress)
    return tuple((r.to, r.ports) for r in policy.spec.egress)


def _port_allowed(ports: tuple[NetworkPolicyPort, ...], wire: Wire, server: Pod | None) -> bool:
    return not ports or any(_same_port(one, wire, server) for one in ports)


def _same_port(one: NetworkPolicyPort, wire: Wire, server: Pod | None) -> bool:
    port, protocol = wire
    if (one.protocol or "TCP") != protocol:
        return False
    if one.port is None:
        return True
    if isinstance(one.port, int):
        return one.port <= port <= (one.end_port or one.port)
    if server is None:
        return True
    return any(
        declared.name == one.port and declared.container_port == port
        for container in server.all_containers
        for declared in container.ports
    )


def _peer_allowed(
    peers: tuple[NetworkPolicyPeer, ...],
    other: Pod | None,
    home: str,
    namespaces: Mapping[str, Mapping[str, str]],
) -> bool:
    if not peers or other is None:
        return True
    return any(_is_peer(one, other, home, namespaces) for one in peers)


def _is_peer(
    one: NetworkPolicyPeer, other: Pod, home: str, namespaces: Mapping[str, Mapping[str, str]]
) -> bool:
    if one.ip_block is not None:
        return _in_block(other.status.pod_ip, one.ip_block.cidr, one.ip_block.except_)
    if one.namespace_selector is None:
        same = other.namespace == home
    else:
        labels = {"kubernetes.io/metadata.name": other.namespace}
        labels |= namespaces.get(other.namespace, {})
        same = label_selected(one.namespace_selector, labels)
    return same and (one.pod_selector is None or label_selected(one.pod_selector, other.labels))


def _in_block(address: str, cidr: str, but: tuple[str, ...]) -> bool:
    try:
        ip = ipaddress.ip_address(address)
        return ip in ipaddress.ip_network(cidr, strict=False) and not any(
            ip in ipaddress.ip_network(one, strict=False) for one in but
        )
    except ValueError:
        return False
