"""Which incidents of gateways and routes that do not meet are rebuilt from public reports?"""

from typing import Any

from tests.incidents.make import objects as o
from tests.incidents.make.posted import Posted, access
from tests.incidents.make.scenes_posted import ALPHA, BETA
from tests.incidents.make.world import at, whole

HTTPS = {"number": 443, "name": "https", "protocol": "HTTPS"}


def connection_of_another_host() -> Posted:
    """istio/istio#51233."""
    world = Posted(
        name="connection-of-another-host",
        version="1.21.2",
        apis=BETA,
        summary="Two Gateways show one wildcard certificate: browsers share a connection for both.",
        at_fault=["Gateway/login/login", "Gateway/console/console"],
        fix="Let one Gateway serve the wildcard host for both.",
        from_="istio-system/istio-ingressgateway",
        to="login/login:80",
        request={"method": "GET", "path": "/auth", "host": "login.example.org"},
    )
    gateway = world.gateway()
    for name in ("console", "login"):
        _served(world, name, f"{name}.example.org", "wildcard", whole(4000))
    for i in range(4):
        line = access(
            at(9 - i),
            "GET /auth HTTP/2",
            404,
            "NR",
            "route_not_found",
            authority="login.example.org",
            downstream=f"{gateway.ip}:8443",
            peer="203.0.113.4:50122",
            sni="console.example.org",
            forwarded="203.0.113.4",
        )
        world.log(gateway, "istio-proxy", line)
    return world


def gateway_of_another_team() -> Posted:
    """istio/istio#16107."""
    world = Posted(
        name="gateway-of-another-team",
        version="1.16.2",
        apis=BETA,
        summary="A younger Gateway serves a host that one of another namespace has on that port.",
        at_fault=["Gateway/team-b/team-b"],
        fix="Leave the host to one Gateway, and bind both VirtualServices to it.",
        from_="istio-system/istio-ingressgateway",
        to="team-b/team-b:80",
        request={"method": "GET", "path": "/b", "host": "app.example.com"},
    )
    gateway = world.gateway()
    for name, created in (("team-a", whole(250_000)), ("team-b", whole(60))):
        _served(world, name, "app.example.com", f"{name}-tls", created)
    for i in range(4):
        line = access(
            at(9 - i),
            "GET /b HTTP/2",
            404,
            "NR",
            "route_not_found",
            authority="app.example.com",
            downstream=f"{gateway.ip}:8443",
            peer="203.0.113.9:4110",
            sni="app.example.com",
            forwarded="203.0.113.9",
        )
        world.log(gateway, "istio-proxy", line)
    return world


def route_to_alias_without_ports() -> Posted:
    """istio/istio#9950."""
    host = "www.shop.svc.cluster.local"
    world = Posted(
        name="route-to-alias-without-ports",
        version="1.4.3",
        apis=ALPHA,
        summary="The VirtualService routes to an ExternalName Service that lists no port.",
        at_fault=["VirtualService/shop/www", "Service/shop/web"],
        fix="Route to web-internal itself, or declare the port in the ExternalName Service.",
        from_="shop/client",
        to="shop/www:80",
        request={"method": "GET", "path": "/", "host": host},
    )
    world.namespace("shop")
    client = world.workload("shop", "client", [])
    world.workload("shop", "web-internal", [80])
    world.service("shop", "web-internal", [("http", 80, 80)])
    alias = {"type": "ExternalName", "externalName": "web-internal.shop.svc.cluster.local"}
    front = {
        "type": "ExternalName",
        "externalName": "istio-ingressgateway.istio-system.svc.cluster.local",
        "ports": [{"name": "http", "port": 80}],
    }
    world.config("Service", "shop", "web", alias)
    world.config("Service", "shop", "www", front)
    route = [{"destination": {"host": "web.shop.svc.cluster.local"}}]
    spec = {"hosts": [host], "http": [{"route": route}]}
    world.config("VirtualService", "shop", "www", spec, changed=whole(20))
    for i in range(4):
        line = access(
            at(9 - i),
            "GET / HTTP/1.1",
            503,
            "NC",
            "cluster_not_found",
            authority=host,
            downstream="10.71.251.9:80",
            peer=f"{client.ip}:4{i}110",
        )
        world.log(client, "istio-proxy", line)
    return world


def _served(world: Posted, name: str, host: str, secret: str, created: str) -> None:
    """A workload that a Gateway of its own namespace serves; its Secret is not shown."""
    world.namespace(name)
    world.workload(name, name, [8080])
    world.service(name, name, [("http", 80, 8080)])
    tls = {"mode": "SIMPLE", "credentialName": secret}
    world.config(
        "Gateway",
        name,
        name,
        {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": HTTPS, "hosts": [host], "tls": tls}],
        },
        created=created,
    )
    route = [{"destination": {"host": name, "port": {"number": 80}}}]
    spec = {"hosts": [host], "gateways": [name], "http": [{"route": route}]}
    world.config("VirtualService", name, name, spec, created=created)


