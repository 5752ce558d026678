"""Which requests does a gateway's proxy answer itself before any rule has a say?

Upgrades other than websocket (pilot/pkg/networking/core/listener_builder.go allows no other), more
headers than Envoy takes (100 of them, 60 KiB), and ACME's challenges, whose path a certificate
authority asks for while the certificate is made.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from msgspec import Struct

from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.gateway_requests import path_of
from meshdoctor.model.istio import EnvoyFilter
from meshdoctor.model.kubernetes import Ingress

CHALLENGE = "/.well-known/acme-challenge/"
_ASKERS = ("cert-manager", "let's encrypt")


class Some(Struct, frozen=True, kw_only=True):
    """So many requests of one host and path; `sample` is one of them."""

    host: str
    path: str
    count: int
    sample: Line


def upgrades(lines: Iterable[Line]) -> Some | None:
    """Upgrades that the proxy refuses: what they ask for is no websocket."""
    return _most(lines, lambda line: line.details == "upgrade_failed")


def oversized(lines: Iterable[Line]) -> Some | None:
    """Requests with too many or too large headers. Envoy may not have read host and path yet."""
    return _most(lines, lambda line: line.code == 431 and not line.upstream_host)


def cut(lines: Iterable[Line]) -> Some | None:
    """Streams that the proxy ended because they had lasted so long."""
    return _most(lines, lambda line: line.details == "max_duration_timeout")


def limits_streams(filters: Iterable[EnvoyFilter]) -> EnvoyFilter | None:
    """The first EnvoyFilter that says how long a stream may last. Without one the caller does: a
    proxy heeds gRPC's own deadline (grpc-timeout)."""
    for one in filters:
        text = str([patch.patch.value for patch in one.spec.config_patches if patch.patch])
        if "max_stream_duration" in text or "maxStreamDuration" in text:
            return one
    return None


def challenges(lines: Iterable[Line]) -> Some | None:
    """Challenges that the proxy answered itself, while none of the host came to an answer: asked by
    cert-manager or by Let's Encrypt, since scanners ask for such paths too."""
    asked = [line for line in lines if line.path.startswith(CHALLENGE)]
    solved = {line.host for line in asked if line.upstream_host}
    return _most(asked, lambda line: line.host not in solved and _asks(line))


def solves(ingress: Ingress, host: str) -> bool:
    """Whether an Ingress is cert-manager's for a challenge of a host."""
    return any(
        rule.host.lower() in ("", host) and path.path.startswith(CHALLENGE)
        for rule in ingress.spec.rules
        for path in rule.http.paths
    )


def _asks(line: Line) -> bool:
    return any(one in line.user_agent.lower() for one in _ASKERS)


def _most(lines: Iterable[Line], test: Callable[[Line], bool]) -> Some | None:
    """The most frequent host and path of such lines."""
    by_place: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        if test(line):
            by_place[line.host, path_of(line)].append(line)
    found = (
        Some(host=host, path=path, count=len(some), sample=some[0])
        for (host, path), some in by_place.items()
    )
    return max(found, key=lambda one: one.count, default=None)
