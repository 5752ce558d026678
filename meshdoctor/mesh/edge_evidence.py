"""What do the logs of the client's and the server's pods say about one edge?

Client side: lines for `outbound|PORT|SUBSET|HOST` of the service asked about, plus calls that went
past it (pod IP, BlackHole, no route). Server side: lines of the workload port, matched to the
client by source address: the listener's own `NR` lines carry nothing else. A server that fails a
TLS handshake writes no line at all, so an empty server side proves nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import tls_errors
from meshdoctor.mesh.access_log import AccessLog, Line, address
from meshdoctor.mesh.services import host_matches

NOT_A_FAILURE = frozenset({"DC", "DI", "FI", "RFCF", "LR"})
PATIENT_MS = 1000
PASSTHROUGH, BLACK_HOLE = "PassthroughCluster", "BlackHoleCluster"
NO_CLUSTER = "NC"


class Target(Struct, frozen=True, kw_only=True):
    """What the client calls. `hosts`: names of the service, lower-case; one that ends in `.svc`
    stands for it under every cluster domain. `addresses`: its cluster IPs and the server's pod
    IPs. `port` is the service port, `workload_port` the pod's; 0 is any. `named`: the host that
    is asked of a gateway, which serves many; "" is any. `dialled`: the port that callers of a
    headless Service call at its pods, for it maps none to the workload's; 0 of other Services."""

    hosts: frozenset[str]
    addresses: frozenset[str] = frozenset()
    port: int = 0
    workload_port: int = 0
    named: str = ""
    dialled: int = 0

    def takes(self, port: int) -> bool:
        """Whether calls to the server arrive at this port of its pod."""
        return self.workload_port in (0, port) or (self.dialled != 0 and port == self.dialled)

    def is_host(self, host: str) -> bool:
        """Whether a cluster's host or an authority (without port) means this service."""
        host = host.lower().rstrip(".")
        return host in self.hosts or any(
            known.endswith(".svc") and host.startswith(f"{known}.") for known in self.hosts
        )


def of_client(log: AccessLog, target: Target) -> tuple[Line, ...]:
    """The client's lines of this edge: to its cluster, or past it to its addresses or name. An
    address to which the cluster led before is still one of its addresses when its pod is gone: an
    application that keeps it goes past the cluster from then on."""
    led = frozenset(
        address(line.upstream_host)[0]
        for line in log.lines
        if line.upstream_host and line.is_outbound and _of_cluster(line, target)
    )
    wide = replace(target, addresses=target.addresses | led) if led else target
    return tuple(line for line in log.lines if _is_call(line, wide))


def _of_cluster(line: Line, target: Target) -> bool:
    if target.port not in (0, line.cluster_port):
        return False
    if line.cluster_host.startswith("*"):  # a ServiceEntry's wildcard: many hosts share it
        asked = line.server_name or line.host
        return target.is_host(asked) and host_matches(line.cluster_host, asked)
    return target.is_host(line.cluster_host)


def _is_call(line: Line, target: Target) -> bool:
    if line.is_outbound:
        return _of_cluster(line, target)
    if line.is_inbound:
        return False
    if line.is_tcp and not line.upstream_cluster:
        if NO_CLUSTER not in line.flags:
            return False
        if line.server_name:
            return target.is_host(line.server_name)
    if line.upstream_cluster and line.upstream_cluster not in (PASSTHROUGH, BLACK_HOLE):
        return False
    called, port = address(line.upstream_host or line.downstream_local)
    if port and port not in (target.port, target.workload_port) and target.port:
        return False
    if called in target.addresses:
        return True
    return target.is_host(line.host)


def not_http(log: AccessLog, target: Target) -> tuple[Line, ...]:
    """The client's lines of calls to the service whose bytes its own sidecar could not read as
    HTTP: `DPE` with a codec error, without method, authority or cluster, only the address tells
    whose; of a host outside no address is known, and its port must do."""
    return tuple(
        line
        for line in log.lines
        if unreadable(line)
        and (not target.addresses or address(line.downstream_local)[0] in target.addresses)
        and target.port in ((0, line.local_port) if target.addresses else (line.local_port,))
    )


def handed_on(log: AccessLog, target: Target) -> tuple[Line, ...]:
    """Connections to the service's own address and port that its sidecar passed on as bytes: what
    is no HTTP misses the HTTP chain of the listener and meets the default one (istiod's
    pilot/pkg/networking/core/listener.go, PassthroughFilterChain; seen at 1.31)."""
    return tuple(
        line
        for line in log.lines
        if line.upstream_cluster == PASSTHROUGH
        and not line.method
        and address(line.downstream_local)[0] in target.addresses
        and target.port == line.local_port
    )


def of_server(log: AccessLog, target: Target) -> tuple[Line, ...]:
    """The server's lines on the workload port: inbound calls and the listener's refusals."""
    return tuple(
        line
        for line in of_host(log.lines, target.named)
        if (line.is_inbound or line.is_listener) and target.takes(line.workload_port)
    )


