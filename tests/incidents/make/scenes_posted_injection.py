"""Which incidents of pods that injection or redirection leaves out are rebuilt from reports?"""

import json

from tests.incidents.make import objects as o
from tests.incidents.make.objects import Manifest
from tests.incidents.make.posted import Posted, access, sandbox, waiting
from tests.incidents.make.scenes_posted import ALPHA, BETA
from tests.incidents.make.scenes_posted_pods import agents
from tests.incidents.make.world import Pod, at, whole

UNASKED = (
    'Internal error occurred: failed calling webhook "namespace.sidecar-injector.istio.io": '
    'failed to call webhook: Post "https://istiod.istio-system.svc:443/inject/cluster/cluster2/'
    'net/network1?timeout=10s": unsupported service type "ExternalName"'
)
OS = "kubernetes.io/os"
CHECKED = "Error connecting to 127.0.0.6:15002: dial tcp 127.0.0.1:0->127.0.0.6:15002: connect"


def service_istiod_is_an_external_name() -> Posted:
    """istio/istio#45014."""
    world = Posted(
        name="service-istiod-is-an-external-name",
        version="1.16.4",
        apis=BETA,
        summary="The remote cluster's Service istiod is of type ExternalName: nobody calls those.",
        at_fault=["Service/istio-system/istiod"],
        fix="remotePilotAddress as an IP address, or the webhook's url.",
        from_="",
        to="sample/helloworld:5000",
    )
    world.pods.remove(world.istiod)
    world.services.clear()
    world.objects = [
        one for one in world.objects if not one["metadata"]["name"].startswith("istiod")
    ]
    world.namespace("sample")
    pod = world.workload("sample", "helloworld", [5000])
    world.service("sample", "helloworld", [("http", 5000, 5000)])
    world.refuse(pod, UNASKED)
    ports = [
        {"name": "tcp-istiod", "port": 15012, "protocol": "TCP"},
        {"name": "tcp-webhook", "port": 443, "protocol": "TCP"},
    ]
    host = "a1b2c3-1234.ap-southeast-1.elb.amazonaws.com"
    spec = {"type": "ExternalName", "externalName": host, "ports": ports}
    world.config("Service", "istio-system", "istiod", spec, status={"loadBalancer": {}})
    return world


def nothing_has_multus_call_istio_cni() -> Posted:
    """istio/istio#48734, #22913."""
    world = Posted(
        name="nothing-has-multus-call-istio-cni",
        version="1.19.0",
        apis=BETA,
        summary="istio-cni waits for multus, and the injector thinks that it is chained.",
        at_fault=["ConfigMap/istio-system/istio-sidecar-injector"],
        fix="istio_cni.chained: false for istiod, then delete the pods.",
        from_="",
        to="core/api:80",
    )
    values = {"istio_cni": {"chained": True, "enabled": True}}
    config = {"policy": "enabled", "templates": {"sidecar": "", "gateway": ""}}
    told = {"config": json.dumps(config), "values": json.dumps(values)}
    world.objects.append(o.make("ConfigMap", "istio-system", "istio-sidecar-injector", data=told))
    agents(world, "kube-system", "istio-cni-node", "docker.io/istio/install-cni:1.19.0")
    unchained = {"name": "CHAINED_CNI_PLUGIN", "value": "false"}
    for one in world.objects:
        if one["metadata"]["name"].startswith("istio-cni-node") and one["kind"] == "Pod":
            one["spec"]["containers"][0]["env"] = [unchained]
    world.namespace("core")
    pod = world.workload("core", "api", [8080])
    world.service("core", "api", [("http", 80, 8080)])
    _validated(pod)
    for minute in (12, 11, 10):
        world.log(pod, "istio-validation", f"{at(minute)}\terror\t{CHECKED}: connection refused")
    world.log(pod, "istio-validation", f"{at(7)}\terror\tvalidation timeout")
    world.event("Pod", "core", pod.name, "BackOff", "Back-off restarting failed container")
    return world


def proxy_and_application_of_one_user() -> Posted:
    """istio/istio#52614."""
    world = Posted(
        name="proxy-and-application-of-one-user",
        version="1.22.1",
        summary="OpenShift gave an istio-proxy of the template the application's own user.",
        at_fault=["Deployment/ns/sleep"],
        fix="Leave the istio-proxy container out of the template, or give it a user of its own.",
        from_="ns/sleep",
        to="ns/httpbin:8000",
    )
    world.namespace("ns")
    world.config("PeerAuthentication", "istio-system", "default", {"mtls": {"mode": "STRICT"}})
    client = world.workload("ns", "sleep", [80])
    server = world.workload("ns", "httpbin", [8080])
    world.service("ns", "sleep", [("http", 80, 80)])
    world.service("ns", "httpbin", [("http", 8000, 8080)])
    _users(client, 1000700000, 1000700000)
    _users(server, 1000700000, 1000700001)
    for i in range(3):
        peer = f"{client.ip}:4{i}110"
        refused = access(
            at(9 - i),
            "- - -",
            0,
            "NR",
            "filter_chain_not_found",
            agent="-",
            downstream=f"{server.ip}:8080",
            peer=peer,
        )
        world.log(server, "istio-proxy", refused)
    world.status()
    return world


