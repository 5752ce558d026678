"""Do the client's calls reach endpoints that exist, and which may it use?"""

from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence, proxy_endpoints
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.changes import last_change
from meshdoctor.mesh.dead_calls import dead_calls, is_private_ip, older_than
from meshdoctor.mesh.edge_target import target
from meshdoctor.mesh.endpoints import Addresses, addresses
from meshdoctor.mesh.routes import destinations, hosts, of_sidecars
from meshdoctor.mesh.services import fqdn, host_matches, resolve_short_name
from meshdoctor.mesh.text import clean, pairs
from meshdoctor.mesh.workloads import has_proxy, proxy_runs, proxy_type
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import DestinationRule, ServiceEntry, VirtualService, WorkloadEntry
from meshdoctor.model.kubernetes import EndpointSlice, Pod, Service
from meshdoctor.model.snapshot import selects
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import NotAskedError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, attempt, known, probe


class EdgeEndpoints(Struct, frozen=True, kw_only=True):
    """The client's failed connections and its own endpoint table against the EndpointSlices."""

    dead_calls: Annotated[Fact[int], "UF to addresses in no EndpointSlice of the service", OBSERVED]
    dead_address: Annotated[Fact[str], "the address called most of them", OBSERVED]
    dead_seconds: Annotated[Fact[int], "seconds between the first and the last such call", OBSERVED]
    terminating: Annotated[Fact[bool], "that address is of a pod that is being deleted"]
    ejected: Annotated[Fact[int], "endpoints that the client's proxy ejected (FAILED)", OBSERVED]
    held: Annotated[Fact[int], "endpoints that the client's proxy holds", OBSERVED]
    extra: Annotated[Fact[str], "an endpoint it holds that is in no EndpointSlice", OBSERVED]
    lacks: Annotated[Fact[int], "ready addresses that it does not hold", OBSERVED]
    old_streams: Annotated[
        Fact[int],
        "connections begun before the last change of a route or rule and still used, in the logs "
        "that could be read",
    ]
    changed: Annotated[Fact[Ref], "that route or rule; empty: none"]
    unknown_ip: Annotated[
        Fact[bool], "the client calls a private address that no pod and no service of the scope has"
    ]
    dns_entry: Annotated[
        Fact[Ref], "the ServiceEntry of the host called that Envoy resolves by DNS; empty: none"
    ]
    bare_entry: Annotated[
        Fact[Ref],
        "the ServiceEntry of that host with resolution NONE, where a gateway calls; empty: none",
    ]
    empty_entry: Annotated[
        Fact[Ref], "the only ServiceEntry of that host, which gives it no endpoint; empty: none"
    ]
    empty_said: Annotated[Fact[str], "why, in words"]
    two_ways: Annotated[
        Fact[Ref], "a ServiceEntry whose host and port another one resolves otherwise; empty: none"
    ]
    other_way: Annotated[Fact[Ref], "that other one, of the same namespace"]
    ways_said: Annotated[Fact[str], "how each of them resolves it, in words"]
    client: Annotated[Fact[Ref], "the workload whose proxy that is"]
    client_pod: Annotated[Fact[str], "the client pod asked"]


