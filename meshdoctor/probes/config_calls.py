"""How do calls end to the hosts that a route, a rule or a gateway is about, and who makes them?"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh import routes, rules
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.concerns import delegates
from meshdoctor.mesh.hosts import service_of
from meshdoctor.mesh.services import fqdn, host_matches
from meshdoctor.mesh.workloads import WorkloadPods, proxy_type
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import DestinationRule, Gateway, Route, VirtualService
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import ConfigSubject, ServiceSubject, SubjectKind
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe

READS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "DestinationRule",
    "GRPCRoute",
    "Gateway",
    "HTTPRoute",
    "Job",
    "Pod",
    "Service",
    "StatefulSet",
    "VirtualService",
)
ROUTES = ("HTTPRoute", "GRPCRoute")
FAULTS = frozenset({"FI", "DI"})
OURS = ("VirtualService", "DestinationRule", "Gateway", *ROUTES)


class ConfigReach(Struct, frozen=True, kw_only=True):
    """Whom a route, a DestinationRule or a Gateway is about; empty for other objects."""

    service: Annotated[Fact[Ref], "the first Service that its hosts mean; empty: none"]
    client: Annotated[Fact[str], "a workload with a sidecar, kind/name.namespace, its own first"]
    gateway: Annotated[Fact[str], "a gateway workload of the scope, kind/name.namespace"]
    gateway_ref: Annotated[Fact[Ref], "that gateway workload; empty: none"]


class ConfigCalls(Struct, frozen=True, kw_only=True):
    """What sidecars and gateways logged of calls to the object's hosts."""

    no_cluster: Annotated[Fact[int], "NC: the route's cluster does not exist", OBSERVED]
    no_route: Annotated[Fact[int], "NR route_not_found: no route takes the request", OBSERVED]
    no_endpoint: Annotated[Fact[int], "UH: the cluster has no healthy endpoint", OBSERVED]
    faults: Annotated[Fact[int], "FI or DI: requests failed or delayed on purpose", OBSERVED]
    spared: Annotated[Fact[int], "requests that no fault met", OBSERVED]


class ServiceCalls(Struct, frozen=True, kw_only=True):
    """What sidecars and gateways logged of calls to the service."""

    no_endpoint: Annotated[Fact[int], "UH: the cluster has no healthy endpoint", OBSERVED]


@probe("config-reach", subject=SubjectKind.CONFIG, reads=READS, kinds=OURS)
def config_reach(view: View, subject: ConfigSubject) -> ConfigReach:
    """Which service and which proxies is this object about?"""
    if not _is_ours(subject):
        return ConfigReach(service=Ref(""), client="", gateway="", gateway_ref=Ref(""))
    found = _services(view, _hosts(view, subject))
    homes = (subject.namespace, *(s.namespace for s in found))
    gateway = _proxy(view, "router", homes)
    return ConfigReach(
        service=Ref(found[0].ref if found else ""),
        client=_named(_proxy(view, "sidecar", homes)),
        gateway=_named(gateway),
        gateway_ref=Ref(gateway.subject.ref if gateway is not None else ""),
    )


@probe(
    "config-calls",
    subject=SubjectKind.CONFIG,
    reads=(*READS, "Telemetry", "log"),
    costly=True,
    kinds=OURS,
)
def config_calls(view: View, subject: ConfigSubject) -> ConfigCalls:
    """How do calls to the object's hosts end?"""
    if not _is_ours(subject):
        return ConfigCalls(no_cluster=0, no_route=0, no_endpoint=0, faults=0, spared=0)
    hosts = _hosts(view, subject)
    logs, lines = _lines(view, hosts, (*_services(view, hosts), *_covered(view, hosts)))
    if _at_gateways(view, subject):
        lines = tuple(dict.fromkeys((*lines, *_of_wildcards(view, logs, hosts))))
    return ConfigCalls(
        no_cluster=logs.seen(ev.count(lines, lambda line: "NC" in line.flags)),
        no_route=logs.seen(ev.count(lines, lambda line: line.details == "route_not_found")),
        no_endpoint=logs.seen(ev.count(lines, lambda line: "UH" in line.flags)),
        faults=logs.seen(ev.count(lines, lambda line: bool(line.flags & FAULTS))),
        spared=logs.seen(
            ev.count(lines, lambda line: bool(line.method) and not line.flags & FAULTS)
        ),
    )


@probe(
    "service-calls", subject=SubjectKind.SERVICE, reads=(*READS, "Telemetry", "log"), costly=True
)
def service_calls(view: View, subject: ServiceSubject) -> ServiceCalls:
    """How do calls to the service end?"""
    found = reading.service(view, subject)
    logs, lines = _lines(view, (), (found,) if found is not None else ())
    return ServiceCalls(no_endpoint=logs.seen(ev.count(lines, lambda line: "UH" in line.flags)))


def _is_ours(subject: ConfigSubject) -> bool:
    return subject.config_kind in OURS


