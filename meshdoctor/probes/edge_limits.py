"""Which limits of a route or rule may end the calls of an edge?"""

from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

from msgspec import Struct

from meshdoctor.mesh import call_limits, edge_evidence, routes
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.client_tls import Client, Merged, choose
from meshdoctor.mesh.edge_target import target
from meshdoctor.mesh.hosts import age_key
from meshdoctor.mesh.services import fqdn
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import (
    DestinationRule,
    OutlierDetection,
    ServiceEntry,
    VirtualService,
)
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.gateway_objects import gateways_of, routes_of
from meshdoctor.probes.view import View, attempt, known, probe

T = TypeVar("T")


class EdgeLimits(Struct, frozen=True, kw_only=True):
    """Limits in force at the client's proxy for this host and port. Without a client: all empty."""

    pool: Annotated[Fact[str], "limits of the connection pool that can overflow; empty: none"]
    pool_rule: Annotated[Fact[Ref], "the DestinationRule that sets them; empty: none"]
    pool_name: Annotated[Fact[str], "its name"]
    pool_namespace: Annotated[Fact[str], "its namespace"]
    ejector: Annotated[Fact[Ref], "the DestinationRule whose outlierDetection is in force"]
    errors: Annotated[Fact[int], "errors in a row after which it ejects an endpoint"]
    run: Annotated[
        Fact[int],
        "that many errors of one endpoint in a row, and more, then UH; 0: not seen",
        OBSERVED,
    ]
    time: Annotated[Fact[str], "the limit that calls ended in UT have reached, in words"]
    time_route: Annotated[Fact[Ref], "the VirtualService that sets it; empty: none"]


_NONE = EdgeLimits(
    pool="",
    pool_rule=Ref(""),
    pool_name="",
    pool_namespace="",
    ejector=Ref(""),
    errors=0,
    run=0,
    time="",
    time_route=Ref(""),
)


@probe(
    "edge-limits",
    subject=SubjectKind.EDGE,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "DestinationRule",
        "Gateway",
        "Job",
        "Pod",
        "Service",
        "ServiceEntry",
        "StatefulSet",
        "Telemetry",
        "VirtualService",
        "log",
    ),
    costly=True,
)
def edge_limits(view: View, edge: EdgeSubject) -> EdgeLimits:
    """Which limits of a route or rule may end the calls of an edge?"""
    if edge.client is None:
        return _NONE
    client = reading.workload(view, edge.client)
    if client.pod is None:
        return _NONE
    host = _host(view, edge)
    calls = attempt(lambda: _calls(view, edge, client))
    rule = attempt(lambda: _rule(view, edge, client, host))
    subset = "" if isinstance(calls, Unavailable) else _subset(calls)

    def of(pick: Callable[[call_limits.Level], T | None]) -> tuple[T | None, str]:
        found, owner = call_limits.in_force(known(rule), edge.port, subset, pick)
        return found, owner.ref if owner is not None else ""

    pool = attempt(lambda: of(call_limits.pool))
    ejection = attempt(lambda: of(call_limits.outliers))
    errors = attempt(lambda: _errors(known(ejection)[0]))
    time = attempt(lambda: _time(view, client, host, known(calls)))
    return EdgeLimits(
        pool=attempt(lambda: call_limits.pool_words(known(pool)[0])),
        pool_rule=attempt(lambda: Ref(known(pool)[1])),
        pool_name=attempt(lambda: known(pool)[1].rpartition("/")[2]),
        pool_namespace=attempt(lambda: known(pool)[1].rpartition("/")[0].rpartition("/")[2]),
        ejector=attempt(lambda: Ref(known(ejection)[1])),
        errors=errors,
        run=attempt(lambda: _run(known(calls), known(errors))),
        time=attempt(lambda: _said(known(time))),
        time_route=attempt(lambda: Ref(t.route.ref if (t := known(time)) is not None else "")),
    )


def _host(view: View, edge: EdgeSubject) -> str:
    service = reading.edge_service(view, edge)
    return fqdn(service) if service is not None else bare_host(edge.host)


def _rule(view: View, edge: EdgeSubject, client: WorkloadPods, host: str) -> Merged | None:
    mesh = reading.mesh_config(view)
    return choose(
        view.objects("DestinationRule", DestinationRule),
        Client(namespace=client.subject.namespace, labels=client.labels),
        host,
        _namespace(view, edge, host),
        mesh.root_namespace,
        default_export=mesh.default_destination_rule_export_to,
    )


def _namespace(view: View, edge: EdgeSubject, host: str) -> str:
    """The namespace of the service, or of the entry of a host outside."""
    if edge.service is not None:
        return edge.service.namespace
    entries = view.objects("ServiceEntry", ServiceEntry)
    return next((e.namespace for e in entries if host in e.spec.hosts), "")


def _calls(view: View, edge: EdgeSubject, client: WorkloadPods) -> tuple[tuple[Line, ...], ...]:
    """The edge's lines, those of each pod of the client by themselves."""
    wanted = target(edge, reading.edge_service(view, edge), ())
    logs = proxy_logs.read(view, client, CLIENT)
    return tuple(edge_evidence.of_client(one.log, wanted) for one in logs.pods)


def _subset(calls: Iterable[tuple[Line, ...]]) -> str:
    return edge_evidence.most_common(line.cluster_subset for lines in calls for line in lines)


def _errors(found: OutlierDetection | None) -> int:
    return call_limits.errors_allowed(found) if found is not None else 0


def _run(calls: Iterable[tuple[Line, ...]], allowed: int) -> int:
    return max((call_limits.run_before_none(lines, allowed) for lines in calls), default=0)


def _time(
    view: View, client: WorkloadPods, host: str, calls: Iterable[tuple[Line, ...]]
) -> call_limits.TimeLimit | None:
    late = [line for lines in calls for line in lines if "UT" in line.flags]
    if not late:
        return None
    if client.proxy_type == "router":
        bound = routes_of(view, gateways_of(view, client.pod))
    else:
        bound = tuple(filter(routes.in_mesh, view.objects("VirtualService", VirtualService)))
    return call_limits.time_limit(sorted(bound, key=age_key), host, late)


def _said(found: call_limits.TimeLimit | None) -> str:
    if found is None:
        return "no VirtualService that was read; a header like grpc-timeout may"
    return clean(f"{found.field} {found.text} in {found.route.ref}", 200)
