"""What does a gateway's access log say of TLS connections that it could not serve?"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.gateway_tls import TlsServer, serves_sni
from meshdoctor.mesh.log_lines import ENVOY, of, scan_lines
from meshdoctor.mesh.services import host_matches


class Seen(Struct, frozen=True, kw_only=True):
    """`unserved`: refused with an SNI that no server has; `mesh`: refused with a mesh SNI
    (east-west); `reused`: 404s for a host over a connection made for another; `nameless`:
    refused without SNI, plaintext or TLS that names no host; `named`: a connection with SNI was
    served; `unrouted`: refused with an SNI for which a server passes TLS through, so that no route
    takes it."""

    unserved: tuple[Line, ...]
    mesh: tuple[Line, ...]
    reused: tuple[Line, ...]
    bad_requests: int
    nameless: tuple[Line, ...] = ()
    named: bool = False
    unrouted: tuple[Line, ...] = ()

    @property
    def sni(self) -> str:
        return ev.most_common(line.server_name for line in self.unserved)

    @property
    def mesh_sni(self) -> str:
        return ev.most_common(line.server_name for line in self.mesh)


def judge(lines: Iterable[Line], servers: Iterable[TlsServer]) -> Seen:
    """Sort a gateway's lines. Refused connections without SNI (scanners, health checks) and those
    whose SNI some server does have are left out."""
    lines, servers = tuple(lines), tuple(servers)
    refused = [line for line in lines if ev.refused(line)]
    return Seen(
        unserved=tuple(
            line
            for line in refused
            if line.server_name_kind == "foreign" and not serves_sni(servers, 0, line.server_name)
        ),
        mesh=tuple(line for line in refused if line.server_name_kind == "istio"),
        reused=tuple(line for line in lines if _reused(line, servers)),
        bad_requests=sum(map(ev.unreadable, lines)),
        nameless=tuple(line for line in refused if not line.server_name),
        named=any(line.server_name and not ev.refused(line) for line in lines),
        unrouted=tuple(
            line
            for line in refused
            if line.server_name_kind == "foreign"
            and (server := chosen(servers, line.server_name)) is not None
            and server.mode == "PASSTHROUGH"
        ),
    )


def _reused(line: Line, servers: tuple[TlsServer, ...]) -> bool:
    host = line.host
    return (
        line.code == 404
        and "NR" in line.flags
        and bool(line.server_name)
        and line.server_name.lower() != host
        and chosen(servers, host) not in (None, chosen(servers, line.server_name))
    )


def refused_secret(other: Iterable[str]) -> str:
    """Envoy's words about the last key or certificate that it could not load; "" when none. They
    name no Secret (source/common/tls context_config_impl.cc; 1.18 to 1.36)."""
    rejected = of(scan_lines(other, ENVOY), "config_rejected")
    words = [s.get("reason") for s in rejected if s.get("type").endswith(".Secret")]
    return words[-1] if words else ""


def unserved_secrets(
    servers: Iterable[TlsServer], lines: Iterable[Line]
) -> tuple[tuple[str, str], ...]:
    """(namespace, name) of the Secrets of those servers over which no request came: a server whose
    key Envoy could not load ends each handshake, and logs nothing."""
    known = [server for server in servers if server.credentials]
    names = {line.server_name for line in lines if line.server_name and line.code}
    served = {
        secret
        for name in names
        if (server := chosen(known, name)) is not None
        for secret in server.credentials
    }
    every = dict.fromkeys(secret for server in known for secret in server.credentials)
    return tuple(secret for secret in every if secret not in served)


def chosen(servers: Iterable[TlsServer], name: str) -> TlsServer | None:
    """The server that a TLS client with this SNI meets: of several the one that says most."""
    meets = [one for one in servers if serves_sni((one,), 0, name)]
    return max(meets, key=lambda one: _told(one, name), default=None)


def _told(server: TlsServer, name: str) -> tuple[bool, int]:
    """How much of the name its host says: all of it, or how long a wildcard."""
    hosts = [host for host in server.hosts if host_matches(host, name)]
    return max(((not host.startswith("*"), len(host)) for host in hosts), default=(False, 0))


def mesh_service(sni: str) -> tuple[str, str, int]:
    """(namespace, service, port) of `outbound_.PORT_.SUBSET_.NAME.NAMESPACE.svc…`.

    >>> mesh_service("outbound_.8080_._.pay.shop.svc.cluster.local")
    ('shop', 'pay', 8080)
    """
    parts = sni.split("_.", 3)
    if len(parts) != 4:
        return ("", "", 0)
    names = parts[3].split(".")
    port = int(parts[1]) if parts[1].isdigit() and len(parts[1]) < 6 else 0
    return (names[1], names[0], port) if len(names) > 2 and names[2] == "svc" else ("", "", port)
