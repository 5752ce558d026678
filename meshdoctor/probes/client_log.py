"""What did the client's proxy log about this edge?"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh import idle_connections, tls_errors
from meshdoctor.mesh.access_log import AccessLog, Line, address
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.edge_target import ips, target
from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import EvidenceError, NotAskedError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe


class ClientLog(Struct, frozen=True, kw_only=True):
    """Access-log lines of the client's pods for this service and port. A client without proxy
    logs nothing: zeros. Access logging off or custom: unavailable, never zeros."""

    lines: Annotated[Fact[int], "access-log lines of this edge at the client's proxies", OBSERVED]
    ok: Annotated[Fact[int], "of them without any failure", OBSERVED]
    failures: Annotated[Fact[int], "calls with a failure flag, or a code from 400", OBSERVED]
    all_failed: Annotated[Fact[bool], "lines were seen, and every one failed", OBSERVED]
    failure: Annotated[Fact[str], "code, flags and details of the most frequent failure", OBSERVED]
    code: Annotated[Fact[int], "response code of the most frequent failure", OBSERVED]
    flags: Annotated[Fact[str], "its response flags, sorted, comma between", OBSERVED]
    details: Annotated[Fact[str], "its response code details", OBSERVED]
    reason: Annotated[Fact[str], "its upstream transport failure reason", OBSERVED]
    cluster: Annotated[Fact[str], "its upstream cluster; empty: none was chosen", OBSERVED]
    authority: Annotated[Fact[str], "its Host header as the client sent it", OBSERVED]
    answered_errors: Annotated[
        Fact[int], "errors that came from the upstream itself (via_upstream)", OBSERVED
    ]
    tls_failures: Annotated[Fact[int], "lines with a TLS error towards the server", OBSERVED]
    tls: Annotated[
        Fact[str],
        "most frequent TLS error: verify_failed, wrong_version, client_cert_required, "
        "alert_unknown_ca, alert_expired, alert_bad_certificate, protocol, unrecognized_name, "
        "handshake_failure, no_secret, reset, other; empty: none",
        OBSERVED,
    ]
    tls_verify: Annotated[
        Fact[str],
        "why a certificate was refused: san, root, expired, early; empty: not told",
    ]
    tls_name: Annotated[Fact[str], "BoringSSL's name of that error", OBSERVED]
    closed: Annotated[Fact[int], "UC: the upstream closed the connection", OBSERVED]
    idle_closed: Annotated[
        Fact[int], "calls cut off on a connection that had answered before and lain idle", OBSERVED
    ]
    idle: Annotated[Fact[int], "the shortest such idle time, in seconds", OBSERVED]
    reset: Annotated[Fact[int], "UR: the upstream reset the request", OBSERVED]
    refused: Annotated[Fact[int], "UF: connection refused", OBSERVED]
    timeouts: Annotated[Fact[int], "UF: the connection timed out", OBSERVED]
    unreachable: Annotated[Fact[int], "UF: no route to the address", OBSERVED]
    no_healthy_upstream: Annotated[Fact[int], "UH: no healthy endpoint", OBSERVED]
    no_route: Annotated[Fact[int], "NR route_not_found", OBSERVED]
    no_cluster: Annotated[Fact[int], "NC: the route's cluster does not exist", OBSERVED]
    black_hole: Annotated[Fact[int], "refused by outboundTrafficPolicy REGISTRY_ONLY", OBSERVED]
    passthrough: Annotated[Fact[int], "lines through PassthroughCluster", OBSERVED]
    passthrough_failures: Annotated[Fact[int], "failures through PassthroughCluster", OBSERVED]
    denied: Annotated[Fact[int], "denied by authorization at this proxy", OBSERVED]
    denied_policy: Annotated[Fact[str], "namespace/name that denied; none: no ALLOW matched"]
    jwt_denied: Annotated[Fact[int], "tokens refused at this proxy", OBSERVED]
    ext_authz: Annotated[Fact[int], "UAEX: denied by an external authorizer here", OBSERVED]
    response_timeouts: Annotated[Fact[int], "UT: the response timed out", OBSERVED]
    overflow: Annotated[Fact[int], "UO: a connection pool limit was reached", OBSERVED]
    rate_limited: Annotated[Fact[int], "RL: local or global rate limit", OBSERVED]
    faults: Annotated[Fact[int], "FI or DI: an injected fault", OBSERVED]
    protocol_errors: Annotated[Fact[int], "UPE or DPE: protocol error", OBSERVED]
    not_http: Annotated[
        Fact[int], "calls whose bytes the client's own proxy could not read as HTTP", OBSERVED
    ]
    handed_on: Annotated[
        Fact[int],
        "connections to the service's address that its own sidecar passed on as bytes",
        OBSERVED,
    ]
    client_gone: Annotated[Fact[int], "DC: the caller hung up", OBSERVED]
    unconnected: Annotated[
        Fact[int], "of them after a second or more, still without a connection upstream", OBSERVED
    ]
    first: Annotated[Fact[datetime], "start of the first failure", OBSERVED]
    last: Annotated[Fact[datetime], "end of the last failure", OBSERVED]
    upstream: Annotated[Fact[str], "address of the endpoint that failed most", OBSERVED]
    failing_upstreams: Annotated[Fact[int], "different endpoints that failed", OBSERVED]
    working_upstreams: Annotated[Fact[int], "different endpoints that answered", OBSERVED]
    pod: Annotated[Fact[str], "the client pod that logged most of these lines"]


@probe(
    "client-log",
    subject=SubjectKind.EDGE,
    reads=proxy_logs.READS,
    costly=True,
)
def client_log(view: View, edge: EdgeSubject) -> ClientLog:
    """What did the client's proxy log about this edge?"""
    if edge.client is None:
        raise NotAskedError(
            "log of the client's proxy", "no client is named", "name it with --from"
        )
    logs = proxy_logs.read(view, reading.workload(view, edge.client), CLIENT)
    service = reading.edge_service(view, edge)
    pods = _server_pods(view, edge)
    wanted = target(edge, service, pods)
    elsewhere = _taken_elsewhere(view, service, pods)

    def of(log: AccessLog) -> tuple[Line, ...]:
        lines = ev.of_client(log, wanted)
        return tuple(ln for ln in lines if address(ln.upstream_host)[0] not in elsewhere)

    return _facts(
        logs, of, lambda log: ev.not_http(log, wanted), lambda log: ev.handed_on(log, wanted)
    )


