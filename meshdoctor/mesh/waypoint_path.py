"""Does a request pass the waypoint that labels ask for, and if not, why?

Mirrors pilot/pkg/serviceregistry/ambient (waypoints.go fetchWaypointForTarget, -ForService and
-ForWorkload; services.go ingressUseWaypointFromLabels) and findServiceWaypoint of
pilot/pkg/xds/endpoints (1.24 to 1.32-dev). What is addressed decides: calls of a Service follow the
Service's labels, calls of a pod's address the pod's; a namespace's count for both.
"""

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from meshdoctor.mesh.selectors import label_selected
from meshdoctor.model.istio import K8sGateway, RouteNamespaces
from meshdoctor.model.kubernetes import Service

USE = "istio.io/use-waypoint"
USE_NAMESPACE = "istio.io/use-waypoint-namespace"
FOR = "istio.io/waypoint-for"
INGRESS = "istio.io/ingress-use-waypoint"
HBONE = 15008
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
Labels = Mapping[str, str]


class Caller(Enum):
    """Who calls, as far as waypoints care."""

    AMBIENT = "ambient"
    SIDECAR = "sidecar"
    GATEWAY = "gateway"
    OUTSIDE = "outside"
    UNKNOWN = "unknown"


class Mend(Enum):
    """What would have to change for the request to pass."""

    NOTHING = ""
    LABEL = "label"
    CALLER = "caller"
    INGRESS = "ingress"
    WAYPOINT = "waypoint"
    TRAFFIC = "traffic"


class Past(Struct, frozen=True, kw_only=True):
    """Why requests go past the waypoint, in words, and what would mend it; "" when they do not."""

    why: str = ""
    mend: Mend = Mend.NOTHING


PASSES = Past()


def addressed(service: Service | None) -> bool:
    """Whether calls are of the Service's own address: a headless one gives away its pods'."""
    return service is not None and service.spec.cluster_ip != "None"


def asked(own: Labels, of_namespace: Labels, namespace: str) -> tuple[str, str]:
    """(namespace, name) of the waypoint that labels of a Service or pod ask for; ("", "") when none
    is asked for. Its own label wins over its namespace's; `none` asks for none."""
    for labels in (own, of_namespace):
        name = labels.get(USE, "")
        if name == "none":
            return ("", "")
        if name:
            return (labels.get(USE_NAMESPACE) or namespace, name)
    return ("", "")


def past_by_caller(caller: Caller, own: Labels, of_namespace: Labels) -> Past:
    """Whether this caller sends requests to a waypoint at all."""
    if caller is Caller.SIDECAR:
        return Past(why="a sidecar goes past waypoints", mend=Mend.CALLER)
    if caller is Caller.OUTSIDE:
        return Past(why="the caller is not in the mesh", mend=Mend.CALLER)
    if caller is Caller.GATEWAY and own.get(INGRESS, of_namespace.get(INGRESS, "")) not in _TRUE:
        return Past(why=f"a gateway goes past waypoints without {INGRESS}: true", mend=Mend.INGRESS)
    return PASSES


def past_by_waypoint(
    gate: K8sGateway | None,
    name: str,
    *,
    to_service: bool,
    namespace: str,
    of_namespace: Labels,
) -> Past:
    """Whether the waypoint `name` takes requests to a Service or pod of `namespace`; `gate` None:
    there is no such Gateway."""
    if gate is None:
        return Past(why=f"the waypoint {name} does not exist", mend=Mend.WAYPOINT)
    if any(c.type == "Programmed" and c.status != "True" for c in gate.status.conditions):
        return Past(why=f"the waypoint {name} is not Programmed", mend=Mend.WAYPOINT)
    if not _admits(gate, namespace, of_namespace):
        text = f"the listener of waypoint {name} does not admit namespace {namespace}"
        return Past(why=f"{text} (allowedRoutes)", mend=Mend.WAYPOINT)
    takes = gate.labels.get(FOR, "service")
    wanted = "service" if to_service else "workload"
    if takes in (wanted, "all"):
        return PASSES
    what = "Services" if to_service else "pods"
    text = f"the waypoint {name} is for {takes} traffic, and what is called are {what}"
    return Past(why=text, mend=Mend.TRAFFIC)


def _admits(gate: K8sGateway, namespace: str, labels: Labels) -> bool:
    """Of a waypoint's listener for HBONE: by default only its own namespace."""
    listener = next((one for one in gate.spec.listeners if one.port == HBONE), None)
    routes = listener.allowed_routes if listener is not None else None
    chosen = (routes.namespaces if routes is not None else None) or RouteNamespaces()
    if chosen.from_ == "All":
        return True
    if chosen.from_ == "Selector" and chosen.selector is not None:
        return label_selected(chosen.selector, labels)
    return namespace == gate.namespace
