"""Which request does a proxy judge: the one described, the one its log shows, or what objects tell?

Fields of Envoy's log mean what the proxy made of the request: `downstream_remote_address` is the
client address after X-Forwarded-For and PROXY protocol, `x_forwarded_for` holds the peer last at a
gateway, `requested_server_name` `outbound_.…` is Istio mutual TLS, as any other name at a gateway
may be.
"""

from msgspec import Struct

from meshdoctor.mesh.access_log import Line, address
from meshdoctor.mesh.authz_call import Call, last_forwarded, remote_address
from meshdoctor.model.subjects import Request


class Expected(Struct, frozen=True, kw_only=True):
    """What objects say of the connection at one proxy, before its log is read.

    `identity` is the caller's when it speaks Istio mutual TLS; `mtls` None is not known.
    `hops` and `proxied` are the gateway's numTrustedProxies and PROXY protocol. `behind_gateway`:
    a gateway called, which has added its own peer to X-Forwarded-For.
    """

    kind: str
    identity: str | None = None
    mtls: bool | None = None
    client_ip: str = ""
    server_ip: str = ""
    port: int = 0
    http: bool | None = None
    hops: int = 0
    proxied: bool = False
    behind_gateway: bool = False


def call_of(expected: Expected, request: Request, line: Line | None) -> Call:
    """The request as this proxy sees it; what nothing tells stays None."""
    headers = dict(request.headers)
    if line is not None and line.user_agent:
        headers.setdefault("user-agent", line.user_agent)
    if line is not None and line.forwarded_for:
        headers.setdefault("x-forwarded-for", line.forwarded_for)
    pairs = tuple((name.lower(), value) for name, value in headers.items())
    asked = Call(headers=pairs, headers_known=request.given)
    tcp = line is not None and line.is_tcp
    http = _chain(expected, request, line)
    return Call(
        principal=_principal(expected, line),
        direct_ip=_direct(expected, line),
        remote_ip=_remote(expected, asked, line),
        destination_ip=(address(line.downstream_local)[0] if line else "")
        or expected.server_ip
        or None,
        port=(line.local_port if line else 0) or expected.port or None,
        sni=line.server_name if line is not None else None,
        http=http,
        method=None if tcp else (request.method.upper() or (line.method if line else "")) or None,
        path=None if tcp else (request.path or (line.path if line else "")) or None,
        host=None if tcp else (request.host or (line.authority if line else "")) or None,
        headers=_as_judged(expected, pairs, request, line),
        headers_known=request.given,
    )


def _as_judged(
    expected: Expected, pairs: tuple[tuple[str, str], ...], request: Request, line: Line | None
) -> tuple[tuple[str, str], ...]:
    """The headers that policies see: a gateway adds its peer to X-Forwarded-For before they look.

    Where the peer is not known, the header is not.
    """
    if expected.kind != "gateway" or not request.given:
        return pairs
    sent = [value for name, value in request.headers if name.lower() == "x-forwarded-for"]
    kept = tuple(pair for pair in pairs if pair[0] != "x-forwarded-for")
    if line is not None and line.forwarded_for:
        return (*kept, ("x-forwarded-for", line.forwarded_for))
    peer = expected.client_ip
    return (*kept, ("x-forwarded-for", ",".join((*sent, peer)))) if peer else kept


def _chain(expected: Expected, request: Request, line: Line | None) -> bool | None:
    if line is not None:
        return not line.is_tcp
    if expected.http is None and (request.method or request.path):
        return True
    return expected.http


def _principal(expected: Expected, line: Line | None) -> str | None:
    """Of a waypoint no line tells: callers come through a tunnel that has their identity."""
    if line is not None and expected.kind != "waypoint":
        kind = line.server_name_kind
        if kind == "istio":
            return expected.identity or None
        if kind == "foreign" and expected.kind == "gateway" and expected.mtls is not False:
            # A DestinationRule's sni, which is the host's where a call leaves by a gateway.
            return expected.identity or None if expected.mtls else None
        if kind == "plaintext" and not line.is_tcp or kind == "foreign":
            return ""
        return "" if expected.kind != "gateway" and not line.is_outbound else None
    if expected.mtls is None:
        return None
    return expected.identity if expected.mtls else ""


def _direct(expected: Expected, line: Line | None) -> str | None:
    if line is None:
        return expected.client_ip or None
    if expected.kind == "gateway" and not line.is_tcp:
        return last_forwarded(line.forwarded_for, 0) or _peer(expected, line)
    if not line.is_tcp and line.forwarded_for and not address(line.downstream_remote)[1]:
        return expected.client_ip or None
    return line.peer_ip or expected.client_ip or None


def _peer(expected: Expected, line: Line) -> str | None:
    inferred = expected.hops > 0 or expected.proxied
    return None if inferred else line.peer_ip or expected.client_ip or None


def _remote(expected: Expected, asked: Call, line: Line | None) -> str | None:
    if line is not None and line.peer_ip:
        return line.peer_ip
    if expected.proxied or expected.behind_gateway:
        return None
    forwarded = asked.header("x-forwarded-for")
    return remote_address(
        direct_ip=expected.client_ip or None,
        forwarded=forwarded,
        edge=expected.kind == "gateway",
        hops=expected.hops,
    )
