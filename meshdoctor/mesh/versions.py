"""To which pods behind a Service do routes lead its calls?

A VirtualService of sidecars takes all calls of its hosts on ports of the kind of its rules, so pods
that none of its destinations picks get no calls (pilot/pkg/networking/core/route and its TCP
listeners, 1.18 to 1.32-dev). Told only where nothing else can lead to the others.
"""

from collections.abc import Iterable, Iterator, Mapping

from meshdoctor.mesh.client_tls import rule_host
from meshdoctor.mesh.protocols import TCP, Selected
from meshdoctor.mesh.routes import weighed
from meshdoctor.mesh.services import resolve_short_name
from meshdoctor.model.istio import Destination, DestinationRule, VirtualService
from meshdoctor.model.snapshot import selects

Labels = Mapping[str, str]


def chosen(
    host: str,
    port: Selected,
    routes: Iterable[VirtualService],
    rules: Iterable[DestinationRule],
) -> tuple[Labels, ...]:
    """Labels of the subsets that get calls of `host` on a port of this protocol; empty where any
    pod may get them. `routes`: those in force for the host; `rules`: of all namespaces."""
    in_force = tuple(routes)
    if not all(_takes_all(one, port) for one in in_force):
        return ()
    used = {
        one.subset
        for route in in_force
        for one in _destinations(route, port)
        if resolve_short_name(one.host, route.namespace) == host
    }
    found = [
        subset
        for rule in rules
        if rule_host(rule) == host
        for subset in rule.spec.subsets
        if subset.name in used
    ]
    known = {one.name for one in found}
    return tuple(one.labels for one in found) if used <= known else ()


def gets_calls(labels: Labels, picked: Iterable[Labels]) -> bool:
    """Whether pods of these labels are in one of the picked subsets."""
    return any(selects(wanted, labels) for wanted in picked)


def _takes_all(route: VirtualService, port: Selected) -> bool:
    """Whether no call of such a port passes its rules by. What no http rule takes ends in 404; a
    connection that no tcp rule takes goes to the service as if there were no route."""
    if port.http:
        return bool(route.spec.http) and not any(one.delegate for one in route.spec.http)
    return port.protocol == TCP and any(not one.match for one in route.spec.tcp)


def _destinations(route: VirtualService, port: Selected) -> Iterator[Destination]:
    """Mirrors too: what they get is judged as any call is."""
    if not port.http:
        for tcp in route.spec.tcp:
            yield from weighed(tcp.route)
        return
    for http in route.spec.http:
        yield from weighed(http.route)
        if http.mirror is not None:
            yield http.mirror
