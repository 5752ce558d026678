"""What does a security group of its own mean for a pod's health checks on EKS?

A pod that a SecurityGroupPolicy selects gets a branch interface. In the VPC CNI's strict mode (the
default) the kubelet reaches it over TCP only where aws-vpc-cni-init turns TCP early demux off
(amazon-vpc-cni-k8s README: POD_SECURITY_GROUP_ENFORCING_MODE, DISABLE_TCP_EARLY_DEMUX).
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.model.kubernetes import Event, Workload
from meshdoctor.model.patterns import pattern

MODE = "POD_SECURITY_GROUP_ENFORCING_MODE"
DEMUX = "DISABLE_TCP_EARLY_DEMUX"
_TIMED_OUT = pattern(r"probe failed: .*(?:i/o timeout|deadline exceeded|Client\.Timeout)")


class Enforcement(Struct, frozen=True, kw_only=True):
    """`strict`: traffic of a branch interface leaves by it only; `reached`: the kubelet's TCP gets
    to the pod all the same."""

    strict: bool
    reached: bool


def enforcement(agent: Workload) -> Enforcement:
    """The settings of the DaemonSet aws-node."""
    spec = agent.spec.template.spec
    env = {e.name: e.value for c in (*spec.init_containers, *spec.containers) for e in c.env}
    strict = env.get(MODE, "strict") != "standard"
    return Enforcement(strict=strict, reached=not strict or env.get(DEMUX, "") == "true")


def probe_timeouts(events: Iterable[Event], pod: str) -> tuple[int, str]:
    """(how many health checks of a pod timed out, the newest event's text)."""
    mine = [
        e
        for e in events
        if e.involved_object.kind == "Pod"
        and e.involved_object.name == pod
        and e.reason == "Unhealthy"
        and _TIMED_OUT.search(e.message)
    ]
    mine.sort(key=lambda e: str(e.last_seen))
    return sum(max(e.count, 1) for e in mine), mine[-1].message if mine else ""
