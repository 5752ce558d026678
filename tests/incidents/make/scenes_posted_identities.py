"""Which incidents of callers and endpoints without an identity are rebuilt from public reports?"""

from tests.incidents.make import objects as o
from tests.incidents.make.lines import refused
from tests.incidents.make.objects import Manifest
from tests.incidents.make.posted import Posted, access
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import at, whole


def denied_namespace_calls_by_address() -> Posted:
    """istio/istio#34355."""
    world = Posted(
        name="denied-namespace-calls-by-address",
        version="1.10.3",
        apis=BETA,
        summary="The call by pod address is plaintext, so a DENY by namespace matches nobody.",
        at_fault=["AuthorizationPolicy/foo/httpbin"],
        fix="STRICT for the namespace, and call the Service.",
        from_="dev/curl",
        to="foo/demo:80",
    )
    world.namespace("dev")
    world.namespace("foo")
    client = world.workload("dev", "curl", [])
    server = world.workload("foo", "demo", [80])
    source = {"source": {"namespaces": ["dev"]}}
    rule = {"from": [source], "to": [{"operation": {"methods": ["GET"]}}]}
    world.config("AuthorizationPolicy", "foo", "httpbin", {"action": "DENY", "rules": [rule]})
    world.request = {"method": "GET", "path": "/", "host": server.ip}
    for i in range(3):
        lines = (
            (client, "PassthroughCluster", f"{client.ip}:3{i}444", f"{client.ip}:4{i}110"),
            (server, "InboundPassthroughClusterIpv4", f"127.0.0.6:4{i}1", f"{client.ip}:3{i}444"),
        )
        for pod, cluster, local, peer in lines:
            world.log(
                pod,
                "istio-proxy",
                access(
                    at(9 - i),
                    "GET / HTTP/1.1",
                    200,
                    "-",
                    "via_upstream",
                    authority=server.ip,
                    upstream=f"{server.ip}:80",
                    cluster=cluster,
                    local=local,
                    downstream=f"{server.ip}:80",
                    peer=peer,
                ),
            )
    return world


def init_container_has_no_identity() -> Posted:
    """flyteorg/flyte#2562."""
    world = Posted(
        name="init-container-has-no-identity",
        version="1.13.3",
        apis=BETA,
        summary="The init container calls before the pod's proxy runs, so it has no identity.",
        at_fault=["Deployment/flyte/flytescheduler"],
        fix="Call in a container beside the application, or use native sidecars.",
        from_="flyte/flytescheduler",
        to="flyte/flyteadmin:81",
    )
    world.namespace("flyte")
    client = world.workload("flyte", "flytescheduler", [10254])
    server = world.workload("flyte", "flyteadmin", [8088, 8089])
    world.service("flyte", "flyteadmin", [("http", 80, 8088), ("grpc", 81, 8089)])
    check = "flytescheduler-check"
    manifest = client.manifest
    image = "registry.example/flytescheduler:1.0.2"
    manifest["spec"]["initContainers"].insert(0, o.container(check, image, []))
    failed = {"waiting": {"reason": "CrashLoopBackOff"}}
    ended = {"terminated": {"exitCode": 255, "reason": "Error", "finishedAt": whole(3)}}
    later = {"waiting": {"reason": "PodInitializing"}}
    manifest["status"] |= {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
        ],
        "initContainerStatuses": [
            {"name": check, "restartCount": 7, "state": failed, "lastState": ended},
            {"name": "istio-init", "restartCount": 0, "state": later},
        ],
        "containerStatuses": [
            {"name": c["name"], "restartCount": 0, "state": later}
            for c in manifest["spec"]["containers"]
        ],
    }
    accounts = [f"cluster.local/ns/flyte/sa/{n}" for n in ("flytescheduler", "flytepropeller")]
    rule = {"from": [{"source": {"principals": accounts}}]}
    spec = {"selector": {"matchLabels": {"app": "flyteadmin"}}, "rules": [rule]}
    world.config("AuthorizationPolicy", "flyte", "flyteadmin", spec)
    for i in range(3):
        world.log(
            server,
            "istio-proxy",
            access(
                at(9 - i),
                "POST /flyteidl.service.AdminService/GetVersion HTTP/2",
                200,
                "-",
                "rbac_access_denied_matched_policy[none]",
                agent="grpc-go/1.36.0",
                authority="flyteadmin:81",
                cluster="inbound|8089||",
                downstream=f"{server.ip}:8089",
                peer=f"{client.ip}:4{i}110",
            ),
        )
    return world


def workload_entry_without_account() -> Posted:
    """aidancarson.com, Enabling pod to pod mTLS in Istio."""
    world = Posted(
        name="workload-entry-without-account",
        version="1.25.1",
        summary="The WorkloadEntry names no account, so clients send plaintext to a STRICT pod.",
        at_fault=["WorkloadEntry/curl/global-echo-1", "ServiceEntry/curl/global-echo"],
        fix="Name the serviceAccount in the WorkloadEntry.",
        from_="curl/curl",
        to="global-echo:80",
        request={"method": "GET", "path": "/", "host": "global-echo"},
    )
    world.namespace("curl")
    world.namespace("echo")
    client = world.workload("curl", "curl", [])
    server = world.workload("echo", "echo", [8080])
    world.service("echo", "echo", [("http", 80, 8080)])
    world.config("PeerAuthentication", "istio-system", "default", {"mtls": {"mode": "STRICT"}})
    labels = {"app": "global-echo"}
    port = {"name": "http", "number": 80, "protocol": "HTTP", "targetPort": 8080}
    entry: Manifest = {"hosts": ["global-echo"], "location": "MESH_INTERNAL", "ports": [port]}
    entry |= {"resolution": "STATIC", "workloadSelector": {"labels": labels}}
    world.config("ServiceEntry", "curl", "global-echo", entry)
    behind = {"address": server.ip, "labels": labels}
    world.config("WorkloadEntry", "curl", "global-echo-1", behind)
    for i in range(3):
        world.log(
            client,
            "istio-proxy",
            access(
                at(9 - i),
                "GET / HTTP/1.1",
                503,
                "UC",
                "upstream_reset_before_response_started{connection_termination}",
                authority="global-echo",
                upstream=f"{server.ip}:8080",
                cluster="outbound|80||global-echo",
                local=f"{client.ip}:3{i}444",
                downstream="240.240.0.4:80",
                peer=f"{client.ip}:4{i}110",
                route="default",
            ),
        )
        world.log(server, "istio-proxy", refused(9 - i, server, client.ip))
    return world