@probe(
    "edge-endpoints",
    subject=SubjectKind.EDGE,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "DestinationRule",
        "EndpointSlice",
        "Job",
        "Pod",
        "Service",
        "ServiceEntry",
        "StatefulSet",
        "Telemetry",
        "VirtualService",
        "WorkloadEntry",
        "log",
        "proxy-config",
    ),
    costly=True,
)
def edge_endpoints(view: View, edge: EdgeSubject) -> EdgeEndpoints:
    """Do the client's calls reach endpoints that exist, and which may it use?"""
    pod = _client_pod(view, edge)
    service = reading.edge_service(view, edge)
    slices = attempt(lambda: _slices(view, service))
    lines = attempt(lambda: _lines(view, edge, service))
    held = attempt(lambda: _held(view, pod, service, edge.port))
    change = attempt(lambda: _change(view, service))
    empty = attempt(lambda: _empty_entry(view, edge))
    ways = attempt(lambda: _two_ways(view, edge))
    theirs = attempt(lambda: service is None or _taken_over(view, edge, service))
    dead = attempt(lambda: dead_calls(() if known(theirs) else known(lines), known(slices).all))
    return EdgeEndpoints(
        dead_calls=attempt(lambda: known(dead).count),
        dead_address=attempt(lambda: clean(known(dead).address, 60)),
        dead_seconds=attempt(lambda: int(known(dead).span.total_seconds())),
        terminating=attempt(lambda: _terminating(view, service, known(dead).address)),
        ejected=attempt(lambda: sum(e.ejected for e in known(held))),
        held=attempt(lambda: len(known(held))),
        extra=attempt(lambda: "" if known(theirs) else _extra(known(held), known(slices))),
        lacks=attempt(lambda: 0 if known(theirs) else _lacks(known(held), known(slices))),
        old_streams=0
        if isinstance(lines, Unavailable)
        else attempt(lambda: older_than(known(lines), known(change)[0])),
        changed=attempt(lambda: Ref(known(change)[1])),
        unknown_ip=attempt(lambda: _unknown_ip(view, edge)),
        dns_entry=attempt(lambda: _dns_entry(view, edge)),
        bare_entry=attempt(lambda: _bare_entry(view, edge, pod)),
        empty_entry=attempt(lambda: Ref(known(empty)[0])),
        empty_said=attempt(lambda: known(empty)[1]),
        two_ways=attempt(lambda: Ref(known(ways)[0])),
        other_way=attempt(lambda: Ref(known(ways)[1])),
        ways_said=attempt(lambda: known(ways)[2]),
        client=Ref(edge.client.ref if edge.client is not None else ""),
        client_pod=pod.name if pod is not None else "",
    )


def _client_pod(view: View, edge: EdgeSubject) -> Pod | None:
    if edge.client is None:
        return None
    pods = reading.workload(view, edge.client).pods
    proxied = [p for p in reversed(pods) if has_proxy(p)]
    return next((p for p in proxied if proxy_runs(p)), next(iter(proxied), None))


def _slices(view: View, service: Service | None) -> Addresses:
    if service is None:
        return Addresses(ready=frozenset(), not_ready=frozenset())
    return addresses(service, view.objects("EndpointSlice", EndpointSlice, service.namespace))


def _taken_over(view: View, edge: EdgeSubject, service: Service) -> bool:
    """Whether a ServiceEntry of the client's namespace has the service's host, and so gives its
    endpoints (mesh/entries.py)."""
    if edge.client is None or edge.client.namespace == service.namespace:
        return False
    entries = view.objects("ServiceEntry", ServiceEntry, edge.client.namespace)
    return any(fqdn(service) in e.spec.hosts for e in entries)


def _lines(view: View, edge: EdgeSubject, service: Service | None) -> tuple[Line, ...]:
    if edge.client is None:
        raise NotAskedError("the client's calls", "no client is named", "name it with --from")
    logs = proxy_logs.read(view, reading.workload(view, edge.client), CLIENT)
    wanted = target(edge, service, ())
    return logs.lines(lambda log: edge_evidence.of_client(log, wanted))


def _held(
    view: View, pod: Pod | None, service: Service | None, port: int
) -> tuple[proxy_endpoints.ProxyEndpoint, ...]:
    if pod is None or service is None:
        return ()
    host = fqdn(service)
    text = reading.proxy_config(view, "endpoint", pod, host=host)
    return proxy_endpoints.of_service(proxy_endpoints.parse(text), host, port)


def _change(view: View, service: Service | None) -> tuple[datetime | None, str]:
    """The last change of a route or rule for the service, and its object."""
    if service is None:
        return None, ""
    host = fqdn(service)
    routes = [
        r
        for r in view.objects("VirtualService", VirtualService)
        if any(host_matches(h, host) for h in hosts(r))
    ]
    rules = [
        r
        for r in view.objects("DestinationRule", DestinationRule)
        if r.namespace == service.namespace and host_matches(r.spec.host, host)
    ]
    dated = [(at, o.ref) for o in (*routes, *rules) if (at := last_change(o)) is not None]
    return max(dated) if dated else (None, "")


