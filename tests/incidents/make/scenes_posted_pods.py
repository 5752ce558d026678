"""Which incidents of pods that do not come up are rebuilt from public reports?"""

from tests.incidents.make import objects as o
from tests.incidents.make.posted import Posted, sandbox, waiting
from tests.incidents.make.scenes_posted import ALPHA, BETA
from tests.incidents.make.world import NODES, at, whole

NEVER_READY = (
    "Envoy proxy is NOT ready: config not received from {} (is {} running?): "
    "cds updates: 0 successful, 0 rejected; lds updates: 0 successful, 0 rejected"
)
UNREACHED = (
    "rpc error: code = Unavailable desc = connection error: desc = "
    '"transport: Error while {} i/o timeout"'
)


def security_group_shuts_istiod_out() -> Posted:
    """istio/istio#47575."""
    world = Posted(
        name="security-group-shuts-istiod-out",
        version="1.19.3",
        apis=BETA,
        summary="The pod has the database's security group only, which istiod's does not admit.",
        at_fault=["SecurityGroupPolicy/store/database-clients"],
        fix="Add the cluster's security group to the policy, or open 15012 and 53 between them.",
        from_="store/orders",
        to="",
    )
    network_agent(world)
    world.namespace("store")
    world.workload("store", "catalogue", [8080])
    pod = world.workload("store", "orders", [8080])
    world.service("store", "orders", [("http", 80, 8080)])
    world.service("store", "catalogue", [("http", 80, 8080)])
    interface = f'[{{"eniId":"eni-0c1d","privateIp":"{pod.ip}","vlanId":1}}]'
    pod.manifest["metadata"]["annotations"]["vpc.amazonaws.com/pod-eni"] = interface
    world.config(
        "SecurityGroupPolicy",
        "store",
        "database-clients",
        {
            "podSelector": {"matchLabels": {"app": "orders"}},
            "securityGroups": {"groupIds": ["sg-0ff1dcb560bdb101a"]},
        },
        created=whole(100),
    )
    ended = {"exitCode": 1, "reason": "Error", "startedAt": whole(9), "finishedAt": whole(4)}
    again = "back-off 2m40s restarting failed container=istio-proxy"
    waiting(
        pod,
        "istio-proxy",
        {
            "restartCount": 6,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": again}},
            "lastState": {"terminated": ended},
        },
    )
    dial = UNREACHED.format("dialing: dial tcp 172.20.189.46:15012:")
    for i in range(3):
        world.log(
            pod,
            "istio-proxy",
            f"{at(20 - i * 4)}\twarn\tsds\tfailed to warm certificate: failed to generate "
            f"workload certificate: create certificate: {dial}",
            f"{at(18 - i * 4)}\twarn\t{NEVER_READY.format('XDS server', 'Istiod')}",
        )
    world.event("Pod", "store", pod.name, "BackOff", again)
    return world


def network_policy_shuts_istiod_out() -> Posted:
    """istio/istio#31717."""
    world = Posted(
        name="network-policy-shuts-istiod-out",
        version="1.7.2",
        apis=ALPHA,
        summary="A NetworkPolicy lets the pods call their own namespace only: no DNS, no istiod.",
        at_fault=["NetworkPolicy/pipes/own-namespace"],
        fix="Allow egress to kube-dns (53) and to istiod (15012).",
        from_="pipes/runner",
        to="",
    )
    world.namespace("pipes")
    pod = world.workload("pipes", "runner", [8080])
    world.service("pipes", "runner", [("http", 80, 8080)])
    own = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "pipes"}}}
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [own]}],
        "egress": [{"to": [own]}],
    }
    world.config("NetworkPolicy", "pipes", "own-namespace", spec, changed=whole(60))
    waiting(pod, "istio-proxy", {"started": True})
    pod.manifest["status"]["startTime"] = whole(50)
    dial = UNREACHED.format("dialing dial tcp:")
    for i in range(4):
        world.log(
            pod,
            "istio-proxy",
            f"{at(40 - i * 5)}\terror\tcitadelclient\tFailed to create certificate: {dial}",
            f"{at(39 - i * 5)}\tinfo\t{NEVER_READY.format('Pilot', 'Pilot')}",
        )
    message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    world.event("Pod", "pipes", pod.name, "Unhealthy", message)
    return world


def cni_token_expired() -> Posted:
    """istio/istio#38077."""
    world = Posted(
        name="cni-token-expired",
        version="1.11.4",
        apis=BETA,
        summary="istio-cni wrote its kubeconfig once; the token in it expired, and no pod starts.",
        at_fault=["DaemonSet/istio-system/istio-cni-node"],
        fix="Restart istio-cni-node on that node; upgrade to a release that renews the token.",
        from_="shop/cart",
        to="",
    )
    network_agent(world)
    agents(world, "istio-system", "istio-cni-node", "docker.io/istio/install-cni:1.11.4")
    world.namespace("shop")
    pod = world.workload("shop", "cart", [8080])
    world.service("shop", "cart", [("http", 80, 8080)])
    sandbox(pod)
    world.event(
        "Pod",
        "shop",
        pod.name,
        "FailedCreatePodSandBox",
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to set up sandbox "
        f'container "0c1d9e" network for pod "{pod.name}": networkPlugin cni failed to set up pod '
        f'"{pod.name}_shop" network: Unauthorized',
    )
    return world


def namespace_label_of_another_value() -> Posted:
    """istio/istio#39005."""
    world = Posted(
        name="namespace-label-of-another-value",
        version="1.13.4",
        apis=BETA,
        summary="istio-injection has a value of no meaning, which still mutes the pod's own label.",
        at_fault=["Namespace//monitoring"],
        fix="Remove the istio-injection label from the namespace; then the pod's label decides.",
        from_="monitoring/prometheus",
        to="",
    )
    world.namespace("monitoring", inject=False, **{"istio-injection": "abcdefgh"})
    labels = {"app": "prometheus", "sidecar.istio.io/inject": "true"}
    world.workload("monitoring", "prometheus", [9090], injected=False, labels=labels)
    world.workload("monitoring", "grafana", [3000], injected=False)
    ports = [("http-web", 9090, 9090)]
    world.service("monitoring", "prometheus", ports, {"app": "prometheus"})
    world.status()
    return world


def network_agent(world: Posted) -> None:
    image = "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.15.1"
    agents(world, "kube-system", "aws-node", image)


def agents(world: Posted, namespace: str, name: str, image: str) -> None:
    """A DaemonSet with a running pod on every node."""
    labels = {"k8s-app": name}
    container = o.container(name, image, [])
    own = {"hostNetwork": True, "containers": [container], "serviceAccountName": name}
    template = {"metadata": {"labels": labels}, "spec": own}
    count = len(NODES)
    world.config(
        "DaemonSet",
        namespace,
        name,
        {"selector": {"matchLabels": labels}, "template": template},
        labels=labels,
        status={"desiredNumberScheduled": count, "numberReady": count, "numberAvailable": count},
    )
    for node in NODES:
        spec = {"nodeName": node, **own}
        status = o.status("10.20.1.57", "10.20.1.57", [container], [])
        pod = f"{name}-{o.code(name + node, 5)}"
        world.config("Pod", namespace, pod, spec, labels=labels, status=status)
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": name, "controller": True}
        world.objects[-1]["metadata"]["ownerReferences"] = [owner]


POSTED_PODS = (
    cni_token_expired,
    namespace_label_of_another_value,
    network_policy_shuts_istiod_out,
    security_group_shuts_istiod_out,
)
