"""Can a gateway serve TLS: does each server have its certificate, and may the gateway read it?

Mirrors pilot/pkg/xds/sds.go (filterAuthorizedResources), pilot/pkg/credentials/kube/secrets.go
(ExtractCertInfo, GetCaCert) and pilot/pkg/config/kube/gateway (ReferenceGrants); 1.20 to 1.32-dev.
An Istio Gateway's credentialName is looked up in the namespace of the gateway *pod*; a Gateway API
certificateRef in its own namespace, elsewhere only where a ReferenceGrant permits it.
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.certificates import Bundle, parse
from meshdoctor.mesh.routes import gateway_keys
from meshdoctor.mesh.services import host_matches
from meshdoctor.model.istio import Gateway, K8sGateway, ReferenceGrant, VirtualService
from meshdoctor.model.kubernetes import Secret

TERMINATES = ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
MUTUAL = ("MUTUAL", "OPTIONAL_MUTUAL")
PASSTHROUGH, AUTO_PASSTHROUGH = "PASSTHROUGH", "AUTO_PASSTHROUGH"
CA_SUFFIX = "-cacert"
_PAIRS = (("cert", "key"), ("tls.crt", "tls.key"))
_CA_KEYS = ("cacert", "ca.crt")


class TlsServer(Struct, frozen=True, kw_only=True):
    """One server (Istio) or listener (Gateway API) that has to do with TLS.

    `credentials` are (namespace, name); an Istio Gateway's namespace is "" until the gateway's
    pod is known. `hosts` are without `namespace/`; empty or `*` is any host.
    """

    name: str
    port: int
    protocol: str
    mode: str
    hosts: tuple[str, ...]
    credentials: tuple[tuple[str, str], ...]
    files: bool = False

    @property
    def named_hosts(self) -> tuple[str, ...]:
        """Hosts that a certificate must cover: all but `*`."""
        return tuple(host for host in self.hosts if host not in ("", "*"))


def of_gateway(gateway: Gateway, pod_namespace: str) -> tuple[TlsServer, ...]:
    """TLS servers of an Istio Gateway whose pod runs in a namespace."""
    out = []
    for server in gateway.spec.servers:
        if server.tls is None:
            continue
        tls = server.tls
        names = tls.credential_names or ((tls.credential_name,) if tls.credential_name else ())
        out.append(
            TlsServer(
                name=server.port.name or str(server.port.number),
                port=server.port.number,
                protocol=server.port.protocol.upper(),
                mode=tls.mode or ("SIMPLE" if names or tls.server_certificate else ""),
                hosts=tuple(host.rpartition("/")[2] for host in server.hosts),
                credentials=tuple(credential(name, pod_namespace) for name in names),
                files=bool(tls.server_certificate),
            )
        )
    return tuple(out)


def credential(name: str, pod_namespace: str) -> tuple[str, str]:
    """(namespace, name) of a credentialName: plain, `kubernetes://NAME`, or with a namespace."""
    path = name.partition("://")[2] or name
    namespace, slash, rest = path.partition("/")
    return (namespace, rest) if slash else (pod_namespace, path)


def of_k8s_gateway(gateway: K8sGateway) -> tuple[TlsServer, ...]:
    """TLS listeners of a Gateway API Gateway."""
    out = []
    for listener in gateway.spec.listeners:
        tls = listener.tls
        if tls is None and listener.protocol not in ("HTTPS", "TLS"):
            continue
        passthrough = tls is not None and tls.mode == "Passthrough"
        refs = tls.certificate_refs if tls is not None and not passthrough else ()
        out.append(
            TlsServer(
                name=listener.name,
                port=listener.port,
                protocol=listener.protocol,
                mode=PASSTHROUGH if passthrough else _k8s_mode(tls.options if tls else {}),
                hosts=(listener.hostname,) if listener.hostname else (),
                credentials=tuple(
                    (ref.namespace or gateway.namespace, ref.name)
                    for ref in refs
                    if ref.kind in ("", "Secret") and not ref.group
                ),
            )
        )
    return tuple(out)


def _k8s_mode(options: dict[str, str]) -> str:
    return {"MUTUAL": "MUTUAL", "OPTIONAL_MUTUAL": "OPTIONAL_MUTUAL"}.get(
        options.get("gateway.istio.io/tls-terminate-mode", ""), "SIMPLE"
    )


def granted(
    gateway_namespace: str, secret: tuple[str, str], grants: Iterable[ReferenceGrant]
) -> bool:
    """Whether a Gateway of a namespace may refer to a Secret of another: a ReferenceGrant in the
    Secret's namespace from kind Gateway of that namespace, to Secrets or to this one."""
    return any(
        grant.namespace == secret[0]
        and any(
            f.kind == "Gateway"
            and f.group == "gateway.networking.k8s.io"
            and f.namespace == gateway_namespace
            for f in grant.spec.from_
        )
        and any(
            t.kind == "Secret" and not t.group and t.name in ("", secret[1]) for t in grant.spec.to
        )
        for grant in grants
    )


