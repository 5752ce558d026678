"""Does a proxy that a VirtualService is for see the route, and the subsets that it routes to?

A gateway gets the VirtualServices that are exported to its own namespace (push_context.go
VirtualServicesForGateway), and for each host one DestinationRule: of its own namespace, else of the
service's that is exported to it, else of the root namespace (destinationRule; 1.18 to 1.32-dev). A
subset that only another rule has gets no cluster there.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from meshdoctor.mesh.client_tls import Client, choose, rule_host
from meshdoctor.mesh.exports import audience, sees
from meshdoctor.mesh.gateway_binding import gateway_pods
from meshdoctor.mesh.hosts import service_of
from meshdoctor.mesh.routes import destinations
from meshdoctor.mesh.services import host_matches, resolve_short_name
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.istio import DestinationRule, Gateway, MeshConfig, VirtualService
from meshdoctor.model.kubernetes import Pod


class LostSubset(Struct, frozen=True, kw_only=True):
    """A subset that `rule` defines and the proxies of `namespace` do not get; `instead`: the rule
    that they take for the host, None: they see none."""

    host: str
    subset: str
    namespace: str
    rule: DestinationRule
    instead: DestinationRule | None


def unseen_by(
    route: VirtualService, gateways: Iterable[Gateway], pods: Iterable[Pod], mesh: MeshConfig
) -> tuple[Pod, ...]:
    """Gateway pods that the route is bound to and not exported to; none when some of them gets it:
    then it may well be meant for that one."""
    bound = bound_pods(gateways, pods)
    seen = audience(route.spec.export_to, route.namespace, mesh.default_virtual_service_export_to)
    if any(sees(seen, pod.namespace) for pod in bound):
        return ()
    return bound


def bound_pods(gateways: Iterable[Gateway], pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Pods that some of the Gateways select."""
    known = tuple(gateways)
    return tuple(pod for pod in pods if any(gateway_pods(one, (pod,)) for one in known))


def lost_subset(
    route: VirtualService,
    pod: Pod,
    rules: Sequence[DestinationRule],
    root: str,
    mesh: MeshConfig,
) -> LostSubset | None:
    """The first subset that the route sends requests to and this pod's proxy does not get, though
    some rule has it."""
    client = Client(namespace=pod.namespace, labels=pod.labels, proxy=proxy_type(pod))
    for one in destinations(route):
        host = resolve_short_name(one.host, route.namespace)
        own = service_of(host)
        if not one.subset or own is None:
            continue
        chosen = choose(
            rules,
            client,
            host,
            own[0],
            root,
            default_export=mesh.default_destination_rule_export_to,
        )
        if chosen is not None and any(s.name == one.subset for s, _ in chosen.subsets):
            continue
        having = next((r for r in rules if _defines(r, host, one.subset)), None)
        if having is not None:
            return LostSubset(
                host=host,
                subset=one.subset,
                namespace=pod.namespace,
                rule=having,
                instead=chosen.first if chosen is not None else None,
            )
    return None


def _defines(rule: DestinationRule, host: str, subset: str) -> bool:
    return host_matches(rule_host(rule), host) and any(s.name == subset for s in rule.spec.subsets)
