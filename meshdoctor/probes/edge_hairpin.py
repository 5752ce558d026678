"""Does a client call a load balancer that may hand the call back to the client's own node?"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.aws_load_balancer import balancer, loops, timeouts
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import container_logs, reading
from meshdoctor.probes.eks_reads import balancer_names
from meshdoctor.probes.view import View, attempt, known, probe

PODS_READ = 8


class EdgeHairpin(Struct, frozen=True, kw_only=True):
    """Of a workload of the cluster that calls a Service with a network load balancer; else all
    empty."""

    service: Annotated[Fact[Ref], "the service; empty: it has no such load balancer"]
    service_name: Annotated[Fact[str], "its name"]
    service_namespace: Annotated[Fact[str], "its namespace"]
    client: Annotated[Fact[Ref], "the workload that calls"]
    looping: Annotated[Fact[int], "its pods whose own node, or themselves, are targets"]
    every_node: Annotated[Fact[bool], "every node is a target (externalTrafficPolicy Cluster)"]
    timed_out: Annotated[Fact[int], "in their logs: connections that timed out", OBSERVED]
    elsewhere: Annotated[Fact[int], "the same in such logs of other pods as can be read", OBSERVED]
    pod: Annotated[Fact[str], "one of the pods that time out; empty: none"]


_NONE = EdgeHairpin(
    service=Ref(""),
    service_name="",
    service_namespace="",
    client=Ref(""),
    looping=0,
    every_node=False,
    timed_out=0,
    elsewhere=0,
    pod="",
)


@probe(
    "edge-hairpin",
    subject=SubjectKind.EDGE,
    reads=(
        "DaemonSet",
        "Deployment",
        "Job",
        "Pod",
        "Service",
        "StatefulSet",
        "VirtualService",
        "log",
    ),
)
def edge_hairpin(view: View, edge: EdgeSubject) -> EdgeHairpin:
    """Does a client call a load balancer that may hand the call back to the client's own node?"""
    service = reading.edge_service(view, edge)
    found = balancer(service) if service is not None else None
    if edge.client is None or service is None or found is None:
        return _NONE
    clients = reading.workload(view, edge.client).pods
    servers = reading.pods_of_service(view, service)
    local = service.spec.external_traffic_policy == "Local"
    caught = [p for p in clients if loops(found, local, p, servers)]
    if not caught:
        return _NONE
    names = balancer_names(view, service)
    read = clients[-PODS_READ:]
    inside = attempt(lambda: _timeouts(view, [p for p in read if p in caught], names))
    others = attempt(lambda: _timeouts(view, [p for p in read if p not in caught], names))
    return EdgeHairpin(
        service=Ref(service.ref),
        service_name=service.name,
        service_namespace=service.namespace,
        client=Ref(edge.client.ref),
        looping=len(caught),
        every_node=not found.to_pods and not local,
        timed_out=attempt(lambda: len(known(inside))),
        elsewhere=0 if isinstance(others, Unavailable) else len(others),
        pod=attempt(lambda: next((pod.name for pod in known(inside)), "")),
    )


def _timeouts(view: View, pods: Iterable[Pod], names: frozenset[str]) -> list[Pod]:
    """For each connection that timed out the pod that says so."""
    found = container_logs.told(view, pods, lambda text: range(timeouts(text, names)))
    return [pod for pod, _ in found]
