"""Do requests reach an application under a path that it does not know?

A rule passes the path on as it came, prefix and all, unless `rewrite.uri` says otherwise; that
replaces the matched prefix and nothing more, so that `/shop` written as `/` makes `//cart` of
`/shop/cart` (pilot/pkg/networking/core/route/route.go, Envoy's prefix_rewrite; 1.4 to 1.32-dev).
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from meshdoctor.mesh.access_log import Line, address
from meshdoctor.mesh.edge_evidence import by_upstream
from meshdoctor.mesh.gateway_requests import path_of
from meshdoctor.mesh.route_match import may_take
from meshdoctor.mesh.routes import hosts
from meshdoctor.mesh.services import host_matches, resolve_short_name
from meshdoctor.model.istio import HttpMatch, HttpRoute, VirtualService

ENOUGH = 3
"""So many requests for a prefix alone: an application may well answer / and have no page there."""


class Passed(Struct, frozen=True, kw_only=True):
    """A rule (from 1) that passes the path on as it came. `stripped`: the path without the prefix,
    which the same application answers well; "" when it was seen to answer none. `at_root`: the
    prefix itself is asked for, or several paths below it."""

    rule: int
    prefix: str
    refused: int
    path: str
    stripped: str = ""
    at_root: bool = False


class Doubled(Struct, frozen=True, kw_only=True):
    """A rule (from 1) that writes a path with two slashes, and one such path."""

    rule: int
    prefix: str
    refused: int
    path: str


def passes_prefix(route: VirtualService) -> bool:
    """Whether a rule matches a path of its own and passes it on as it came."""
    return any(True for _ in _passing(route))


def doubles_slash(route: VirtualService) -> bool:
    """Whether a rule replaces a prefix without a slash at its end by one with it."""
    return any(True for _ in _doubling(route))


def passed(route: VirtualService, lines: Sequence[Line]) -> Passed | None:
    """The rule whose requests the application answers with 404, each of them; `lines` are those of
    callers and servers alike."""
    found = [one for rule in _passing(route) if (one := _judge(route, *rule, lines)) is not None]
    return max(found, key=lambda one: (bool(one.stripped), one.refused), default=None)


def doubled(route: VirtualService, lines: Iterable[Line]) -> Doubled | None:
    """The rule whose requests reach the server with two slashes, and none of them is answered
    well."""
    arrived = [line for line in lines if line.is_inbound and line.method]
    for number, rule, prefix in _doubling(route):
        called = _pods(route, rule, lines)
        some = [
            line
            for line in arrived
            if path_of(line).startswith("//")
            and address(line.downstream_local)[0] in called
            and any(host_matches(own, line.host) for own in hosts(route))
        ]
        bad = [line for line in some if line.code == 404 and by_upstream(line)]
        if bad and len(bad) == len(some):
            return Doubled(rule=number, prefix=prefix, refused=len(bad), path=path_of(bad[-1]))
    return None


def _passing(route: VirtualService) -> Iterator[tuple[int, HttpRoute, str]]:
    for number, rule in enumerate(route.spec.http, 1):
        if rule.route and not (rule.rewrite is not None and rule.rewrite.uri):
            for prefix in filter(None, map(_own_path, rule.match)):
                yield number, rule, prefix


def _doubling(route: VirtualService) -> Iterator[tuple[int, HttpRoute, str]]:
    for number, rule in enumerate(route.spec.http, 1):
        if rule.rewrite is not None and rule.rewrite.uri == "/":
            for one in rule.match:
                prefix = one.uri.prefix if one.uri is not None else None
                if prefix and not prefix.endswith("/"):
                    yield number, rule, prefix


def _own_path(match: HttpMatch) -> str:
    """The path that a match asks for, "" when it takes any."""
    if match.uri is None:
        return ""
    return (match.uri.prefix or match.uri.exact or "").rstrip("/")


def _judge(
    route: VirtualService, number: int, rule: HttpRoute, prefix: str, lines: Sequence[Line]
) -> Passed | None:
    own = [line for line in _taken(route, number, rule, lines) if _below(path_of(line), prefix)]
    bad = [line for line in own if line.code == 404]
    pods = {address(line.upstream_host)[0] for line in bad}
    there = [
        line
        for line in lines
        if line.is_inbound
        and by_upstream(line)
        and line.code != 404
        and address(line.downstream_local)[0] in pods
    ]
    if not bad or len(bad) < len(own) or any(_below(path_of(line), prefix) for line in there):
        return None
    wanted = {f"/{path_of(line)[len(prefix) :].lstrip('/')}" for line in bad}
    well = sorted(wanted & {path_of(line) for line in there if line.code < 400})
    paths = {path_of(line) for line in bad}
    if well == ["/"] and len(bad) < ENOUGH:
        well = []
    return Passed(
        rule=number,
        prefix=prefix,
        refused=len(bad),
        path=path_of(bad[-1]),
        stripped=well[0] if well else "",
        at_root=len(paths) > 1 or any(path.rstrip("/") == prefix for path in paths),
    )


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _taken(
    route: VirtualService, number: int, rule: HttpRoute, lines: Iterable[Line]
) -> Iterator[Line]:
    """Requests that this rule sent on, and the application answered."""
    led = _destinations(route, rule)
    for line in lines:
        if (
            line.is_outbound
            and line.method
            and by_upstream(line)
            and line.cluster_host.lower() in led
            and any(host_matches(own, line.host) for own in hosts(route))
            and not any(_takes(r, line) for r in route.spec.http[: number - 1])
            and _takes(rule, line)
        ):
            yield line


def _takes(rule: HttpRoute, line: Line) -> bool:
    return may_take(rule, line.authority, path_of(line), line.method)


def _destinations(route: VirtualService, rule: HttpRoute) -> frozenset[str]:
    return frozenset(
        resolve_short_name(one.destination.host, route.namespace).lower() for one in rule.route
    )


def _pods(route: VirtualService, rule: HttpRoute, lines: Iterable[Line]) -> frozenset[str]:
    """The addresses to which a rule's destinations led."""
    led = _destinations(route, rule)
    return frozenset(
        address(line.upstream_host)[0]
        for line in lines
        if line.is_outbound and line.upstream_host and line.cluster_host.lower() in led
    )
