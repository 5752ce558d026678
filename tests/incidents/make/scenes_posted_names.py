"""Which incidents of names that are read, taken or refused are rebuilt from public reports?"""

from tests.incidents.make.posted import Posted, access
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import at, whole

BING = "202.89.233.100"
USER = "203.0.113.9"


def tcp_port_takes_other_hosts() -> Posted:
    """istio/istio#58696, #57539."""
    world = Posted(
        name="tcp-port-takes-other-hosts",
        version="1.27.1",
        summary="An entry declares 443 as TCP without addresses: HTTPS to all others goes there.",
        at_fault=["ServiceEntry/apps/license"],
        fix="Declare the port TLS, or give the entry addresses.",
        from_="apps/agent",
        to="www.bing.com:443",
    )
    world.namespace("apps")
    client = world.workload("apps", "agent", [8080])
    world.service("apps", "agent", [("http", 8080, 8080)])
    host = "license.vendor.example"
    port = {"number": 443, "name": "tcp", "protocol": "TCP"}
    spec = {"hosts": [host], "ports": [port], "location": "MESH_EXTERNAL", "resolution": "DNS"}
    world.config("ServiceEntry", "apps", "license", spec)
    said = f"tls: failed to verify certificate: x509: certificate is valid for {host}"
    for i in range(4):
        line = access(
            at(9 - i),
            "- - -",
            0,
            "-",
            "-",
            agent="-",
            upstream="198.51.100.77:443",
            cluster=f"outbound|443||{host}",
            local=f"{client.ip}:3{i}444",
            downstream=f"{BING}:443",
            peer=f"{client.ip}:4{i}110",
        )
        world.log(client, "istio-proxy", line)
        told = f'{at(9 - i)} ERROR Get "https://www.bing.com/": {said}, not www.bing.com'
        world.log(client, "agent", told)
    world.status("middle")
    return world


def backend_without_grant() -> Posted:
    """istio/istio#39159."""
    host = "books.example.com"
    world = Posted(
        name="backend-without-grant",
        version="1.20.2",
        apis={**BETA, "Gateway": "gateway.networking.k8s.io/v1"},
        summary="A route of a third namespace names a Service that no ReferenceGrant lets it: 500.",
        at_fault=["HTTPRoute/routes/books"],
        fix="A ReferenceGrant in books, from HTTPRoutes of routes to Services.",
        from_="edge/books-istio",
        to="books/productpage:9080",
        request={"method": "GET", "path": "/productpage", "host": host},
    )
    world.namespace("edge", inject=False)
    labels = {"gateway.networking.k8s.io/gateway-name": "books"}
    gateway = world.workload("edge", "books-istio", [80], role="router", labels=labels)
    world.service("edge", "books-istio", [("http", 80, 80)], labels)
    for space in ("books", "routes"):
        world.namespace(space)
    world.workload("books", "productpage", [9080])
    world.service("books", "productpage", [("http", 9080, 9080)])
    every = {"namespaces": {"from": "All"}}
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": every}
    world.config("Gateway", "edge", "books", {"gatewayClassName": "istio", "listeners": [listener]})
    parent = {"name": "books", "namespace": "edge"}
    backend = {"name": "productpage", "namespace": "books", "port": 9080}
    lacks = {
        "type": "ResolvedRefs",
        "status": "False",
        "reason": "RefNotPermitted",
        "message": "backendRef productpage/books not accessible to a HTTPRoute in namespace "
        '"routes" (missing a ReferenceGrant?)',
    }
    taken = {"type": "Accepted", "status": "True", "reason": "Accepted"}
    by = "istio.io/gateway-controller"
    heard = {"parentRef": parent, "controllerName": by, "conditions": [taken, lacks]}
    spec = {"parentRefs": [parent], "hostnames": [host], "rules": [{"backendRefs": [backend]}]}
    changed = whole(60)
    status = {"parents": [heard]}
    world.config("HTTPRoute", "routes", "books", spec, changed=changed, status=status)
    for i in range(4):
        line = access(
            at(9 - i),
            "GET /productpage HTTP/1.1",
            500,
            "-",
            "direct_response",
            authority=host,
            downstream=f"{gateway.ip}:80",
            peer=f"{USER}:4{i}110",
            agent="Mozilla/5.0",
            forwarded=USER,
            route="routes.books.0",
        )
        world.log(gateway, "istio-proxy", line)
    world.status()
    return world


