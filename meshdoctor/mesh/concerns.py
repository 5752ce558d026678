"""Do routes and rules of a third namespace concern the calls between a few namespaces?

They apply from any namespace, but only to the hosts that they name (PushContext's virtual service
and destination rule indexes are by host): those of other services can do nothing to these calls.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

from meshdoctor.mesh.routes import in_mesh
from meshdoctor.mesh.services import CLUSTER_DOMAIN, host_matches, named_by_client
from meshdoctor.model.istio import DestinationRule, Route, ServiceEntry, VirtualService
from meshdoctor.model.kubernetes import Object

HOST_KINDS = frozenset({"DestinationRule", "ServiceEntry", "VirtualService"})
"""Kinds of objects that act on calls by the host that is called, whoever calls."""


Exists = Callable[[str, str], bool]
"""Whether a namespace has a Service of that name."""


def concerns(
    obj: Object,
    namespaces: Collection[str],
    hosts: Iterable[str],
    exists: Exists = lambda namespace, name: False,
) -> bool:
    """Whether an object is of these namespaces, names a host in one of them, or one of `hosts`.

    istiod completes a short name with the object's own namespace; a Service called by the same
    name may be meant where no Service there `exists`.
    """
    if obj.namespace in namespaces:
        return True
    called = tuple(hosts)
    for host in _hosts(obj):
        if _named(host, obj.namespace, namespaces, called):
            return True
        same = "." not in host and any(one.partition(".")[0] == host for one in called)
        if same and not exists(obj.namespace, host):
            return True
    return False


def delegates(route: VirtualService) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the VirtualServices that it hands its requests to."""
    for rule in route.spec.http:
        if rule.delegate is not None:
            yield rule.delegate.namespace or route.namespace, rule.delegate.name


def _hosts(obj: Object) -> Iterator[str]:
    """Hosts as written; a wildcard that only gateways serve takes no calls of sidecars."""
    if isinstance(obj, DestinationRule):
        yield obj.spec.host
    elif isinstance(obj, ServiceEntry):
        yield from obj.spec.hosts
    elif isinstance(obj, VirtualService):
        yield from (h for h in obj.spec.hosts if in_mesh(obj) or not h.startswith("*"))
        yield from targets(obj)
    elif isinstance(obj, Route):
        for rule in obj.spec.rules:
            for one in rule.backend_refs:
                if one.kind == "Service":
                    yield f"{one.name}.{one.namespace or obj.namespace}.svc.{CLUSTER_DOMAIN}"


def targets(route: VirtualService) -> Iterator[str]:
    """Hosts that it sends requests to, as written; mirrors are among them."""
    for rule in route.spec.http:
        yield from (one.destination.host for one in rule.route)
        if rule.mirror is not None:
            yield rule.mirror.host
    for l4 in (*route.spec.tls, *route.spec.tcp):
        yield from (one.destination.host for one in l4.route)


def _named(host: str, own: str, namespaces: Collection[str], called: tuple[str, ...]) -> bool:
    if any(host_matches(host, one) for one in called):
        return True
    if host.startswith("*"):
        ends = (f".{space}.svc.{CLUSTER_DOMAIN}" for space in namespaces)
        return any(end.endswith(host[1:].lower()) or host.lower().endswith(end) for end in ends)
    found = named_by_client(host, own)
    if found is None:
        return False
    return found[0] in namespaces or f"{found[1]}.{found[0]}.svc.{CLUSTER_DOMAIN}" in called
