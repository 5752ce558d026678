"""Which condition of a Gateway API object says that Istio does not serve it?

Conditions as in the Gateway API (v1) and pilot/pkg/config/kube/gateway (1.20 to 1.32-dev); a
condition of an older generation than the spec's is not about the object as it is now.
"""

from collections.abc import Callable, Iterable, Iterator, Set

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.model.istio import K8sGateway, Route
from meshdoctor.model.kubernetes import Condition

_MATTERS = ("Accepted", "Programmed", "ResolvedRefs")
_CERTIFICATES = frozenset({"InvalidCertificateRef", "InvalidClientCertificateRef"})
_NOT_OURS = frozenset({"Pending"})


class Refusal(Struct, frozen=True, kw_only=True):
    """A condition that is False. `parent`: `Gateway/ns/name` for a route. `current`: it was
    written on the spec as it is now."""

    condition: str
    reason: str
    message: str
    parent: str = ""
    current: bool = False


class Backend(Struct, frozen=True, kw_only=True):
    """A backendRef to a Service, and the number of its rule."""

    rule: int
    namespace: str
    name: str
    port: int


def gateway_refusal(gateway: K8sGateway) -> Refusal | None:
    """The first condition of the Gateway, then of its listeners, that is False. References to
    certificates are left to the TLS playbooks."""
    found = _first(gateway.status.conditions, gateway.metadata.generation)
    for listener in gateway.status.listeners:
        refs = next((c for c in listener.conditions if c.type == "ResolvedRefs"), None)
        if refs is not None and refs.status == "False" and _certificate(refs):
            return None
        found = found or _first(listener.conditions, gateway.metadata.generation)
    return found


def route_refusal(route: Route) -> Refusal | None:
    """The first parent's condition that is False."""
    for parent in route.status.parents:
        found = _first(parent.conditions, route.metadata.generation)
        if found is not None:
            ref = parent.parent_ref
            space = ref.namespace or route.namespace
            return replace(found, parent=f"{ref.kind or 'Gateway'}/{space}/{ref.name}")
    return None


def lost_port(route: Route, ports_of: Callable[[str, str], Set[int] | None]) -> Backend | None:
    """The first Service behind the route that has no port of the number given: istiod accepts such
    a route (pilot/pkg/config/kube/gateway conversion.go buildDestination looks at the Service
    alone), and its proxies have no such cluster. `ports_of`: the ports of a Service; None: it does
    not exist."""
    for number, rule in enumerate(route.spec.rules, 1):
        for ref in rule.backend_refs:
            if ref.group or ref.kind != "Service" or not ref.port:
                continue
            space = ref.namespace or route.namespace
            ports = ports_of(space, ref.name)
            if ports is not None and ref.port not in ports:
                return Backend(rule=number, namespace=space, name=ref.name, port=ref.port)
    return None


ISTIO_CLASSES = frozenset({"istio", "istio-remote", "istio-waypoint", "istio-east-west"})
"""The classes that istiod makes by itself (pilot/pkg/config/kube/gateway/gatewayclass.go)."""


_ALL_PATHS = {"path": {"type": "PathPrefix", "value": "/"}}
_ANSWERS = frozenset({"RequestRedirect", "ExtensionRef"})


def unfed_rule(route: Route) -> int:
    """The first rule, from 1, of a route for HTTP that sends its requests nowhere and redirects
    none: istiod has it answer 500 (pilot gateway conversion.go, 1.20 to 1.32-dev); 0: none."""
    if route.kind not in ("HTTPRoute", "GRPCRoute"):
        return 0
    for number, rule in enumerate(route.spec.rules, 1):
        if not rule.backend_refs and not any(f.get("type") in _ANSWERS for f in rule.filters):
            return number
    return 0


def rival_of_service(route: Route, others: Iterable[Route]) -> Route | None:
    """Another HTTPRoute of the same Service and port whose hostnames alone tell it from this one:
    for a Service as parent, hostnames do not count (Gateway API for services, GEP-1324), so one of
    the two takes every request that both match."""
    if not route.spec.hostnames:
        return None
    for other in others:
        mine, theirs = set(_services(route)), set(_services(other))
        shared = any(
            one[:2] == another[:2] and (one[2] == another[2] or not (one[2] and another[2]))
            for one in mine
            for another in theirs
        )
        apart = set(route.spec.hostnames) != set(other.spec.hostnames)
        if other.ref != route.ref and shared and apart and _matches(route) & _matches(other):
            return other
    return None


def _services(route: Route) -> Iterator[tuple[str, str, int]]:
    for parent in route.spec.parent_refs:
        if parent.kind == "Service" and not parent.group:
            yield parent.namespace or route.namespace, parent.name, parent.port or 0


def _matches(route: Route) -> set[str]:
    """What the rules match, each as text."""
    return {repr(one) for rule in route.spec.rules for one in rule.matches or (_ALL_PATHS,)}


def unanswered(route: Route, gateways: Iterable[K8sGateway]) -> bool:
    """Whether one of the Gateways that a route asks for is Istio's, and no controller of Istio has
    written a word on the route: istiod does so for each that it reads."""
    if any(p.controller_name.startswith("istio.io/") for p in route.status.parents):
        return False
    wanted = {
        (p.namespace or route.namespace, p.name)
        for p in route.spec.parent_refs
        if p.kind in ("", "Gateway")
    }
    return any(
        (g.namespace, g.name) in wanted and g.spec.gateway_class_name in ISTIO_CLASSES
        for g in gateways
    )


def _first(conditions: Iterable[Condition], generation: int) -> Refusal | None:
    for one in conditions:
        old = bool(one.observed_generation) and one.observed_generation < generation
        if one.type in _MATTERS and one.status == "False" and not old:
            if _certificate(one) or one.reason in _NOT_OURS:
                continue
            return Refusal(
                condition=one.type,
                reason=one.reason,
                message=one.message,
                current=bool(generation) and one.observed_generation == generation,
            )
    return None


def _certificate(one: Condition) -> bool:
    return one.reason in _CERTIFICATES or (
        one.reason == "RefNotPermitted" and "certificate" in one.message.lower()
    )
