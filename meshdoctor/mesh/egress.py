"""What will a client's proxy put on the wire towards a host outside the mesh?

Mirrors buildUpstreamClusterTLSContext and constructUpstreamTLS of
pilot/pkg/networking/core/cluster_tls.go (1.21 to 1.32-dev: certificates are verified against the
system's roots, and the SNI is the Host header, unless the rule says otherwise; ISTIO_MUTUAL offers
the mesh's certificate and trusts the mesh's root alone, outside as well).
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.client_tls import ISTIO_MUTUAL, ClientTlsRuling
from meshdoctor.mesh.protocols import asks_for_tls_itself
from meshdoctor.mesh.services import host_matches
from meshdoctor.model.istio import Port, ServiceEntry, VirtualService

ORIGINATES = ("SIMPLE", "MUTUAL", ISTIO_MUTUAL)
_TLS = ("HTTPS", "TLS")
_HTTP = ("HTTP", "HTTP2", "GRPC")


class Egress(Struct, frozen=True, kw_only=True):
    """One edge to an external host; `target` is the port dialled."""

    entry: ServiceEntry
    name: str
    protocol: str
    port: int
    target: int
    ruling: ClientTlsRuling
    host: str

    @property
    def originates(self) -> bool:
        """The rule has the proxy speak TLS, and istiod does not drop that."""
        return self.ruling.mode in ORIGINATES and not (self.credential_ignored or self.no_client)

    @property
    def credential_ignored(self) -> bool:
        """credentialName on a sidecar without workloadSelector: istiod builds no TLS at all."""
        return self.ruling.credential_ignored

    @property
    def no_client(self) -> bool:
        """MUTUAL without a credential, or without both files: istiod builds no TLS at all."""
        tls = self.ruling.tls
        return (
            tls is not None
            and tls.mode == "MUTUAL"
            and not tls.credential_name
            and not (tls.client_certificate and tls.private_key)
        )

    @property
    def twice(self) -> bool:
        """The proxy wraps TLS around what the application already encrypts."""
        return self.originates and self.protocol in _TLS

    @property
    def plain_to_tls(self) -> bool:
        """Plain HTTP is sent to a port that is TLS by its number."""
        return self.protocol in _HTTP and not self.originates and self.target == 443

    @property
    def takes_tls(self) -> bool:
        """The port is declared TLS and left to the application: what a proxy routes there as HTTP
        arrives in plaintext."""
        return self.protocol in _TLS and not self.originates

    @property
    def tls_to_plain(self) -> bool:
        """TLS is sent to a port that is plain HTTP by its number."""
        return self.originates and self.protocol in _HTTP and self.target == 80

    @property
    def unready(self) -> str:
        """The protocol in which TLS only follows a plain exchange, to which the proxy sends a
        handshake at once; "" for none."""
        if not self.originates or self.protocol in _HTTP:
            return ""
        return asks_for_tls_itself(self.name, self.target)

    @property
    def sni(self) -> str:
        """The SNI that the rule sets; "" lets the Host header decide."""
        return self.ruling.tls.sni if self.ruling.tls is not None else ""

    @property
    def sni_differs(self) -> bool:
        """The rule's SNI is another name than the host."""
        return self.originates and bool(self.sni) and self.sni.lower() != self.host.lower()

    @property
    def unverified(self) -> bool:
        """The rule asks for no verification."""
        tls = self.ruling.tls
        return tls is not None and bool(tls.insecure_skip_verify)


def judge(
    entry: ServiceEntry | None, port: int, ruling: ClientTlsRuling, host: str
) -> Egress | None:
    """The egress of one edge; None when the host is not outside the mesh by a ServiceEntry, or the
    entry has no such port."""
    if entry is None or entry.spec.location == "MESH_INTERNAL":
        return None
    found = _port(entry, port)
    if found is None:
        return None
    return Egress(
        entry=entry,
        name=found.name,
        protocol=found.protocol.upper(),
        port=found.number,
        target=_target(entry, found),
        ruling=ruling,
        host=host,
    )


def routed_as_http(routes: Iterable[VirtualService], host: str, gateway: bool) -> bool:
    """Whether a rule sends HTTP of another host there: then the proxy reads it, and nobody has
    encrypted it before. At a gateway any `http` rule does."""
    return any(
        one.destination.host.lower() == host.lower()
        for route in routes
        if gateway or not any(host_matches(own, host) for own in route.spec.hosts)
        for rule in route.spec.http
        for one in rule.route
    )


def _port(entry: ServiceEntry, port: int) -> Port | None:
    ports = entry.spec.ports
    if not port and len(ports) == 1:
        return ports[0]
    return next((p for p in ports if p.number == port), None)


def _target(entry: ServiceEntry, port: Port) -> int:
    """An endpoint's own port, else targetPort, else the port's number."""
    own = [e.ports[port.name] for e in entry.spec.endpoints if port.name in e.ports]
    return own[0] if own else port.target_port or port.number
