"""Which requests does a gateway send round, not find a route for, or not read as HTTP?

A browser follows redirects at once, so one client's redirects of one path that come in a burst lead
back to where they came from. Of virtual hosts the one whose domain says most takes a request, and
none falls through to a wider one (Envoy's route table; istiod makes a virtual host for each host of
a VirtualService, pilot/pkg/networking/core/gateway.go).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.route_match import Mine, every_match, may_take, unmet
from meshdoctor.mesh.routes import hosts
from meshdoctor.mesh.services import host_matches
from meshdoctor.model.istio import Server, VirtualService

REDIRECTS = frozenset({301, 302, 303, 307, 308})
BURST, WITHIN = 4, timedelta(seconds=10)
ASKED = 3
"""So many redirects of the host asked about will do, if nothing else ever came of it."""


class Circle(Struct, frozen=True, kw_only=True):
    """Requests that lead back to themselves, all of one host and path; `sample` is one of them."""

    host: str
    path: str
    count: int
    sample: Line

    @property
    def by_upstream(self) -> bool:
        """The application redirects, not the gateway."""
        return bool(self.sample.upstream_host)

    @property
    def plain(self) -> bool:
        """They came to the gateway without TLS."""
        return not self.sample.server_name


def circle(lines: Iterable[Line], asked: str = "") -> Circle | None:
    """The host and path with most redirects that lead back to it; `asked`: the host that is known
    to fail."""
    lines = tuple(line for line in lines if line.method and line.authority)
    by_place: dict[tuple[str, str], list[Line]] = defaultdict(list)
    answered = set()
    for line in lines:
        by_place[line.host, path_of(line)].append(line)
        if line.code not in REDIRECTS:
            answered.add(line.host)
    found = [
        Circle(host=host, path=path, count=len(some), sample=some[-1])
        for (host, path), some in by_place.items()
        if all(line.code in REDIRECTS for line in some)
        and (_burst(some) or host == asked and host not in answered and len(some) >= ASKED)
    ]
    return max(found, key=lambda one: (one.host == asked, one.count), default=None)


def _burst(lines: Iterable[Line]) -> bool:
    """Whether one client came again and again within seconds."""
    by_client: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        client = line.forwarded_for.partition(",")[0] or line.peer_ip
        by_client[client, line.user_agent].append(line)
    for some in by_client.values():
        times = sorted(line.start for line in some if line.start is not None)
        if any(b - a <= WITHIN for a, b in zip(times, times[BURST - 1 :], strict=False)):
            return True
    return False


def path_of(line: Line) -> str:
    """The path without query."""
    return line.path.partition("?")[0]


class Unread(Struct, frozen=True, kw_only=True):
    """Connections to one port of the gateway of which not one could be read as HTTP."""

    port: int
    count: int


def unread(lines: Iterable[Line]) -> Unread | None:
    """The port with most of them. Where some requests can be read, the rest are scanners'."""
    bad: dict[int, int] = defaultdict(int)
    good = set()
    for line in lines:
        if line.method:
            good.add(line.local_port)
        elif ev.unreadable(line):
            bad[line.local_port] += 1
    found = [Unread(port=port, count=n) for port, n in bad.items() if port and port not in good]
    return max(found, key=lambda one: one.count, default=None)


class Unrouted(Struct, frozen=True, kw_only=True):
    """Requests of one host and path for which the gateway has no route. `narrow`: the
    VirtualService whose virtual host takes them (None: no VirtualService has the host); with
    `for_others` a rule of it would take them, but its matches are for other proxies. `wide`: one
    with a wider host that has a rule for the path. `short`: one that names the host without a dot,
    which istiod completes to a name that nobody calls (ResolveShortnameToFQDN). `passing`: one that
    has only `tls` or `tcp` rules for the host, while the server that took the request ended TLS.
    `asks`: what the rule of `narrow` for path, method and authority asks for beside them. `ported`:
    the port in the Host header, for which the release makes no domain."""

    host: str
    path: str
    count: int
    narrow: VirtualService | None = None
    wide: VirtualService | None = None
    short: VirtualService | None = None
    passing: VirtualService | None = None
    for_others: bool = False
    asks: str = ""
    ported: int = 0


class Exact(Struct, frozen=True, kw_only=True):
    """Before 1.6 a gateway's virtual host is for a host alone or with its server's port, before
    1.10 that of a wildcard (istio/istio#20870, #30469): `ports` are those of the servers."""

    release: tuple[int, ...]
    ports: frozenset[int]

    def refuses(self, domain: str, port: int) -> bool:
        """Whether a Host header with a port is none of the domain's."""
        since = (1, 10) if domain.startswith("*.") else (1, 6)
        return domain != "*" and self.release < since and port not in self.ports


class _Call(Struct, frozen=True):
    host: str
    authority: str
    path: str
    method: str


