"""What will two sides speak on a port, and does that work?

The truth table of Istio's mutual TLS (pilot/pkg/networking/core/cluster_tls.go
buildUpstreamTLSSettings, xds/endpoints/mtls_checker.go, core/filterchain_options.go; tests/
integration/security/reachability_test.go), read at 1.18 to 1.32-dev and seen on 1.31.
"""

from collections.abc import Callable

from msgspec import Struct

from meshdoctor.mesh import client_tls, peer_authentication
from meshdoctor.mesh.client_tls import ClientTlsRuling

MTLS = "mutual TLS"
PLAINTEXT = "plaintext"
ONE_WAY = "one-way TLS"
OWN_MTLS = "TLS with its own client certificate"

NO_PROXY = "no-proxy"
BYPASS = "bypass"
PASSTHROUGH = "passthrough"
RULE = "rule"
RULE_IGNORED = "credential-ignored"
EXTERNAL = "external"
AUTO_OFF = "auto-off"
POLICY_DISABLES = "policy-disables"
HEADLESS = "headless"
ENDPOINT_LABEL = "endpoint-label"
ENDPOINT_POLICY = "endpoint-policy"
ENDPOINT_RULE = "endpoint-rule"
AUTO = "auto"

_RESET = "connection reset by peer (curl 56); server proxy logs NR filter_chain_not_found"
_UC = (
    "503 UC upstream_reset_before_response_started{connection_termination}, TCP: reset; "
    "server proxy logs NR filter_chain_not_found"
)
_WRONG_VERSION = "503 UF,URX TLS_error WRONG_VERSION_NUMBER, or a reset by the application"
_BAD_REQUEST = "503 URX,UF WRONG_VERSION_NUMBER; server proxy logs 400 DPE http1.codec_error"
_OUTBOUND_NR = "TLS error; server proxy logs NR filter_chain_not_found with SNI outbound_..."
_CERTIFICATE = "503 UF,URX, the server's proxy asks for a client certificate of the mesh"
_FOREIGN_NR = "503 UF,URX, reset; server proxy logs NR filter_chain_not_found with the host as SNI"

WHY = {
    "plaintext-unmeshed": "no proxy stands before the server, so the application gets plaintext",
    "mtls-unmeshed": "no proxy stands before the server, so nobody can end the mutual TLS",
    "own-tls-unmeshed": "TLS goes to the application itself, which must speak it",
    "plaintext-uncaptured": "the port bypasses the server's proxy: the application gets plaintext",
    "mtls-uncaptured": "the port bypasses the server's proxy, so nobody can end the mutual TLS",
    "own-tls-uncaptured": "TLS goes to the application itself, which must speak it",
    "plaintext-accepted": "the server's proxy takes plaintext on this port",
    "plaintext-strict": "the server's proxy takes mutual TLS only and closes anything else",
    "mtls-disabled": "the server's proxy has mutual TLS turned off on this port",
    "mtls": "both proxies speak mutual TLS",
    "own-tls-strict": "the client presents no certificate of the mesh, and STRICT asks for one",
    "own-tls-http": "TLS without Istio's ALPN matches no filter chain of an HTTP port",
    "own-tls-disabled": "the server's proxy reads plaintext HTTP only on this port",
    "own-tls-opaque": "the server's proxy passes foreign TLS on to the application",
}


class ClientSide(Struct, frozen=True, kw_only=True):
    """All that decides what the client sends to one endpoint."""

    has_proxy: bool = True
    bypasses: bool = False
    passthrough: bool = False
    rule: ClientTlsRuling = ClientTlsRuling()
    auto_mtls: bool = True
    external: bool = False
    cluster_mode: str = peer_authentication.PERMISSIVE
    all_or_nothing: bool = False
    all_endpoints_meshed: bool = True
    endpoint_meshed: bool = True
    endpoint_mode: str = peer_authentication.PERMISSIVE


class ServerSide(Struct, frozen=True, kw_only=True):
    """All that decides what the server takes. `captured`: the port is redirected to its proxy."""

    has_proxy: bool = True
    captured: bool = True
    mode: str = peer_authentication.PERMISSIVE
    http: bool = False


class Speech(Struct, frozen=True, kw_only=True):
    """What a client sends, and the reason (one of this module's constants)."""

    says: str
    reason: str


class Outcome(Struct, frozen=True, kw_only=True):
    """What happens. `row` names the line of the truth table; `symptom` is "" when it works."""

    client: Speech
    accepts: str
    works: bool
    row: str
    symptom: str = ""
    why: str = ""

    @property
    def plaintext(self) -> bool:
        """Whether the two talk, unencrypted by the mesh."""
        return self.works and self.client.says == PLAINTEXT


