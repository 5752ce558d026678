"""Which fields may a rule hold, how is each compared, and with what?

One row per field or `when` key of AuthorizationPolicy; mirrors authz/model/model.go New and
generator.go. HTTP-only fields cannot be generated on a TCP filter chain. Checked on 1.20 to 1.31.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from meshdoctor.mesh import authz_match as m
from meshdoctor.mesh.authz_call import Call, Settings, Truth
from meshdoctor.mesh.authz_path import normalised

HTTP_ONLY = frozenset(
    {"request-principal", "audiences", "presenter", "claim", "header", "host", "method", "path"}
)
SECRET = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
ALWAYS_SENT = frozenset({"x-request-id", "x-forwarded-proto", ":scheme"})
"""Headers that every proxy sets before its policies look, where a request has none."""
PROXY_SENT = frozenset(
    {"x-forwarded-client-cert", "x-forwarded-for", "traceparent", "tracestate", "b3"}
)
PROXY_PREFIXES = ("x-envoy-", "x-b3-", "x-ot-")
ADDRESS = frozenset({"x-envoy-external-address", "x-real-ip", "true-client-ip", "cf-connecting-ip"})
"""Headers that hold one address, if anything."""
SINCE = {"service-account": 25, "trust-domain": 31}

SOURCE = (
    ("principals", "not_principals", "notPrincipals", "principal"),
    ("request_principals", "not_request_principals", "notRequestPrincipals", "request-principal"),
    ("namespaces", "not_namespaces", "notNamespaces", "namespace"),
    ("service_accounts", "not_service_accounts", "notServiceAccounts", "service-account"),
    ("trust_domains", "not_trust_domains", "notTrustDomains", "trust-domain"),
    ("ip_blocks", "not_ip_blocks", "notIpBlocks", "source-ip"),
    ("remote_ip_blocks", "not_remote_ip_blocks", "notRemoteIpBlocks", "remote-ip"),
)
OPERATION = (
    ("hosts", "not_hosts", "notHosts", "host"),
    ("methods", "not_methods", "notMethods", "method"),
    ("paths", "not_paths", "notPaths", "path"),
    ("ports", "not_ports", "notPorts", "port"),
)
WHEN = {
    "source.ip": "source-ip",
    "remote.ip": "remote-ip",
    "source.namespace": "namespace",
    "source.serviceAccount": "service-account",
    "source.trustDomain": "trust-domain",
    "source.principal": "principal",
    "request.auth.principal": "request-principal",
    "request.auth.audiences": "audiences",
    "request.auth.presenter": "presenter",
    "destination.ip": "destination-ip",
    "destination.port": "port",
    "connection.sni": "sni",
}
PREFIXES = (
    ("experimental.envoy.filters.", "metadata"),
    ("request.headers", "header"),
    ("request.auth.claims", "claim"),
)
OPERATION_KINDS = frozenset({"host", "method", "path", "port", "destination-ip", "sni", "metadata"})


def camel(name: str) -> str:
    """`not_ip_blocks` as policies spell it."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def when_kind(key: str, settings: Settings) -> str:
    """How a `when` key is compared; "" when istiod of this release does not know it."""
    kind = WHEN.get(key, "")
    if not kind:
        kind = next((k for prefix, k in PREFIXES if key.startswith(prefix)), "")
    return kind if settings.since(SINCE.get(kind, 0)) else ""


class Claims(Struct, frozen=True, kw_only=True):
    """What JWT authentication left: None is not known, {} is no verified token.

    `removed` are request headers that it took away (forwardOriginalToken false).
    """

    values: Mapping[str, Any] | None = None
    removed: frozenset[str] = frozenset()


class Scene(Struct, frozen=True, kw_only=True):
    """Everything that one rule of one policy is compared with."""

    call: Call
    claims: Claims
    settings: Settings
    policy_namespace: str = ""

    @property
    def path(self) -> str | None:
        """The path that rules see."""
        target = self.call.path
        return None if target is None else normalised(target, self.settings.normalization)


def problem(kind: str, key: str, value: str, scene: Scene) -> str:
    """Why istiod cannot generate a matcher for this value; "" when it can."""
    if kind in HTTP_ONLY and scene.call.http is False:
        return "HTTP only"
    if kind in ("source-ip", "remote-ip", "destination-ip") and m.network(value) is None:
        return f"{value} is no address or CIDR"
    if kind == "port" and m.port_number(value) is None:
        return f"{value} is no port"
    if kind == "header" and m.bracketed(key.removeprefix("request.headers")) is None:
        return f"{key} is not request.headers[NAME]"
    if kind == "claim" and m.claim_keys(key.removeprefix("request.auth.claims")) is None:
        return f"{key} is not request.auth.claims[NAME]"
    if kind == "metadata" and "[" not in key:
        return f"{key} is not experimental.envoy.filters.NAME[KEY]"
    return ""