def unrouted(
    lines: Iterable[Line],
    routes: Sequence[VirtualService],
    asked: str = "",
    path: str = "",
    mine: Mine = every_match,
    exact: Exact | None = None,
) -> Unrouted | None:
    """The most frequent of such requests that a wider host's rules would take; failing that, those
    to the host and path asked about, or, where no path is named, to a host of which nothing is
    routed. `routes` are bound to the gateway; `mine` are those of their matches that it gets;
    `exact` says how it compares a Host header with a port."""
    seen: dict[_Call, int] = defaultdict(int)
    routed, over_tls = set(), set()
    for line in lines:
        if not line.method or not line.authority:
            continue
        if ev.unrouted(line):
            seen[_Call(line.host, line.authority, path_of(line), line.method)] += 1
            if line.server_name:
                over_tls.add(line.host)
        else:
            routed.add(line.host)
    table = _virtual_hosts(routes)
    found = []
    for call, count in seen.items():
        one = _judge(call, count, table, mine) or _ported(call, count, table, exact)
        if one is None:
            continue
        if one.narrow is None:
            one = replace(one, short=_short(call.host, routes))
        concerns = call.host == asked and (
            path == call.path or not path and call.host not in routed
        )
        passing = _passing(call.host, routes) if call.host in over_tls else None
        ported = one.ported and (call.host == asked or count >= ASKED)
        preflight = one.asks and call.method == "OPTIONS" and count >= ASKED
        if one.narrow is None and passing is not None:
            found.append(replace(one, passing=passing))
        elif one.wide is not None or one.short is not None or concerns or ported or preflight:
            found.append(one)
    return max(found, key=lambda one: weight(one, asked), default=None)


def weight(one: Unrouted, asked: str) -> tuple[bool, bool, int]:
    """Which of several tells most: the host asked about, one that a wider host's rules take."""
    return (one.host == asked, one.wide is not None, one.count)


def _virtual_hosts(routes: Iterable[VirtualService]) -> dict[str, list[VirtualService]]:
    """The VirtualServices with `http` rules of each domain, in lower case."""
    table: dict[str, list[VirtualService]] = defaultdict(list)
    for route in routes:
        for domain in {own.lower() for own in hosts(route)} if route.spec.http else ():
            table[domain].append(route)
    return table


def _judge(
    call: _Call, count: int, table: Mapping[str, Sequence[VirtualService]], mine: Mine
) -> Unrouted | None:
    """None when a rule of its own virtual host may take the request after all. Hosts are compared
    without case and port; what a rule says of the authority is compared as it came."""

    def takes(route: VirtualService, get: Mine = mine) -> bool:
        every = route.spec.http
        return any(may_take(r, call.authority, call.path, call.method, get) for r in every)

    covering = sorted((d for d in table if host_matches(d, call.host)), key=_told, reverse=True)
    if not covering:
        return Unrouted(host=call.host, path=call.path, count=count)
    own = table[covering[0]]
    rules = [(route, r) for route in own for r in route.spec.http]
    taking = [p for p in rules if may_take(p[1], call.authority, call.path, call.method, mine)]
    asks = [(unmet(r, call.authority, call.path, call.method, mine), route) for route, r in taking]
    if taking and all(said for said, _ in asks):
        said, route = asks[0]
        return Unrouted(host=call.host, path=call.path, count=count, narrow=route, asks=said)
    if taking:
        return None
    narrow = next((one for one in own if takes(one, every_match)), None)
    wide = next((r for domain in covering[1:] for r in table[domain] if takes(r)), None)
    return Unrouted(
        host=call.host,
        path=call.path,
        count=count,
        narrow=narrow or own[0],
        wide=wide,
        for_others=narrow is not None,
    )


def _ported(
    call: _Call, count: int, table: Mapping[str, Sequence[VirtualService]], exact: Exact | None
) -> Unrouted | None:
    """Of requests that rules would take, but for the port in their Host header."""
    _, _, text = call.authority.rpartition(":")
    port = int(text) if text.isdecimal() and call.authority != text else 0
    covering = sorted((d for d in table if host_matches(d, call.host)), key=_told, reverse=True)
    if exact is None or not port or not covering:
        return None
    if not all(exact.refuses(domain, port) for domain in covering):
        return None
    narrow = table[covering[0]][0]
    return Unrouted(host=call.host, path=call.path, count=count, narrow=narrow, ported=port)


def _short(host: str, routes: Iterable[VirtualService]) -> VirtualService | None:
    """The VirtualService that names a host without a dot."""
    if "." in host:
        return None
    return next((r for r in routes if host in {own.lower() for own in r.spec.hosts}), None)


def _passing(host: str, routes: Iterable[VirtualService]) -> VirtualService | None:
    """The VirtualService of a host that has no `http` rules."""
    return next(
        (
            route
            for route in routes
            if not route.spec.http and any(host_matches(own, host) for own in hosts(route))
        ),
        None,
    )


def _told(domain: str) -> tuple[bool, int]:
    """How much a domain says: a whole name before the longest wildcard."""
    return (not domain.startswith("*"), len(domain))


def redirecting(
    routes: Iterable[VirtualService], host: str, path: str, method: str
) -> VirtualService | None:
    """The VirtualService whose first rule for a request redirects it."""
    for route in routes:
        if not any(host_matches(own, host) for own in hosts(route)):
            continue
        rule = next((r for r in route.spec.http if may_take(r, host, path, method)), None)
        if rule is not None and rule.redirect is not None:
            return route
    return None


def sends_to_https(server: Server, host: str) -> bool:
    """Whether a server redirects plain requests for a host to https."""
    named = (own.rpartition("/")[2] for own in server.hosts)
    redirects = server.tls is not None and server.tls.https_redirect
    return redirects and any(host_matches(own, host) for own in named)
