"""Can istiod turn a CUSTOM policy's provider into an ext_authz filter?

Mirrors authz/builder/extauthz.go processExtensionProvider and getExtAuthz, and
validation/agent/extensionprovider.go. What it cannot build becomes a DENY of the policy's own
rules, suffixed `-deny-due-to-bad-CUSTOM-action` (the whole workload up to 1.19).
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from meshdoctor.mesh import protocols
from meshdoctor.mesh.authz_call import Settings
from meshdoctor.mesh.client_tls import tls_at_port
from meshdoctor.mesh.egress import ORIGINATES
from meshdoctor.mesh.services import fqdn, host_matches, port_of
from meshdoctor.model.istio import (
    DestinationRule,
    ExtensionProvider,
    ProviderService,
    RequestAuthentication,
    ServiceEntry,
)
from meshdoctor.model.kubernetes import Service
from meshdoctor.model.patterns import pattern

BAD_SUFFIX = "-deny-due-to-bad-CUSTOM-action"
BAD_WORDS = "due-to-bad-CUSTOM-action"
"""In the name of every rule that stands for such a policy; up to 1.19 there is one for all."""
_STATUS = frozenset(
    {100, *range(200, 209), 226, *range(300, 306), 307, 308, *range(400, 418)}
    | {421, 422, 423, 424, 426, 428, 429, 431, *range(500, 509), 510, 511}
)
_NAME = pattern(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def service_of(provider: ExtensionProvider) -> ProviderService | None:
    """The provider's ext_authz settings; None when it is a provider of another sort."""
    return provider.envoy_ext_authz_http or provider.envoy_ext_authz_grpc


def find(name: str, settings: Settings) -> ExtensionProvider | None:
    """The ext_authz provider of that name; None when mesh config has none."""
    named = (p for p in settings.providers if p.name == name)
    return next((p for p in named if service_of(p) is not None), None)


def provider_problem(name: str, settings: Settings) -> str:
    """Why istiod refuses the provider; "" when it can use it.

    A host missing from the registry counts only when `known_hosts` were read.
    """
    provider = find(name, settings)
    if provider is None:
        known = sorted(p.name for p in settings.providers if service_of(p) is not None)
        return f"available providers are [{' '.join(known)}] but found {name!r}"
    service = service_of(provider)
    if service is None:
        return f"{name} is no ext_authz provider"
    if sum(p.name == name for p in settings.providers if service_of(p) is not None) > 1:
        return f"extension provider name must be unique, found duplicate: {name}"
    if settings.since(30) and not _NAME.fullmatch(name):
        return f"invalid provider name {name!r}"
    return _service_problem(service, settings) or _http_problem(provider.envoy_ext_authz_http)


def _service_problem(service: ProviderService, settings: Settings) -> str:
    if not 1 <= service.port <= 65535:
        return f"port must be in the range [1, 65535], found: {service.port}"
    if not service.service:
        return "service must not be empty"
    code = service.status_on_error
    if code and not (code.isdigit() and int(code) in _STATUS):
        return f"unsupported statusOnError {code}"
    host = service.service.rpartition("/")[2]
    if settings.known_hosts is not None and host not in settings.known_hosts:
        return f"could not find service {service.service} in Istio service registry"
    return ""


def _http_problem(service: ProviderService | None) -> str:
    if service is None:
        return ""
    if service.path_prefix and not service.path_prefix.startswith("/"):
        return f"pathPrefix must begin with `/`, found: {service.path_prefix}"
    lists = (
        service.include_request_headers_in_check,
        service.include_headers_in_check,
        service.headers_to_upstream_on_allow,
    )
    if any("*" in one for one in lists):
        return 'a single wildcard ("*") is not supported in a header list'
    return ""


def applies_to_tcp(name: str, settings: Settings) -> bool:
    """Only a gRPC provider can be asked about a TCP connection; an HTTP one is ignored there."""
    provider = find(name, settings)
    return provider is None or provider.envoy_ext_authz_grpc is not None


def asked_plainly(
    entry: ServiceEntry, host: str, port: int, rules: Iterable[DestinationRule]
) -> bool:
    """Whether proxies ask a provider outside the mesh in plaintext on a port that takes TLS: by its
    protocol or number, while no rule for the host has them originate TLS."""
    declared = next((p for p in entry.spec.ports if p.number == port), None)
    if entry.spec.location == "MESH_INTERNAL" or declared is None:
        return False
    target = declared.target_port or declared.number
    if declared.protocol.upper() not in ("HTTPS", "TLS") and target != 443:
        return False
    mine = (r for r in rules if host_matches(r.spec.host, host))
    return not any(_originates(rule, port) for rule in mine)


def _originates(rule: DestinationRule, port: int) -> bool:
    tls, _ = tls_at_port(rule.spec.traffic_policy, port)
    return tls is not None and tls.mode in ORIGINATES


def grpc_over_http1(
    provider: ExtensionProvider, service: Service, rules: Iterable[DestinationRule]
) -> str:
    """As which protocol the port of a gRPC provider is declared, when that has proxies speak
    HTTP/1.1 to it and no rule upgrades them; "": they speak HTTP/2, or it is not declared.

    istiod gives a cluster HTTP/2 options for ports of HTTP2 and gRPC only, or on h2UpgradePolicy
    (networking/core/cluster_traffic_policy.go, 1.5 to 1.32-dev).
    """
    grpc = provider.envoy_ext_authz_grpc
    port = port_of(service, grpc.port) if grpc is not None else None
    if port is None or grpc is None:
        return ""
    declared = protocols.select(port)
    if declared.sniffed or declared.protocol in (protocols.HTTP2, protocols.GRPC):
        return ""
    host = fqdn(service)
    mine = (r for r in rules if host_matches(r.spec.host, host))
    return "" if any(_upgrades(rule) for rule in mine) else declared.protocol


def _upgrades(rule: DestinationRule) -> bool:
    policy = rule.spec.traffic_policy
    if policy is None:
        return False
    pools = (policy.connection_pool, *(one.connection_pool for one in policy.port_level_settings))
    return any(
        p is not None and p.http is not None and p.http.h2_upgrade_policy == "UPGRADE"
        for p in pools
    )


def set_later(
    provider: ExtensionProvider | None, authentications: Iterable[RequestAuthentication]
) -> tuple[str, str]:
    """A header that an HTTP authorizer is to be given and that a token's claims fill only later,
    and the RequestAuthentication that fills it; empty: none.

    istiod puts CUSTOM policies before the jwt_authn filter (pilot/pkg/security/authz and
    networking/plugin/authz, since 1.9); includeRequestHeadersInCheck names whole headers, and a
    star stands for any beginning or end.
    """
    http = provider.envoy_ext_authz_http if provider is not None else None
    if http is None:
        return "", ""
    wanted = (*http.include_request_headers_in_check, *http.include_headers_in_check)
    for one in authentications:
        for rule in one.spec.jwt_rules:
            filled = (
                rule.output_payload_to_header,
                *(c.header for c in rule.output_claim_to_headers),
            )
            for header in filter(None, filled):
                if any(fnmatchcase(header.lower(), name.lower()) for name in wanted):
                    return header, one.ref
    return "", ""