def external_name_takes_every_address() -> Posted:
    """istio/istio#35429."""
    world = Posted(
        name="external-name-takes-every-address",
        version="1.11.2",
        apis=BETA,
        summary="The TCP port of an ExternalName Service takes all connections to port 443.",
        at_fault=["Service/monitoring/nexus-metrics"],
        fix="No ports at the Service, or ports named https or tls.",
        from_="tools/toolkit",
        to="",
    )
    world.namespace("monitoring", inject=False)
    world.namespace("tools")
    toolkit = world.workload("tools", "toolkit", [8080])
    world.service("tools", "toolkit", [("http", 80, 8080)])
    port = {"name": "nexus", "port": 443, "protocol": "TCP", "targetPort": 443}
    spec = {"type": "ExternalName", "externalName": "nexus.internal", "ports": [port]}
    world.objects.append(o.make("Service", "monitoring", "nexus-metrics", spec=spec))
    for i in range(6):
        line = access(
            at(30 - i * 4),
            "- - -",
            0,
            "-",
            "-",
            upstream="10.3.8.40:443",
            cluster="outbound|443||nexus-metrics.monitoring.svc.cluster.local",
            local=f"{toolkit.ip}:5{i}010",
            downstream=f"140.82.121.{5 + i}:443",
            peer=f"{toolkit.ip}:4{i}110",
        )
        world.log(toolkit, "istio-proxy", line)
        said = "x509: certificate is valid for nexus.internal, not api.github.com"
        world.log(toolkit, "toolkit", f"{at(30 - i * 4)} ERROR https://api.github.com: {said}")
    world.status("middle")
    return world


def _hidden(name: str, told: tuple[int, str, str], **exports: list[str]) -> Posted:
    """A web shop behind a gateway of another namespace; `exports` of its route and rule."""
    host = "shop.example.com"
    world = Posted(
        name=name,
        version="1.17.2",
        apis=BETA,
        summary="What the gateway needs is exported to its own namespace only.",
        at_fault=[f"{kind}/shop/web" for kind in exports],
        fix="exportTo istio-system.",
        from_="istio-system/istio-ingressgateway",
        to="shop/web:80",
        request={"method": "GET", "path": "/", "host": host},
    )
    gateway = world.gateway()
    world.namespace("shop")
    world.workload("shop", "web", [8080], labels={"app": "web", "version": "v1"})
    world.service("shop", "web", [("http", 80, 8080)], {"app": "web"})
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    servers = [{"port": port, "hosts": ["*"]}]
    selector = {"istio": "ingressgateway"}
    world.config("Gateway", "istio-system", "public", {"selector": selector, "servers": servers})
    target = {"host": "web", "subset": "v1", "port": {"number": 80}}
    specs: dict[str, dict[str, Any]] = {
        "VirtualService": {
            "hosts": [host],
            "gateways": ["istio-system/public"],
            "http": [{"route": [{"destination": target}]}],
        },
        "DestinationRule": {
            "host": "web",
            "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
        },
    }
    for kind, spec in specs.items():
        hidden = {"exportTo": exports[kind]} if kind in exports else {}
        world.config(kind, "shop", "web", {**spec, **hidden})
    code, flag, details = told
    for i in range(3):
        line = access(
            at(9 - i),
            "GET / HTTP/1.1",
            code,
            flag,
            details,
            authority=host,
            downstream=f"{gateway.ip}:8080",
            peer=f"203.0.113.9:4{i}110",
            agent="Mozilla/5.0",
            forwarded="203.0.113.9",
        )
        world.log(gateway, "istio-proxy", line)
    return world


def route_not_exported_to_gateway() -> Posted:
    """A private VirtualService, bound to a gateway of another namespace."""
    told = (404, "NR", "route_not_found")
    return _hidden("route-not-exported-to-gateway", told, VirtualService=["."])


def rule_not_exported_to_gateway() -> Posted:
    """A private DestinationRule, whose subset a gateway of another namespace routes to."""
    told = (503, "NC", "cluster_not_found")
    return _hidden("rule-not-exported-to-gateway", told, DestinationRule=["."])


POSTED_ROUTES = (
    external_name_takes_every_address,
    connection_of_another_host,
    gateway_of_another_team,
    route_to_alias_without_ports,
    route_not_exported_to_gateway,
    rule_not_exported_to_gateway,
)
