"""Which incidents of calls that leave or enter the mesh are rebuilt from public reports?"""

from tests.incidents.make.posted import Posted, access
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import Pod, at


def _front(world: Posted) -> Pod:
    world.namespace("web")
    client = world.workload("web", "front", [3000])
    world.service("web", "front", [("http", 3000, 3000)])
    return client


def outside_asked_by_another_name() -> Posted:
    """istio/istio#8026."""
    world = Posted(
        name="outside-asked-by-another-name",
        version="1.16.2",
        apis=BETA,
        summary="Half of the calls go to a host outside that does not know their Host header: 404.",
        at_fault=["VirtualService/shop/items"],
        fix="headers.request.set.Host beside that destination.",
        from_="web/front",
        to="shop/items:80",
        request={"method": "GET", "path": "/items", "host": "items.shop"},
    )
    client = _front(world)
    world.namespace("shop")
    server = world.workload("shop", "items", [8080])
    world.service("shop", "items", [("http", 80, 8080)])
    host = "items.example.com"
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    entry = {"hosts": [host], "location": "MESH_EXTERNAL", "ports": [port], "resolution": "DNS"}
    world.config("ServiceEntry", "shop", "old-items", entry)
    half = [{"destination": {"host": one}, "weight": 50} for one in ("items", host)]
    world.config("VirtualService", "shop", "items", {"hosts": ["items"], "http": [{"route": half}]})
    ends = (
        (200, f"{server.ip}:8080", "items.shop.svc.cluster.local"),
        (404, "198.51.100.30:80", host),
    )
    for i in range(8):
        code, upstream, target = ends[i % 2]
        line = access(
            at(9 - i),
            "GET /items HTTP/1.1",
            code,
            "-",
            "via_upstream",
            authority="items.shop",
            upstream=upstream,
            cluster=f"outbound|80||{target}",
            local=f"{client.ip}:3{i}444",
            downstream="172.20.9.9:80",
            peer=f"{client.ip}:4{i}110",
        )
        world.log(client, "istio-proxy", line)
    world.status("middle")
    return world


def tunnel_meets_an_http_service() -> Posted:
    """istio/istio#35526."""
    world = Posted(
        name="tunnel-meets-an-http-service",
        version="1.11.3",
        apis=BETA,
        summary="A Service makes port 3128 HTTP: CONNECT to an HTTP proxy outside gets 404 NR.",
        at_fault=["Service/shop/squid-ui"],
        fix="A ServiceEntry with the proxy's address, and its port as TCP.",
        from_="web/front",
        to="10.124.0.8:3128",
    )
    client = _front(world)
    world.namespace("shop")
    world.workload("shop", "squid-ui", [3128])
    world.service("shop", "squid-ui", [("http", 3128, 3128)])
    for i in range(3):
        line = access(
            at(9 - i),
            "CONNECT - HTTP/1.1",
            404,
            "NR",
            "route_not_found",
            authority="accounts.example.com:443",
            downstream="10.124.0.8:3128",
            peer=f"{client.ip}:4{i}110",
        )
        world.log(client, "istio-proxy", line)
    world.status()
    return world


def classic_balancer_checks_a_silent_port() -> Posted:
    """istio/istio#12503."""
    world = Posted(
        name="classic-balancer-checks-a-silent-port",
        version="1.12.2",
        apis=BETA,
        summary="The Service's first port is 80, for which no Gateway has a server: no node is ok.",
        at_fault=["Service/istio-system/istio-ingressgateway"],
        fix="The status port first.",
        from_="",
        to="istio-system/istio-ingressgateway:443",
    )
    world.gateway()
    world.services = [
        (space, name, [p for p in ports if p[0] != "status-port"], selector)
        for space, name, ports, selector in world.services
    ]
    world.namespace("shop")
    world.workload("shop", "shop", [8080])
    world.service("shop", "shop", [("http", 80, 8080)])
    port = {"number": 443, "name": "tls", "protocol": "TLS"}
    server = {"port": port, "hosts": ["shop.example.com"], "tls": {"mode": "PASSTHROUGH"}}
    selector = {"istio": "ingressgateway"}
    world.config("Gateway", "shop", "shop", {"selector": selector, "servers": [server]})
    match = [{"port": 443, "sniHosts": ["shop.example.com"]}]
    to_shop = [{"destination": {"host": "shop", "port": {"number": 80}}}]
    spec = {
        "hosts": ["shop.example.com"],
        "gateways": ["shop"],
        "tls": [{"match": match, "route": to_shop}],
    }
    world.config("VirtualService", "shop", "shop", spec)
    world.status()
    return world