def _server_pods(view: View, edge: EdgeSubject) -> tuple[Pod, ...]:
    """The server's pods; none when they cannot be read: their addresses only widen the match."""
    if edge.server is None:
        return ()
    try:
        return reading.workload(view, edge.server).pods
    except EvidenceError:
        return ()


def _taken_elsewhere(view: View, service: Service | None, mine: tuple[Pod, ...]) -> frozenset[str]:
    """Addresses of the service's pods that are not of the edge's server: a call that one of them
    took, or failed to take, is an edge of its own. Empty when the pods cannot be read."""
    if service is None or not mine:
        return frozenset()
    try:
        behind = reading.pods_of_service(view, service)
    except EvidenceError:
        return frozenset()
    own = {ip for pod in mine for ip in ips(pod)}
    return frozenset(ip for pod in behind for ip in ips(pod)) - own


Of = Callable[[AccessLog], tuple[Line, ...]]


def _facts(logs: proxy_logs.ProxyLogs, of: Of, not_http: Of, handed_on: Of) -> ClientLog:
    lines = logs.lines(of)
    bad = tuple(line for line in lines if ev.failed(line))
    typical = ev.typical(lines)
    tls = ev.most_common(ev.tls_word(line) for line in bad)
    tls_lines = [line for line in bad if ev.tls_word(line)]

    def n(test: Callable[[Line], bool]) -> Fact[int]:
        return logs.seen(ev.count(lines, test))

    def flag(*names: str) -> Fact[int]:
        return n(lambda line: bool(line.flags.intersection(names)))

    def connect(word: str) -> Fact[int]:
        return n(lambda line: ev.connect_word(line) == word)

    def text(value: str) -> Fact[str]:
        return logs.seen(clean(value))

    idle = idle_connections.cut_off(lines)
    first, last = ev.span(bad)
    none = Unavailable(reason=Reason.NOT_FOUND, what="failed lines at the client's proxy")
    return ClientLog(
        lines=logs.seen(len(lines)),
        ok=logs.seen(len(lines) - len(bad)),
        failures=logs.seen(len(bad)),
        all_failed=logs.seen(bool(lines) and len(bad) == len(lines)),
        failure=text(ev.in_words(typical) if typical else ""),
        code=logs.seen(typical.code if typical else 0),
        flags=text(",".join(sorted(typical.flags)) if typical else ""),
        details=text(typical.details if typical else ""),
        reason=text(typical.transport_failure if typical else ""),
        cluster=text(typical.upstream_cluster if typical else ""),
        authority=text(typical.authority if typical else ""),
        answered_errors=n(lambda line: line.code >= 400 and ev.by_upstream(line)),
        tls_failures=logs.seen(len(tls_lines)),
        tls=text(tls),
        tls_verify=text(
            ev.most_common(tls_errors.verify_reason(ev.text_of(line)) for line in tls_lines)
        ),
        tls_name=text(ev.most_common(tls_errors.reason(ev.text_of(line)) for line in tls_lines)),
        closed=flag("UC"),
        idle_closed=logs.seen(len(idle)),
        idle=logs.seen(idle_connections.shortest(idle)),
        reset=flag("UR"),
        refused=connect("refused"),
        timeouts=connect("timeout"),
        unreachable=connect("no_route"),
        no_healthy_upstream=flag("UH"),
        no_route=n(ev.unrouted),
        no_cluster=flag("NC"),
        black_hole=n(ev.black_holed),
        passthrough=n(lambda line: line.upstream_cluster == ev.PASSTHROUGH),
        passthrough_failures=n(
            lambda line: line.upstream_cluster == ev.PASSTHROUGH and ev.failed(line)
        ),
        denied=n(lambda line: bool(ev.denied_policy(line))),
        denied_policy=text(ev.most_common(ev.denied_policy(line) for line in bad)),
        jwt_denied=n(lambda line: bool(ev.jwt_reason(line))),
        ext_authz=flag("UAEX"),
        response_timeouts=flag("UT"),
        overflow=flag("UO"),
        rate_limited=flag("RL"),
        faults=flag("FI", "DI"),
        protocol_errors=flag("UPE", "DPE"),
        not_http=logs.seen(len(logs.lines(not_http))),
        handed_on=logs.seen(len(logs.lines(handed_on))),
        client_gone=flag("DC"),
        unconnected=n(ev.unconnected),
        first=first or logs.missing or none,
        last=last or logs.missing or none,
        upstream=text(
            ev.most_common(
                line.upstream_host for line in lines if ev.failed(line) or ev.unconnected(line)
            )
        ),
        failing_upstreams=logs.seen(len({ln.upstream_host for ln in bad if ln.upstream_host})),
        working_upstreams=logs.seen(
            len({ln.upstream_host for ln in lines if ln.upstream_host and not ev.failed(ln)})
        ),
        pod=logs.pod_with(of),
    )
