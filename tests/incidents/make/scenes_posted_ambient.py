"""Which incidents of ambient meshes and of meshes over clusters are rebuilt from reports?"""

import json

from tests.incidents.make import objects as o
from tests.incidents.make.objects import Manifest
from tests.incidents.make.posted import Posted, access, sandbox, waiting
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.scenes_posted_pods import agents
from tests.incidents.make.world import Pod, at, whole

NETWORK = "topology.istio.io/network"
REDIRECTED = {"ambient.istio.io/redirection": "enabled"}


def entry_without_resolution_in_ambient() -> Posted:
    """istio/istio#56369."""
    world = Posted(
        name="entry-without-resolution-in-ambient",
        version="1.25.1",
        summary="This release gives ztunnel no endpoint for a ServiceEntry of resolution NONE.",
        at_fault=["ServiceEntry/redis/redis-default"],
        fix="resolution STATIC with endpoints, no entry at all, or Istio 1.28.",
        from_="shop/cart",
        to="redis.default:6379",
    )
    _ztunnels(world)
    world.namespace("shop", inject=False, **{"istio.io/dataplane-mode": "ambient"})
    world.namespace("redis", inject=False)
    cart = world.workload("shop", "cart", [8080], injected=False, annotations=REDIRECTED)
    world.service("shop", "cart", [("http", 80, 8080)])
    world.config(
        "ServiceEntry",
        "redis",
        "redis-default",
        {
            "hosts": ["redis.default"],
            "addresses": [f"10.90.4.{i}/32" for i in range(11, 17)],
            "location": "MESH_INTERNAL",
            "ports": [{"name": "tcp-redis", "number": 6379, "protocol": "TCP"}],
            "resolution": "NONE",
        },
    )
    for i in range(6):
        line = (
            f"{at(30 - i * 3)}\twarn\taccess\tconnection failed\tsrc.addr={cart.ip}:5{i}970 "
            f'dst.addr=10.90.4.{11 + i}:6379 direction="outbound" error="no healthy upstream"'
        )
        _said(world, cart, line)
        reset = f"read tcp {cart.ip}->10.90.4.{11 + i}:6379: connection reset by peer"
        world.log(cart, "cart", f"{at(30 - i * 3)} ERROR redis: {reset}")
    return world


def network_policy_lets_redis_in_only() -> Posted:
    """bitnami/charts#31394."""
    world = Posted(
        name="network-policy-lets-redis-in-only",
        version="1.24.2",
        summary="The chart's NetworkPolicy opens 6379 only, and ztunnels meet on 15008.",
        at_fault=["NetworkPolicy/store/my-redis"],
        fix="Open TCP 15008 in the NetworkPolicy.",
        from_="store/redis-replicas",
        to="store/redis-master:6379",
    )
    _ztunnels(world)
    world.namespace("store", inject=False, **{"istio.io/dataplane-mode": "ambient"})
    pods = []
    for name, part in (("redis-master", "master"), ("redis-replicas", "replica")):
        labels = {"app.kubernetes.io/name": "redis", "app.kubernetes.io/component": part}
        pods.append(
            world.workload(
                "store", name, [6379], injected=False, annotations=REDIRECTED, labels=labels
            )
        )
        world.service("store", name, [("tcp-redis", 6379, 6379)], labels)
    master, replica = pods
    world.config(
        "NetworkPolicy",
        "store",
        "my-redis",
        {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "redis"}},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [{}],
            "ingress": [{"ports": [{"port": 6379, "protocol": "TCP"}]}],
        },
    )
    for i in range(6):
        line = (
            f"{at(30 - i * 4)}\terror\taccess\tconnection complete\tsrc.addr={replica.ip}:4{i}132 "
            f'src.workload="{replica.name}" src.namespace="store" dst.addr={master.ip}:15008 '
            f'dst.hbone_addr={master.ip}:6379 dst.service="redis-master.store.svc.cluster.local" '
            'direction="outbound" bytes_sent=0 bytes_recv=0 duration="10001ms" error="connection '
            'timed out, maybe a NetworkPolicy is blocking HBONE port 15008: deadline has elapsed"'
        )
        _said(world, replica, line)
    ended = {"exitCode": 1, "reason": "Error", "startedAt": whole(9), "finishedAt": whole(9)}
    back_off: Manifest = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {"terminated": ended}
    state = {"restartCount": 6, "state": back_off, "lastState": last}
    waiting(replica, "redis-replicas", state)
    world.log(replica, "redis-replicas", f"{at(3)} # Error condition on socket for SYNC: reset")
    return world


