"""Does the Gateway API say that a Gateway or route was accepted?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.gateway_api import (
    Backend,
    Refusal,
    gateway_refusal,
    lost_port,
    rival_of_service,
    route_refusal,
    unanswered,
    unfed_rule,
)
from meshdoctor.mesh.log_lines import Said
from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import K8sGateway, Route
from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.kubernetes import Object, Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes.view import View, attempt, known, probe

MANAGER = "istio.io/gateway-controller"
MADE = ("Deployment", "Service")
ROUTES = ("GRPCRoute", "HTTPRoute", "TCPRoute", "TLSRoute")


class GatewayApiFacts(Struct, frozen=True, kw_only=True):
    """Of a Gateway API Gateway or route; every other kind gives empty facts. Conditions that
    concern certificates belong to the TLS playbooks and are not counted."""

    ref: Annotated[Fact[Ref], "the object; empty: the subject is of another kind"]
    resource: Annotated[Fact[str], "its kind, as kubectl takes it"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    condition: Annotated[Fact[str], "a condition that is False; empty: none", OBSERVED]
    reason: Annotated[Fact[str], "its reason", OBSERVED]
    message: Annotated[Fact[str], "its message", OBSERVED]
    answered: Annotated[
        Fact[bool], "of a route: istiod wrote it on the route as it is now, so no delay explains it"
    ]
    parent: Annotated[Fact[Ref], "the Gateway that a route asks for; empty: none"]
    lost_rule: Annotated[Fact[int], "a rule of a route to a port that its Service has not; 0: none"]
    lost_service: Annotated[Fact[Ref], "that Service; empty: none"]
    lost_port: Annotated[Fact[int], "the port that the rule names; 0: none"]
    ports: Annotated[Fact[str], "the ports of that Service"]
    unfed_rule: Annotated[
        Fact[int], "a rule of a route that has no backend and redirects nothing; 0: none"
    ]
    rival: Annotated[
        Fact[Ref], "a route of the same Service that hostnames alone tell from it; empty: none"
    ]
    waypoint: Annotated[Fact[bool], "a waypoint (gatewayClassName istio-waypoint)"]
    unanswered: Annotated[
        Fact[bool], "a route for one of Istio's Gateways on which istiod has written no status"
    ]
    ignored: Annotated[
        Fact[str], "istiod's own words that it does not read such routes; empty: none", OBSERVED
    ]
    undeployed: Annotated[
        Fact[str], "istiod's words that what it makes for the Gateway is refused", OBSERVED
    ]
    undeployed_object: Annotated[Fact[Ref], "the object that it could not apply; empty: none"]
    remade: Annotated[Fact[bool], "that object was made anew, or istiod changed it, since"]
    definition: Annotated[Fact[Ref], "CustomResourceDefinition of the kind"]
    definition_name: Annotated[Fact[str], "its name"]


@probe(
    "config-gateway-api",
    subject=SubjectKind.CONFIG,
    reads=(
        "Deployment",
        "GRPCRoute",
        "HTTPRoute",
        "K8sGateway",
        "Pod",
        "Service",
        "TCPRoute",
        "TLSRoute",
        "log",
    ),
    kinds=("K8sGateway", *ROUTES),
)
def config_gateway_api(view: View, config: ConfigSubject) -> GatewayApiFacts:
    """Does the Gateway API say that a Gateway or route was accepted?"""
    if config.config_kind == "K8sGateway":
        gateway = view.object("K8sGateway", K8sGateway, config.namespace, config.name)
        if gateway is None:
            raise MissingError(str(config), "it does not exist any more")
        waypoint = gateway.spec.gateway_class_name == "istio-waypoint"
        return _facts(view, gateway, gateway_refusal(gateway), waypoint)
    if config.config_kind in ROUTES:
        route = view.object(config.config_kind, Route, config.namespace, config.name)
        if route is None:
            raise MissingError(str(config), "it does not exist any more")
        return _facts(view, route, route_refusal(route), False)
    return _facts(view, None, None, False)


def _facts(
    view: View, obj: K8sGateway | Route | None, found: Refusal | None, waypoint: bool
) -> GatewayApiFacts:
    waits = isinstance(obj, Route) and unanswered(obj, view.objects("K8sGateway", K8sGateway))
    name = _definition(obj.kind) if obj is not None else ""
    lost = attempt(lambda: _lost(view, obj)) if isinstance(obj, Route) else None
    gone = lost if isinstance(lost, Unavailable) else None
    backend = lost if isinstance(lost, Backend) else None
    kept = attempt(lambda: _undeployed(view, obj)) if isinstance(obj, K8sGateway) else None
    return GatewayApiFacts(
        ref=Ref(obj.ref if obj is not None else ""),
        resource=f"{obj.kind.lower()}.gateway.networking.k8s.io" if obj is not None else "",
        name=obj.name if obj is not None else "",
        namespace=obj.namespace if obj is not None else "",
        condition=clean(found.condition, 60) if found is not None else "",
        reason=clean(found.reason, 60) if found is not None else "",
        message=clean(found.message) if found is not None else "",
        answered=isinstance(obj, Route) and found is not None and found.current,
        parent=Ref(found.parent if found is not None else ""),
        lost_rule=gone or (backend.rule if backend else 0),
        lost_service=gone
        or Ref(f"Service/{backend.namespace}/{backend.name}" if backend is not None else ""),
        lost_port=gone or (backend.port if backend else 0),
        ports=gone or (_said_ports(view, backend) if backend is not None else ""),
        unfed_rule=unfed_rule(obj) if isinstance(obj, Route) else 0,
        rival=attempt(lambda: _rival(view, obj)) if isinstance(obj, Route) else Ref(""),
        waypoint=waypoint,
        unanswered=waits,
        ignored=attempt(lambda: _ignored(view, obj.kind)) if waits and obj is not None else "",
        undeployed=kept if isinstance(kept, Unavailable) else clean(kept.text if kept else "", 300),
        undeployed_object=(
            kept if isinstance(kept, Unavailable) else Ref(kept.get("what") if kept else "")
        ),
        remade=attempt(lambda: _remade(view, known(kept)) if kept is not None else False),
        definition=Ref(f"CustomResourceDefinition//{name}" if name else ""),
        definition_name=name,
    )


def _rival(view: View, route: Route) -> Ref:
    if route.kind != "HTTPRoute" or not route.spec.hostnames:
        return Ref("")
    if not any(parent.kind == "Service" for parent in route.spec.parent_refs):
        return Ref("")
    found = rival_of_service(route, view.objects("HTTPRoute", Route))
    return Ref(found.ref if found is not None else "")


def _lost(view: View, route: Route) -> Backend | None:
    return lost_port(route, lambda namespace, name: _ports(view, namespace, name))


def _ports(view: View, namespace: str, name: str) -> frozenset[int] | None:
    service = view.object("Service", Service, namespace, name)
    return frozenset(p.port for p in service.spec.ports) if service is not None else None


def _said_ports(view: View, backend: Backend) -> str:
    ports = _ports(view, backend.namespace, backend.name) or frozenset()
    return clean(", ".join(map(str, sorted(ports))), 100)


def _definition(kind: str) -> str:
    held = BY_NAME["K8sGateway" if kind == "Gateway" else kind]
    return f"{held.plural}.{held.group}"


def _undeployed(view: View, gateway: K8sGateway) -> Said | None:
    return shared.istiod_log(view).log.not_deployed(gateway.namespace, gateway.name)


def _remade(view: View, said: Said) -> bool:
    kind, namespace, name = said.get("what").split("/")
    held = view.object(kind, Object, namespace, name) if kind in MADE else None
    if held is None or said.at is None:
        return False
    fields = (f for f in held.metadata.managed_fields if f.manager.startswith(MANAGER))
    times = (held.metadata.creation_timestamp, *(f.time for f in fields))
    return any(one is not None and one > said.at for one in times)


def _ignored(view: View, kind: str) -> str:
    of = BY_NAME[kind]
    said = shared.istiod_log(view).log.ignored(of.plural, of.group, of.wire)
    return clean(said.text) if said is not None else ""