def _hosts(view: View, subject: ConfigSubject) -> tuple[str, ...]:
    """The object's hosts as istiod reads them; none when it is gone."""
    space, name = subject.namespace, subject.name
    if subject.config_kind == "VirtualService":
        return tuple(host for one in _serving(view, space, name) for host in routes.hosts(one))
    if subject.config_kind == "DestinationRule":
        rule = view.object("DestinationRule", DestinationRule, space, name)
        return (rules.host(rule),) if rule is not None else ()
    if subject.config_kind in ROUTES:
        given = view.object(subject.config_kind, Route, space, name)
        return tuple(given.spec.hostnames) if given is not None else ()
    if subject.config_kind == "Gateway":
        gateway = view.object("Gateway", Gateway, space, name)
        served = gateway.spec.servers if gateway is not None else ()
        return tuple(host.rpartition("/")[2] for server in served for host in server.hosts)
    return ()


def _at_gateways(view: View, subject: ConfigSubject) -> bool:
    """Whether it is a VirtualService of gateways, where a wildcard takes every such host."""
    if subject.config_kind != "VirtualService":
        return False
    return any(routes.gateway_keys(one) for one in _serving(view, subject.namespace, subject.name))


def _serving(view: View, namespace: str, name: str) -> tuple[VirtualService, ...]:
    """The VirtualServices that take requests by its rules: itself, or, as it names no hosts, those
    that hand theirs to it."""
    route = view.object("VirtualService", VirtualService, namespace, name)
    if route is None or not routes.delegate(route):
        return (route,) if route is not None else ()
    return tuple(view.memo("who-delegates", _roots).get((namespace, name), ()))


def _roots(view: View) -> dict[tuple[str, str], list[VirtualService]]:
    """By namespace and name of a delegate, the VirtualServices that hand requests to it."""
    found: dict[tuple[str, str], list[VirtualService]] = defaultdict(list)
    for one in view.objects("VirtualService", VirtualService):
        for key in set(delegates(one)):
            found[key].append(one)
    return found


def _of_wildcards(view: View, logs: proxy_logs.ProxyLogs, hosts: Iterable[str]) -> Iterator[Line]:
    """Requests that gateways could not hand on, of hosts that a wildcard covers."""
    wide = [host for host in hosts if host.startswith("*")]
    for one in logs.pods if wide else ():
        if proxy_type(one.pod) != "router":
            continue
        for line in proxy_logs.asked(view, one.log):
            lost = line.method and not line.upstream_cluster
            if lost and any(host_matches(host, line.host) for host in wide):
                yield line


def _services(view: View, hosts: Iterable[str]) -> tuple[Service, ...]:
    named = [own for host in hosts if (own := service_of(host)) is not None]
    found = [view.object("Service", Service, *own) for own in named]
    return tuple(one for one in found if one is not None)


def _covered(view: View, hosts: Iterable[str]) -> tuple[Service, ...]:
    """Services whose full names a wildcard covers: callers use their short names."""
    wide = [host for host in hosts if host.startswith("*")]
    if not wide:
        return ()
    every = view.objects("Service", Service)
    return tuple(s for s in every if any(host_matches(host, fqdn(s)) for host in wide))


def _lines(
    view: View, hosts: Iterable[str], services: Iterable[Service]
) -> tuple[proxy_logs.ProxyLogs, tuple[Line, ...]]:
    """Callers' lines that mean one of these hosts or services, by cluster, name or address. Those
    of a service's own namespace may call it by its bare name."""
    names = {host.lower() for host in hosts}
    addresses: set[str] = set()
    bare: dict[str, set[str]] = defaultdict(set)
    for one in services:
        bare[one.namespace].add(one.name)
        short = f"{one.name}.{one.namespace}"
        names |= {short, f"{short}.svc"}
        addresses |= {ip for ip in (one.spec.cluster_ip, *one.spec.cluster_ips) if ip}
    led = frozenset(addresses - {"None"})
    logs = proxy_logs.of_callers(view)
    lines: list[Line] = []
    for caller in logs.pods:
        called = frozenset(names | bare[caller.pod.namespace])
        lines += ev.of_client(caller.log, ev.Target(hosts=called, addresses=led))
    return logs, tuple(lines)


def _proxy(view: View, kind: str, homes: tuple[str, ...]) -> WorkloadPods | None:
    """A workload with such a proxy, from the first of these namespaces that has one, else any."""
    first = view.memo("first-proxies", _first_proxies)
    return next((first[kind, place] for place in (*homes, "") if (kind, place) in first), None)


def _first_proxies(view: View) -> dict[tuple[str, str], WorkloadPods]:
    """The first workload of each kind of proxy, by namespace; under "" of all namespaces."""
    found: dict[tuple[str, str], WorkloadPods] = {}
    for one in reading.workloads(view).values():
        kind = one.proxy_type
        found.setdefault((kind, one.subject.namespace), one)
        found.setdefault((kind, ""), one)
    return found


def _named(workload: WorkloadPods | None) -> str:
    """As istioctl takes it."""
    return f"{workload.target}.{workload.subject.namespace}" if workload is not None else ""
