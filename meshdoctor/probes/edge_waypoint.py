"""Do requests to an ambient server pass the waypoint that applies what is meant for them?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.waypoint_path import USE, Mend, Past
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import EdgeSubject, SubjectKind, WorkloadSubject
from meshdoctor.probes import reading
from meshdoctor.probes.authz_ambient import enrolled
from meshdoctor.probes.view import View, probe
from meshdoctor.probes.waypoint_reading import (
    past_waypoint,
    policy_for,
    route_for,
    waypoint_name,
)


class EdgeWaypoint(Struct, frozen=True, kw_only=True):
    """Of a Service with an ambient server; else all empty."""

    past: Annotated[Fact[str], "why requests do not pass a waypoint; empty: they do"]
    mend: Annotated[
        Fact[str], "what would have to change: label, caller, ingress, waypoint, traffic, or empty"
    ]
    needed_by: Annotated[
        Fact[Ref], "a route or policy that waypoints alone apply to these requests; empty: none"
    ]
    route: Annotated[Fact[Ref], "the same, where it is a route"]
    waypoint: Annotated[Fact[Ref], "the waypoint that labels ask for; empty: none"]
    waypoint_name: Annotated[Fact[str], "its name"]
    waypoint_namespace: Annotated[Fact[str], "its namespace"]
    asked_by: Annotated[Fact[Ref], "the Service or Namespace whose label asks for it"]
    service: Annotated[Fact[Ref], "the service called"]
    service_name: Annotated[Fact[str], "its name"]
    service_namespace: Annotated[Fact[str], "its namespace"]
    client: Annotated[Fact[Ref], "the caller; empty: not known"]
    client_namespace: Annotated[Fact[str], "its namespace"]


_NONE = EdgeWaypoint(
    past="",
    mend="",
    needed_by=Ref(""),
    route=Ref(""),
    waypoint=Ref(""),
    waypoint_name="",
    waypoint_namespace="",
    asked_by=Ref(""),
    service=Ref(""),
    service_name="",
    service_namespace="",
    client=Ref(""),
    client_namespace="",
)


@probe(
    "edge-waypoint",
    subject=SubjectKind.EDGE,
    reads=(
        "AuthorizationPolicy",
        "GRPCRoute",
        "HTTPRoute",
        "K8sGateway",
        "Namespace",
        "Pod",
        "Service",
        "VirtualService",
    ),
)
def edge_waypoint(view: View, edge: EdgeSubject) -> EdgeWaypoint:
    """Do requests to an ambient server pass the waypoint that they should?"""
    service = reading.edge_service(view, edge)
    if edge.server is None or service is None:
        return _NONE
    server = reading.workload(view, edge.server)
    if not enrolled(view, server):
        return _NONE
    client = reading.workload(view, edge.client) if edge.client is not None else None
    past = past_waypoint(view, client, server, service)
    if past.mend is Mend.NOTHING:
        return _NONE
    return _facts(view, edge.client, server, service, past)


def _facts(
    view: View,
    client: WorkloadSubject | None,
    server: WorkloadPods,
    service: Service,
    past: Past,
) -> EdgeWaypoint:
    namespace, name = waypoint_name(view, server, service)
    route = route_for(view, service)
    own = USE in service.labels
    return EdgeWaypoint(
        past=past.why,
        mend=past.mend.value,
        needed_by=Ref(route or policy_for(view, server, service)),
        route=Ref(route),
        waypoint=Ref(f"Gateway/{namespace}/{name}" if name else ""),
        waypoint_name=name,
        waypoint_namespace=namespace,
        asked_by=Ref((service.ref if own else f"Namespace//{service.namespace}") if name else ""),
        service=Ref(service.ref),
        service_name=service.name,
        service_namespace=service.namespace,
        client=Ref(client.ref if client is not None else ""),
        client_namespace=client.namespace if client is not None else "",
    )