def delegates_short_host() -> Posted:
    """istio/istio#30387."""
    world = Posted(
        name="delegates-short-host",
        version="1.8.1",
        apis=BETA,
        summary="This release reads a delegate's short host in the root's namespace: 503 NC.",
        at_fault=["VirtualService/server/delegate-server", "VirtualService/client/delegate-client"],
        fix="Write the full host in the delegate.",
        from_="client/front",
        to="server/backend-api:80",
        request={"method": "GET", "path": "/", "host": "delegate-sample"},
    )
    pods = []
    for space, name in (("client", "front"), ("server", "backend-api")):
        world.namespace(space)
        pods.append(world.workload(space, name, [8080]))
        world.service(space, name, [("http", 80, 8080)])
    client = pods[0]
    world.service("client", "delegate-sample", [("http", 80, 8080)], {"app": "none"})
    delegate = {"name": "delegate-server", "namespace": "server"}
    spec = {"hosts": ["delegate-sample"], "http": [{"delegate": delegate}]}
    world.config("VirtualService", "client", "delegate-client", spec)
    route = [{"destination": {"host": "backend-api"}}]
    world.config("VirtualService", "server", "delegate-server", {"http": [{"route": route}]})
    for i in range(4):
        line = access(
            at(9 - i),
            "GET / HTTP/1.1",
            503,
            "NC",
            "cluster_not_found",
            authority="delegate-sample",
            downstream="172.20.77.20:80",
            peer=f"{client.ip}:4{i}110",
        )
        world.log(client, "istio-proxy", line)
    world.status("middle")
    return world


def some_callers_without_token() -> Posted:
    """Nothing is wrong: most callers have a token, and one without is refused, as is meant."""
    host, path = "api.example.com", "/v1/orders"
    world = Posted(
        name="some-callers-without-token",
        version="1.21.2",
        apis=BETA,
        healthy=True,
        summary="Nothing is wrong: tokens are asked for, and the one caller without is refused.",
        at_fault=[],
        fix="",
        from_="istio-system/istio-ingressgateway",
        to="api/orders:80",
        request={"method": "GET", "path": path, "host": host},
    )
    gateway = world.gateway()
    world.namespace("api")
    server = world.workload("api", "orders", [8080])
    world.service("api", "orders", [("http", 80, 8080)])
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [{"port": port, "hosts": [host]}]}
    world.config("Gateway", "api", "api", spec)
    route = [{"destination": {"host": "orders", "port": {"number": 80}}}]
    bound = {"hosts": [host], "gateways": ["api"], "http": [{"route": route}]}
    world.config("VirtualService", "api", "api", bound)
    chosen = {"selector": {"matchLabels": {"app": "orders"}}}
    issuer = "https://login.example.com/"
    keys = {"issuer": issuer, "jwksUri": f"{issuer}.well-known/jwks.json"}
    world.config("RequestAuthentication", "api", "jwt", {**chosen, "jwtRules": [keys]})
    rule = {"from": [{"source": {"requestPrincipals": ["*"]}}]}
    world.config("AuthorizationPolicy", "api", "jwt", {**chosen, "rules": [rule]})
    denied = (403, "-", "rbac_access_denied_matched_policy[none]")
    for i in range(10):
        told = denied if i == 6 else (200, "-", "via_upstream")
        inside = access(
            at(13 - i),
            f"GET {path} HTTP/1.1",
            *told,
            forwarded=USER,
            authority=host,
            upstream="-" if i == 6 else f"{server.ip}:8080",
            cluster="inbound|8080||",
            downstream=f"{server.ip}:8080",
            peer=f"{gateway.ip}:4{i}110",
            sni="outbound_.80_._.orders.api.svc.cluster.local",
            route="default",
        )
        outside = access(
            at(13 - i),
            f"GET {path} HTTP/1.1",
            told[0],
            "-",
            "via_upstream",
            forwarded=USER,
            authority=host,
            upstream=f"{server.ip}:8080",
            cluster="outbound|80||orders.api.svc.cluster.local",
            downstream=f"{gateway.ip}:8080",
            peer=f"{USER}:4{i}110",
        )
        world.log(server, "istio-proxy", inside)
        world.log(gateway, "istio-proxy", outside)
    world.status()
    return world


POSTED_NAMES = (
    backend_without_grant,
    delegates_short_host,
    some_callers_without_token,
    tcp_port_takes_other_hosts,
)
