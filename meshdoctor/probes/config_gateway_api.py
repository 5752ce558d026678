"""Does the Gateway API say that a Gateway or route was accepted?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.gateway_api import Refusal, gateway_refusal, route_refusal
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import K8sGateway, Route
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes.view import View, probe

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
    parent: Annotated[Fact[Ref], "the Gateway that a route asks for; empty: none"]
    waypoint: Annotated[Fact[bool], "a waypoint (gatewayClassName istio-waypoint)"]


@probe(
    "config-gateway-api",
    subject=SubjectKind.CONFIG,
    reads=("GRPCRoute", "HTTPRoute", "K8sGateway", "TCPRoute", "TLSRoute"),
    kinds=("K8sGateway", *ROUTES),
)
def config_gateway_api(view: View, config: ConfigSubject) -> GatewayApiFacts:
    """Does the Gateway API say that a Gateway or route was accepted?"""
    if config.config_kind == "K8sGateway":
        gateway = view.object("K8sGateway", K8sGateway, config.namespace, config.name)
        if gateway is None:
            raise MissingError(str(config), "it does not exist any more")
        waypoint = gateway.spec.gateway_class_name == "istio-waypoint"
        return _facts(gateway, gateway_refusal(gateway), waypoint)
    if config.config_kind in ROUTES:
        route = view.object(config.config_kind, Route, config.namespace, config.name)
        if route is None:
            raise MissingError(str(config), "it does not exist any more")
        return _facts(route, route_refusal(route), False)
    return _facts(None, None, False)


def _facts(
    obj: K8sGateway | Route | None, found: Refusal | None, waypoint: bool
) -> GatewayApiFacts:
    return GatewayApiFacts(
        ref=Ref(obj.ref if obj is not None else ""),
        resource=f"{obj.kind.lower()}.gateway.networking.k8s.io" if obj is not None else "",
        name=obj.name if obj is not None else "",
        namespace=obj.namespace if obj is not None else "",
        condition=clean(found.condition, 60) if found is not None else "",
        reason=clean(found.reason, 60) if found is not None else "",
        message=clean(found.message) if found is not None else "",
        parent=Ref(found.parent if found is not None else ""),
        waypoint=waypoint,
    )
