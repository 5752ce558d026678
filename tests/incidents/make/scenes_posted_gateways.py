"""Which incidents of gateways and what stands before or behind them come from public reports?"""

from tests.incidents.make import objects as o
from tests.incidents.make.objects import Manifest
from tests.incidents.make.posted import Posted, access
from tests.incidents.make.scenes_posted import ALPHA, BETA
from tests.incidents.make.world import Pod, at, whole

INGRESS = "istio-system/istio-ingressgateway"
USER = "203.0.113.9"
MUTUAL_SNI = "outbound_.{port}_._.{name}.{space}.svc.cluster.local"


def redirected_for_ever() -> Posted:
    """argoproj/argo-cd#2953."""
    host = "argocd.example.com"
    world = Posted(
        name="redirected-for-ever",
        version="1.17.2",
        apis=BETA,
        summary="The gateway ends TLS; argocd-server redirects all plain HTTP to https.",
        at_fault=["Service/argocd/argocd-server"],
        fix="Set server.insecure for argocd-server, or speak TLS to it.",
        from_=INGRESS,
        to="argocd/argocd-server:80",
        request={"method": "GET", "path": "/", "host": host},
    )
    gateway = world.gateway()
    world.namespace("argocd", inject=False)
    server = world.workload("argocd", "argocd-server", [8080], injected=False)
    world.service("argocd", "argocd-server", [("http", 80, 8080), ("https", 443, 8080)])
    _served(world, "argocd", "argocd-server", host, tls=True)
    for i in range(10):
        line = access(
            at(9 - i / 600),
            "GET / HTTP/2",
            307,
            "-",
            "via_upstream",
            agent="Mozilla/5.0",
            authority=host,
            upstream=f"{server.ip}:8080",
            cluster="outbound|80||argocd-server.argocd.svc.cluster.local",
            downstream=f"{gateway.ip}:8443",
            peer=f"{USER}:41100",
            sni=host,
            forwarded=USER,
        )
        world.log(gateway, "istio-proxy", line)
    return world


def balancer_names_no_host() -> Posted:
    """aws-samples/eks-alb-istio-with-tls#9."""
    world = Posted(
        name="balancer-names-no-host",
        version="1.18.2",
        apis=BETA,
        summary="The ALB speaks HTTPS to the gateway without SNI, and its server has a named host.",
        at_fault=["Gateway/web/frontend", "Ingress/istio-system/front"],
        fix="Give the server that the ALB calls host *.",
        from_=INGRESS,
        to="web/frontend:80",
        request={"method": "GET", "path": "/", "host": "app.example.com"},
    )
    gateway = world.gateway()
    world.namespace("web")
    world.workload("web", "frontend", [8080])
    world.service("web", "frontend", [("http", 80, 8080)])
    _served(world, "web", "frontend", "app.example.com", tls=True)
    backend = {"service": {"name": "istio-ingressgateway", "port": {"number": 443}}}
    world.config(
        "Ingress",
        "istio-system",
        "front",
        {"ingressClassName": "alb", "defaultBackend": backend},
        annotations={"alb.ingress.kubernetes.io/backend-protocol": "HTTPS"},
    )
    for i in range(6):
        node = f"10.20.{1 + i % 2}.{57 if i % 2 == 0 else 201}"
        world.log(gateway, "istio-proxy", _no_chain(at(20 - i * i / 2), gateway, node))
    return world


def path_of_a_wider_host() -> Posted:
    """istio/istio#57404."""
    world = Posted(
        name="path-of-a-wider-host",
        version="1.26.1",
        summary="Requests for foo.bar meet the rules of the route that names it, never those of *.",
        at_fault=["VirtualService/default/any", "VirtualService/default/named"],
        fix="Name foo.bar in the second VirtualService too.",
        from_=INGRESS,
        to="default/nginx:80",
        request={"method": "GET", "path": "/demo", "host": "foo.bar"},
    )
    gateway = world.gateway()
    world.namespace("default")
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [{"hosts": ["*"], "port": port}]}
    world.config("Gateway", "istio-system", "gateway", spec)
    for name, host, path, service in (
        ("named", "foo.bar", "/other", "other"),
        ("any", "*", "/demo", "nginx"),
    ):
        world.workload("default", service, [80])
        world.service("default", service, [("http", 80, 80)])
        route = [{"destination": {"host": service, "port": {"number": 80}}}]
        rule = {"match": [{"uri": {"prefix": path}}], "route": route}
        bound = {"hosts": [host], "gateways": ["istio-system/gateway"], "http": [rule]}
        world.config("VirtualService", "default", name, bound)
    for i in range(3):
        line = access(
            at(9 - i),
            "GET /demo HTTP/1.1",
            404,
            "NR",
            "route_not_found",
            authority="foo.bar",
            downstream=f"{gateway.ip}:8080",
            peer=f"{USER}:4{i}110",
            forwarded=USER,
        )
        world.log(gateway, "istio-proxy", line)
    return world


