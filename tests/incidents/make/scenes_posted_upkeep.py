"""Which incidents of what istiod and the resolvers keep up by themselves are rebuilt from
public reports?"""

from tests.incidents.make.objects import Manifest
from tests.incidents.make.posted import Posted, access, waiting
from tests.incidents.make.scenes_posted import ALPHA, BETA
from tests.incidents.make.scenes_posted_pods import NEVER_READY, agents
from tests.incidents.make.world import at, whole

GROUP = "gateway.networking.k8s.io"
NOT_READY = "Readiness probe failed: HTTP probe failed with statuscode: 503"


def node_resolver_knows_no_istiod() -> Posted:
    """istio/istio#36186."""
    world = Posted(
        name="node-resolver-knows-no-istiod",
        version="1.7.3",
        apis=BETA,
        summary="The resolver on the node says that istiod's name does not exist.",
        at_fault=["DaemonSet/kube-system/nodelocaldns"],
        fix="Mend the configuration of the DNS cache on the nodes.",
        from_="",
        to="shop/web:80",
    )
    world.namespace("kube-system", inject=False)
    agents(world, "kube-system", "nodelocaldns", "registry.example/k8s-dns-node-cache:1.15.13")
    world.namespace("shop")
    pod = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    running = {"running": {"startedAt": whole(25)}}
    waiting(pod, "istio-proxy", {"started": True, "state": running})
    world.event("Pod", "shop", pod.name, "Unhealthy", NOT_READY)
    lookup = "dial tcp: lookup istiod.istio-system.svc on 169.254.25.10:53: no such host"
    for minute in (20, 16, 12, 8):
        world.log(
            pod,
            "istio-proxy",
            f"{at(minute)}\terror\tcitadelclient\tFailed to create certificate: rpc error: code = "
            f'Unavailable desc = connection error: desc = "transport: Error while dialing '
            f'{lookup}"',
            f"{at(minute - 1)}\tinfo\t{NEVER_READY.format('Pilot', 'Pilot')}",
        )
    return world