def speaks(client: ClientSide) -> Speech:
    """What the client puts on the wire towards this endpoint."""
    if not client.has_proxy:
        return Speech(says=PLAINTEXT, reason=NO_PROXY)
    if client.bypasses:
        return Speech(says=PLAINTEXT, reason=BYPASS)
    if client.passthrough:
        return Speech(says=PLAINTEXT, reason=PASSTHROUGH)
    if client.rule.credential_ignored:
        return Speech(says=PLAINTEXT, reason=RULE_IGNORED)
    match client.rule.mode:
        case client_tls.DISABLE:
            return Speech(says=PLAINTEXT, reason=RULE)
        case client_tls.ISTIO_MUTUAL:
            return Speech(says=MTLS, reason=RULE)
        case client_tls.SIMPLE:
            return Speech(says=ONE_WAY, reason=RULE)
        case client_tls.MUTUAL:
            return Speech(says=OWN_MTLS, reason=RULE)
        case _:
            return _auto(client)


def _auto(client: ClientSide) -> Speech:
    """Auto mTLS: the whole cluster first, then the endpoint."""
    if client.external:
        return Speech(says=PLAINTEXT, reason=EXTERNAL)
    if not client.auto_mtls:
        return Speech(says=PLAINTEXT, reason=AUTO_OFF)
    if client.all_or_nothing and not client.all_endpoints_meshed:
        return Speech(says=PLAINTEXT, reason=HEADLESS)
    if client.cluster_mode == peer_authentication.DISABLE:
        return Speech(says=PLAINTEXT, reason=POLICY_DISABLES)
    if client.rule.endpoint_mode and not client.all_or_nothing:
        mutual = client.rule.endpoint_mode == client_tls.ISTIO_MUTUAL
        return Speech(says=MTLS if mutual else PLAINTEXT, reason=ENDPOINT_RULE)
    if not client.endpoint_meshed:
        return Speech(says=PLAINTEXT, reason=ENDPOINT_LABEL)
    if client.endpoint_mode == peer_authentication.DISABLE and not client.all_or_nothing:
        return Speech(says=PLAINTEXT, reason=ENDPOINT_POLICY)
    return Speech(says=MTLS, reason=AUTO)


def accepts(server: ServerSide) -> str:
    """In words, what the server's end of the connection takes."""
    if not server.has_proxy:
        return "whatever the application takes: no proxy"
    if not server.captured:
        return "whatever the application takes: the port bypasses the proxy"
    return {
        peer_authentication.STRICT: "mutual TLS only",
        peer_authentication.DISABLE: "plaintext only",
    }.get(server.mode, "mutual TLS and plaintext")


def predict(client: ClientSide, server: ServerSide) -> Outcome:
    """Whether the two sides understand each other, and what is seen when they do not."""
    speech = speaks(client)
    taken = accepts(server)

    def outcome(row: str, symptom: str = "") -> Outcome:
        return Outcome(
            client=speech,
            accepts=taken,
            works=not symptom,
            row=row,
            symptom=symptom,
            why=WHY[row],
        )

    if not server.has_proxy or not server.captured:
        bare = "unmeshed" if not server.has_proxy else "uncaptured"
        if speech.says == PLAINTEXT:
            return outcome(f"plaintext-{bare}")
        if speech.says == MTLS:
            return outcome(f"mtls-{bare}", _WRONG_VERSION)
        return outcome(f"own-tls-{bare}")
    mode = server.mode
    if speech.says == PLAINTEXT:
        if mode != peer_authentication.STRICT:
            return outcome("plaintext-accepted")
        return outcome("plaintext-strict", _RESET if not client.has_proxy else _UC)
    if speech.says == MTLS:
        if mode == peer_authentication.DISABLE:
            return outcome("mtls-disabled", _BAD_REQUEST if server.http else _OUTBOUND_NR)
        return outcome("mtls")
    return _foreign_tls(server, outcome)


def _foreign_tls(server: ServerSide, outcome: Callable[..., Outcome]) -> Outcome:
    """TLS that is not Istio's: STRICT wants the mesh's client certificate."""
    if server.mode == peer_authentication.STRICT:
        return outcome("own-tls-strict", _CERTIFICATE)
    if server.http and server.mode == peer_authentication.PERMISSIVE:
        return outcome("own-tls-http", _FOREIGN_NR)
    if server.http:
        return outcome("own-tls-disabled", _BAD_REQUEST)
    return outcome("own-tls-opaque")
