"""Which incidents of nodes and of the targets on them are rebuilt from public reports?"""

from typing import Any

from tests.incidents.make.objects import make
from tests.incidents.make.posted import Posted, access, waiting
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import NODES, at, whole

GATEWAY = "istio-ingressgateway"


def node_without_inotify_instances() -> Posted:
    """istio/istio#35829."""
    world = Posted(
        name="node-without-inotify-instances",
        version="1.11.4",
        apis=BETA,
        summary="The node has no inotify instance left, so pilot-agent ends as it starts.",
        at_fault=[f"Node//{NODES[0]}", f"Deployment/istio-system/{GATEWAY}"],
        fix="Raise fs.inotify.max_user_instances on the node.",
        from_=f"istio-system/{GATEWAY}",
        to="",
    )
    gateway = world.gateway()
    gateway.manifest["spec"]["nodeName"] = NODES[0]
    back_off = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 2m40s restarting"}}
    ended = {"exitCode": 255, "reason": "Error", "startedAt": whole(9), "finishedAt": whole(8)}
    state = {"restartCount": 6, "state": back_off, "lastState": {"terminated": ended}}
    waiting(gateway, "istio-proxy", state)
    world.log(
        gateway,
        "istio-proxy",
        f'{at(8)}\tinfo\tFLAG: --serviceCluster="{GATEWAY}"',
        f"{at(8)}\tinfo\tJWT policy is third-party-jwt",
        f"{at(8)}\tfatal\tFailed to start in-process SDStoo many open files",
    )
    return world


def budget_keeps_a_node() -> Posted:
    """istio/istio#12602, as it shows at an update of a node group of EKS."""
    world = Posted(
        name="budget-keeps-a-node",
        version="1.8.1",
        apis=BETA,
        summary="One istiod and a budget that wants one: the node's drain never ends.",
        at_fault=["PodDisruptionBudget/istio-system/istiod"],
        fix="Two istiods at least.",
        from_="",
        to="",
    )
    world.gateway()
    world.istiod.manifest["spec"]["nodeName"] = NODES[1]

    def cordon(one: dict[str, Any]) -> None:
        key = "node.kubernetes.io/unschedulable"
        one["spec"] |= {
            "unschedulable": True,
            "taints": [{"key": key, "effect": "NoSchedule", "timeAdded": whole(200)}],
        }

    world.change("Node", "", NODES[1], cordon)
    selector = {"matchLabels": {"app": "istiod"}}
    spec = {"minAvailable": 1, "selector": selector}
    world.objects.append(make("PodDisruptionBudget", "istio-system", "istiod", spec=spec))
    world.status()
    return world


def alb_sends_to_gateways_that_are_gone() -> Posted:
    """kubernetes-sigs/aws-load-balancer-controller#1124."""
    world = Posted(
        name="alb-sends-to-gateways-that-are-gone",
        version="1.14.3",
        apis=BETA,
        summary="At a rollout the ALB answers 502: gateways end before it has let go of them.",
        at_fault=[f"Deployment/istio-system/{GATEWAY}", "Ingress/istio-system/alb"],
        fix="Readiness gates of the controller, and a longer drain.",
        from_="load/vegeta",
        to=f"istio-system/{GATEWAY}",
    )
    gateway = world.gateway()
    backend = {"service": {"name": GATEWAY, "port": {"number": 80}}}
    rule = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    hostname = "k8s-istiosys-alb-7d1.eu-west-1.elb.amazonaws.com"
    world.objects.append(
        make(
            "Ingress",
            "istio-system",
            "alb",
            annotations={
                "kubernetes.io/ingress.class": "alb",
                "alb.ingress.kubernetes.io/target-type": "ip",
                "alb.ingress.kubernetes.io/healthcheck-path": "/healthz/ready",
                "alb.ingress.kubernetes.io/healthcheck-port": "15021",
            },
            spec={"rules": [rule]},
            status={"loadBalancer": {"ingress": [{"hostname": hostname}]}},
        )
    )

    def unbalanced(one: dict[str, Any]) -> None:
        one["spec"]["type"] = "ClusterIP"
        one["status"] = {"loadBalancer": {}}

    world.change("Service", "istio-system", GATEWAY, unbalanced)
    world.namespace("shop")
    web = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    host = "shop.example.com"
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    servers = [{"port": port, "hosts": [host]}]
    selector = {"istio": "ingressgateway"}
    world.config("Gateway", "shop", "web", {"selector": selector, "servers": servers})
    route = {"destination": {"host": "web", "port": {"number": 80}}}
    spec = {"hosts": [host], "gateways": ["web"], "http": [{"route": [route]}]}
    world.config("VirtualService", "shop", "web", spec)
    world.namespace("load", inject=False)
    vegeta = world.workload("load", "vegeta", [80], injected=False)
    gateway.manifest["metadata"]["creationTimestamp"] = whole(12)
    gateway.manifest["status"]["startTime"] = whole(12)
    for minute, code in ((14, 200), (13, 200), (11.4, 502), (11.2, 502), (11, 502), (6, 200)):
        said = f"GET https://{host}/ {code}"
        world.log(vegeta, "vegeta", f"{at(minute)} {said}")
    world.log(
        gateway,
        "istio-proxy",
        access(
            at(6),
            "GET / HTTP/1.1",
            200,
            "-",
            "via_upstream",
            authority=host,
            upstream=f"{web.ip}:8080",
            cluster="outbound|80||web.shop.svc.cluster.local",
            local=f"{gateway.ip}:40444",
            downstream=f"{gateway.ip}:8080",
            peer="10.20.1.57:40110",
            forwarded="10.20.1.57",
        ),
    )
    return world


def proxy_on_ipv4_in_an_ipv6_pod() -> Posted:
    """istio/istio#36961."""
    world = Posted(
        name="proxy-on-ipv4-in-an-ipv6-pod",
        version="1.12.2",
        apis=BETA,
        summary="The pod's address is IPv6; its proxy found an IPv4 one too and listens on that.",
        at_fault=[f"Deployment/istio-system/{GATEWAY}"],
        fix="Take the IPv4 address away, or listen on both.",
        from_=f"istio-system/{GATEWAY}",
        to="",
    )
    gateway = world.gateway()
    ip = "2406:da1a:1:7::15"
    gateway.ip = ip
    gateway.manifest["status"] |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    running = {"running": {"startedAt": whole(25)}}
    waiting(gateway, "istio-proxy", {"started": True, "state": running})
    world.event(
        "Pod",
        "istio-system",
        gateway.name,
        "Unhealthy",
        f'Readiness probe failed: Get "http://[{ip}]:15021/healthz/ready": dial tcp '
        f"[{ip}]:15021: connect: connection refused",
    )
    world.log(
        gateway,
        "istio-proxy",
        f"{at(25)}\tinfo\tProxy role\tips=[169.254.172.3 {ip}] type=router "
        f"id={gateway.name}.istio-system domain=istio-system.svc.cluster.local",
        f"{at(24)}\tinfo\tEnvoy proxy is ready",
    )
    return world


POSTED_NODES = (
    proxy_on_ipv4_in_an_ipv6_pod,
    node_without_inotify_instances,
    budget_keeps_a_node,
    alb_sends_to_gateways_that_are_gone,
)
