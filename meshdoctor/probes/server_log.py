"""What did the server's proxy log about this edge?"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh import idle_connections
from meshdoctor.mesh.access_log import AccessLog, Line
from meshdoctor.mesh.access_logging import SERVER
from meshdoctor.mesh.edge_target import peers, target
from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import EvidenceError, NotAskedError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe


class ServerLog(Struct, frozen=True, kw_only=True):
    """Access-log lines of the server's pods on this port, from the client's addresses (from every
    address when no client is named). A failed TLS handshake leaves no line at a server."""

    lines: Annotated[Fact[int], "calls from the client that reached the server's proxy", OBSERVED]
    ok: Annotated[Fact[int], "of them without any failure", OBSERVED]
    any_lines: Annotated[Fact[int], "calls from anyone on this port", OBSERVED]
    mtls: Annotated[Fact[int], "calls that came with Istio mutual TLS", OBSERVED]
    plaintext: Annotated[Fact[int], "calls that were accepted as plaintext", OBSERVED]
    refused: Annotated[Fact[int], "connections refused: NR filter_chain_not_found", OBSERVED]
    refused_plaintext: Annotated[Fact[int], "of them plaintext (no SNI)", OBSERVED]
    refused_mtls: Annotated[Fact[int], "of them Istio mutual TLS (SNI outbound_...)", OBSERVED]
    refused_foreign: Annotated[Fact[int], "of them TLS with another SNI", OBSERVED]
    refused_name: Annotated[Fact[str], "that other SNI", OBSERVED]
    refused_any: Annotated[Fact[int], "connections refused on this port, from anyone", OBSERVED]
    refused_peers: Annotated[Fact[str], "refused addresses, most frequent first", OBSERVED]
    refused_peer_count: Annotated[Fact[int], "how many different addresses", OBSERVED]
    first_refused: Annotated[Fact[datetime], "when the first was refused", OBSERVED]
    last_refused: Annotated[Fact[datetime], "when the last was refused", OBSERVED]
    app_errors: Annotated[Fact[int], "errors that the application itself answered", OBSERVED]
    app_code: Annotated[Fact[int], "its most frequent error code", OBSERVED]
    app_further: Annotated[
        Fact[int], "of them that a failed call of its own caused, by the request id", OBSERVED
    ]
    app_refused: Annotated[Fact[int], "UF refused: nothing listens in the pod", OBSERVED]
    app_address: Annotated[Fact[str], "address that the proxy tried in the pod", OBSERVED]
    app_timeouts: Annotated[Fact[int], "UF timed out towards the application", OBSERVED]
    app_closed: Annotated[Fact[int], "UC: the application closed the connection", OBSERVED]
    app_patience: Annotated[
        Fact[int], "seconds after which it did so, the same each time; 0: no such", OBSERVED
    ]
    app_idle_closed: Annotated[
        Fact[int], "calls cut off on a connection that had answered before and lain idle", OBSERVED
    ]
    app_idle: Annotated[Fact[int], "the shortest such idle time, in seconds", OBSERVED]
    app_reset: Annotated[Fact[int], "UR: the application reset the request", OBSERVED]
    protocol_errors: Annotated[Fact[int], "UPE: the application broke the protocol", OBSERVED]
    bad_requests: Annotated[Fact[int], "DPE: bytes that are no HTTP, such as TLS", OBSERVED]
    denied: Annotated[Fact[int], "denied by an authorization policy", OBSERVED]
    denied_none: Annotated[Fact[int], "of them because no ALLOW policy matched", OBSERVED]
    denied_tcp: Annotated[Fact[int], "of them on a TCP port", OBSERVED]
    denied_custom: Annotated[Fact[int], "of them by a broken CUSTOM action", OBSERVED]
    denied_policy: Annotated[Fact[str], "namespace/name that denied; none: no ALLOW matched"]
    jwt_denied: Annotated[Fact[int], "tokens refused", OBSERVED]
    jwt_reason: Annotated[Fact[str], "why, most frequent", OBSERVED]
    ext_authz_denied: Annotated[Fact[int], "UAEX: the external authorizer denied", OBSERVED]
    ext_authz_errors: Annotated[Fact[int], "UAEX: the external authorizer failed", OBSERVED]
    uncaptured_port: Annotated[Fact[int], "calls through InboundPassthroughCluster", OBSERVED]
    last: Annotated[Fact[datetime], "end of the last call or refusal", OBSERVED]
    pod: Annotated[Fact[str], "the server pod that logged most of these lines"]


@probe(
    "server-log",
    subject=SubjectKind.EDGE,
    reads=proxy_logs.READS,
    costly=True,
)
def server_log(view: View, edge: EdgeSubject) -> ServerLog:
    """What did the server's proxy log about this edge?"""
    if edge.server is None:
        raise NotAskedError("log of the server's proxy", "no workload stands behind the host")
    workload = reading.workload(view, edge.server)
    logs = proxy_logs.read(view, workload, SERVER)
    service = reading.edge_service(view, edge)
    wanted = target(edge, service, workload.pods)
    client = _client(view, edge)
    found = _facts(logs, lambda log: ev.of_server(log, wanted), client)
    unread = logs.lines(lambda log: ev.unread(log, wanted))
    return found if isinstance(client, Unavailable) else _with_unread(found, unread, client)


def _with_unread(found: ServerLog, unread: tuple[Line, ...], client: ev.Peers) -> ServerLog:
    """Connections that were no HTTP count among the bad requests, though not among the calls."""
    more = len(ev.from_peers(unread, client))
    known = found.bad_requests
    if not more:
        return found
    return replace(found, bad_requests=more + (known if isinstance(known, int) else 0))