def of_gateway(log: AccessLog, target: Target) -> tuple[Line, ...]:
    """A gateway's lines of what came to the workload port for the host that is asked of it."""
    return tuple(
        line
        for line in of_host(log.lines, target.named)
        if target.workload_port in (0, line.local_port) and not line.is_inbound
    )


def of_host(lines: Iterable[Line], host: str) -> tuple[Line, ...]:
    """A gateway's lines without those of other hosts than the one that is asked of it; "" is any.

    A name that a route rewrote to that of the service behind it tells nothing. Callers may say
    another name in TLS than in their requests, but not where requests for the host arrived."""
    lines = tuple(lines)
    if not host:
        return lines
    arrived = any(line.host == host for line in lines)

    def kept(line: Line) -> bool:
        name = line.host
        if not name and arrived:
            name = line.server_name.lower()
        return name in ("", host, line.cluster_host.lower())

    return tuple(filter(kept, lines))


def turned_away(log: AccessLog, target: Target) -> tuple[Line, ...]:
    """Requests to the workload port that the server's proxy answered before any route took them:
    they carry no cluster, only the address that was called."""
    return tuple(
        line
        for line in of_host(log.lines, target.named)
        if line.code
        and not line.upstream_cluster
        and address(line.downstream_local)[0] in target.addresses
        and target.workload_port in (0, line.local_port)
    )


def unread(log: AccessLog, target: Target) -> tuple[Line, ...]:
    """Connections to the workload port whose bytes the server's proxy could not read as HTTP. No
    request came of them, so their lines have no cluster, only the address that was called."""
    return tuple(
        line
        for line in log.lines
        if unreadable(line)
        and address(line.downstream_local)[0] in target.addresses
        and target.workload_port in (0, line.local_port)
    )


def unreadable(line: Line) -> bool:
    """Whether what came to a listener that wants HTTP was none: `DPE`, and 400 or no answer. An
    answer of 426 (HTTP/1.0) or 431 (headers) tells of HTTP that was read, also with `DPE`."""
    return "DPE" in line.flags and line.code in (0, 400) and not line.upstream_cluster


def low_version(line: Line) -> bool:
    """Whether a proxy refused HTTP/1.0 (Envoy's accept_http_10 is off by default). Envoy 1.40
    writes DPE, no method, and its own version for the client's; without details that tells."""
    told = line.details == "low_version" or (not line.details and line.protocol == "HTTP/1.0")
    return line.code == 426 and told and not line.upstream_cluster


def failed(line: Line) -> bool:
    """Whether a line tells of a failure that a proxy or the answer shows: a failure flag, a code of
    400 or more, a refused connection, a policy's refusal (of gRPC with 200). A client that hung up
    (`DC`) is none."""
    if line.code >= 400 or "rbac_access_denied" in f"{line.details} {line.termination}":
        return True
    return bool(line.flags - NOT_A_FAILURE)


def mute(line: Line) -> bool:
    """Whether a TCP connection ended without a flag, and without a byte from its other end: so
    does one that the other end took in silence, and one that its proxy closed at once."""
    return line.is_tcp and not line.code and not failed(line) and not line.bytes_sent


def refused(line: Line) -> bool:
    """Whether the listener closed the connection because no filter chain takes it; proxies before
    1.9 log no details."""
    return line.is_listener and "NR" in line.flags and _says(line, "filter_chain_not_found")


def unrouted(line: Line) -> bool:
    """Whether no route takes the request; proxies before 1.9 log no details."""
    return "NR" in line.flags and not line.is_tcp and _says(line, "route_not_found")


def black_holed(line: Line) -> bool:
    """Whether outboundTrafficPolicy REGISTRY_ONLY refused the call: TCP goes to BlackHoleCluster,
    HTTP is answered 502 by the route block_all (httproute.go buildCatchAllVirtualHost). Proxies
    before 1.9 log no details: there a 502 without flag and endpoint came from that route."""
    if line.upstream_cluster:
        return line.upstream_cluster == BLACK_HOLE
    told = line.details == "direct_response" or not (
        line.details or line.flags or line.upstream_host
    )
    return line.route_name == "block_all" or (line.code == 502 and told)


def unserved(line: Line, host: str) -> bool:
    """Whether a call of a host, by SNI or Host header, met neither listener, route nor cluster."""
    named = (line.server_name.lower(), line.host)
    return host in named and (bool(line.flags & {"NR", "NC"}) or black_holed(line))


def _says(line: Line, details: str) -> bool:
    return details in line.details or not line.details


def by_upstream(line: Line) -> bool:
    """Whether the answer came from beyond this proxy: not this proxy's doing. Proxies before 1.9
    log no details: there an upstream address and no flag say so."""
    if not line.details:
        return bool(line.upstream_host) and not line.flags
    return line.details == "via_upstream"