def plain_http_to_an_https_port() -> Posted:
    """istio/istio#47404."""
    world = Posted(
        name="plain-http-to-an-https-port",
        version="1.19.0",
        apis=BETA,
        summary="The gateway ends TLS and routes plain HTTP to the service's https port.",
        at_fault=["Service/back/backend"],
        fix="Add a DestinationRule with tls SIMPLE, or route to a plain port.",
        from_=INGRESS,
        to="back/backend:443",
        request={"method": "GET", "path": "/cde", "host": "apps.example.com"},
    )
    gateway = world.gateway()
    world.namespace("back", inject=False)
    server = world.workload("back", "backend", [8099], injected=False)
    world.service("back", "backend", [("https", 443, 8099)])
    _served(world, "back", "backend", "apps.example.com", port=443, tls=True)
    for i in range(4):
        line = access(
            at(9 - i),
            "GET /cde HTTP/2",
            400,
            "-",
            "via_upstream",
            authority="apps.example.com",
            upstream=f"{server.ip}:8099",
            cluster="outbound|443||backend.back.svc.cluster.local",
            downstream=f"{gateway.ip}:8443",
            peer=f"{USER}:4{i}110",
            sni="apps.example.com",
            forwarded=USER,
        )
        world.log(gateway, "istio-proxy", line)
    return world


def http_1_0_refused() -> Posted:
    """SigNoz/charts#53."""
    world = Posted(
        name="http-1-0-refused",
        version="1.13.5",
        apis=BETA,
        summary="nginx speaks HTTP/1.0 to its upstream, which the sidecar answers 426.",
        at_fault=["Deployment/platform/frontend"],
        fix="Set proxy_http_version 1.1 in nginx.",
        from_="platform/frontend",
        to="platform/query:8080",
        request={"method": "GET", "path": "/api/v1/version", "host": "query:8080"},
    )
    world.namespace("platform")
    client = world.workload("platform", "frontend", [3301])
    server = world.workload("platform", "query", [8080])
    world.service("platform", "query", [("http", 8080, 8080)])
    for i in range(4):
        line = access(
            at(9 - i),
            "GET /api/v1/version HTTP/1.0",
            426,
            "-",
            "low_version",
            authority="query:8080",
            downstream=f"{server.ip}:8080",
            peer=f"{client.ip}:3{i}958",
        )
        world.log(server, "istio-proxy", line)
    return world


def sidecar_behind_two_proxies() -> Posted:
    """istio/istio#30166: of a release that logs no details."""
    world = Posted(
        name="sidecar-behind-two-proxies",
        version="1.8.2",
        apis=BETA,
        summary="The sidecar takes the address of the proxy before the gateway for the client's.",
        at_fault=["AuthorizationPolicy/shop/api"],
        fix="Judge addresses at the gateway, where numTrustedProxies counts.",
        from_=INGRESS,
        to="shop/api:80",
        request={
            "method": "GET",
            "path": "/",
            "host": "api.example.com",
            "headers": {"x-forwarded-for": "198.51.100.7"},
        },
    )
    world.mesh["defaultConfig"]["gatewayTopology"] = {"numTrustedProxies": 1}
    world.gateway()
    world.namespace("shop")
    server = world.workload("shop", "api", [8080])
    world.service("shop", "api", [("http", 80, 8080)])
    _served(world, "shop", "api", "api.example.com")
    rule = {"from": [{"source": {"remoteIpBlocks": ["198.51.100.7"]}}]}
    spec = {"selector": {"matchLabels": {"app": "api"}}, "action": "ALLOW", "rules": [rule]}
    world.config("AuthorizationPolicy", "shop", "api", spec, changed=whole(30))
    for i in range(3):
        world.log(server, "istio-proxy", _untold(at(9 - i), 403, server, "147.243.0.9", "-"))
    return world


def token_kept_from_the_application() -> Posted:
    """istio/istio#29706: of a release that logs no details."""
    world = Posted(
        name="token-kept-from-the-application",
        version="1.6.8",
        apis=ALPHA,
        summary="The sidecar verifies the token and takes it away; the application wants it.",
        at_fault=["RequestAuthentication/shop/jwt"],
        fix="Set forwardOriginalToken.",
        from_=INGRESS,
        to="shop/api:80",
        request={"method": "GET", "path": "/me", "host": "api.example.com"},
    )
    world.gateway()
    world.namespace("shop")
    server = world.workload("shop", "api", [8080])
    world.service("shop", "api", [("http", 80, 8080)])
    _served(world, "shop", "api", "api.example.com")
    rule = {"issuer": "https://sso.example.com", "jwksUri": "https://sso.example.com/keys"}
    spec = {"selector": {"matchLabels": {"app": "api"}}, "jwtRules": [rule]}
    world.config("RequestAuthentication", "shop", "jwt", spec, changed=whole(40))
    for i in range(4):
        line = _untold(at(9 - i), 401, server, USER, "127.0.0.1:8080")
        world.log(server, "istio-proxy", line)
        world.log(server, "api", f"{at(9 - i)} WARN no Authorization header in request GET /me")
    return world


