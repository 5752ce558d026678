"""Which incidents of limits and listeners that end calls are rebuilt from public reports?"""

from typing import Any

from tests.incidents.make.lines import refused
from tests.incidents.make.posted import Posted, access
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import Pod, at

USER = "203.0.113.9"


def connection_pool_too_small() -> Posted:
    """envoyproxy/envoy#24579, istio/istio#42490."""
    world = Posted(
        name="connection-pool-too-small",
        version="1.15.3",
        apis=BETA,
        summary="The rule allows five connections and one waiting request; the rest is 503 UO.",
        at_fault=["DestinationRule/keys/keymanager"],
        fix="Raise maxConnections and http1MaxPendingRequests.",
        from_="shop/packets",
        to="keys/keymanager:80",
        request={"method": "POST", "path": "/v1/encrypt", "host": "keymanager.keys"},
    )
    client, server = _two(world, ("shop", "packets"), ("keys", "keymanager"))
    pool = {"http": {"http1MaxPendingRequests": 1}, "tcp": {"maxConnections": 5}}
    host = "keymanager.keys.svc.cluster.local"
    rule = {"host": host, "trafficPolicy": {"connectionPool": pool}}
    world.config("DestinationRule", "keys", "keymanager", rule)
    full = (503, "UO", "upstream_reset_before_response_started{overflow}")
    for i in range(8):
        told = full if i % 2 else (200, "-", "via_upstream")
        upstream = "-" if i % 2 else f"{server.ip}:8080"
        line = access(
            at(9 - i),
            "POST /v1/encrypt HTTP/1.1",
            *told,
            authority="keymanager.keys",
            upstream=upstream,
            cluster=f"outbound|80||{host}",
            downstream="172.20.0.54:80",
            peer=f"{client.ip}:4{i}110",
            route="default",
        )
        world.log(client, "istio-proxy", line)
    world.status("middle")
    return world


def each_try_too_short() -> Posted:
    """istio/istio#55748."""
    host = "try.priv.example.com"
    world = Posted(
        name="each-try-too-short",
        version="1.24.3",
        summary="perTryTimeout ends each call that takes longer, whatever retryOn names.",
        at_fault=["VirtualService/dev/try"],
        fix="Raise perTryTimeout above the slowest answer.",
        from_="istio-system/istio-ingressgateway",
        to="dev/try:80",
        request={"method": "GET", "path": "/report", "host": host},
    )
    gateway = world.gateway()
    world.namespace("dev")
    server = world.workload("dev", "try", [8080])
    world.service("dev", "try", [("http", 80, 8080)])
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [{"port": port, "hosts": [host]}]}
    world.config("Gateway", "dev", "private", spec)
    rule = {
        "match": [{"uri": {"regex": "^/.+$"}}],
        "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "503"},
        "route": [{"destination": {"host": "try", "port": {"number": 80}}}],
    }
    bound = {"hosts": [host], "gateways": ["private"], "http": [rule]}
    world.config("VirtualService", "dev", "try", bound)
    for i in range(4):
        line = access(
            at(9 - i),
            "GET /report HTTP/1.1",
            504,
            "UT",
            "upstream_per_try_timeout",
            authority=host,
            upstream=f"{server.ip}:8080",
            cluster="outbound|80||try.dev.svc.cluster.local",
            downstream=f"{gateway.ip}:8080",
            peer=f"{USER}:4{i}110",
            forwarded=USER,
        )
        world.log(gateway, "istio-proxy", line.replace(" 0 95 12 - ", " 0 24 2001 - "))
    world.status()
    return world