def unconnected(line: Line) -> bool:
    """Whether a caller waited for a second or more and hung up, while its proxy still had no
    connection to the endpoint that it had chosen: nothing answers there at all."""
    chosen = line.upstream_host and not line.upstream_local
    return "DC" in line.flags and bool(chosen) and line.duration_ms >= PATIENT_MS


def text_of(line: Line) -> str:
    """The reason texts of a line: details, termination and transport failure."""
    return " ".join(t for t in (line.details, line.termination, line.transport_failure) if t)


def tls_word(line: Line) -> str:
    """`tls_errors.word` of the line; "" unless the upstream connection failed."""
    return tls_errors.word(line.transport_failure or line.details) if failed(line) else ""


def connect_word(line: Line) -> str:
    """How the upstream connection failed before TLS; only for `UF` lines. Proxies before 1.9 do not
    tell how; within the pod it was refused, for nothing lies between."""
    if "UF" not in line.flags:
        return ""
    untold = line.is_inbound and not text_of(line)
    return tls_errors.connect_word(text_of(line)) or ("refused" if untold else "")


def count(given: Iterable[Line], test: Callable[[Line], bool]) -> int:
    """How many lines pass."""
    return sum(1 for line in given if test(line))


def most_common(texts: Iterable[str]) -> str:
    """The text seen most often, the first of equals; "" when there is none."""
    counted = Counter(text for text in texts if text)
    return counted.most_common(1)[0][0] if counted else ""


def typical(given: Iterable[Line]) -> Line | None:
    """The latest line of the most frequent kind of failure; None without failures."""
    bad = [line for line in given if failed(line)]
    if not bad:
        return None
    kinds = Counter(_kind(line) for line in bad)
    kind = kinds.most_common(1)[0][0]
    return next(line for line in reversed(bad) if _kind(line) == kind)


def _kind(line: Line) -> tuple[int, frozenset[str], str, str]:
    return (line.code, line.flags, line.details, tls_errors.reason(line.transport_failure))


def in_words(line: Line) -> str:
    """Code, flags and details as the log writes them: `503 UF,URX upstream_reset…`."""
    parts = [str(line.code), ",".join(sorted(line.flags)) or "-", line.details or "-"]
    if line.termination:
        parts.append(line.termination)
    return " ".join(parts)


def span(given: Iterable[Line]) -> tuple[datetime | None, datetime | None]:
    """First start and last end; a line's time is its start, so its duration is added."""
    starts = [(line.start, line) for line in given if line.start is not None]
    if not starts:
        return (None, None)
    ends = [start + timedelta(milliseconds=min(line.duration_ms, 10**9)) for start, line in starts]
    return (min(start for start, _ in starts), max(ends))


def peers(given: Iterable[Line]) -> tuple[str, ...]:
    """Source addresses, most frequent first."""
    return tuple(
        ip for ip, _ in Counter(line.peer_ip for line in given if line.peer_ip).most_common()
    )


_PATIENCE_MS = 5_000


def same_wait(given: Iterable[Line]) -> int:
    """The seconds after which these calls ended, where at least three took seconds, and all the
    same to 2 in 100; 0 otherwise."""
    waits = sorted(line.duration_ms for line in given)
    if len(waits) < 3 or waits[0] < _PATIENCE_MS or waits[-1] - waits[0] > waits[0] // 50:
        return 0
    return round(waits[0] / 1000)


class Peers(Struct, frozen=True, kw_only=True):
    """The addresses of a client; none: any peer may be it. `forwards`: a gateway, which passes the
    addresses of its own callers on."""

    ips: frozenset[str] = frozenset()
    forwards: bool = False

    def sent(self, line: Line) -> bool:
        """Whether this client may have sent it."""
        return not self.ips or line.peer_ip in self.ips or (self.forwards and line.forwarded)


def from_peers(given: Iterable[Line], peers: Peers) -> tuple[Line, ...]:
    """Lines of this client."""
    return tuple(line for line in given if peers.sent(line))


def denied_policy(line: Line) -> str:
    """`namespace/policy` that denied the call, `none` when no ALLOW matched, "" otherwise.

    Envoy names it `ns[NS]-policy[NAME]-rule[I]`; for CUSTOM an id of the provider stands first.
    """
    text = line.details if "rbac_access_denied" in line.details else line.termination
    _, found, inner = text.partition("rbac_access_denied_matched_policy[")
    if not found:
        return ""
    namespace = inner.partition("ns[")[2].partition("]")[0]
    policy = inner.partition("policy[")[2].partition("]")[0]
    return f"{namespace}/{policy}" if policy else "none"


def jwt_reason(line: Line) -> str:
    """Why a token was not accepted, in words; "" when the line is no JWT denial."""
    _, found, inner = line.details.partition("jwt_authn_access_denied{")
    return inner.rstrip("}").replace("_", " ") if found else ""
