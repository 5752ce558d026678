"""Which incidents of paths and headers at gateways are rebuilt from public reports?"""

from tests.incidents.make.posted import Posted, access
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import Pod, at

HOST = "api.example.com"


def _served(world: Posted, namespace: str, name: str) -> tuple[Pod, Pod]:
    gateway = world.gateway()
    world.namespace(namespace)
    server = world.workload(namespace, name, [8080])
    world.service(namespace, name, [("http", 80, 8080)])
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    servers = [{"port": port, "hosts": [HOST]}]
    selector = {"istio": "ingressgateway"}
    world.config("Gateway", namespace, name, {"selector": selector, "servers": servers})
    return gateway, server


def _unrouted(world: Posted, gateway: Pod, first: str, port: int, sni: str = "-") -> None:
    """Requests of a browser that find no route at the gateway."""
    for i in range(3):
        line = access(
            at(9 - i),
            first,
            404,
            "NR",
            "route_not_found",
            forwarded="203.0.113.9",
            agent="Mozilla/5.0",
            authority=HOST,
            downstream=f"{gateway.ip}:{port}",
            peer=f"203.0.113.9:4{i}110",
            sni=sni,
        )
        world.log(gateway, "istio-proxy", line)


def prefix_reaches_the_application() -> Posted:
    """istio/istio#24499."""
    world = Posted(
        name="prefix-reaches-the-application",
        version="1.20.3",
        apis=BETA,
        summary="The route passes /zzz on as it is; the application has pages at / only: 404.",
        at_fault=["VirtualService/dev/zzz"],
        fix="rewrite.uri: /",
        from_="istio-system/istio-ingressgateway",
        to="dev/zzz:80",
        request={"method": "GET", "path": "/zzz", "host": HOST},
    )
    gateway, server = _served(world, "dev", "zzz")
    route = [{"destination": {"host": "zzz", "port": {"number": 80}}}]
    http = [{"match": [{"uri": {"prefix": "/zzz"}}], "route": route}]
    spec = {"hosts": [HOST], "gateways": ["zzz"], "http": http}
    world.config("VirtualService", "dev", "zzz", spec)
    for i in range(3):
        line = access(
            at(9 - i),
            "GET /zzz HTTP/1.1",
            404,
            "-",
            "via_upstream",
            forwarded="203.0.113.9",
            agent="Mozilla/5.0",
            authority=HOST,
            upstream=f"{server.ip}:8080",
            cluster="outbound|80||zzz.dev.svc.cluster.local",
            local=f"{gateway.ip}:3{i}444",
            downstream=f"{gateway.ip}:8080",
            peer=f"203.0.113.9:4{i}110",
        )
        world.log(gateway, "istio-proxy", line)
    well = access(
        at(4),
        "GET / HTTP/1.1",
        200,
        "-",
        "via_upstream",
        authority="zzz.dev",
        upstream=f"{server.ip}:8080",
        cluster="inbound|8080||",
        local="127.0.0.6:47001",
        downstream=f"{server.ip}:8080",
        peer="10.20.9.7:47110",
        sni="outbound_.80_._.zzz.dev.svc.cluster.local",
        route="default",
    )
    world.log(server, "istio-proxy", well)
    world.status("middle")
    return world


def preflight_without_the_header() -> Posted:
    """istio/istio#47236."""
    world = Posted(
        name="preflight-without-the-header",
        version="1.18.2",
        summary="The only rule asks for a header, which a browser's preflight never has: 404 NR.",
        at_fault=["VirtualService/test/hello"],
        fix="A rule for OPTIONS by path, with the same corsPolicy.",
        from_="istio-system/istio-ingressgateway",
        to="test/hello:80",
        request={"method": "OPTIONS", "path": "/hello/", "host": HOST},
    )
    gateway, _ = _served(world, "test", "hello")
    rule = {
        "match": [{"headers": {"x-target": {"exact": "hello"}}}],
        "route": [{"destination": {"host": "hello", "port": {"number": 80}}}],
        "corsPolicy": {"allowOrigins": [{"regex": ".*"}], "allowMethods": ["GET", "POST"]},
    }
    spec = {"hosts": [HOST], "gateways": ["hello"], "http": [rule]}
    world.config("VirtualService", "test", "hello", spec)
    _unrouted(world, gateway, "OPTIONS /hello/ HTTP/1.1", 8080)
    world.status()
    return world


