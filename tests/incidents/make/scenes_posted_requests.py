"""Which incidents of requests that a gateway answers itself come from public reports?"""

from typing import Any

from tests.incidents.make.posted import Posted, access
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import Pod, at

INGRESS = "istio-system/istio-ingressgateway"
USER = "203.0.113.9"


def challenge_redirected() -> Posted:
    """istio/istio#33593."""
    host, path = "site.example.com", "/.well-known/acme-challenge/Qx7"
    world = Posted(
        name="challenge-redirected",
        version="1.10.1",
        apis=BETA,
        summary="httpsRedirect on port 80 takes the ACME challenge before its solver's Ingress.",
        at_fault=["Gateway/site/site"],
        fix="Redirect by a rule that leaves /.well-known/acme-challenge/ alone, or use DNS-01.",
        from_=INGRESS,
        to="site/site:80",
        request={"method": "GET", "path": path, "host": host},
    )
    gateway = world.gateway()
    _site(world, "site", host, {"httpsRedirect": True})
    backend = {"service": {"name": "cm-acme-http-solver-75v85", "port": {"number": 8089}}}
    paths = [{"path": path, "pathType": "ImplementationSpecific", "backend": backend}]
    rules = {"rules": [{"host": host, "http": {"paths": paths}}]}
    solver = {"kubernetes.io/ingress.class": "istio"}
    world.config("Ingress", "site", "cm-acme-http-solver-x2k", rules, annotations=solver)
    for i in range(4):
        _asked(world, gateway, i, path, host, (301, "-", "direct_response"), "cert-manager/v1.4.0")
    return world


def upgrade_to_another_protocol() -> Posted:
    """juanfont/headscale#851."""
    host = "headscale.example.com"
    world = Posted(
        name="upgrade-to-another-protocol",
        version="1.14.3",
        apis=BETA,
        summary="tailscale upgrades to a protocol of its own; proxies allow websocket only.",
        at_fault=["VirtualService/vpn/vpn", "Gateway/vpn/vpn"],
        fix="An EnvoyFilter that adds the protocol to upgrade_configs.",
        from_=INGRESS,
        to="vpn/vpn:80",
        request={"method": "GET", "path": "/ts2021", "host": host},
    )
    gateway = world.gateway()
    _site(world, "vpn", host)
    for i in range(4):
        _asked(world, gateway, i, "/ts2021", host, (403, "-", "upgrade_failed"), "Go-http-client")
    return world


def authorizer_answers_202() -> Posted:
    """oauth2-proxy/oauth2-proxy#2832."""
    host = "app.example.com"
    world = Posted(
        name="authorizer-answers-202",
        version="1.24.1",
        apis=BETA,
        summary="oauth2-proxy answers /oauth2/auth with 202, and Envoy takes only 200 for a yes.",
        at_fault=["ConfigMap/istio-system/istio"],
        fix="No pathPrefix, and oauth2-proxy with the upstream static://200.",
        from_=INGRESS,
        to="web/web:80",
        request={"method": "GET", "path": "/", "host": host},
    )
    asked = {
        "service": "oauth2-proxy.auth.svc.cluster.local",
        "port": 4180,
        "pathPrefix": "/oauth2/auth?x=",
        "includeRequestHeadersInCheck": ["cookie", "authorization"],
    }
    world.mesh["extensionProviders"] = [{"name": "oauth2-proxy", "envoyExtAuthzHttp": asked}]
    gateway = world.gateway()
    _site(world, "web", host)
    world.namespace("auth")
    world.workload("auth", "oauth2-proxy", [4180])
    world.service("auth", "oauth2-proxy", [("http", 4180, 4180)])
    spec = {
        "selector": {"matchLabels": {"istio": "ingressgateway"}},
        "action": "CUSTOM",
        "provider": {"name": "oauth2-proxy"},
        "rules": [{"to": [{"operation": {"hosts": [host]}}]}],
    }
    world.config("AuthorizationPolicy", "istio-system", "ext-authz", spec)
    for i in range(4):
        _asked(world, gateway, i, "/", host, (202, "UAEX", "ext_authz_denied"), "Mozilla/5.0")
    return world


def delegate_of_the_rewritten_path() -> Posted:
    """istio/istio#52379."""
    host, path = "apps.example.com", "/upgrade/nginx"
    world = Posted(
        name="delegate-of-the-rewritten-path",
        version="1.22.1",
        summary="The delegate matches the path as its root rewrites it, so it is left out.",
        at_fault=["VirtualService/edge/root", "VirtualService/demo/nginx"],
        fix="Match the whole path in the delegate, and rewrite there.",
        from_=INGRESS,
        to="demo/nginx:80",
        request={"method": "GET", "path": path, "host": host},
    )
    gateway = world.gateway()
    world.namespace("edge")
    world.namespace("demo")
    world.workload("demo", "nginx", [8080])
    world.service("demo", "nginx", [("http", 80, 8080)])
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [server]}
    world.config("Gateway", "edge", "public", spec)
    rule: dict[str, Any] = {
        "match": [{"uri": {"prefix": path}}],
        "rewrite": {"uri": "/nginx"},
        "delegate": {"name": "nginx", "namespace": "demo"},
    }
    root = {"hosts": [host], "gateways": ["public"], "http": [rule]}
    world.config("VirtualService", "edge", "root", root)
    own = {
        "match": [{"uri": {"prefix": "/nginx"}}],
        "route": [{"destination": {"host": "nginx", "port": {"number": 80}}}],
    }
    world.config("VirtualService", "demo", "nginx", {"http": [own]})
    for i in range(4):
        _asked(world, gateway, i, path, host, (404, "NR", "route_not_found"), "curl/8.5.0")
    return world


