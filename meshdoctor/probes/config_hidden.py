"""Do the proxies that a VirtualService is for get it, and the subsets that it routes to?"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.hidden_parts import LostSubset, bound_pods, lost_subset, unseen_by
from meshdoctor.mesh.hosts import service_of
from meshdoctor.mesh.routes import delegate, destinations, gateway_keys, in_mesh
from meshdoctor.mesh.routes import hosts as route_hosts
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import DestinationRule, Gateway, VirtualService
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, attempt, probe


class ConfigHidden(Struct, frozen=True, kw_only=True):
    """Of a VirtualService; every other kind gives empty facts."""

    ref: Annotated[Fact[Ref], "the VirtualService; empty: nothing of it is hidden"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    gateway: Annotated[Fact[Ref], "a gateway workload that it is bound to and not exported to"]
    gateway_namespace: Annotated[Fact[str], "the namespace of that gateway"]
    subset: Annotated[Fact[str], "a subset that it routes to and a proxy of it does not get"]
    subset_host: Annotated[Fact[str], "the host of that subset"]
    subset_rule: Annotated[Fact[Ref], "the DestinationRule that has the subset"]
    subset_rule_name: Annotated[Fact[str], "its name"]
    subset_rule_namespace: Annotated[Fact[str], "its namespace"]
    instead: Annotated[Fact[Ref], "the DestinationRule that proxies there take; empty: none"]
    instead_said: Annotated[Fact[str], "the same in words"]
    proxies: Annotated[Fact[str], "the namespace of those proxies"]


_NONE = ConfigHidden(
    ref=Ref(""),
    name="",
    namespace="",
    gateway=Ref(""),
    gateway_namespace="",
    subset="",
    subset_host="",
    subset_rule=Ref(""),
    subset_rule_name="",
    subset_rule_namespace="",
    instead=Ref(""),
    instead_said="",
    proxies="",
)


@probe(
    "config-hidden",
    subject=SubjectKind.CONFIG,
    reads=(
        "ConfigMap",
        "DestinationRule",
        "Gateway",
        "Pod",
        "Service",
        "Telemetry",
        "VirtualService",
        "log",
    ),
    costly=True,
    kinds=("VirtualService",),
)
def config_hidden(view: View, config: ConfigSubject) -> ConfigHidden:
    """Do the proxies that it is for get it, and the subsets that it routes to?"""
    if config.config_kind != "VirtualService":
        return _NONE
    route = view.object("VirtualService", VirtualService, config.namespace, config.name)
    if route is None or delegate(route):
        return _NONE
    found = (view.object("Gateway", Gateway, *key) for key in gateway_keys(route))
    gateways = [gateway for gateway in found if gateway is not None]
    pods = shared.gateway_pods_known(view)
    unseen = unseen_by(route, gateways, pods, reading.mesh_config(view))
    facts = replace(_NONE, name=route.name, namespace=route.namespace)
    if unseen:
        return replace(
            facts,
            ref=Ref(route.ref),
            gateway=Ref(owner_of(unseen[0]).ref),
            gateway_namespace=unseen[0].namespace,
        )
    callers = _callers(view, route)
    lost = _lost(view, route, (*bound_pods(gateways, pods), *callers.failing))
    if lost is not None:
        return _with(facts, route, lost)
    if callers.missing is not None and _lost(view, route, callers.untold) is not None:
        return replace(facts, ref=Ref(route.ref), subset=callers.missing)
    return facts


def _lost(view: View, route: VirtualService, pods: Iterable[Pod]) -> LostSubset | None:
    rules = view.objects("DestinationRule", DestinationRule)
    root, mesh = reading.root_namespace(view), reading.mesh_config(view)
    of_each = (lost_subset(route, pod, rules, root, mesh) for pod in pods)
    return next((one for one in of_each if one is not None), None)


class _Callers(Struct, frozen=True, kw_only=True):
    """Pods with a sidecar: those whose calls of the route's hosts met a cluster that is not there,
    and those of which nobody knows, with the reason."""

    failing: tuple[Pod, ...] = ()
    untold: tuple[Pod, ...] = ()
    missing: Unavailable | None = None


def _callers(view: View, route: VirtualService) -> _Callers:
    if not in_mesh(route) or not any(d.subset for d in destinations(route)):
        return _Callers()
    names = {host.lower() for host in route_hosts(route)}
    addresses: set[str] = set()
    for own in filter(None, map(service_of, tuple(names))):
        service = view.object("Service", Service, *own)
        if service is not None:
            names |= {f"{own[1]}.{own[0]}", f"{own[1]}.{own[0]}.svc"}
            addresses |= {service.spec.cluster_ip, *service.spec.cluster_ips}
    wanted = ev.Target(hosts=frozenset(names), addresses=frozenset(addresses - {"", "None"}))
    logs = attempt(lambda: proxy_logs.of_callers(view))
    every = proxy_logs.callers(view)
    if isinstance(logs, Unavailable):
        return _Callers(untold=every, missing=logs)
    told = {one.pod.ref for one in logs.pods if one.log.lines}
    return _Callers(
        failing=tuple(
            one.pod
            for one in logs.pods
            if any("NC" in line.flags for line in ev.of_client(one.log, wanted))
        ),
        untold=tuple(pod for pod in every if pod.ref not in told),
        missing=logs.missing,
    )


def _with(facts: ConfigHidden, route: VirtualService, lost: LostSubset) -> ConfigHidden:
    instead = lost.instead
    return replace(
        facts,
        ref=Ref(route.ref),
        subset=clean(lost.subset, 63),
        subset_host=clean(lost.host, 253),
        subset_rule=Ref(lost.rule.ref),
        subset_rule_name=lost.rule.name,
        subset_rule_namespace=lost.rule.namespace,
        instead=Ref(instead.ref if instead is not None else ""),
        instead_said=f"take {instead.ref}" if instead is not None else "see no rule",
        proxies=lost.namespace,
    )
