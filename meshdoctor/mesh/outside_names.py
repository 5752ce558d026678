"""Do requests reach a host outside the mesh under a name that its server does not know?

A rule that routes to another host leaves the Host header as it came, unless `rewrite.authority` or
`headers.request.set` writes it (pilot/pkg/networking/core/route/route.go applyHTTPRouteDestination,
1.4 to 1.32-dev). Servers outside choose the site by it, and answer a foreign one with an error.
"""

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.edge_evidence import by_upstream
from meshdoctor.mesh.services import host_matches, resolve_short_name
from meshdoctor.model.istio import Headers, ServiceEntry, VirtualService
from meshdoctor.model.kubernetes import Service

_HOST = frozenset({"host", ":authority"})
_NOT_THE_NAME = frozenset({401, 407, 429})


class Outside(Struct, frozen=True, kw_only=True):
    """A destination that a rule (counted from 1) gives the caller's own Host header. `names`: what
    the server outside goes by."""

    rule: int
    host: str
    names: tuple[str, ...]

    def foreign(self, line: Line) -> bool:
        """Whether a line is of a request that went there under another name."""
        asked = line.host
        return (
            line.is_outbound
            and not line.is_tcp
            and line.cluster_host.lower() == self.host.lower()
            and bool(asked)
            and not any(host_matches(name, asked) for name in self.names)
        )


def kept(
    route: VirtualService, find: Callable[[str], Service | ServiceEntry | None]
) -> tuple[Outside, ...]:
    """Destinations outside the mesh whose requests keep the name of the host that was called.
    `find` gives what makes a full host name known."""
    out = []
    for number, host in _unwritten(route):
        names = _names(host, find(host))
        if names and not any(host_matches(name, one) for name in names for one in route.spec.hosts):
            out.append(Outside(rule=number, host=host, names=names))
    return tuple(out)


def turned_down(line: Line) -> bool:
    """Whether the server itself answered with an error that a wrong name may be the reason of."""
    return line.code >= 400 and line.code not in _NOT_THE_NAME and by_upstream(line)


def _unwritten(route: VirtualService) -> Iterator[tuple[int, str]]:
    for number, rule in enumerate(route.spec.http, 1):
        if (rule.rewrite is not None and rule.rewrite.authority) or _writes(rule.headers):
            continue
        for one in rule.route:
            if not _writes(one.headers):
                yield number, resolve_short_name(one.destination.host, route.namespace)


def _writes(headers: Headers | None) -> bool:
    if headers is None or headers.request is None:
        return False
    return any(name.lower() in _HOST for name in headers.request.set)


def _names(host: str, known: Service | ServiceEntry | None) -> tuple[str, ...]:
    if isinstance(known, ServiceEntry):
        return () if known.spec.location == "MESH_INTERNAL" else tuple(_entry_names(known, host))
    if known is not None and known.spec.type == "ExternalName":
        return (known.spec.external_name,)
    return ()


def _entry_names(entry: ServiceEntry, host: str) -> Iterable[str]:
    """Its hosts, and the names of its endpoints: the server may go by either."""
    yield host
    yield from entry.spec.hosts
    yield from (e.address for e in entry.spec.endpoints if not e.address.replace(".", "").isdigit())