def east_west_gateway_of_type_nodeport() -> Posted:
    """istio/istio#39930."""
    world = Posted(
        name="east-west-gateway-of-type-nodeport",
        version="1.14.1",
        apis=BETA,
        summary="The network's gateway is a NodePort Service, so istiod knows no address of it.",
        at_fault=["Service/istio-system/istio-eastwestgateway"],
        fix="A load balancer, externalIPs, or the address in meshNetworks.",
        from_="istio-sample/sleep",
        to="istio-sample/helloworld:5000",
    )
    world.change("Namespace", "", "istio-system", _of_network)
    remote = {"cluster2": ""}
    labels = {"istio/multiCluster": "true"}
    name = "istio-remote-secret-cluster2"
    world.objects.append(o.make("Secret", "istio-system", name, labels=labels, data=remote))
    world.gateway("istio-system", "istio-eastwestgateway")
    world.change("Service", "istio-system", "istio-eastwestgateway", _of_network)
    world.change("Service", "istio-system", "istio-eastwestgateway", _on_nodes)
    server = {
        "port": {"number": 15443, "name": "tls", "protocol": "TLS"},
        "tls": {"mode": "AUTO_PASSTHROUGH"},
        "hosts": ["*.local"],
    }
    spec = {"selector": {"istio": "eastwestgateway"}, "servers": [server]}
    world.config("Gateway", "istio-system", "cross-network-gateway", spec)
    world.namespace("istio-sample")
    sleep = world.workload("istio-sample", "sleep", [])
    hello = world.workload("istio-sample", "helloworld-v1", [5000], labels={"app": "helloworld"})
    world.service("istio-sample", "helloworld", [("http", 5000, 5000)])
    cluster = "outbound|5000||helloworld.istio-sample.svc.cluster.local"
    hosts = [
        {
            "address": {"socketAddress": {"address": ip, "portValue": 5000}},
            "healthStatus": {"edsHealthStatus": "HEALTHY"},
        }
        for ip in (hello.ip, "10.233.82.135")
    ]
    held = [{"name": cluster, "addedViaApi": True, "hostStatuses": hosts}]
    path = f"istioctl/proxy-config-endpoint_{sleep.name}.istio-sample.json"
    world.files[path] = json.dumps(held, indent=1) + "\n"
    for i in range(8):
        flags, upstream = (("UF,URX", "10.233.82.135"), ("-", hello.ip))[i % 2]
        lost = "upstream_reset_before_response_started{connection_failure}"
        line = access(
            at(30 - i * 3),
            "GET /hello HTTP/1.1",
            200 if flags == "-" else 503,
            flags,
            "via_upstream" if flags == "-" else lost,
            authority="helloworld.istio-sample:5000",
            upstream=f"{upstream}:5000",
            cluster=cluster,
            downstream="172.20.0.37:5000",
            peer=f"{sleep.ip}:4{i}510",
            route="default",
        )
        world.log(sleep, "istio-proxy", line)
    world.status("middle")
    return world


def multus_hands_on_what_istio_cni_says() -> Posted:
    """istio/istio#42485."""
    world = Posted(
        name="multus-hands-on-what-istio-cni-says",
        version="1.14.5",
        apis=BETA,
        summary="SELinux keeps istio-cni from iptables; the event names multus first.",
        at_fault=["DaemonSet/kube-system/istio-cni-node"],
        fix="The node image with the SELinux policy for iptables, or the former one.",
        from_="prod/athena",
        to="",
    )
    world.namespace("kube-system", inject=False)
    world.namespace("openshift-multus", inject=False)
    agents(world, "kube-system", "istio-cni-node", "docker.io/istio/install-cni:1.14.5")
    agents(world, "openshift-multus", "multus", "quay.io/openshift/origin-multus-cni:4.11")
    world.namespace("prod")
    pod = world.workload("prod", "athena", [8080])
    world.service("prod", "athena", [("http", 80, 8080)])
    sandbox(pod)
    for one in (pod.manifest["spec"], pod.manifest["status"]):
        for init in one.get("initContainers", one.get("initContainerStatuses", [])):
            init["name"] = "istio-validation"
    message = (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create pod "
        f"network sandbox k8s_{pod.name}_prod_8e88b33f-1d01-43fa-8374-ad7bc14bae3a_0(3623cba36a0d1"
        f'e8195): error adding pod prod_{pod.name} to CNI network "multus-cni-network": plugin '
        f'type="multus" name="multus-cni-network" failed (add): [prod/{pod.name}/8e88b33f-1d01-43fa'
        '-8374-ad7bc14bae3a:v2-3-istio-cni]: error adding container to network "v2-3-istio-cni": '
        'netplugin failed: "Failed to execute: iptables-restore --noflush, Permission denied"'
    )
    world.event("Pod", "prod", pod.name, "FailedCreatePodSandBox", message)
    world.status("middle")
    return world


def _ztunnels(world: Posted) -> None:
    image = f"docker.io/istio/{{}}:{world.version}"
    agents(world, "istio-system", "istio-cni-node", image.format("install-cni"))
    agents(world, "istio-system", "ztunnel", image.format("ztunnel"))
    for one in world.objects:
        if one["metadata"]["name"].startswith("ztunnel"):
            spec = one["spec"].get("template", one)["spec"]
            spec["containers"][0].update(name="istio-proxy", args=["proxy", "ztunnel"])


def _said(world: Posted, pod: Pod, line: str) -> None:
    """A line in the log of the ztunnel on a pod's node."""
    node = pod.manifest["spec"]["nodeName"]
    name = f"ztunnel-{o.code('ztunnel' + node, 5)}"
    path = f"logs/istio-system_{name}_istio-proxy.log"
    world.files[path] = world.files.get(path, "") + f"{line}\n"


def _of_network(one: Manifest) -> None:
    labels = one["metadata"].get("labels", {})
    one["metadata"]["labels"] = {**labels, NETWORK: "network1"}


def _on_nodes(one: Manifest) -> None:
    port = {"name": "tls", "port": 15443, "targetPort": 15443, "nodePort": 31636}
    one["spec"]["ports"].append({**port, "protocol": "TCP"})
    one["spec"]["type"] = "NodePort"
    one["status"] = {"loadBalancer": {}}


POSTED_AMBIENT = (
    east_west_gateway_of_type_nodeport,
    entry_without_resolution_in_ambient,
    multus_hands_on_what_istio_cni_says,
    network_policy_lets_redis_in_only,
)
