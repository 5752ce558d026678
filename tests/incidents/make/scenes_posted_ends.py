"""Which incidents of programs that end, or are not reached, are rebuilt from public reports?"""

from tests.incidents.make.objects import make
from tests.incidents.make.posted import Posted, access, waiting
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import NODES, Pod, at, whole

LIMITS = "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit"
ROUTER = {"name": "envoy.filters.http.router"}
MANAGER = {"name": "envoy.filters.network.http_connection_manager", "subFilter": ROUTER}


def _ended(pod: Pod, container: str, code: int, reason: str = "Error") -> None:
    back_off = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 2m40s restarting"}}
    ended = {"exitCode": code, "reason": reason, "startedAt": whole(9), "finishedAt": whole(8)}
    state = {"restartCount": 6, "state": back_off, "lastState": {"terminated": ended}}
    waiting(pod, container, state)


def istiod_panics() -> Posted:
    """istio/istio#41918."""
    world = Posted(
        name="istiod-panics",
        version="1.16.0-rc.0",
        apis=BETA,
        summary="istiod panics as soon as a ServiceEntry changes, a fault of this release.",
        at_fault=["Deployment/istio-system/istiod"],
        fix="Upgrade istiod.",
        from_="",
        to="istio-system/istiod",
    )
    world.namespace("shop")
    world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    _ended(world.istiod, "discovery", 2)
    world.log(
        world.istiod,
        "discovery",
        f"{at(9)}\tinfo\tads\tPush debounce stable[5] 1 for config ServiceEntry/shop/db: "
        "101.069524ms since last change, 101.06933ms since last push, full=true",
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "[signal SIGSEGV: segmentation violation code=0x1 addr=0x30 pc=0x29e7cba]",
        "",
        "goroutine 754 [running]:",
        "istio.io/istio/pilot/pkg/model.(*PushContext).ServiceAttachedToGateway(...)",
        "\tistio.io/istio/pilot/pkg/model/push_context.go:798",
    )
    return world


def rate_limit_kills_the_gateway() -> Posted:
    """istio/istio#30900."""
    world = Posted(
        name="rate-limit-kills-the-gateway",
        version="1.9.0",
        apis=BETA,
        summary="Envoy aborts in the rate limit filter that an EnvoyFilter brings in.",
        at_fault=["EnvoyFilter/istio-system/filter-ratelimit"],
        fix="Take the EnvoyFilter away, or go to a patch release.",
        from_="istio-system/istio-ingressgateway",
        to="",
    )
    gateway = world.gateway()
    match = {"context": "GATEWAY", "listener": {"filterChain": {"filter": MANAGER}}}
    value = {"name": "envoy.filters.http.ratelimit", "typed_config": {"@type": LIMITS}}
    patch = {"operation": "INSERT_BEFORE", "value": value}
    world.config(
        "EnvoyFilter",
        "istio-system",
        "filter-ratelimit",
        {
            "workloadSelector": {"labels": {"istio": "ingressgateway"}},
            "configPatches": [{"applyTo": "HTTP_FILTER", "match": match, "patch": patch}],
        },
    )
    _ended(gateway, "istio-proxy", 255)
    trace = f"{at(8)}\tcritical\tenvoy backtrace\t"
    world.log(
        gateway,
        "istio-proxy",
        f"{at(9)}\tinfo\tEnvoy proxy is ready",
        f"{trace}Caught Aborted, suspect faulting address 0x5390000000d",
        f"{trace}#0: __restore_rt [0x7fb08614b980]",
        f"{trace}#3: Envoy::Extensions::Filters::Common::RateLimit::GrpcClientImpl::limit() [0x5]",
        f"{at(8)}\terror\tEpoch 0 exited with error: signal: aborted",
    )
    return world


def remote_cluster_keeps_istiod_from_starting() -> Posted:
    """istio/istio#32102."""
    world = Posted(
        name="remote-cluster-keeps-istiod-from-starting",
        version="1.9.1",
        apis=BETA,
        summary="An istiod that starts waits for a remote cluster whose API is gone.",
        at_fault=["Secret/istio-system/istio-remote-secret-west"],
        fix="Delete the Secret.",
        from_="",
        to="istio-system/istiod",
    )
    running = {"running": {"startedAt": whole(25)}}
    waiting(world.istiod, "discovery", {"started": True, "state": running})
    labels = {"istio/multiCluster": "true"}
    name = "istio-remote-secret-west"
    world.objects.append(make("Secret", "istio-system", name, labels=labels, type="Opaque"))
    url = "https://10.200.0.9:6443/api/v1/endpoints?limit=500&resourceVersion=0"
    for minute in (20, 16, 12, 8):
        world.log(
            world.istiod,
            "discovery",
            f"{at(minute)}\terror\tklog\treflector.go:167: Failed to watch *v1.Endpoints: failed "
            f'to list *v1.Endpoints: Get "{url}": dial tcp 10.200.0.9:6443: i/o timeout',
        )
    return world


def nodes_shut_a_low_port_to_each_other() -> Posted:
    """kubernetes-sigs/aws-load-balancer-controller#4179."""
    world = Posted(
        name="nodes-shut-a-low-port-to-each-other",
        version="1.22.3",
        summary="The nodes' security group admits only ports above 1024 between nodes.",
        at_fault=[f"Node//{NODES[1]}"],
        fix="Admit the port between nodes, or listen above 1024.",
        from_="shop/web",
        to="shop/api:80",
    )
    world.namespace("shop")
    client = world.workload("shop", "web", [8080])
    near = world.workload("shop", "api-near", [80], labels={"app": "api"})
    far = world.workload("shop", "api", [80])
    world.service("shop", "api", [("http", 80, 80)])
    for pod, node in ((client, 0), (near, 0), (far, 1)):
        pod.manifest["spec"]["nodeName"] = NODES[node]
    for i in range(6):
        server = far if i % 2 else near
        lost = "upstream_reset_before_response_started{connection_timeout}"
        code, flags, details = (503, "UF,URX", lost) if i % 2 else (200, "-", "via_upstream")
        line = access(
            at(12 - i),
            "GET / HTTP/1.1",
            code,
            flags,
            details,
            authority="api.shop:80",
            upstream=f"{server.ip}:80",
            cluster="outbound|80||api.shop.svc.cluster.local",
            local=f"{client.ip}:3{i}444",
            downstream="172.20.9.9:80",
            peer=f"{client.ip}:4{i}110",
        )
        world.log(client, "istio-proxy", line)
    world.status("wide")
    return world


POSTED_ENDS = (
    istiod_panics,
    nodes_shut_a_low_port_to_each_other,
    rate_limit_kills_the_gateway,
    remote_cluster_keeps_istiod_from_starting,
)
