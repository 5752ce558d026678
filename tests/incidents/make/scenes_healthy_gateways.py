"""Which gateways work, though their logs hold refusals or their routes look odd?"""

from typing import Any

from tests.incidents.make.posted import Posted, access
from tests.incidents.make.world import Pod, at

INGRESS = "istio-system/istio-ingressgateway"
HOST = "app.example.com"
PASSED = (200, "-", "via_upstream")


def logins_at_an_authorizer() -> Posted:
    world, gateway, server = _shop("healthy-logins-at-an-authorizer", "Nobody is shut out: ")
    asked = {
        "service": "oauth2-proxy.auth.svc.cluster.local",
        "port": 4180,
        "includeRequestHeadersInCheck": ["cookie"],
        "headersToUpstreamOnAllow": ["authorization"],
    }
    world.mesh["extensionProviders"] = [{"name": "oauth2-proxy", "envoyExtAuthzHttp": asked}]
    world.namespace("auth")
    world.workload("auth", "oauth2-proxy", [4180])
    world.service("auth", "oauth2-proxy", [("http", 4180, 4180)])
    custom = {"action": "CUSTOM", "provider": {"name": "oauth2-proxy"}, "rules": [{}]}
    _policy(world, "ext-authz", custom)
    _log(world, gateway, server, [PASSED] * 5 + [(302, "UAEX", "ext_authz_denied")])
    return world


def some_tokens_expired() -> Posted:
    world, gateway, server = _shop("healthy-some-tokens-expired", "Most users have good tokens: ")
    issuer = "https://sso.example.com"
    rules = [{"issuer": issuer, "jwksUri": f"{issuer}/keys", "forwardOriginalToken": True}]
    selected = {"selector": {"matchLabels": {"istio": "ingressgateway"}}}
    spec = selected | {"jwtRules": rules}
    world.config("RequestAuthentication", "istio-system", "sso", spec)
    without = {"from": [{"source": {"notRequestPrincipals": ["*"]}}]}
    _policy(world, "need-token", {"action": "DENY", "rules": [without]})
    expired = (401, "-", "jwt_authn_access_denied{Jwt_is_expired}")
    _log(world, gateway, server, [PASSED] * 7 + [expired])
    return world


def hosts_of_gateway_and_mesh() -> Posted:
    world, gateway, server = _shop("healthy-hosts-of-gateway-and-mesh", "One route for both: ")

    def both(route: Any) -> None:
        route["spec"].update(hosts=[HOST, "app"], gateways=["app", "mesh"])

    world.change("VirtualService", "web", "app", both)
    _log(world, gateway, server, [PASSED] * 6)
    return world


def _shop(name: str, summary: str) -> tuple[Posted, Pod, Pod]:
    world = Posted(
        name=name,
        version="1.24.1",
        summary=f"{summary}nothing is wrong.",
        at_fault=[],
        healthy=True,
        fix="Nothing to do.",
        from_=INGRESS,
        to="web/app:80",
        request={"method": "GET", "path": "/", "host": HOST},
    )
    gateway = world.gateway()
    world.namespace("web")
    server = world.workload("web", "app", [8080])
    world.service("web", "app", [("http", 80, 8080)])
    one = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [HOST]}
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [one]}
    world.config("Gateway", "web", "app", spec)
    route = [{"destination": {"host": "app", "port": {"number": 80}}}]
    bound = {"hosts": [HOST], "gateways": ["app"], "http": [{"route": route}]}
    world.config("VirtualService", "web", "app", bound)
    return world, gateway, server


def _policy(world: Posted, name: str, spec: dict[str, Any]) -> None:
    selected = {"selector": {"matchLabels": {"istio": "ingressgateway"}}}
    world.config("AuthorizationPolicy", "istio-system", name, selected | spec)


def _log(world: Posted, gateway: Pod, server: Pod, told: list[tuple[int, str, str]]) -> None:
    """One request of one user each, at the gateway and, if it passed, at the application."""
    for i, (code, flags, details) in enumerate(told):
        user, passed = f"203.0.113.{i + 1}", details == "via_upstream"
        upstream = f"{server.ip}:8080" if passed else "-"
        line = access(
            at(12 - i),
            "GET / HTTP/1.1",
            code,
            flags,
            details,
            agent="Mozilla/5.0",
            authority=HOST,
            upstream=upstream,
            cluster="outbound|80||app.web.svc.cluster.local",
            downstream=f"{gateway.ip}:8080",
            peer=f"{user}:41100",
            forwarded=user,
        )
        world.log(gateway, "istio-proxy", line)
        if passed:
            line = access(
                at(12 - i),
                "GET / HTTP/1.1",
                code,
                flags,
                details,
                agent="Mozilla/5.0",
                authority=HOST,
                upstream=upstream,
                cluster="inbound|8080||",
                downstream=f"{server.ip}:8080",
                peer=f"{user}:0",
                sni="outbound_.80_._.app.web.svc.cluster.local",
                route="default",
                forwarded=user,
            )
            world.log(server, "istio-proxy", line)


HEALTHY_GATEWAYS = (
    hosts_of_gateway_and_mesh,
    logins_at_an_authorizer,
    some_tokens_expired,
)
