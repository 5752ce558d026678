"""Which servers of Istio Gateways does istiod leave out, because another one came first?

Mirrors mergeGateways and CheckDuplicates of pilot/pkg/model/gateway.go (1.20 to 1.32-dev):
Gateways of one gateway pod are merged oldest first. A server with a `tls` block (httpsRedirect
too) whose host another such server of that port has is skipped as a whole; so is a server whose
protocol does not fit a plaintext one.
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.model.istio import Gateway, Server


class Skipped(Struct, frozen=True, kw_only=True):
    """One server left out: of which Gateway, and the Gateway that has its place."""

    gateway: Gateway
    server: str
    port: int
    hosts: tuple[str, ...]
    winner: Gateway
    why: str


class _Port(Struct):
    plaintext: tuple[str, str, Gateway] | None = None
    hosts: dict[tuple[str, str], Gateway] | None = None


def merge(gateways: Iterable[Gateway]) -> tuple[Skipped, ...]:
    """Servers that are skipped; `gateways` are those that select one gateway pod."""
    ordered = sorted(
        gateways, key=lambda g: (str(g.metadata.creation_timestamp or ""), g.name, g.namespace)
    )
    ports: dict[int, _Port] = {}
    out = []
    for gateway in ordered:
        for server in gateway.spec.servers:
            found = _add(ports.setdefault(server.port.number, _Port()), gateway, server)
            if found is not None:
                out.append(found)
    return tuple(out)


def _add(port: _Port, gateway: Gateway, server: Server) -> Skipped | None:
    """Put a server on its port, or say why it is left out."""
    if server.tls is not None:
        known = port.hosts if port.hosts is not None else {}
        port.hosts = known
        hosts = tuple(_host(h, gateway.namespace) for h in server.hosts)
        twice = [h for h in hosts if (h, server.bind) in known]
        if twice:
            return _skipped(
                gateway, server, known[(twice[0], server.bind)], f"duplicate host {twice[0]}"
            )
        known.update({(h, server.bind): gateway for h in hosts})
    if _is_tls(server):
        return _against_plaintext(port, gateway, server)
    if port.plaintext is None:
        port.plaintext = (server.port.protocol.upper(), server.bind, gateway)
        return None
    return _against_plaintext(port, gateway, server)


def _is_tls(server: Server) -> bool:
    return server.tls is not None and not _http(server.port.protocol.upper())


def _against_plaintext(port: _Port, gateway: Gateway, server: Server) -> Skipped | None:
    """A server beside a plaintext one of the same port and bind must be HTTP as that one is."""
    if port.plaintext is None:
        return None
    protocol, bind, owner = port.plaintext
    own = server.port.protocol.upper()
    if bind != server.bind or (_http(own) and (_http(protocol) or protocol == own)):
        return None
    return _skipped(gateway, server, owner, f"conflict with a {protocol} server of that port")


def _http(protocol: str) -> bool:
    return protocol in ("HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY")


def _host(host: str, namespace: str) -> str:
    """`./h` is the Gateway's own namespace, `*/h` is `h`."""
    scope, slash, name = host.partition("/")
    if not slash or scope == "*":
        return name if slash else host
    return f"{namespace}/{name}" if scope == "." else host


def _skipped(gateway: Gateway, server: Server, winner: Gateway, why: str) -> Skipped:
    return Skipped(
        gateway=gateway,
        server=server.port.name or str(server.port.number),
        port=server.port.number,
        hosts=server.hosts,
        winner=winner,
        why=why,
    )
