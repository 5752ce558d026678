"""What does a security group of its own mean for a pod on EKS?

A pod that a SecurityGroupPolicy selects gets a branch interface. In the VPC CNI's strict mode (the
default) the kubelet reaches it over TCP only where aws-vpc-cni-init turns TCP early demux off
(amazon-vpc-cni-k8s README: POD_SECURITY_GROUP_ENFORCING_MODE, DISABLE_TCP_EARLY_DEMUX), and what
the pod sends to its own node leaves by the interface: the Pod Identity agent (169.254.170.23) and
NodeLocal DNSCache are not there (EKS best practices, security groups per pod). How many such pods
a node takes is its resource vpc.amazonaws.com/pod-eni.
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.vpc_cni import settings
from meshdoctor.model.kubernetes import Event, Workload
from meshdoctor.model.patterns import pattern

MODE = "POD_SECURITY_GROUP_ENFORCING_MODE"
DEMUX = "DISABLE_TCP_EARLY_DEMUX"
_TIMED_OUT = pattern(r"probe failed: .*(?:i/o timeout|deadline exceeded|Client\.Timeout)")
_IDENTITY = pattern(r"169\.254\.170\.23|fd00:ec2::23")
_FAILS = pattern(
    r"[Tt]imed? ?-?out|deadline exceeded|refused|unreachable|No route to host|[Ff]ailed|[Uu]nable"
)
_NO_ANSWER = pattern(
    r"lookup \S+(?: on \S+)?: .{0,200}(?:i/o timeout|deadline exceeded)|read udp \S+->\S+:53: i/o "
    r"timeout|EAI_AGAIN|Temporary failure in name resolution|communications error to \S+#53: timed"
    r"|connection timed out; no servers could be reached"
)
_NO_INTERFACE = pattern(r"Insufficient vpc\.amazonaws\.com/pod-eni")
_RECENT_LINES = 200


class Enforcement(Struct, frozen=True, kw_only=True):
    """`strict`: traffic of a branch interface leaves by it only; `reached`: the kubelet's TCP gets
    to the pod all the same."""

    strict: bool
    reached: bool


def enforcement(agent: Workload) -> Enforcement:
    """The settings of the DaemonSet aws-node."""
    env = settings(agent)
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


def no_interface(text: str) -> bool:
    """Whether the scheduler finds no node with a branch interface left for the pod."""
    return bool(_NO_INTERFACE.search(text))


def identity_failures(text: str) -> tuple[str, ...]:
    """The newest lines of an application's log in which it does not get to the Pod Identity agent.

    >>> identity_failures("Connect to 169.254.170.23:80 failed: connect timed out")
    ('Connect to 169.254.170.23:80 failed: connect timed out',)
    """
    heads = [line[:2000] for line in lines(text)][-_RECENT_LINES:]
    return tuple(clean(x) for x in heads if _IDENTITY.search(x) and _FAILS.search(x))


def names_unanswered(text: str) -> tuple[str, ...]:
    """The newest lines of a log in which no DNS server answers.

    >>> names_unanswered("dial tcp: lookup istiod.istio-system.svc: i/o timeout")
    ('dial tcp: lookup istiod.istio-system.svc: i/o timeout',)
    """
    heads = [line[:2000] for line in lines(text)][-_RECENT_LINES:]
    return tuple(clean(x) for x in heads if _NO_ANSWER.search(x))
