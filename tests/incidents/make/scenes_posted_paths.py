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
    for i in range(3):
        line = access(
            at(9 - i),
            "OPTIONS /hello/ HTTP/1.1",
            404,
            "NR",
            "route_not_found",
            forwarded="203.0.113.9",
            agent="Mozilla/5.0",
            authority=HOST,
            downstream=f"{gateway.ip}:8080",
            peer=f"203.0.113.9:4{i}110",
        )
        world.log(gateway, "istio-proxy", line)
    world.status()
    return world


POSTED_PATHS = (prefix_reaches_the_application, preflight_without_the_header)