def match_for_port_80_under_tls() -> Posted:
    """istio/istio#22553."""
    world = Posted(
        name="match-for-port-80-under-tls",
        version="1.24.1",
        summary="The only rule matches port 80; what comes over TLS comes by server 443: 404 NR.",
        at_fault=["VirtualService/dev/web"],
        fix="No port in the match, or 443 beside 80.",
        from_="istio-system/istio-ingressgateway",
        to="dev/web:80",
        request={"method": "GET", "path": "/", "host": HOST},
    )
    gateway, server = _served(world, "dev", "web")
    port = {"number": 443, "name": "https", "protocol": "HTTPS"}
    tls = {"mode": "SIMPLE", "serverCertificate": "/etc/tls.crt", "privateKey": "/etc/tls.key"}

    def with_tls(one: dict[str, object]) -> None:
        spec = one["spec"]
        assert isinstance(spec, dict)
        spec["servers"] = [*spec["servers"], {"port": port, "hosts": [HOST], "tls": tls}]

    world.change("Gateway", "dev", "web", with_tls)
    route = [{"destination": {"host": "web", "port": {"number": 80}}}]
    spec = {
        "hosts": [HOST],
        "gateways": ["web"],
        "http": [{"match": [{"port": 80}], "route": route}],
    }
    world.config("VirtualService", "dev", "web", spec)
    _unrouted(world, gateway, "GET / HTTP/2", 8443, HOST)
    well = access(
        at(4),
        "GET / HTTP/1.1",
        200,
        "-",
        "via_upstream",
        authority=HOST,
        upstream=f"{server.ip}:8080",
        cluster="outbound|80||web.dev.svc.cluster.local",
        local=f"{gateway.ip}:37444",
        downstream=f"{gateway.ip}:8080",
        peer="203.0.113.9:47110",
    )
    world.log(gateway, "istio-proxy", well)
    world.status()
    return world


def hostnames_of_a_route_for_a_service() -> Posted:
    """istio/istio#49973."""
    world = Posted(
        name="hostnames-of-a-route-for-a-service",
        version="1.24.1",
        summary="Two routes of one Service differ in hostnames alone, and one takes all requests.",
        at_fault=["HTTPRoute/dev/first", "HTTPRoute/dev/second"],
        fix="One route, whose matches tell requests apart.",
        from_="dev/client",
        to="dev/back:80",
        request={"method": "GET", "path": "/", "host": "www.second.com"},
    )
    world.namespace("dev")
    client = world.workload("dev", "client", [8080])
    servers = {}
    for name in ("back", "ratings", "details"):
        servers[name] = world.workload("dev", name, [8080])
        world.service("dev", name, [("http", 80, 8080)])
    parent = {"group": "", "kind": "Service", "name": "back", "port": 80}
    for name, end in (("first", "ratings"), ("second", "details")):
        rules = [{"backendRefs": [{"name": end, "port": 80}]}]
        spec = {"parentRefs": [parent], "hostnames": [f"www.{name}.com"], "rules": rules}
        world.config("HTTPRoute", "dev", name, spec)
    for i in range(3):
        line = access(
            at(9 - i),
            "GET / HTTP/1.1",
            404,
            "-",
            "via_upstream",
            authority="www.second.com",
            upstream=f"{servers['ratings'].ip}:8080",
            cluster="outbound|80||ratings.dev.svc.cluster.local",
            local=f"{client.ip}:3{i}444",
            downstream="172.20.9.9:80",
            peer=f"{client.ip}:4{i}110",
            route="default",
        )
        world.log(client, "istio-proxy", line)
    world.status()
    return world


POSTED_PATHS = (
    hostnames_of_a_route_for_a_service,
    match_for_port_80_under_tls,
    prefix_reaches_the_application,
    preflight_without_the_header,
)