def name_of_an_entry_alone() -> Posted:
    """istio/istio#35163."""
    world = Posted(
        name="name-of-an-entry-alone",
        version="1.11.2",
        apis=BETA,
        summary="The entry's host is made up, and no DNS has it: calls never reach the proxy.",
        at_fault=["ServiceEntry/web/ext"],
        fix="ISTIO_META_DNS_CAPTURE, or a Service of that name.",
        from_="web/front",
        to="my.host.example:80",
    )
    client = _front(world)
    host = "my.host.example"
    entry = {
        "hosts": [host],
        "location": "MESH_EXTERNAL",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "resolution": "DNS",
        "endpoints": [{"address": "one.example.com"}, {"address": "two.example.com"}],
    }
    world.config("ServiceEntry", "web", "ext", entry)
    for i in range(3):
        world.log(client, "front", f"{at(9 - i)} curl: (6) Could not resolve host: {host}")
    world.log(client, "istio-proxy", f"{at(300)}\tinfo\tEnvoy proxy is ready")
    world.status()
    return world


def tls_entry_called_in_plaintext() -> Posted:
    """istio/istio#13417."""
    world = Posted(
        name="tls-entry-called-in-plaintext",
        version="1.21.0",
        summary="The entry declares 6379 TLS, the client speaks plaintext Redis: no server name.",
        at_fault=["ServiceEntry/web/redis"],
        fix="Protocol TCP with addresses, or a client that speaks TLS.",
        from_="web/front",
        to="redis.example.com:6379",
    )
    world.mesh["outboundTrafficPolicy"] = {"mode": "REGISTRY_ONLY"}
    client = _front(world)
    port = {"number": 6379, "name": "redis", "protocol": "TLS"}
    host = "redis.example.com"
    entry = {"hosts": [host], "location": "MESH_EXTERNAL", "ports": [port], "resolution": "NONE"}
    world.config("ServiceEntry", "web", "redis", entry)
    for i in range(3):
        line = access(
            at(9 - i),
            "- - -",
            0,
            "UH",
            "-",
            agent="-",
            cluster="BlackHoleCluster",
            downstream="10.40.3.7:6379",
            peer=f"{client.ip}:4{i}110",
        )
        world.log(client, "istio-proxy", line)
        said = f"{at(9 - i)} Error: Connection reset by peer {host}:6379"
        world.log(client, "front", said)
    return world


def two_entries_two_made_up_addresses() -> Posted:
    """istio/istio#55266."""
    host = "amqp.corp.example.com"
    world = Posted(
        name="two-entries-two-made-up-addresses",
        version="1.24.2",
        summary="Each of two entries of one host has an address; DNS gives that of the other port.",
        at_fault=["ServiceEntry/web/amqp", "ServiceEntry/web/amqps"],
        fix="One entry with both ports.",
        from_="web/front",
        to=f"{host}:5671",
    )
    client = _front(world)
    for name, number, last in (("amqp", 5672, 159), ("amqps", 5671, 160)):
        port = {"number": number, "name": "tcp-amqp", "protocol": "TCP"}
        spec = {
            "hosts": [host],
            "location": "MESH_EXTERNAL",
            "ports": [port],
            "resolution": "DNS",
        }
        status = {"addresses": [{"host": host, "value": f"240.240.0.{last}"}]}
        world.config("ServiceEntry", "web", name, spec, status=status)
    for i in range(3):
        line = access(
            at(9 - i),
            "- - -",
            0,
            "UF,URX",
            "-",
            agent="-",
            upstream="240.240.0.159:5671",
            cluster="PassthroughCluster",
            downstream="240.240.0.159:5671",
            peer=f"{client.ip}:4{i}110",
        )
        world.log(client, "istio-proxy", line)
    world.status()
    return world


POSTED_OUTSIDE = (
    classic_balancer_checks_a_silent_port,
    name_of_an_entry_alone,
    outside_asked_by_another_name,
    tls_entry_called_in_plaintext,
    tunnel_meets_an_http_service,
    two_entries_two_made_up_addresses,
)
