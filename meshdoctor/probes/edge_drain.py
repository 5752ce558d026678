"""Do a client's calls fail while the pods behind a load balancer are replaced?"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.aws_load_balancer import balancer
from meshdoctor.mesh.balancer_drain import (
    ALB_LAG_SECONDS,
    LAG_SECONDS,
    broken,
    replaced,
    soon_after,
    stays,
)
from meshdoctor.mesh.template_patch import proxy_config_patch, template_of
from meshdoctor.mesh.workloads import owner_of, proxy_type
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Event, Ingress, Pod
from meshdoctor.model.subjects import EdgeSubject, SubjectKind, WorkloadSubject
from meshdoctor.probes import container_logs, reading
from meshdoctor.probes.eks_reads import alb_ingress, balancer_names, target_group
from meshdoctor.probes.view import View, attempt, known, probe

PODS_READ = 8
UNTIL = "for up to 180 s"
UNTIL_ALB = "until its controller has taken it out of the target group"
DRAIN_SECONDS, GRACE_SECONDS = 240, 300
"""More than such a load balancer needs to leave a pod alone."""


class EdgeDrain(Struct, frozen=True, kw_only=True):
    """Of a workload of the cluster that calls gateways by their network or application load
    balancer; else all empty."""

    service: Annotated[Fact[Ref], "the service; empty: it has no such load balancer"]
    balancer: Annotated[Fact[str], "network, application or some load balancer"]
    front: Annotated[
        Fact[Ref], "the Ingress or TargetGroupBinding by which it leads here; else the service"
    ]
    until: Annotated[Fact[str], "for how long it may send to a pod that goes"]
    gateway: Annotated[Fact[Ref], "the workload behind it"]
    gateway_name: Annotated[Fact[str], "its name"]
    gateway_resource: Annotated[Fact[str], "what kubectl calls it"]
    namespace: Annotated[Fact[str], "their namespace"]
    client: Annotated[Fact[Ref], "the workload that calls"]
    stays_seconds: Annotated[Fact[int], "how long a pod of it serves once it is told to end"]
    short: Annotated[Fact[bool], "it ends before the load balancer leaves it alone"]
    broken: Annotated[Fact[int], "in the client's logs: connections that broke", OBSERVED]
    after: Annotated[Fact[int], "those soon after a pod of the gateway came or went", OBSERVED]
    last: Annotated[Fact[str], "when the last one broke"]
    patch: Annotated[
        Fact[str],
        "the merge patch with which it serves long enough; empty: its annotation is unfit",
    ]


_NONE = EdgeDrain(
    service=Ref(""),
    balancer="",
    front=Ref(""),
    until="",
    gateway=Ref(""),
    gateway_name="",
    gateway_resource="",
    namespace="",
    client=Ref(""),
    stays_seconds=0,
    short=False,
    broken=0,
    after=0,
    last="",
    patch="",
)


@probe(
    "edge-drain",
    subject=SubjectKind.EDGE,
    reads=(
        "DaemonSet",
        "Deployment",
        "Event",
        "Ingress",
        "Job",
        "Pod",
        "Service",
        "StatefulSet",
        "TargetGroupBinding",
        "VirtualService",
        "log",
    ),
)
def edge_drain(view: View, edge: EdgeSubject) -> EdgeDrain:
    """Do a client's calls fail while the pods behind a load balancer are replaced?"""
    service = reading.edge_service(view, edge)
    if edge.client is None or service is None:
        return _NONE
    found, ingress = balancer(service), alb_ingress(view, service)
    network = found is not None and found.network
    bound = target_group(view, service) if not network and ingress is None else None
    front = ingress or bound or (service if network else None)
    if front is None:
        return _NONE
    gateways = [p for p in reading.pods_of_service(view, service) if proxy_type(p) == "router"]
    if not gateways:
        return _NONE
    owner = owner_of(gateways[0])
    names = balancer_names(view, service) | _own_names(ingress)
    clients = reading.workload(view, edge.client).pods[-PODS_READ:]
    moments = attempt(lambda: _moments(view, clients, names, alb=not network))
    seconds = min(map(stays, gateways))

    def after() -> int:
        times = known(moments)
        events = view.objects("Event", Event, service.namespace) if times else ()
        return soon_after(times, replaced(gateways, events, owner.name))

    return EdgeDrain(
        service=Ref(service.ref),
        balancer=f"{'application ' if ingress else 'network ' if network else ''}load balancer",
        front=Ref(front.ref),
        until=UNTIL if network else UNTIL_ALB,
        gateway=Ref(owner.ref),
        gateway_name=owner.name,
        gateway_resource=owner.owner.lower(),
        namespace=service.namespace,
        client=Ref(edge.client.ref),
        stays_seconds=round(seconds),
        short=seconds < (LAG_SECONDS if network else ALB_LAG_SECONDS),
        broken=attempt(lambda: len(known(moments))),
        after=attempt(after),
        last=attempt(lambda: next((f"{at:%H:%M:%S}" for at in reversed(known(moments))), "")),
        patch=attempt(lambda: _patch(view, owner, gateways[0])),
    )


def _patch(view: View, owner: WorkloadSubject, pod: Pod) -> str:
    template = template_of(reading.workload(view, owner).controller, pod)
    return proxy_config_patch(
        template,
        f"terminationDrainDuration: {DRAIN_SECONDS}s",
        terminationGracePeriodSeconds=GRACE_SECONDS,
    )


def _own_names(ingress: Ingress | None) -> frozenset[str]:
    """The names that clients give an application load balancer."""
    if ingress is None:
        return frozenset()
    own = {one.hostname for one in ingress.status.load_balancer.ingress}
    return frozenset((own | {rule.host.removeprefix("*.") for rule in ingress.spec.rules}) - {""})


def _moments(
    view: View, clients: Iterable[Pod], names: frozenset[str], *, alb: bool
) -> list[datetime]:
    found = container_logs.told(view, clients, lambda text: broken(text, names, alb=alb))
    return sorted(at for _, at in found)
