"""Through which gateways do calls from outside come to what is asked about, and calls to a host
outside leave?"""

from collections.abc import Iterable, Iterator

from meshdoctor.engine.scope import Scope
from meshdoctor.mesh.concerns import delegates, targets
from meshdoctor.mesh.gateway_binding import gateway_pods
from meshdoctor.mesh.routes import gateway_keys
from meshdoctor.mesh.services import (
    CLUSTER_DOMAIN,
    host_matches,
    named_by_client,
    resolve_short_name,
)
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.istio import Gateway, ListenerSet, ParentRef, Route, VirtualService
from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import ConfigSubject, WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.gateway_objects import GATEWAY_NAME
from meshdoctor.probes.view import View

_ROUTES = ("GRPCRoute", "HTTPRoute", "TCPRoute", "TLSRoute")


def gateways_to(view: View, scope: Scope) -> tuple[ConfigSubject, ...]:
    """Gateways that lead to the service that is asked about, where no caller is named: whoever
    names one means a call that starts there. What cannot be read leads nowhere."""
    if scope.from_ is not None or scope.to is None or not scope.to.namespace:
        return ()
    target = f"{scope.to.name}.{scope.to.namespace}.svc.{CLUSTER_DOMAIN}"
    return tuple(dict.fromkeys((*_classic(view, target), *_made(view, scope.to.namespace))))


def fronts_of(view: View, scope: Scope) -> tuple[WorkloadSubject, ...]:
    """The workloads of those Gateways; empty where Pods may not be read."""
    found: dict[WorkloadSubject, None] = {}
    try:
        pods = view.objects("Pod", Pod)
        for one in gateways_to(view, scope):
            found.update((owner_of(pod), None) for pod in _pods_of(view, one, pods))
    except EvidenceError:
        return tuple(found)
    return tuple(found)


def _pods_of(view: View, one: ConfigSubject, pods: Iterable[Pod]) -> Iterable[Pod]:
    if one.config_kind == "Gateway":
        gateway = view.object("Gateway", Gateway, one.namespace, one.name)
        return gateway_pods(gateway, pods) if gateway is not None else ()
    named = (one.namespace, one.name)
    return [p for p in pods if (p.namespace, p.labels.get(GATEWAY_NAME)) == named]


def led_through(view: View, scope: Scope) -> frozenset[str]:
    """Namespaces of the Services to which routes send the calls of a host that is asked about:
    an egress gateway's. What cannot be read leads nowhere."""
    if scope.to is None or scope.to.namespace:
        return frozenset()
    try:
        routes = view.objects("VirtualService", VirtualService)
    except EvidenceError:
        return frozenset()
    through = (
        named_by_client(resolve_short_name(host, route.namespace), "")
        for route in routes
        if any(host_matches(one, scope.to.name) for one in route.spec.hosts)
        for host in targets(route)
        if ".svc." in resolve_short_name(host, route.namespace)
    )
    return frozenset(one[0] for one in through if one is not None)


def _classic(view: View, target: str) -> Iterator[ConfigSubject]:
    try:
        routes = view.objects("VirtualService", VirtualService)
    except EvidenceError:
        return
    leading = {
        (route.namespace, route.name)
        for route in routes
        for host in targets(route)
        if host_matches(resolve_short_name(host, route.namespace), target)
    }
    for route in routes:
        if leading & {(route.namespace, route.name), *delegates(route)}:
            yield from (ConfigSubject("Gateway", *key) for key in gateway_keys(route))


def _made(view: View, namespace: str) -> Iterator[ConfigSubject]:
    """Gateway API: routes lie beside what they route to."""
    for kind in _ROUTES:
        try:
            routes = view.objects(kind, BY_NAME[kind].type, namespace)
        except EvidenceError:
            continue
        for route in routes:
            for parent in route.spec.parent_refs if isinstance(route, Route) else ():
                yield from _parent(view, parent, namespace)


def _parent(view: View, parent: ParentRef, namespace: str) -> Iterator[ConfigSubject]:
    """A Gateway, or that of a ListenerSet."""
    home = parent.namespace or namespace
    if parent.kind == "Gateway":
        yield ConfigSubject("K8sGateway", home, parent.name)
    elif parent.kind == "ListenerSet":
        try:
            found = view.object("ListenerSet", ListenerSet, home, parent.name)
        except EvidenceError:
            return
        if found is not None:
            above = found.spec.parent_ref
            yield ConfigSubject("K8sGateway", above.namespace or home, above.name)