def _terminating(view: View, service: Service | None, address: str) -> bool:
    if service is None or not address:
        return False
    return any(
        p.status.pod_ip == address and p.metadata.deletion_timestamp is not None
        for p in view.objects("Pod", Pod, service.namespace)
    )


def _extra(held: tuple[proxy_endpoints.ProxyEndpoint, ...], found: Addresses) -> str:
    if not found.all:
        return ""
    return min((e.address for e in held if e.address not in found.all), default="")


def _lacks(held: tuple[proxy_endpoints.ProxyEndpoint, ...], found: Addresses) -> int:
    return len(found.ready - {e.address for e in held}) if held else 0


def _dns_entry(view: View, edge: EdgeSubject) -> Ref:
    found = (e.ref for e in _entries(view, edge) if e.spec.resolution.startswith("DNS"))
    return Ref(next(found, ""))


def _bare_entry(view: View, edge: EdgeSubject, pod: Pod | None) -> Ref:
    """A gateway cannot dial what its caller dialled: that is the gateway itself."""
    if pod is None or proxy_type(pod) != "router":
        return Ref("")
    found = (
        e.ref
        for e in _entries(view, edge)
        if e.spec.resolution in ("", "NONE") and not e.spec.endpoints
    )
    return Ref(next(found, ""))


def _two_ways(view: View, edge: EdgeSubject) -> tuple[str, str, str]:
    """Two entries of the host and port that resolve it in different ways, and how: istiod makes one
    service of them, whose cluster and endpoints need not go together (istio/istio#51466)."""
    found = [e for e in _entries(view, edge) if edge.port in {p.number for p in e.spec.ports}]
    for one in found:
        for other in found:
            mine, its = (e.spec.resolution or "NONE" for e in (one, other))
            if one.namespace == other.namespace and one.ref < other.ref and mine != its:
                said = f"{one.ref}: {mine}, {other.ref}: {its}"
                return one.ref, other.ref, clean(said, 300)
    return "", "", ""


def _empty_entry(view: View, edge: EdgeSubject) -> tuple[str, str]:
    """The entry that is alone with its host, when it has no endpoint, and why."""
    found = _entries(view, edge)
    if len(found) != 1:
        return "", ""
    spec, space = found[0].spec, found[0].namespace
    if _led_elsewhere(view, bare_host(edge.host)):
        return "", ""
    if spec.endpoints or spec.resolution.startswith("DNS"):
        return "", ""
    if spec.workload_selector is None:
        static = spec.resolution == "STATIC"
        return (found[0].ref, "resolution STATIC and no endpoints") if static else ("", "")
    wanted = spec.workload_selector.wanted
    pods = (p.labels for p in view.objects("Pod", Pod, space))
    entries = (
        {**e.metadata.labels, **e.spec.labels}
        for e in view.objects("WorkloadEntry", WorkloadEntry, space)
    )
    if any(selects(wanted, labels) for labels in (*pods, *entries)):
        return "", ""
    said = f"a workloadSelector ({pairs(wanted)}) that no pod and no WorkloadEntry of {space} has"
    return found[0].ref, clean(said, 300)


def _led_elsewhere(view: View, host: str) -> bool:
    """Whether a VirtualService takes the calls of the host and leads none of them to it: an entry
    only makes the name known then, and needs no endpoint."""
    routes = list(of_sidecars(view.objects("VirtualService", VirtualService), host))
    led = {resolve_short_name(d.host, one.namespace) for one in routes for d in destinations(one)}
    return bool(routes) and not any(host_matches(to, host) for to in led)


def _entries(view: View, edge: EdgeSubject) -> tuple[ServiceEntry, ...]:
    """ServiceEntries of a host outside."""
    if edge.service is not None:
        return ()
    host = bare_host(edge.host)
    every = view.objects("ServiceEntry", ServiceEntry)
    return tuple(e for e in every if any(host_matches(h, host) for h in e.spec.hosts))


def _unknown_ip(view: View, edge: EdgeSubject) -> bool:
    host = bare_host(edge.host)
    if edge.service is not None or edge.server is not None or not is_private_ip(host):
        return False
    taken = {p.status.pod_ip for p in view.objects("Pod", Pod)}
    taken |= {s.spec.cluster_ip for s in view.objects("Service", Service)}
    return host not in taken