def binding_of_the_former_account() -> Posted:
    """istio/istio#17583."""
    world = Posted(
        name="binding-of-the-former-account",
        version="1.10.3",
        apis=BETA,
        summary="istio-cni runs in kube-system, and its binding names the account elsewhere.",
        at_fault=["ClusterRoleBinding//istio-cni"],
        fix="Name the account of kube-system in the binding.",
        from_="",
        to="shop/web:80",
    )
    world.namespace("kube-system", inject=False)
    agents(world, "kube-system", "istio-cni-node", "docker.io/istio/install-cni:1.10.3")
    account = {"kind": "ServiceAccount", "name": "istio-cni", "namespace": "istio-system"}
    group = "rbac.authorization.k8s.io"
    role = {"apiGroup": group, "kind": "ClusterRole", "name": "istio-cni"}
    binding = o.make("ClusterRoleBinding", "", "istio-cni", roleRef=role, subjects=[account])
    world.objects.append(binding)
    world.namespace("shop")
    pod = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    sandbox(pod)
    told = (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network "
        'for sandbox "71f03c": plugin type="istio-cni" name="istio-cni" failed (add): pods '
        f'"{pod.name}" is forbidden: User "system:serviceaccount:kube-system:istio-cni" cannot get '
        'resource "pods" in API group "" in the namespace "shop"'
    )
    world.event("Pod", "shop", pod.name, "FailedCreatePodSandBox", told)
    return world


def windows_pod_with_a_sidecar() -> Posted:
    """istio/istio#39788, #27893."""
    world = Posted(
        name="windows-pod-with-a-sidecar",
        version="1.13.5",
        apis=BETA,
        summary="The namespace is injected and its pods run on Windows: the image is for Linux.",
        at_fault=["Deployment/win/iis"],
        fix="sidecar.istio.io/inject: false.",
        from_="",
        to="win/iis:80",
    )
    world.namespace("win")
    pod = world.workload("win", "iis", [80], image="mcr.example/iis")
    world.service("win", "iis", [("http", 80, 80)])
    node = pod.manifest["spec"]["nodeName"]
    world.change("Node", "", node, lambda n: n["metadata"]["labels"].update({OS: "windows"}))
    why = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    sandbox(pod)
    waiting(pod, "istio-init", {"state": {"waiting": why}}, init=True)
    said = "no matching manifest for windows/amd64 10.0.17763 in the manifest list entries"
    world.event("Pod", "win", pod.name, "Failed", f'Failed to pull image "proxyv2": {said}')
    return world


def secret_that_citadel_never_wrote() -> Posted:
    """istio/istio#18840, #7174, #22855."""
    world = Posted(
        name="secret-that-citadel-never-wrote",
        version="1.3.4",
        apis=ALPHA,
        summary="Citadel is not installed, and injected pods mount the Secrets that it writes.",
        at_fault=["Secret/shop/istio.default", "Deployment/shop/web"],
        fix="Install Citadel.",
        from_="",
        to="shop/web:80",
    )
    world.namespace("shop")
    pod = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    sandbox(pod)
    for said in (
        'MountVolume.SetUp failed for volume "istio-certs" : secret "istio.default" not found',
        "Unable to mount volumes for pod. list of unmounted volumes=[istio-certs]. "
        "list of unattached volumes=[istio-envoy istio-certs]",
    ):
        world.event("Pod", "shop", pod.name, "FailedMount", said)
    return world


def _users(pod: Pod, application: int, proxy: int) -> None:
    """As which user the containers run, and what istio-init was told of that."""
    spec = pod.manifest["spec"]
    for one in spec["containers"]:
        user = proxy if one["name"] == "istio-proxy" else application
        one["securityContext"] = {**one.get("securityContext", {}), "runAsUser": user}
    init = spec["initContainers"][0]
    init["args"] = [str(proxy) if x == "1337" else x for x in init["args"]]


def _validated(pod: Pod) -> None:
    """A pod whose istio-validation found no redirection."""
    spec, status = pod.manifest["spec"], pod.manifest["status"]
    for one in (*spec["initContainers"], *status["initContainerStatuses"]):
        one["name"] = "istio-validation"
    spec["initContainers"][0]["args"] += ["--run-validation", "--skip-rule-apply"]
    ended = {"exitCode": 126, "reason": "Error", "startedAt": whole(12), "finishedAt": whole(7)}
    again: Manifest = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {"restartCount": 6, "state": again, "lastState": {"terminated": ended}}
    waiting(pod, "istio-validation", last, init=True)
    status["phase"] = "Pending"
    for one in status["containerStatuses"]:
        state = {"waiting": {"reason": "PodInitializing"}}
        one.update({"ready": False, "started": False, "state": state})


POSTED_INJECTION = (
    binding_of_the_former_account,
    nothing_has_multus_call_istio_cni,
    proxy_and_application_of_one_user,
    secret_that_citadel_never_wrote,
    service_istiod_is_an_external_name,
    windows_pod_with_a_sidecar,
)