def regex_that_envoy_refuses() -> Posted:
    """istio/istio#56807."""
    host = "pay.int.example.com"
    world = Posted(
        name="regex-that-envoy-refuses",
        version="1.24.5",
        summary="One VirtualService's regex is no RE2: a restarted gateway has no route.",
        at_fault=["VirtualService/data/import"],
        fix="Mend the regex.",
        from_="istio-system/istio-ingressgateway",
        to="shop/pay:8080",
        request={"method": "GET", "path": "/", "host": host},
    )
    gateway = world.gateway()
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [{"port": port, "hosts": ["*"]}]}
    world.config("Gateway", "istio-system", "internal", spec)
    for space, name, own, uri in (
        ("shop", "pay", host, {"prefix": "/"}),
        ("data", "import", "data.int.example.com", {"regex": "^/data/[a-z]{3,20}/tests(?.*)?$"}),
    ):
        world.namespace(space)
        world.workload(space, name, [8080])
        world.service(space, name, [("http", 8080, 8080)])
        route = [{"destination": {"host": name, "port": {"number": 8080}}}]
        rule = {"match": [{"uri": uri}], "route": route}
        bound = {"hosts": [own], "gateways": ["istio-system/internal"], "http": [rule]}
        world.config("VirtualService", space, name, bound)
    for i in range(3):
        said = f"ADS:RDS: ACK ERROR {gateway.name}.istio-system-{31 + i} Internal"
        refused = f"{at(12 - i)}\twarn\tdelta\t{said}:invalid perl operator: (?."
        world.log(world.istiod, "discovery", refused)
        line = access(
            at(9 - i),
            "GET / HTTP/1.1",
            404,
            "NR",
            "route_not_found",
            authority=host,
            downstream=f"{gateway.ip}:8080",
            peer=f"{USER}:4{i}110",
            forwarded=USER,
        )
        world.log(gateway, "istio-proxy", line)
    world.status_overrides[gateway.name] = {"RDS": "STALE"}
    world.status()
    return world


def tcp_and_grpc_on_one_target() -> Posted:
    """istio/istio#36434, envoyproxy/envoy#19980."""
    world = Posted(
        name="tcp-and-grpc-on-one-target",
        version="1.9.5",
        apis=BETA,
        summary="A TCP port and a gRPC port lead to one port of the pod, which then wants HTTP.",
        at_fault=["Service/sm/central"],
        fix="Another target port for gRPC, or declare both TCP.",
        from_="sm/agent",
        to="sm/central:10101",
    )
    world.namespace("sm")
    client = world.workload("sm", "agent", [3000])
    server = world.workload("sm", "central", [10101])
    ports = [("grpc-ltm", 10102, 10101), ("tcp-ltm", 10101, 10101)]
    world.service("sm", "central", ports)
    name = "central.sm.svc.cluster.local"
    for i in range(4):
        inside = access(
            at(9 - i),
            "- - HTTP/1.1",
            400,
            "DPE",
            "http1.codec_error",
            agent="-",
            downstream=f"{server.ip}:10101",
            peer=f"{client.ip}:3{i}656",
            sni=f"outbound_.10101_._.{name}",
        )
        world.log(server, "istio-proxy", inside)
        outside = access(
            at(9 - i),
            "- - -",
            0,
            "-",
            "-",
            agent="-",
            upstream=f"{server.ip}:10101",
            cluster=f"outbound|10101||{name}",
            local=f"{client.ip}:3{i}656",
            downstream="172.20.0.54:10101",
            peer=f"{client.ip}:5{i}001",
        )
        world.log(client, "istio-proxy", outside)
    world.status("middle")
    return world


def buffer_filter_refuses_uploads() -> Posted:
    """istio/istio#32449, istio/istio#55358."""
    world = Posted(
        name="buffer-filter-refuses-uploads",
        version="1.17.5",
        apis=BETA,
        summary="An EnvoyFilter has the gateway hold bodies of up to 1 MiB; larger ones get 413.",
        at_fault=["EnvoyFilter/istio-system/request-size-limit"],
        fix="Raise max_request_bytes.",
        from_="istio-system/istio-ingressgateway",
        to="files/upload:80",
        request={"method": "POST", "path": "/upload", "host": "files.example.com"},
    )
    gateway = world.gateway()
    server = _served(world, "files", "upload", "files.example.com")
    buffer = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer"
    value = {
        "name": "envoy.filters.http.buffer",
        "typed_config": {"@type": buffer, "max_request_bytes": 1048576},
    }
    manager = {"filter": {"name": "envoy.filters.network.http_connection_manager"}}
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": {"filterChain": manager}},
        "patch": {"operation": "INSERT_BEFORE", "value": value},
    }
    labels = {"labels": {"istio": "ingressgateway"}}
    spec = {"workloadSelector": labels, "configPatches": [patch]}
    world.config("EnvoyFilter", "istio-system", "request-size-limit", spec)
    large = (413, "-", "request_payload_too_large")
    for i in range(6):
        line = access(
            at(9 - i),
            "POST /upload HTTP/1.1",
            *(large if i % 2 else (200, "-", "via_upstream")),
            authority="files.example.com",
            upstream="-" if i % 2 else f"{server.ip}:8080",
            cluster="outbound|80||upload.files.svc.cluster.local",
            downstream=f"{gateway.ip}:8080",
            peer=f"{USER}:4{i}110",
            forwarded=USER,
        )
        world.log(gateway, "istio-proxy", line)
    world.status("middle")
    return world


