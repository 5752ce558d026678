"""Which waypoint stands before an ambient workload, and do requests pass it?

Not a probe: shared reads of what is applied by waypoints.
"""

from meshdoctor.mesh import routes
from meshdoctor.mesh.authz_policies import GATEWAY_GROUP, target_refs
from meshdoctor.mesh.services import fqdn
from meshdoctor.mesh.waypoint_path import (
    PASSES,
    Caller,
    Mend,
    Past,
    addressed,
    asked,
    past_by_caller,
    past_by_waypoint,
)
from meshdoctor.mesh.workloads import WorkloadPods, has_proxy, proxy_type
from meshdoctor.model.istio import AuthorizationPolicy, K8sGateway, Route, VirtualService
from meshdoctor.model.kubernetes import Service
from meshdoctor.probes.authz_ambient import enrolled, namespace_labels
from meshdoctor.probes.reading import workloads_in
from meshdoctor.probes.view import View

ROUTES = ("HTTPRoute", "GRPCRoute")
GATEWAY = "gateway.networking.k8s.io/gateway-name"


def waypoint_name(view: View, found: WorkloadPods, service: Service | None) -> tuple[str, str]:
    """(namespace, name) of the waypoint that labels ask for where this service, else this workload,
    is called; ("", "") when none is asked for."""
    if service is not None and addressed(service):
        space = service.namespace
        return asked(service.labels, namespace_labels(view, space), space)
    space = found.subject.namespace
    return asked(found.labels, namespace_labels(view, space), space)


def waypoint_of(view: View, found: WorkloadPods, service: Service | None) -> WorkloadPods | None:
    """The waypoint's pods; None when no waypoint is asked for or it has no pods."""
    namespace, name = waypoint_name(view, found, service)
    if not name:
        return None
    for one in workloads_in(view, namespace):
        if one.pod is None or proxy_type(one.pod) != "waypoint":
            continue
        if one.labels.get(GATEWAY, one.subject.name) == name:
            return one
    return None


def past_waypoint(
    view: View, client: WorkloadPods | None, server: WorkloadPods, service: Service | None
) -> Past:
    """Why requests of this client to this ambient server do not pass a waypoint."""
    namespace, name = waypoint_name(view, server, service)
    if not name:
        where = "the service or its namespace" if addressed(service) else "the pod or its namespace"
        return Past(why=f"no label istio.io/use-waypoint on {where}", mend=Mend.LABEL)
    space = service.namespace if service is not None else server.subject.namespace
    labels = namespace_labels(view, space)
    found = past_by_waypoint(
        view.object("K8sGateway", K8sGateway, namespace, name),
        f"{namespace}/{name}",
        to_service=addressed(service),
        namespace=space,
        of_namespace=labels,
    )
    if found != PASSES:
        return found
    if waypoint_of(view, server, service) is None:
        return Past(why=f"the waypoint {namespace}/{name} has no pods", mend=Mend.WAYPOINT)
    return past_by_caller(caller(view, client), service.labels if service else {}, labels)


def caller(view: View, client: WorkloadPods | None) -> Caller:
    """What kind of caller a workload is."""
    pod = client.pod if client is not None else None
    if client is None or pod is None:
        return Caller.UNKNOWN
    if has_proxy(pod):
        return Caller.GATEWAY if proxy_type(pod) == "router" else Caller.SIDECAR
    return Caller.AMBIENT if enrolled(view, client) else Caller.OUTSIDE


def policy_for(view: View, server: WorkloadPods | None, service: Service | None) -> str:
    """A policy with targetRefs to this service, or to a waypoint of its namespace."""
    space = service.namespace if service is not None else None
    for policy in view.objects("AuthorizationPolicy", AuthorizationPolicy, space) if space else ():
        for ref in target_refs(policy):
            if service is not None and ref.kind == "Service" and ref.name == service.name:
                return policy.ref
            if ref.kind == "Gateway" and ref.group == GATEWAY_GROUP:
                gate = view.object("K8sGateway", K8sGateway, policy.namespace, ref.name)
                named = server is not None and waypoint_name(view, server, service)[1]
                waypoint = gate is not None and gate.spec.gateway_class_name == "istio-waypoint"
                if waypoint and named in ("", ref.name):
                    return policy.ref
    return ""


def route_for(view: View, service: Service) -> str:
    """A route of the Gateway API for calls of the service, else a VirtualService of the mesh that
    does what the service alone would not; "" if none."""
    for kind in ROUTES:
        for one in view.objects(kind, Route, service.namespace):
            if any(p.kind == "Service" and p.name == service.name for p in one.spec.parent_refs):
                return one.ref
    host = fqdn(service)
    every = view.objects("VirtualService", VirtualService)
    return next((r.ref for r in routes.of_sidecars(every, host) if routes.shapes(r)), "")