def gateways_deployment_cannot_be_changed() -> Posted:
    """istio/istio#54145."""
    name = "some-gateway-istio"
    world = Posted(
        name="gateways-deployment-cannot-be-changed",
        version="1.24.1",
        apis={"Gateway": f"{GROUP}/v1"},
        summary="The new istiod wants another selector in the gateway's Deployment.",
        at_fault=[f"Deployment/edge/{name}", "Gateway/edge/some-gateway"],
        fix="Delete the Deployment; istiod makes it anew.",
        from_="",
        to=f"edge/{name}:8443",
    )
    world.namespace("edge", inject=False)
    labels = {f"{GROUP}/gateway-name": "some-gateway"}
    gateway = world.workload("edge", name, [80], role="router", labels=labels)
    world.service("edge", name, [("http", 80, 80), ("http2", 8443, 8443)], labels)
    for part in (gateway.manifest["spec"], gateway.manifest["status"]):
        for one in (*part.get("containers", ()), *part.get("containerStatuses", ())):
            one["image"] = "registry.example/istio/proxyv2:1.23.2"
    done = [{"type": t, "status": "True", "reason": t} for t in ("Accepted", "Programmed")]
    listener: Manifest = {"name": "http", "port": 80, "protocol": "HTTP"}
    listener["allowedRoutes"] = {"namespaces": {"from": "All"}}
    spec = {"gatewayClassName": "istio", "listeners": [listener]}
    world.config("Gateway", "edge", "some-gateway", spec, status={"conditions": done})
    world.namespace("shop")
    world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    parent = {"name": "some-gateway", "namespace": "edge"}
    taken = {"controllerName": "istio.io/gateway-controller", "conditions": done[:1]}
    world.config(
        "HTTPRoute",
        "shop",
        "web",
        {"parentRefs": [parent], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
        status={"parents": [{"parentRef": parent, **taken}]},
    )
    for minute in (50, 38, 26):
        world.log(
            world.istiod,
            "discovery",
            f"{at(minute)}\terror\tcontrollers\terror handling edge/some-gateway, and retry budget "
            f"exceeded: apply failed: patch apps/v1, Kind=Deployment/edge/{name}: Deployment.apps "
            f'"{name}" is invalid: spec.selector: Invalid value: v1.LabelSelector{{MatchLabels:map'
            f'[string]string{{"{GROUP}/gateway-name":"some-gateway"}}}}: field is immutable\t'
            "controller=gateway deployment",
        )
    world.status()
    return world


def healthy_validator_tries_itself() -> Posted:
    """istio/istio#52785."""
    world = Posted(
        name="healthy-validator-tries-itself",
        version="1.23.0",
        apis=BETA,
        healthy=True,
        summary="istiod has its webhook refuse a Gateway without servers before it lets it fail.",
        at_fault=[],
        fix="",
        from_="",
        to="shop/web:80",
    )
    world.namespace("shop")
    pod = world.workload("shop", "web", [8080])
    client = world.workload("shop", "cart", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    world.log(
        world.istiod,
        "discovery",
        f"{at(80)}\tinfo\tvalidationController\tNot ready to switch validation to fail-closed: "
        "dummy invalid config not rejected",
        f"{at(79)}\tinfo\tvalidationServer\tconfiguration is invalid: gateway must have at least "
        "one server",
        f"{at(79)}\tinfo\tvalidationController\tSuccessfully updated "
        "validatingwebhookconfiguration istiod-default-validator (failurePolicy=Fail,"
        "resourceVersion=1282)",
    )
    for minute in (30, 22, 14):
        line = access(
            at(minute),
            "GET / HTTP/1.1",
            200,
            "-",
            "via_upstream",
            authority="web",
            upstream=f"{pod.ip}:8080",
            cluster="outbound|80||web.shop.svc.cluster.local",
            downstream="172.20.0.71:80",
            peer=f"{client.ip}:41210",
            route="default",
        )
        world.log(client, "istio-proxy", line)
    world.status()
    return world


def headless_service_without_pods() -> Posted:
    """istio/istio#16935."""
    world = Posted(
        name="headless-service-without-pods",
        version="1.2.5",
        apis=ALPHA,
        summary="Two headless Services have TCP port 9100: Envoy refuses the listener for both.",
        at_fault=["Service/knative-monitoring/node-exporter"],
        fix="Delete the Service that has no pods.",
        from_="shop/web",
        to="",
    )
    for space in ("knative-monitoring", "monitoring"):
        world.namespace(space, inject=False)
        world.service(space, "node-exporter", [("metrics", 9100, 9100)])
        world.change("Service", space, "node-exporter", _headless)
    exporters = {"app": "node-exporter"}
    world.workload("monitoring", "exporter", [9100], injected=False, labels=exporters)
    world.namespace("shop")
    pod = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    source = "external/envoy/source/common/config/grpc_mux_subscription_impl.cc:73"
    for minute in (20, 15, 10):
        world.log(
            pod,
            "istio-proxy",
            f"[{whole(minute)[:10]} {whole(minute)[11:19]}.853][25][warning][config] [{source}] "
            "gRPC config for type.googleapis.com/envoy.api.v2.Listener rejected: Error "
            "adding/updating listener(s) 0.0.0.0_9100: error adding listener '0.0.0.0:9100': "
            "multiple filter chains with the same matching rules are defined",
        )
    return world


def _headless(service: Manifest) -> None:
    service["spec"].update(clusterIP="None", clusterIPs=["None"])


def sidecar_that_istiod_lost() -> Posted:
    """istio/istio#31277."""
    world = Posted(
        name="sidecar-that-istiod-lost",
        version="1.8.3",
        apis=BETA,
        summary="The sidecar's connection to istiod ended for good: it calls pods that are gone.",
        at_fault=["Deployment/mop/fuel"],
        fix="Restart the pod.",
        from_="mop/fuel",
        to="mop/ledger",
    )
    world.namespace("mop")
    fuel = world.workload("mop", "fuel", [8080])
    world.service("mop", "fuel", [("http", 80, 8080)])
    world.workload("mop", "ledger", [8080])
    world.service("mop", "ledger", [("http", 80, 8080)])
    world.log(
        world.istiod,
        "discovery",
        f'{at(300)}\tinfo\tads\tADS: "{fuel.ip}:46752" sidecar~{fuel.ip}~{fuel.name}.mop~'
        "mop.svc.cluster.local-23 terminated rpc error: code = Canceled desc = context canceled",
    )
    for minute in (9, 6, 3):
        world.log(
            fuel,
            "istio-proxy",
            f'[{at(minute)}] "GET /v1 HTTP/1.1" 503 UF,URX "-" "-" 0 91 3002 - "-" "Java/11" '
            f'"bb49-{minute}" "ledger" "100.103.48.77:8080" '
            f"outbound|80||ledger.mop.svc.cluster.local - 172.20.0.88:80 {fuel.ip}:4{minute}10 - "
            "default",
        )
    world.status("old")
    table = "istioctl/proxy-status.txt"
    rows = world.files[table].splitlines()
    world.files[table] = "\n".join(row for row in rows if fuel.name not in row) + "\n"
    return world


POSTED_UPKEEP = (
    gateways_deployment_cannot_be_changed,
    headless_service_without_pods,
    healthy_validator_tries_itself,
    node_resolver_knows_no_istiod,
    sidecar_that_istiod_lost,
)
