"""Which protocol does Istio speak on a service port?

Mirrors pkg/config/kube/conversion.go ConvertProtocol and pkg/config/protocol/instance.go Parse
(1.18 to 1.32-dev): appProtocol first, else the port name up to the first `-`, else well-known
server-first ports are TCP, else the proxy sniffs.
"""

from msgspec import Struct

from meshdoctor.mesh.services import port_of, target_port
from meshdoctor.model.kubernetes import Pod, Service, ServicePort

HTTP = "HTTP"
HTTP2 = "HTTP2"
GRPC = "GRPC"
GRPC_WEB = "GRPC-Web"
HTTPS = "HTTPS"
TLS = "TLS"
TCP = "TCP"
UDP = "UDP"
AUTO = "auto"

_APP_ONLY = {"kubernetes.io/h2c": HTTP2, "kubernetes.io/ws": HTTP, "kubernetes.io/wss": HTTPS}
_NAMES = {
    "tcp": TCP,
    "udp": UDP,
    "grpc": GRPC,
    "grpc-web": GRPC_WEB,
    "http": HTTP,
    "http_proxy": "HTTP_PROXY",
    "http2": HTTP2,
    "https": HTTPS,
    "tls": TLS,
    "mongo": "Mongo",
    "redis": "Redis",
    "mysql": "MySQL",
}
_WELL_KNOWN_TCP = frozenset({25, 53, 3306, 27017})
_HTTP = frozenset({HTTP, HTTP2, GRPC, GRPC_WEB, "HTTP_PROXY"})
_SERVER_FIRST = frozenset({21, 22, 25, 110, 143, 587, 3306, 27017})
_SERVER_FIRST_IMAGES = ("mysql", "mariadb", "proxysql", "postfix", "exim", "openssh", "vsftpd")
_IN_BAND = {
    "postgres": "PostgreSQL",
    "postgresql": "PostgreSQL",
    "pgsql": "PostgreSQL",
    "mysql": "MySQL",
    "mariadb": "MySQL",
    "mssql": "SQL Server",
    "sqlserver": "SQL Server",
    "smtp": "SMTP",
    "submission": "SMTP",
    "imap": "IMAP",
    "pop3": "POP3",
    "ldap": "LDAP",
    "xmpp": "XMPP",
}
_IN_BAND_PORTS = {
    25: "SMTP",
    110: "POP3",
    143: "IMAP",
    389: "LDAP",
    587: "SMTP",
    1433: "SQL Server",
    3306: "MySQL",
    5222: "XMPP",
    5432: "PostgreSQL",
}


class Selected(Struct, frozen=True, kw_only=True):
    """A protocol and what chose it: `appProtocol`, `name`, `well-known port` or `sniffing`."""

    protocol: str
    by: str

    @property
    def http(self) -> bool:
        """Declared HTTP of any kind: an HTTP filter chain without sniffing."""
        return self.protocol in _HTTP

    @property
    def sniffed(self) -> bool:
        """Neither declared nor well known: the proxy waits for the client's first bytes."""
        return self.protocol == AUTO

    @property
    def opaque(self) -> bool:
        """Declared TCP of any kind, TLS included: bytes pass as they are."""
        return not self.http and not self.sniffed and self.protocol != UDP


def misplaced(port: ServicePort) -> str:
    """The protocol that a port's name tells behind its first hyphen, where it does not count; "" of
    a port that is declared, or whose name tells none.

    >>> misplaced(ServicePort(name="query-http", port=80))
    'HTTP'
    """
    if not select(port).sniffed:
        return ""
    parts = port.name.lower().replace("_", "-").split("-")[1:]
    return next((_NAMES[part] for part in parts if part in _NAMES), "")


def speaks_first(port: int) -> bool:
    """Whether servers of the protocol that a port is known for speak before their clients."""
    return port in _SERVER_FIRST


def select(port: ServicePort) -> Selected:
    """The protocol of a Service port."""
    return select_raw(port.port, port.name, port.app_protocol, port.protocol)


def select_raw(number: int, name: str, app_protocol: str = "", transport: str = "TCP") -> Selected:
    """The protocol of a port given by number, name, appProtocol and transport."""
    if transport.upper() == UDP:
        return Selected(protocol=UDP, by="transport")
    if app_protocol in _APP_ONLY:
        return Selected(protocol=_APP_ONLY[app_protocol], by="appProtocol")
    wanted, by = (app_protocol, "appProtocol") if app_protocol else (name, "name")
    parsed = _parse(wanted)
    if parsed:
        return Selected(protocol=parsed, by=by)
    if number in _WELL_KNOWN_TCP:
        return Selected(protocol=TCP, by="well-known port")
    return Selected(protocol=AUTO, by="sniffing")


def _parse(name: str) -> str:
    lowered = name.lower()
    if lowered.startswith("grpc-web"):
        return GRPC_WEB
    return _NAMES.get(lowered.partition("-")[0], "")


def twin(service: Service, number: int, pod: Pod | None) -> ServicePort | None:
    """A port of the Service that is declared HTTP and leads to the same target port as the TCP
    port `number`: the pod has one listener for both, so one protocol (istiod's
    networking/core/listener_inbound.go, chainsForPort; 1.5 to 1.32-dev). None: there is none."""
    called = port_of(service, number)
    if called is None or not select(called).opaque:
        return None
    target = target_port(called, pod)
    return next(
        (
            other
            for other in service.spec.ports
            if other.port != number and select(other).http and target_port(other, pod) == target
        ),
        None,
    )


def server_speaks_first(number: int, pod: Pod | None = None) -> bool:
    """Ports whose usual protocol has the server send the first bytes (SMTP, SSH, FTP, POP3, IMAP,
    MySQL), or that istio.io names beside them (MongoDB), and any port that a container declares
    whose image is such a server: sniffing them costs its timeout, or all the time there is."""
    if number in _SERVER_FIRST:
        return True
    containers = pod.spec.containers if pod is not None else ()
    declaring = (c for c in containers if any(p.container_port == number for p in c.ports))
    return any(_is_server_first(c.image) for c in declaring)


def _is_server_first(image: str) -> bool:
    name = image.rpartition("/")[2].partition("@")[0].partition(":")[0].lower()
    return "exporter" not in name and any(word in name for word in _SERVER_FIRST_IMAGES)


def asks_for_tls_itself(name: str, number: int) -> str:
    """The protocol of a port, by a word of its name or its number, in which the two ends first talk
    plainly and then turn to TLS (STARTTLS, PostgreSQL's SSLRequest): a server of it does not
    understand a handshake as its first bytes. "" for others.

    >>> asks_for_tls_itself("tcp-postgres", 16221), asks_for_tls_itself("tls-smtps", 465)
    ('PostgreSQL', '')
    """
    words = (_IN_BAND.get(word, "") for word in name.lower().split("-"))
    return next(filter(None, words), "") or _IN_BAND_PORTS.get(number, "")
