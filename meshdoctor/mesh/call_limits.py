"""Which limits of a route or rule end calls before the server could answer them?

Mirrors pilot/pkg/networking/util GetPortLevelTrafficPolicy and MergeSubsetTrafficPolicy (a port's
entry replaces all that stands above it, a subset's words replace the rule's one by one),
core/cluster_traffic_policy.go applyConnectionPool and applyOutlierDetection, and
core/route/route.go applyHTTPRouteDestination for timeouts (read at 1.18 to 1.32-dev). Envoy takes
five errors in a row as its limit where the rule names none.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

from msgspec import Struct

from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.client_tls import Merged, level_at
from meshdoctor.mesh.log_lines import go_duration
from meshdoctor.mesh.route_match import may_take
from meshdoctor.mesh.routes import hosts
from meshdoctor.mesh.services import host_matches, resolve_short_name
from meshdoctor.model.istio import (
    ConnectionPool,
    DestinationRule,
    HttpRoute,
    OutlierDetection,
    PortTrafficPolicy,
    TrafficPolicy,
    VirtualService,
)

ERRORS_IN_A_ROW = 5
PER_TRY = "per_try_timeout"
T = TypeVar("T")
Level = TrafficPolicy | PortTrafficPolicy


def in_force(
    chosen: Merged | None, port: int, subset: str, pick: Callable[[Level], T | None]
) -> tuple[T | None, DestinationRule | None]:
    """What the merged rule says of one thing for a service port and a subset, and whose words
    these are; (None, None): nothing."""
    if chosen is None:
        return None, None
    for one, owner in chosen.subsets:
        if one.name == subset and one.traffic_policy is not None:
            found = pick(level_at(one.traffic_policy, port))
            if found is not None:
                return found, owner
    if chosen.policy is None:
        return None, None
    found = pick(level_at(chosen.policy, port))
    return (found, chosen.policy_from) if found is not None else (None, None)


def pool(policy: Level) -> ConnectionPool | None:
    """Its connection pool."""
    return policy.connection_pool


def outliers(policy: Level) -> OutlierDetection | None:
    """Its outlier detection."""
    return policy.outlier_detection


def pool_words(found: ConnectionPool | None) -> str:
    """The limits of a pool that make a call overflow (503 UO), in words; "" when it has none."""
    if found is None:
        return ""
    tcp, http = found.tcp, found.http
    named = (
        ("maxConnections", tcp.max_connections if tcp else None),
        ("http1MaxPendingRequests", http.http1_max_pending_requests if http else None),
        ("http2MaxRequests", http.http2_max_requests if http else None),
    )
    return ", ".join(f"{name} {value}" for name, value in named if value)


def errors_allowed(found: OutlierDetection) -> int:
    """Errors in a row after which an endpoint is ejected; 0: such errors eject nobody."""
    named = [
        found.consecutive_5xx_errors,
        found.consecutive_gateway_errors,
        found.consecutive_errors,
    ]
    given = [one for one in named if one is not None]
    return min((one for one in given if one), default=0) if given else ERRORS_IN_A_ROW


def run_before_none(lines: Iterable[Line], allowed: int) -> int:
    """Errors in a row of one endpoint, at least as many as are allowed, after which the same proxy
    found no healthy endpoint (UH); 0: this was not seen."""
    row: dict[str, int] = {}
    longest = 0
    for line in sorted(lines, key=_began):
        if "UH" in line.flags:
            if longest:
                return longest
            continue
        if not line.upstream_host:
            continue
        row[line.upstream_host] = row.get(line.upstream_host, 0) + 1 if _error(line) else 0
        if allowed and row[line.upstream_host] >= allowed:
            longest = max(longest, row[line.upstream_host])
    return 0


def _began(line: Line) -> float:
    return line.start.timestamp() if isinstance(line.start, datetime) else 0.0


def _error(line: Line) -> bool:
    return line.code >= 500 or "UF" in line.flags


class TimeLimit(Struct, frozen=True, kw_only=True):
    """What a VirtualService lets a call, or one try of it, take: `text` as it is written."""

    route: VirtualService
    field: str
    text: str


def time_limit(
    routes: Iterable[VirtualService], host: str, lines: Iterable[Line]
) -> TimeLimit | None:
    """The limit that ended these calls to a host (504 UT): of each route's first rule that may
    have taken the call, if the call lasted as long. None: no route of these has one."""
    known = tuple(routes)
    for line in lines:
        for route in known:
            if not _is_for(route, host, line):
                continue
            rule = _rule_of(route, host, line)
            field, text = _limit(rule, line) if rule is not None else ("", "")
            allowed = go_duration(text) if text else None
            if allowed is not None and line.duration_ms >= int(allowed.total_seconds() * 1000):
                return TimeLimit(route=route, field=field, text=text)
    return None


def _is_for(route: VirtualService, host: str, line: Line) -> bool:
    called = line.host
    own = hosts(route)
    return any(host_matches(one, host) or bool(called) and host_matches(one, called) for one in own)


def _rule_of(route: VirtualService, host: str, line: Line) -> HttpRoute | None:
    path = line.path.partition("?")[0]
    for rule in route.spec.http:
        if may_take(rule, line.authority, path, line.method):
            return rule if _leads_to(rule, route.namespace, host) else None
    return None


def _leads_to(rule: HttpRoute, namespace: str, host: str) -> bool:
    return any(
        host_matches(resolve_short_name(one.destination.host, namespace), host)
        for one in rule.route
    )


def _limit(rule: HttpRoute, line: Line) -> tuple[str, str]:
    """The field that Envoy's details speak of, the whole call's where they are silent, and its
    value."""
    tries = rule.retries.per_try_timeout if rule.retries is not None else ""
    if PER_TRY in line.details:
        return "perTryTimeout", tries
    return ("timeout", rule.timeout) if rule.timeout else ("perTryTimeout", tries)
