"""What stands between a pod whose proxy is not ready and istiod?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.control_path import Closed, closed, denies_unselected, dns_port
from meshdoctor.mesh.revisions import discovery_host
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, is_ready, owner_of
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import (
    Object,
    Pod,
    SecurityGroupPolicy,
    Service,
)
from meshdoctor.model.subjects import ProxySubject, SubjectKind, WorkloadSubject
from meshdoctor.ports import MissingError
from meshdoctor.probes.cluster_dns_reads import HOME, SERVICE, resolvers
from meshdoctor.probes.eks_reads import group_policy, vpc_cni
from meshdoctor.probes.reading import istiod_pods, namespace_labels, network_policies
from meshdoctor.probes.startup_reads import startups
from meshdoctor.probes.view import View, attempt, probe

READS = (
    "DaemonSet",
    "Namespace",
    "NetworkPolicy",
    "Pod",
    "SecurityGroupPolicy",
    "Service",
    "ServiceAccount",
)


class WayToIstiod(Struct, frozen=True, kw_only=True):
    """What is in the way, if anything that Kubernetes knows of is. Not looked for where the proxy
    is ready: it got there."""

    policy: Annotated[Fact[Ref], "the NetworkPolicy that drops it; empty: none"]
    group_policy: Annotated[
        Fact[Ref], "the SecurityGroupPolicy that gives the pod its own groups; empty: none"
    ]
    denier: Annotated[
        Fact[Ref],
        "aws-node, which in strict mode denies all to pods that no NetworkPolicy selects; empty: "
        "it does not",
    ]
    down: Annotated[Fact[Ref], "istiod's workload, where none of its pods is ready; empty: one is"]
    said: Annotated[Fact[str], "the same as the end of a sentence"]


@probe("proxy-way-to-istiod", subject=SubjectKind.PROXY, reads=READS)
def proxy_way_to_istiod(view: View, proxy: ProxySubject) -> WayToIstiod:
    """What stands between this proxy and istiod?"""
    pod = view.object("Pod", Pod, proxy.namespace, proxy.pod)
    if pod is None:
        raise MissingError(f"pod {proxy.namespace}/{proxy.pod}")
    return _way(view, pod)


@probe("workload-way-to-istiod", subject=SubjectKind.WORKLOAD, reads=(*READS, "Event"))
def workload_way_to_istiod(view: View, subject: WorkloadSubject) -> WayToIstiod:
    """What stands between the worst pod of this workload and istiod?"""
    return _way(view, startups(view, subject).worst.pod)


def _way(view: View, pod: Pod) -> WayToIstiod:
    status = pod.container_status(PROXY)
    if status is None or status.ready:
        nothing = Ref("")
        return WayToIstiod(
            policy=nothing, group_policy=nothing, denier=nothing, down=nothing, said=""
        )
    policy = attempt(lambda: _policy(view, pod))
    groups = attempt(lambda: group_policy(view, pod))
    denier = attempt(lambda: _denier(view, pod))
    down = attempt(lambda: _down(view))
    absent = attempt(lambda: _absent(view, pod))
    told = [
        policy.said if isinstance(policy, Closed) else "",
        _told(groups) if isinstance(groups, SecurityGroupPolicy) else "",
        _denied(denier) if isinstance(denier, str) else "",
        f"; no pod of {down} is ready" if isinstance(down, str) and down else "",
        f"; it is told to use {absent}, which does not exist"
        if isinstance(absent, str) and absent
        else "",
    ]
    return WayToIstiod(
        policy=Ref(_ref(policy.by.policy)) if isinstance(policy, Closed) else policy,
        group_policy=groups if isinstance(groups, Unavailable) else Ref(_ref(groups)),
        denier=denier if isinstance(denier, Unavailable) else Ref(denier),
        down=down if isinstance(down, Unavailable) else Ref(down),
        said=clean("".join(told), 400),
    )


def _ref(found: Object | None) -> str:
    return found.ref if found is not None else ""


def _down(view: View) -> str:
    """Empty too where no istiod runs in this cluster: a remote one may answer."""
    pods = istiod_pods(view)
    return "" if not pods or any(map(is_ready, pods)) else owner_of(pods[0]).ref


def _absent(view: View, pod: Pod) -> str:
    """istiod's Service that the proxy was told to use and that does not exist.

    A host that is no Service of this cluster's (a remote istiod) is not looked for.
    """
    name, _, rest = discovery_host(pod).partition(".")
    namespace, _, domain = rest.partition(".")
    if not name or domain.partition(".")[0] != "svc":
        return ""
    found = view.object("Service", Service, namespace, name)
    return "" if found is not None else f"Service/{namespace}/{name}"


def _denier(view: View, pod: Pod) -> str:
    agent = vpc_cni(view)
    if agent is None:
        return ""
    policies = network_policies(view, {pod.namespace})
    return agent.ref if denies_unselected(agent, policies, pod) else ""


def _denied(denier: str) -> str:
    mode = "enforces NetworkPolicies in strict mode, and none selects the pod: all is denied to it"
    return f"; {denier} {mode}" if denier else ""


def _policy(view: View, pod: Pod) -> Closed:
    policies = network_policies(view, {pod.namespace, view.istio_namespace})
    if not policies:
        return Closed()
    labels, known = namespace_labels(view), resolvers(view)
    port = dns_port(view.object("Service", Service, HOME, SERVICE), known[0] if known else None)
    return closed(policies, pod, istiod_pods(view), known, labels, port)


def _told(policy: SecurityGroupPolicy) -> str:
    groups = ", ".join(policy.spec.security_groups.group_ids)
    return f"; {policy.ref} gives the pod security groups of its own ({groups})"