def lacking_keys(secret: Secret) -> str:
    """What istiod misses in a Secret with a serving certificate; "" when it has what is needed."""
    if any(all(key in secret.data for key in pair) for pair in _PAIRS):
        return ""
    found = ", ".join(sorted(secret.data)[:5]) or "none"
    return f"it has neither tls.crt and tls.key nor cert and key (keys: {found})"


def lacking_ca(secret: Secret, ca_secret: Secret | None) -> str:
    """What keeps istiod from a CA to verify peers with; "" when it has one. It takes it from
    NAME-cacert where that exists, whatever keys that has, and from NAME itself only where not."""
    taken = secret if ca_secret is None else ca_secret
    if any(key in taken.data for key in _CA_KEYS):
        return ""
    found = ", ".join(sorted(taken.data)[:5]) or "none"
    lacks = f"Secret/{taken.namespace}/{taken.name} has neither ca.crt nor cacert (keys: {found})"
    if ca_secret is None:
        return f"{lacks}, and no {secret.name}{CA_SUFFIX} exists"
    return f"{lacks}; where it exists, {secret.name} is not asked for a CA"


def serving_chain(secret: Secret) -> Bundle:
    """The certificates that the gateway presents, leaf first."""
    return parse(secret.data.get("cert", "") or secret.data.get("tls.crt", ""))


def uncovered(server: TlsServer, chain: Bundle, asked: str = "") -> str:
    """The first host of a server that the certificate does not cover; "" when it covers all, or
    the one asked about, or no certificate is known."""
    leaf = chain.leaf
    if leaf is None or (asked and leaf.covers(asked)):
        return ""
    for host in server.named_hosts:
        probe = f"any.{host[2:]}" if host.startswith("*.") else host
        if not leaf.covers(probe):
            return host
    return ""


def unrouted_passthrough(
    server: TlsServer, gateway: Gateway, routes: Iterable[VirtualService]
) -> VirtualService | None:
    """A VirtualService that sends this PASSTHROUGH server's host by HTTP or TCP routes, while no
    VirtualService has a `tls` route for it: the gateway then has no filter chain.

    None when there is such a route, or none concerns the server (AUTO_PASSTHROUGH needs none).
    """
    if server.mode != PASSTHROUGH:
        return None
    key = (gateway.namespace, gateway.name)
    bound = [
        r
        for r in routes
        if key in gateway_keys(r) and any(_meets(host, server.hosts) for host in r.spec.hosts)
    ]
    if any(route.spec.tls for route in bound):
        return None
    return next((r for r in bound if r.spec.http or r.spec.tcp), None)


def passes_to_nobody(
    name: str, servers: Iterable[TlsServer], gateway: Gateway, routes: Iterable[VirtualService]
) -> str | None:
    """Why a Gateway that only passes the TLS of a host through has no filter chain for it: what
    the VirtualServices that name it in a `tls` rule are bound to or match. "" when there is none
    at all, None when a rule takes it or other servers of the Gateway do."""
    meant = [s for s in servers if s.mode == PASSTHROUGH and _meets(name, s.hosts)]
    ports = {s.port for s in meant}
    every = [s for s in gateway.spec.servers if _meets(name, [_bare(h) for h in s.hosts])]
    if not meant or any(s.port.number not in ports for s in every):
        return None
    key, near = (gateway.namespace, gateway.name), ""
    for route in routes:
        bound = key in gateway_keys(route)
        for match in (one for rule in route.spec.tls for one in rule.match):
            takes = any(host_matches(sni, name) for sni in match.sni_hosts)
            if bound and takes and match.port in (0, *ports):
                return None
            if takes and not bound:
                near = elsewhere(route)
            elif bound and not near:
                near = f"{route.ref} has one for {', '.join(match.sni_hosts)}"
                near += f" on port {match.port}" if match.port not in (0, *ports) else ""
    return near


def elsewhere(route: VirtualService) -> str:
    """To what a VirtualService that has a rule is bound instead, in words."""
    return f"{route.ref} has one, and is bound to {', '.join(route.spec.gateways) or 'mesh alone'}"


def _bare(host: str) -> str:
    return host.rpartition("/")[2]


def _meets(host: str, patterns: Iterable[str]) -> bool:
    """Whether a VirtualService's host falls under a server's (or is its wildcard)."""
    for pattern in patterns or ("*",):
        if pattern in ("*", host):
            return True
        if pattern.startswith("*.") and host.endswith(pattern[1:]):
            return True
    return False


def serves_sni(servers: Iterable[TlsServer], port: int, name: str) -> bool:
    """Whether any server on a port takes a TLS client with this SNI."""
    return any(
        (not port or server.port == port) and _meets(name.lower(), server.hosts)
        for server in servers
    )