def key_with_a_password() -> Posted:
    """istio/istio#47268."""
    world = Posted(
        name="key-with-a-password",
        version="1.18.3",
        apis=BETA,
        summary="The Secret's private key has a password: the gateway cannot load it.",
        at_fault=["Secret/istio-system/app-tls"],
        fix="Store the key without its password.",
        from_="istio-system/istio-ingressgateway",
        to="web/app:80",
        request={"method": "GET", "path": "/", "host": "app.example.com"},
    )
    gateway = world.gateway()
    _served(world, "web", "app", "app.example.com", "app-tls")
    said = "Failed to load private key from <inline>, Cause: error:09000068:PEM routines"
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    source = "external/envoy/source/common/config/grpc_subscription_impl.cc:128"
    line = (
        f"{at(40)}\twarning\tenvoy config {source}\tgRPC config for {kind} rejected: {said}"
        ":OPENSSL_internal:BAD_PASSWORD_READ\tthread=30"
    )
    world.log(gateway, "istio-proxy", line)
    world.status("middle")
    return world


def peers_called_by_address() -> Posted:
    """zhaohuabing/istio-redis-culster#4."""
    world = Posted(
        name="peers-called-by-address",
        version="1.11.3",
        apis=BETA,
        summary="Redis nodes call each other by address, past their Service, in a STRICT mesh.",
        at_fault=["Deployment/redis/node-a", "PeerAuthentication/istio-system/default"],
        fix="A headless Service with both ports makes the addresses known.",
        from_="redis/node-a",
        to="",
    )
    world.namespace("redis")
    pods = [
        world.workload("redis", name, [6379, 16379], labels={"app": "redis", "node": name})
        for name in ("node-a", "node-b")
    ]
    ports = [("tcp-client", 6379, 6379), ("tcp-gossip", 16379, 16379)]
    world.service("redis", "redis", ports, {"app": "redis"})
    world.config("PeerAuthentication", "istio-system", "default", {"mtls": {"mode": "STRICT"}})
    client, server = pods
    world.to = f"{server.ip}:16379"
    for i in range(4):
        line = access(
            at(9 - i),
            "- - -",
            0,
            "UF",
            "-",
            agent="-",
            upstream=f"{server.ip}:16379",
            cluster="PassthroughCluster",
            local=f"{client.ip}:3{i}444",
            downstream=f"{server.ip}:16379",
            peer=f"{client.ip}:4{i}110",
        )
        world.log(client, "istio-proxy", line)
        world.log(server, "istio-proxy", refused(9 - i, server, client.ip, target=16379))
    world.status("middle")
    return world


def _served(world: Posted, space: str, name: str, host: str, secret: str = "") -> Pod:
    """A workload that a Gateway of its namespace serves: over TLS where a Secret is named."""
    world.namespace(space)
    server = world.workload(space, name, [8080])
    world.service(space, name, [("http", 80, 8080)])
    one: dict[str, Any] = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}}
    if secret:
        one = {
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
            "tls": {"mode": "SIMPLE", "credentialName": secret},
        }
    spec = {"selector": {"istio": "ingressgateway"}, "servers": [{**one, "hosts": [host]}]}
    world.config("Gateway", space, name, spec)
    route = [{"destination": {"host": name, "port": {"number": 80}}}]
    bound = {"hosts": [host], "gateways": [name], "http": [{"route": route}]}
    world.config("VirtualService", space, name, bound)
    return server


def _two(world: Posted, client: tuple[str, str], server: tuple[str, str]) -> tuple[Pod, Pod]:
    """A caller and the workload that it calls, each with a Service of its name on port 80."""
    pods = []
    for space, name in (client, server):
        world.namespace(space)
        pods.append(world.workload(space, name, [8080]))
        world.service(space, name, [("http", 80, 8080)])
    return pods[0], pods[1]


POSTED_CALLS = (
    buffer_filter_refuses_uploads,
    connection_pool_too_small,
    each_try_too_short,
    key_with_a_password,
    peers_called_by_address,
    regex_that_envoy_refuses,
    tcp_and_grpc_on_one_target,
)