def application_breaks_http() -> Posted:
    """istio/istio#36711."""
    host, space = "orders.example.com", "orders"
    world = Posted(
        name="application-breaks-http",
        version="1.11.4",
        apis=BETA,
        summary="The application sends Transfer-Encoding twice in some of its answers.",
        at_fault=["Deployment/orders/orders"],
        fix="Send the header once.",
        from_=INGRESS,
        to="orders/orders:80",
        request={"method": "GET", "path": "/export", "host": host},
    )
    gateway = world.gateway()
    server = _site(world, space, host)
    broken = (502, "UPE", "upstream_reset_before_response_started{protocol_error}")
    for i in range(6):
        path, told = ("/export", broken) if i % 2 else ("/orders/7", (200, "-", "via_upstream"))
        line = access(
            at(9 - i),
            f"GET {path} HTTP/1.1",
            *told,
            authority=host,
            upstream=f"{server.ip}:8080",
            cluster="inbound|8080||",
            downstream=f"{server.ip}:8080",
            peer=f"{USER}:0",
            sni="outbound_.80_._.orders.orders.svc.cluster.local",
            route="default",
            forwarded=USER,
        )
        world.log(server, "istio-proxy", line)
        passed = (told[0], "-", "via_upstream")
        _asked(world, gateway, i, path, host, passed, "curl/8.5.0", f"{server.ip}:8080")
    return world


def gateway_to_a_bare_entry() -> Posted:
    """istio/istio#7426."""
    host = "out.example.com"
    world = Posted(
        name="gateway-to-a-bare-entry",
        version="1.14.3",
        apis=BETA,
        summary="The gateway routes to a ServiceEntry of resolution NONE and has no address.",
        at_fault=["ServiceEntry/apps/httpbin"],
        fix="resolution: DNS",
        from_=INGRESS,
        to="httpbin.org:80",
        request={"method": "GET", "path": "/", "host": host},
    )
    gateway = world.gateway()
    world.namespace("apps")
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    world.config("ServiceEntry", "apps", "httpbin", {"hosts": ["httpbin.org"], "ports": [port]})
    server = {"port": port, "hosts": [host]}
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [server]}
    world.config("Gateway", "apps", "out", spec)
    route = [{"destination": {"host": "httpbin.org", "port": {"number": 80}}}]
    bound = {"hosts": [host], "gateways": ["out"], "http": [{"route": route}]}
    world.config("VirtualService", "apps", "out", bound)
    for i in range(4):
        line = access(
            at(9 - i),
            "GET / HTTP/1.1",
            503,
            "UH",
            "no_healthy_upstream",
            authority=host,
            cluster="outbound|80||httpbin.org",
            downstream=f"{gateway.ip}:8080",
            peer=f"{USER}:4{i}110",
            forwarded=USER,
        )
        world.log(gateway, "istio-proxy", line)
    return world


def _site(world: Posted, name: str, host: str, tls: dict[str, Any] | None = None) -> Pod:
    """A workload in a namespace of its own name, served by a Gateway there."""
    world.namespace(name)
    server = world.workload(name, name, [8080])
    world.service(name, name, [("http", 80, 8080)])
    plain: dict[str, Any] = {
        "port": {"number": 80, "name": "http", "protocol": "HTTP"},
        "hosts": [host],
    }
    if tls is not None:
        plain["tls"] = tls
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [plain]}
    world.config("Gateway", name, name, spec)
    route = [{"destination": {"host": name, "port": {"number": 80}}}]
    bound = {"hosts": [host], "gateways": [name], "http": [{"route": route}]}
    world.config("VirtualService", name, name, bound)
    return server


def _asked(
    world: Posted,
    gateway: Pod,
    i: int,
    path: str,
    host: str,
    told: tuple[int, str, str],
    agent: str,
    upstream: str = "-",
) -> None:
    """One request at the gateway: code, flags and details."""
    name = host.partition(".")[0]
    cluster = f"outbound|80||{name}.{name}.svc.cluster.local" if upstream != "-" else "-"
    line = access(
        at(9 - i),
        f"GET {path} HTTP/1.1",
        *told,
        agent=agent,
        authority=host,
        upstream=upstream,
        cluster=cluster,
        downstream=f"{gateway.ip}:8080",
        peer=f"{USER}:4{i}110",
        forwarded=USER,
    )
    world.log(gateway, "istio-proxy", line)


POSTED_REQUESTS = (
    application_breaks_http,
    authorizer_answers_202,
    challenge_redirected,
    delegate_of_the_rewritten_path,
    gateway_to_a_bare_entry,
    upgrade_to_another_protocol,
)