def entry_names_other_identity() -> Posted:
    """aidancarson.com/blog/istio-pod-to-pod-mtls."""
    world = Posted(
        name="entry-names-other-identity",
        version="1.25.2",
        summary="The ServiceEntry's subjectAltNames name an account that its endpoint has not.",
        at_fault=["ServiceEntry/curl/global-echo"],
        fix="Name the endpoint's own identity.",
        from_="curl/curl",
        to="",
        request={"method": "GET", "path": "/", "host": "global-echo"},
    )
    world.namespace("curl")
    world.namespace("echo")
    client = world.workload("curl", "curl", [])
    server = world.workload("echo", "echo", [8080])
    strict = {"mtls": {"mode": "STRICT"}}
    world.config("PeerAuthentication", "istio-system", "default", strict)
    entry = {
        "hosts": ["global-echo"],
        "location": "MESH_INTERNAL",
        "ports": [{"name": "http", "number": 80, "protocol": "HTTP", "targetPort": 8080}],
        "resolution": "STATIC",
        "subjectAltNames": ["spiffe://cluster.local/ns/echo/sa/global-echo"],
        "workloadSelector": {"labels": {"app": "global-echo"}},
    }
    world.config("ServiceEntry", "curl", "global-echo", entry)
    labels = {"app": "global-echo", "security.istio.io/tlsMode": "istio"}
    world.config("WorkloadEntry", "curl", "echo-1", {"address": server.ip, "labels": labels})
    error = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"
    for i in range(4):
        line = access(
            at(9 - i),
            "GET / HTTP/1.1",
            503,
            "UF,URX",
            f"upstream_reset_before_response_started{{remote_connection_failure|{error}}}",
            transport=error,
            authority="global-echo",
            upstream=f"{server.ip}:8080",
            cluster="outbound|80||global-echo",
            downstream="240.240.0.3:80",
            peer=f"{client.ip}:4{i}110",
            route="default",
        )
        world.log(client, "istio-proxy", line)
    return world


def _served(
    world: Posted, space: str, name: str, host: str, *, port: int = 80, tls: bool = False
) -> None:
    """A workload that a Gateway of its own namespace serves; its certificate is not shown."""
    server: Manifest = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [host]}
    if tls:
        server["port"] = {"number": 443, "name": "https", "protocol": "HTTPS"}
        server["tls"] = {"mode": "SIMPLE", "credentialName": name}
        data = {"tls.crt": "", "tls.key": ""}
        made = o.make("Secret", "istio-system", name, type="kubernetes.io/tls", data=data)
        world.objects.append(made)
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [server]}
    world.config("Gateway", space, name, spec)
    route = [{"destination": {"host": name, "port": {"number": port}}}]
    bound = {"hosts": [host], "gateways": [name], "http": [{"route": route}]}
    world.config("VirtualService", space, name, bound)


def _no_chain(minutes: str, gateway: Pod, peer: str) -> str:
    return access(
        minutes,
        "- - -",
        0,
        "NR",
        "filter_chain_not_found",
        agent="-",
        downstream=f"{gateway.ip}:8443",
        peer=f"{peer}:41100",
    )


def _untold(minutes: str, code: int, server: Pod, peer: str, upstream: str) -> str:
    """An inbound line as proxies before 1.9 write it: without details."""
    name, space = server.workload, server.namespace
    sni = MUTUAL_SNI.format(port=80, name=name, space=space)
    return (
        f'[{minutes}] "GET /me HTTP/1.1" {code} - "-" "-" 0 91 12 - "{peer}" "curl/7.64.0" '
        f'"bb49{o.code(minutes, 4, "0123456789")}-95de" "{name}.example.com" "{upstream}" '
        f"inbound|80|http|{name}.{space}.svc.cluster.local - {server.ip}:8080 {peer}:0 {sni} "
        "default"
    )


POSTED_GATEWAYS = (
    balancer_names_no_host,
    entry_names_other_identity,
    http_1_0_refused,
    path_of_a_wider_host,
    plain_http_to_an_https_port,
    redirected_for_ever,
    sidecar_behind_two_proxies,
    token_kept_from_the_application,
)
