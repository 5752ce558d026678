"""What closes the way from a pod to istiod, when its agent cannot get there?

The agent asks the cluster's DNS (UDP) for istiod's name and then calls port 15012 of its pods, from
inside the pod: NetworkPolicies of both ends apply, to the ports of the pods that Services lead to.
On EKS a SecurityGroupPolicy takes a pod off its node's security groups and onto its own
(amazon-vpc-resource-controller-k8s webhooks/core/pod_webhook.go); that it was applied shows in the
pod's branch interface.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from meshdoctor.mesh.network_policy import EGRESS, Blocked, blocked
from meshdoctor.mesh.selectors import label_selected
from meshdoctor.mesh.services import port_of, target_port
from meshdoctor.mesh.vpc_cni import settings
from meshdoctor.model.kubernetes import NetworkPolicy, Pod, SecurityGroupPolicy, Service, Workload

XDS = 15012
DNS = 53
BRANCH_INTERFACE = "vpc.amazonaws.com/pod-eni"
POLICY_MODE = "NETWORK_POLICY_ENFORCING_MODE"
ENFORCES = "--enable-network-policy=true"


class Closed(Struct, frozen=True, kw_only=True):
    """The NetworkPolicy in the way, and to what; falsy: none is."""

    by: Blocked = Blocked()
    to: str = ""

    def __bool__(self) -> bool:
        return bool(self.by)

    @property
    def said(self) -> str:
        """The end of a sentence; empty when nothing is closed."""
        if self.by.policy is None:
            return ""
        verb = "lets the pod send nothing" if self.by.direction == EGRESS else "admits nothing"
        return f"; {self.by.policy.ref} {verb} to {self.to}"


def closed(
    policies: Iterable[NetworkPolicy],
    pod: Pod,
    istiods: Sequence[Pod],
    resolvers: Sequence[Pod],
    namespaces: Mapping[str, Mapping[str, str]],
    dns: int = DNS,
) -> Closed:
    """The NetworkPolicy that keeps `pod` from every istiod, or from every DNS server, whose pods
    listen on port `dns`; of ends that are not known only the pod's own side is judged."""
    known = tuple(policies)
    behind = "" if dns == DNS else f", behind port {DNS} of its Service"
    for ends, port, protocol, what in (
        (istiods or (None,), XDS, "TCP", "port 15012 of istiod"),
        (resolvers, dns, "UDP", f"DNS (UDP port {dns}{behind})"),
    ):
        found = [blocked(known, pod, one, port, namespaces, protocol=protocol) for one in ends]
        if found and all(found):
            return Closed(by=found[0], to=what)
    return Closed()


def dns_port(service: Service | None, resolver: Pod | None) -> int:
    """On which port the pods behind the cluster's DNS Service listen; 53 where it is not told."""
    port = None if service is None else port_of(service, DNS)
    return (target_port(port, resolver) if port is not None else 0) or DNS


def denies_unselected(agent: Workload, policies: Iterable[NetworkPolicy], pod: Pod) -> bool:
    """Whether the VPC CNI lets a pod send and receive nothing, for no NetworkPolicy selects it.

    Strict mode does so once NetworkPolicies are enforced at all (amazon-vpc-cni-k8s README:
    NETWORK_POLICY_ENFORCING_MODE; its node agent's flag).
    """
    spec = agent.spec.template.spec
    enforced = any(ENFORCES in (*c.args, *c.command) for c in spec.containers)
    if settings(agent).get(POLICY_MODE, "") != "strict" or not enforced:
        return False
    mine = (p for p in policies if p.namespace == pod.namespace)
    return not any(label_selected(p.spec.pod_selector, pod.labels) for p in mine)


def own_groups(
    policies: Iterable[SecurityGroupPolicy], pod: Pod, account: Mapping[str, str]
) -> SecurityGroupPolicy | None:
    """The SecurityGroupPolicy that selects the pod; `account` are the labels of its service
    account. None: none does."""
    known = sorted(policies, key=lambda p: p.name)
    return next((p for p in known if _selects(p, pod, account)), None)


def _selects(policy: SecurityGroupPolicy, pod: Pod, account: Mapping[str, str]) -> bool:
    spec = policy.spec
    pods, accounts = spec.pod_selector, spec.service_account_selector
    return (
        policy.namespace == pod.namespace
        and (pods is not None or accounts is not None)
        and (pods is None or label_selected(pods, pod.labels))
        and (accounts is None or label_selected(accounts, account))
    )
