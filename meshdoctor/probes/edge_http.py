"""Do client and server speak the same HTTP, by the logs of both proxies?"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_log import AccessLog, Line
from meshdoctor.mesh.access_logging import CLIENT, SERVER
from meshdoctor.mesh.changes import last_change
from meshdoctor.mesh.edge_target import peers, target
from meshdoctor.mesh.workloads import WorkloadPods, has_proxy
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe

Test = Callable[[Line], bool]

_BROKEN = frozenset({"UPE", "UC"})


class EdgeHttp(Struct, frozen=True, kw_only=True):
    """Requests of this edge that failed for what HTTP itself is like. Where neither log can be
    read, or access logging is off, unavailable, never zeros."""

    low_version: Annotated[Fact[int], "HTTP/1.0 requests, which a proxy answered 426", OBSERVED]
    low_pod: Annotated[Fact[str], "the pod whose proxy did"]
    low_namespace: Annotated[Fact[str], "its namespace"]
    app_broke: Annotated[
        Fact[int], "UPE at the last proxy: the application answered in another protocol", OBSERVED
    ]
    app_good: Annotated[
        Fact[int], "requests that it answered well there, as its Service is now", OBSERVED
    ]
    h2_broke: Annotated[
        Fact[int], "HTTP/2 requests that the upstream broke or closed (UPE, UC)", OBSERVED
    ]
    h2_good: Annotated[Fact[int], "HTTP/2 requests that it answered well", OBSERVED]
    h1_good: Annotated[Fact[int], "HTTP/1 requests that it answered well", OBSERVED]
    plain_refused: Annotated[
        Fact[int],
        "HTTP requests that the upstream answered 400, closed, or answered in no HTTP",
        OBSERVED,
    ]
    bytes_only: Annotated[
        Fact[bool],
        "connections to that port went past as bytes, and no request of this edge was read",
        OBSERVED,
    ]
    plain_taken: Annotated[Fact[int], "HTTP requests that the upstream answered well", OBSERVED]


@probe(
    "edge-http",
    subject=SubjectKind.EDGE,
    reads=proxy_logs.READS,
    costly=True,
)
def edge_http(view: View, edge: EdgeSubject) -> EdgeHttp:
    """Do client and server speak the same HTTP?"""
    client = reading.workload(view, edge.client) if edge.client is not None else None
    server = reading.workload(view, edge.server) if edge.server is not None else None
    service = reading.edge_service(view, edge)
    wanted = target(edge, service, server.pods if server is not None else ())
    callers = peers(client.pods if client is not None else (), edge.client_ip)
    out, inside = _client_side(view, client, wanted), _server_side(view, server, wanted, callers)
    last = inside if server is not None and server.pod and has_proxy(server.pod) else out
    told = out if out is not None and out.logs is not None else inside
    turned = _turned(last, service)

    def new(line: Line) -> bool:
        return turned is None or line.start is None or line.start >= turned

    low = next((s for s in (inside, out) if s is not None and s.count(ev.low_version)), None)
    return EdgeHttp(
        low_version=_seen((out, inside), ev.low_version),
        low_pod=low.pod(ev.low_version) if low is not None else "",
        low_namespace=low.namespace if low is not None else "",
        app_broke=_seen((last,), _broke),
        app_good=_seen((last,), lambda line: bool(line.method) and _good(line) and new(line)),
        h2_broke=_seen((out, inside), lambda line: _is_h2(line) and bool(line.flags & _BROKEN)),
        h2_good=_seen((told,), lambda line: _is_h2(line) and _good(line)),
        h1_good=_seen((told,), lambda line: line.protocol.startswith("HTTP/1") and _good(line)),
        plain_refused=_seen((out,), _refused),
        bytes_only=_bytes_only(out, edge.port),
        plain_taken=_seen((out,), lambda line: _is_request(line) and _good(line)),
    )


class _Side(Struct, frozen=True, kw_only=True):
    """One proxy's lines of the edge."""

    namespace: str
    logs: proxy_logs.ProxyLogs | None
    of: Callable[[AccessLog], tuple[Line, ...]]
    missing: Unavailable | None = None

    def lines(self) -> tuple[Line, ...]:
        return tuple(self.logs.lines(self.of)) if self.logs is not None else ()

    def count(self, test: Test) -> int:
        return ev.count(self.lines(), test)

    def pod(self, test: Test) -> str:
        if self.logs is None:
            return ""
        return self.logs.pod_with(lambda log: tuple(x for x in self.of(log) if test(x)))


def _seen(sides: tuple[_Side | None, ...], test: Test) -> Fact[int]:
    """How many lines; none is a fact only where every log could show one."""
    known = [side for side in sides if side is not None]
    count = sum(side.count(test) for side in known)
    missing = next((side.missing for side in known if side.missing is not None), None)
    return count if count or missing is None else missing


def _bytes_only(side: _Side | None, port: int) -> bool:
    """Only what was read shows it: false where the log cannot be read. What is TLS already misses
    the HTTP rules of its port, and its line says nothing of the host."""
    if side is None or side.logs is None or any(line.method for line in side.lines()):
        return False
    lines = side.logs.lines(lambda log: log.lines)
    return any(
        line.upstream_cluster == ev.PASSTHROUGH and not line.method and line.local_port == port
        for line in lines
    )


def _side(
    view: View, workload: WorkloadPods, mode: str, of: Callable[[AccessLog], tuple[Line, ...]]
) -> _Side:
    space = workload.subject.namespace
    try:
        logs = proxy_logs.read(view, workload, mode)
    except EvidenceError as error:
        return _Side(namespace=space, logs=None, of=of, missing=error.unavailable)
    return _Side(namespace=space, logs=logs, of=of, missing=logs.missing)


def _client_side(view: View, client: WorkloadPods | None, wanted: ev.Target) -> _Side | None:
    if client is None:
        return None
    return _side(view, client, CLIENT, lambda log: ev.of_client(log, wanted))


def _server_side(
    view: View, server: WorkloadPods | None, wanted: ev.Target, callers: ev.Peers
) -> _Side | None:
    if server is None:
        return None

    def of(log: AccessLog) -> tuple[Line, ...]:
        lines = (*ev.of_server(log, wanted), *ev.turned_away(log, wanted))
        return ev.from_peers(lines, callers)

    return _side(view, server, SERVER, of)


def _is_request(line: Line) -> bool:
    return bool(line.method) and line.is_outbound


def _turned(side: _Side | None, service: Service | None) -> datetime | None:
    """When answers began to break, where the Service was written before: what was answered well
    until then says nothing of how it declares the port now. None: nothing turned."""
    times = [line.start for line in side.lines() if _broke(line)] if side is not None else []
    first = min((at for at in times if at is not None), default=None)
    changed = last_change(service) if service is not None else None
    return first if first is not None and changed is not None and changed <= first else None


def _broke(line: Line) -> bool:
    return "UPE" in line.flags


def _good(line: Line) -> bool:
    return 0 < line.code < 400 and not line.flags & _BROKEN


def _is_h2(line: Line) -> bool:
    return line.protocol == "HTTP/2"


def _refused(line: Line) -> bool:
    if not _is_request(line):
        return False
    return line.code == 400 and ev.by_upstream(line) or bool(line.flags & _BROKEN)