def compare(kind: str, key: str, values: tuple[str, ...], scene: Scene) -> tuple[Truth, str]:
    """Whether any value matches, and what was seen (text for people; "" is nothing there)."""
    if kind == "metadata":
        return None, "dynamic metadata of the proxy"
    if kind in ("request-principal", "audiences", "presenter", "claim"):
        return _token(kind, key, values, scene)
    if kind == "header":
        return _header(m.bracketed(key.removeprefix("request.headers")) or "", values, scene)
    if kind in ("source-ip", "remote-ip", "destination-ip"):
        return _address(kind, values, scene.call)
    if kind == "port":
        port = scene.call.port
        if port is None:
            return None, ""
        return any(m.port_number(v) == port for v in values), str(port)
    return _text(kind, values, scene)


def _address(kind: str, values: tuple[str, ...], call: Call) -> tuple[Truth, str]:
    seen = {
        "source-ip": call.direct_ip,
        "remote-ip": call.remote_ip,
        "destination-ip": call.destination_ip,
    }[kind]
    if seen is None:
        return None, ""
    return any(m.cidr(v, seen) for v in values), seen


def _text(kind: str, values: tuple[str, ...], scene: Scene) -> tuple[Truth, str]:
    call = scene.call
    if kind in ("principal", "namespace", "service-account", "trust-domain"):
        identity = call.principal
        if identity is None:
            return None, ""
        return any(_identity(kind, v, identity, scene) for v in values), identity
    seen = {"host": call.host, "method": call.method, "path": scene.path, "sni": call.sni}[kind]
    if seen is None:
        return None, ""
    if kind == "host":
        return any(m.host(v, seen) for v in values), seen
    if kind == "path":
        templates = scene.settings.since(22)
        return any(m.path(v, seen, templates=templates) for v in values), seen
    if kind == "method":
        return any(m.header(v, seen) for v in values), seen
    return any(m.generic(v, seen) for v in values), seen


def _identity(kind: str, value: str, identity: str, scene: Scene) -> bool:
    match kind:
        case "principal":
            return m.principal(value, identity)
        case "namespace":
            return m.namespace(value, identity)
        case "service-account":
            return m.service_account(value, identity, scene.policy_namespace)
        case _:
            return m.trust_domain(value, identity)


def _header(name: str, values: tuple[str, ...], scene: Scene) -> tuple[Truth, str]:
    call, name = scene.call, name.lower()
    if name in scene.claims.removed:
        return False, ""
    pseudo = {":authority": call.host, "host": call.host, ":method": call.method}
    if name in pseudo or name == ":path":
        seen = call.path if name == ":path" else pseudo[name]
        return (None, "") if seen is None else (any(m.header(v, seen) for v in values), seen)
    seen = call.header(name)
    if seen is None and name in ADDRESS and all(m.is_range(v) for v in values):
        return False, "an address, which no range matches: values of headers are text"
    if seen is None:
        return _unsent(name, values, call), ""
    shown = "a secret that is not shown" if name in SECRET else seen
    return any(m.header(v, seen) for v in values), shown


def _unsent(name: str, values: tuple[str, ...], call: Call) -> Truth:
    """Of a header that the request is not known to have: a proxy may have set it on the way."""
    if name in ALWAYS_SENT:
        return True if "*" in values else None
    if name in PROXY_SENT or name.startswith(PROXY_PREFIXES):
        return None
    return False if call.headers_known else None


def _token(kind: str, key: str, values: tuple[str, ...], scene: Scene) -> tuple[Truth, str]:
    claims = scene.claims.values
    if claims is None:
        return None, ""
    if kind == "request-principal":
        iss, sub = claims.get("iss"), claims.get("sub")
        seen = f"{iss}/{sub}" if isinstance(iss, str) and isinstance(sub, str) else ""
        return any(m.request_principal(v, iss, sub) for v in values), seen
    keys: tuple[str, ...] = {"audiences": ("aud",), "presenter": ("azp",)}.get(kind, ())
    keys = keys or m.claim_keys(key.removeprefix("request.auth.claims")) or ()
    value = m.claim_at(claims, keys)
    return any(m.claim(v, value) for v in values), "" if value is None else _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, int | float):
        return f"{value} (a number)"
    return str(value)