def egress_gateway_without_subset() -> Posted:
    """istio/istio#56201."""
    world = Posted(
        name="egress-gateway-without-subset",
        version="1.24.3",
        summary="The route to the egress gateway leaves out the subset whose rule has mutual TLS.",
        at_fault=["VirtualService/default/via-egress", "DestinationRule/default/egress-for-web"],
        fix="Name the subset in the route, or put tls at the top of the rule.",
        from_="default/sleep",
        to="web.app.company.lan:80",
        request={"method": "GET", "path": "/", "host": "web.app.company.lan"},
    )
    host, name = "web.app.company.lan", "istio-egressgateway"
    way = f"{name}.istio-system.svc.cluster.local"
    world.namespace("default")
    client = world.workload("default", "sleep", [])
    labels = {"app": name, "istio": "egressgateway"}
    gateway = world.workload("istio-system", name, [8443], role="router", labels=labels)
    del gateway.manifest["metadata"]["labels"]["security.istio.io/tlsMode"]
    world.service("istio-system", name, [("https", 443, 8443)], labels)
    ports = [
        {"number": 80, "name": "http", "protocol": "HTTP"},
        {"number": 443, "name": "https", "protocol": "HTTPS"},
    ]
    entry = {"hosts": [host], "location": "MESH_EXTERNAL", "resolution": "DNS", "ports": ports}
    world.config("ServiceEntry", "default", "web", entry)
    server = {"port": ports[1], "hosts": [host], "tls": {"mode": "ISTIO_MUTUAL"}}
    spec = {"selector": {"istio": "egressgateway"}, "servers": [server]}
    world.config("Gateway", "default", "egress", spec)
    own = {"port": {"number": 443}, "tls": {"mode": "ISTIO_MUTUAL", "sni": host}}
    subset = {"name": "web", "trafficPolicy": {"portLevelSettings": [own]}}
    rule = {"host": way, "subsets": [subset]}
    world.config("DestinationRule", "default", "egress-for-web", rule)
    steps = (("mesh", 80, way), ("egress", 443, host))
    http = [
        {
            "match": [{"gateways": [at_], "port": port}],
            "route": [{"destination": {"host": to, "port": {"number": 443}}}],
        }
        for at_, port, to in steps
    ]
    route = {"hosts": [host], "gateways": ["mesh", "egress"], "http": http}
    world.config("VirtualService", "default", "via-egress", route)
    tls = {"port": {"number": 443}, "tls": {"mode": "SIMPLE", "sni": host}}
    policy = {"host": host, "trafficPolicy": {"portLevelSettings": [tls]}}
    world.config("DestinationRule", "default", "originate", policy)
    for i in range(3):
        world.log(gateway, "istio-proxy", refused(9 - i, gateway, client.ip))
        world.log(
            client,
            "istio-proxy",
            access(
                at(9 - i),
                "GET / HTTP/1.1",
                503,
                "UC",
                "upstream_reset_before_response_started{connection_termination}",
                authority=host,
                upstream=f"{gateway.ip}:8443",
                cluster=f"outbound|443||{way}",
                local=f"{client.ip}:3{i}444",
                downstream="198.51.100.7:80",
                peer=f"{client.ip}:4{i}110",
            ),
        )
    return world


def keys_at_a_short_name() -> Posted:
    """istio/istio#22065."""
    world = Posted(
        name="keys-at-a-short-name",
        version="1.5.0",
        apis=BETA,
        summary="jwksUri names the key server by a short name, which istiod cannot know.",
        at_fault=["RequestAuthentication/apps/base"],
        fix="Write the full name, http://keys.apps.svc.cluster.local:8080/jwk.",
        from_="apps/front",
        to="apps/base:8080",
    )
    world.namespace("apps")
    client = world.workload("apps", "front", [3000])
    server = world.workload("apps", "base", [8080])
    world.workload("apps", "keys", [8080])
    for name in ("base", "keys"):
        world.service("apps", name, [("http", 8080, 8080)])
    rule = {"issuer": "testing@secure.istio.io", "jwksUri": "http://keys:8080/jwk"}
    spec = {"selector": {"matchLabels": {"app": "base"}}, "jwtRules": [rule]}
    world.config("RequestAuthentication", "apps", "base", spec)
    for i in range(3):
        world.log(
            server,
            "istio-proxy",
            access(
                at(9 - i),
                "GET / HTTP/1.1",
                401,
                "-",
                "jwt_authn_access_denied{Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt}",
                authority="base:8080",
                cluster="inbound|8080||",
                downstream=f"{server.ip}:8080",
                peer=f"{client.ip}:4{i}110",
                sni="outbound_.8080_._.base.apps.svc.cluster.local",
            ),
        )
    return world


POSTED_IDENTITIES = (
    denied_namespace_calls_by_address,
    egress_gateway_without_subset,
    init_container_has_no_identity,
    keys_at_a_short_name,
    workload_entry_without_account,
)