def _client(view: View, edge: EdgeSubject) -> ev.Peers | Unavailable:
    """The client's addresses; none when no client is asked about: then any peer counts."""
    given = peers((), edge.client_ip)
    if edge.client is None:
        return given
    try:
        found = peers(reading.workload(view, edge.client).pods, edge.client_ip)
    except EvidenceError as error:
        return given if given.ips else error.unavailable
    if found.ips:
        return found
    return Unavailable(reason=Reason.NOT_FOUND, what=f"addresses of the pods of {edge.client}")


def _facts(
    logs: proxy_logs.ProxyLogs,
    of: Callable[[AccessLog], tuple[Line, ...]],
    client: ev.Peers | Unavailable,
) -> ServerLog:
    everyone = logs.lines(of)
    refused_any = tuple(line for line in everyone if ev.refused(line))
    unknown = client if isinstance(client, Unavailable) else None
    lines = () if isinstance(client, Unavailable) else ev.from_peers(everyone, client)
    refused = tuple(line for line in lines if ev.refused(line))
    calls = tuple(line for line in lines if not line.is_listener)
    app_errors = [line for line in calls if line.code >= 400 and ev.by_upstream(line)]
    denials = [line for line in calls if ev.denied_policy(line)]

    def of_client(value: int) -> Fact[int]:
        return logs.seen(value) if unknown is None else unknown

    def n(test: Callable[[Line], bool]) -> Fact[int]:
        return of_client(ev.count(calls, test))

    def text(value: str) -> Fact[str]:
        return logs.seen(clean(value)) if unknown is None else unknown

    def spoke(kind: str) -> Fact[int]:
        return of_client(sum(1 for line in refused if line.server_name_kind == kind))

    def ext_authz(error: bool) -> Fact[int]:
        return n(lambda ln: "UAEX" in ln.flags and ("ext_authz_error" in ln.details) is error)

    cut = idle_connections.cut_off(everyone)
    mine = {id(line) for line in lines}
    idle = [one for one in cut if id(one.line) in mine]
    first, last = ev.span(refused_any)
    none = Unavailable(reason=Reason.NOT_FOUND, what="such lines at the server's proxy")
    return ServerLog(
        lines=of_client(len(calls)),
        ok=n(lambda line: not ev.failed(line)),
        any_lines=logs.seen(len(everyone) - len(refused_any)),
        mtls=n(lambda line: line.server_name_kind == "istio"),
        plaintext=n(lambda line: line.is_inbound and line.server_name_kind == "plaintext"),
        refused=of_client(len(refused)),
        refused_plaintext=spoke("plaintext"),
        refused_mtls=spoke("istio"),
        refused_foreign=spoke("foreign"),
        refused_name=text(
            ev.most_common(ln.server_name for ln in refused if ln.server_name_kind == "foreign")
        ),
        refused_any=logs.seen(len(refused_any)),
        refused_peers=logs.seen(clean(", ".join(ev.peers(refused_any)[:5]))),
        refused_peer_count=logs.seen(len(ev.peers(refused_any))),
        first_refused=first or logs.missing or none,
        last_refused=last or logs.missing or none,
        app_errors=of_client(len(app_errors)),
        app_code=of_client(int(ev.most_common(str(line.code) for line in app_errors) or 0)),
        app_further=of_client(_further(logs, app_errors)),
        app_refused=n(lambda line: ev.connect_word(line) == "refused"),
        app_address=text(
            ev.most_common(ln.upstream_host for ln in calls if ev.connect_word(ln) == "refused")
        ),
        app_timeouts=n(lambda line: ev.connect_word(line) == "timeout"),
        app_closed=n(lambda line: "UC" in line.flags),
        app_patience=of_client(ev.same_wait(line for line in calls if "UC" in line.flags)),
        app_idle_closed=of_client(len(idle)),
        app_idle=of_client(idle_connections.shortest(idle)),
        app_reset=n(lambda line: "UR" in line.flags),
        protocol_errors=n(lambda line: "UPE" in line.flags),
        bad_requests=n(lambda line: "DPE" in line.flags),
        denied=of_client(len(denials)),
        denied_none=of_client(sum(1 for line in denials if ev.denied_policy(line) == "none")),
        denied_tcp=of_client(sum(1 for line in denials if line.is_tcp)),
        denied_custom=of_client(sum(1 for ln in denials if "bad-CUSTOM-action" in ev.text_of(ln))),
        denied_policy=text(ev.most_common(ev.denied_policy(line) for line in denials)),
        jwt_denied=n(lambda line: bool(ev.jwt_reason(line))),
        jwt_reason=text(ev.most_common(ev.jwt_reason(line) for line in calls)),
        ext_authz_denied=ext_authz(False),
        ext_authz_errors=ext_authz(True),
        uncaptured_port=n(lambda line: line.upstream_cluster == "InboundPassthroughCluster"),
        last=ev.span(lines)[1] or logs.missing or unknown or none,
        pod=logs.pod_with(of),
    )


def _further(logs: proxy_logs.ProxyLogs, errors: Iterable[Line]) -> int:
    """How many of the application's errors hand back the failure of a call that it made."""
    failed = {
        line.request_id
        for line in logs.lines(lambda log: log.lines)
        if line.is_outbound and ev.failed(line)
    } - {""}
    return sum(line.request_id in failed for line in errors)
