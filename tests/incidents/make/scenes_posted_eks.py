"""Which incidents of Amazon EKS, and of what runs beside the mesh there, are rebuilt from public
reports?"""

import json
from datetime import timedelta
from typing import Any

from tests.incidents.make import objects as o
from tests.incidents.make.objects import Manifest
from tests.incidents.make.posted import Posted, waiting
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.scenes_posted_pods import NEVER_READY, agents
from tests.incidents.make.world import NOW, Pod, at, whole

IMAGES = "602401143452.dkr.ecr.eu-west-1.amazonaws.com"
BACK_OFF = "back-off 5m0s restarting failed container={}"
NOT_READY = "Readiness probe failed: HTTP probe failed with statuscode: 503"
COREFILE = """.:53 {
    errors
    health
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      upstream
      fallthrough in-addr.arpa ip6.arpa
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}
"""


def corefile_of_an_older_release() -> Posted:
    """aws/containers-roadmap#1115."""
    world = Posted(
        name="corefile-of-an-older-release",
        version="1.7.3",
        apis=BETA,
        summary="CoreDNS 1.7.0 does not start with `upstream` in its Corefile: no cluster DNS.",
        at_fault=["ConfigMap/kube-system/coredns"],
        fix="Remove the line upstream from the Corefile, then restart CoreDNS.",
        from_="shop/web",
        to="",
    )
    _vpc_cni(world)
    dns = _coredns(world, "v1.7.0-eksbuild.1")
    _crash(dns, "coredns")
    parsing = "/etc/coredns/Corefile:6 - Error during parsing: unknown property 'upstream'"
    world.log(dns, "coredns", f"plugin/kubernetes: {parsing}")
    world.event("Pod", "kube-system", dns.name, "BackOff", BACK_OFF.format("coredns"))
    world.namespace("shop")
    pod = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    waiting(pod, "istio-proxy", {"started": True})
    pod.manifest["status"]["startTime"] = whole(50)
    lookup = "dial tcp: lookup istiod.istio-system.svc on 172.20.0.10:53: read udp"
    for i in range(3):
        world.log(
            pod,
            "istio-proxy",
            f"{at(40 - i * 5)}\twarn\tsds\tfailed to warm certificate: failed to generate workload "
            "certificate: create certificate: rpc error: code = Unavailable desc = "
            f'"transport: Error while dialing {lookup} {pod.ip}:4463->172.20.0.10:53: i/o timeout"',
            f"{at(39 - i * 5)}\twarn\t{NEVER_READY.format('XDS server', 'Istiod')}",
        )
    world.event("Pod", "shop", pod.name, "Unhealthy", NOT_READY)
    return world


def branch_interface_without_pod_identity() -> Posted:
    """aws/amazon-vpc-cni-k8s#2797."""
    world = Posted(
        name="branch-interface-without-pod-identity",
        version="1.21.2",
        apis=BETA,
        summary="Strict mode sends calls to the node's own Pod Identity agent out of the node.",
        at_fault=["SecurityGroupPolicy/store/database-clients", "DaemonSet/kube-system/aws-node"],
        fix="POD_SECURITY_GROUP_ENFORCING_MODE=standard, or IRSA.",
        from_="store/orders",
        to="",
    )
    _vpc_cni(world, ENABLE_POD_ENI="true", POD_SECURITY_GROUP_ENFORCING_MODE="strict")
    image = f"{IMAGES}/eks/eks-pod-identity-agent:v0.1.6"
    agents(world, "kube-system", "eks-pod-identity-agent", image)
    world.namespace("store")
    world.workload("store", "catalogue", [8080])
    pod = world.workload("store", "orders", [8080])
    world.service("store", "orders", [("http", 80, 8080)])
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
    _crash(pod, "orders")
    world.log(
        pod,
        "orders",
        "software.amazon.awssdk.core.exception.SdkClientException: Unable to load credentials from "
        "any of the providers in the chain: ContainerCredentialsProvider(): Failed to load "
        "credentials from metadata service. Connect to 169.254.170.23:80 failed: connect timed out",
    )
    world.log(pod, "istio-proxy", f"{at(60)}\tinfo\tReadiness succeeded in 1.2s")
    world.event("Pod", "store", pod.name, "BackOff", BACK_OFF.format("orders"))
    world.status()
    return world


def balancer_webhook_without_endpoints() -> Posted:
    """aws/eks-charts#1058, kubernetes-sigs/aws-load-balancer-controller#4140."""
    controller = "aws-load-balancer-controller"
    world = Posted(
        name="balancer-webhook-without-endpoints",
        version="1.20.2",
        apis=BETA,
        summary="The load balancer controller crashes, and its webhook must be asked about pods.",
        at_fault=[
            "MutatingWebhookConfiguration//aws-load-balancer-webhook",
            f"Deployment/kube-system/{controller}",
        ],
        fix="Give the controller its VPC (IMDS hop limit, or --aws-vpc-id).",
        from_="shop/web",
        to="",
    )
    _vpc_cni(world)
    world.namespace("kube-system", inject=False)
    labels = {"app.kubernetes.io/name": controller}
    pod = world.workload("kube-system", controller, [9443], injected=False, labels=labels)
    service = "aws-load-balancer-webhook-service"
    world.service("kube-system", service, [("webhook", 443, 9443)], labels)
    _crash(pod, controller)
    said = "failed to introspect vpcID from EC2Metadata or Node name"
    world.log(pod, controller, f'{{"level":"error","msg":"unable to initialize: {said}"}}')
    world.event("Pod", "kube-system", pod.name, "BackOff", BACK_OFF.format(controller))
    world.objects.append(_asked_about_pods(service))
    gates: dict[str, Any] = {"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"}
    world.namespace("shop", **gates)
    world.workload("shop", "catalogue", [8080])
    refused = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    world.refuse(
        refused,
        'Internal error occurred: failed calling webhook "mpod.elbv2.k8s.aws": failed to call '
        f'webhook: Post "https://{service}.kube-system.svc:443/mutate-v1-pod?timeout=10s": no '
        f'endpoints available for service "{service}"',
    )
    world.status()
    return world


def cilium_masquerades_probes() -> Posted:
    """istio/istio#52208."""
    world = Posted(
        name="cilium-masquerades-probes",
        version="1.22.3",
        summary="Cilium's BPF masquerading loses the answers to probes of ambient pods.",
        at_fault=["ConfigMap/kube-system/cilium-config"],
        fix="bpf.masquerade=false in Cilium's values.",
        from_="gitea/web",
        to="",
    )
    world.namespace("kube-system", inject=False)
    agents(world, "kube-system", "cilium", "quay.io/cilium/cilium:v1.15.7")
    settings = {"cni-exclusive": "false", "enable-bpf-masquerade": "true"}
    world.objects.append(o.make("ConfigMap", "kube-system", "cilium-config", data=settings))
    image = "docker.io/istio/{}:1.22.3"
    agents(world, "istio-system", "istio-cni-node", image.format("install-cni"))
    agents(world, "istio-system", "ztunnel", image.format("ztunnel"))
    for one in world.objects:
        if one["metadata"]["name"].startswith("ztunnel"):
            spec = one["spec"].get("template", one)["spec"]
            spec["containers"][0].update(name="istio-proxy", args=["proxy", "ztunnel"])
    world.namespace("gitea", inject=False, **{"istio.io/dataplane-mode": "ambient"})
    probe = {"httpGet": {"path": "/health", "port": 8080}}
    notes = {"ambient.istio.io/redirection": "enabled"}
    pod = world.workload("gitea", "web", [8080], injected=False, probe=probe, annotations=notes)
    world.service("gitea", "web", [("http", 80, 8080)])
    waiting(pod, "web", {"started": True})
    timeout = f'Get "http://{pod.ip}:8080/health": dial tcp {pod.ip}:8080: i/o timeout'
    world.event("Pod", "gitea", pod.name, "Unhealthy", f"Readiness probe failed: {timeout}")
    return world


def _vpc_cni(world: Posted, **env: str) -> None:
    agents(world, "kube-system", "aws-node", f"{IMAGES}/amazon-k8s-cni:v1.18.1")
    for one in world.objects:
        if one["kind"] == "DaemonSet" and one["metadata"]["name"] == "aws-node":
            container = one["spec"]["template"]["spec"]["containers"][0]
            container["env"] = [{"name": k, "value": v} for k, v in env.items()]


def _coredns(world: Posted, tag: str) -> Pod:
    world.namespace("kube-system", inject=False)
    labels = {"k8s-app": "kube-dns", "eks.amazonaws.com/component": "coredns"}
    probe = {"httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"}}
    image = f"{IMAGES}/eks/coredns:{tag}"
    pod = world.workload(
        "kube-system", "coredns", [53], injected=False, labels=labels, image=image, probe=probe
    )
    ports = [("dns-tcp", 53, 53)]
    world.service("kube-system", "kube-dns", ports, {"k8s-app": "kube-dns"})
    data = {"Corefile": COREFILE}
    world.objects.append(o.make("ConfigMap", "kube-system", "coredns", data=data))
    return pod


def _crash(pod: Pod, container: str) -> None:
    message = BACK_OFF.format(container)
    ended = {"exitCode": 1, "reason": "Error", "startedAt": whole(4), "finishedAt": whole(4)}
    state: dict[str, Any] = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    last = {"terminated": ended}
    waiting(pod, container, {"restartCount": 8, "state": state, "lastState": last})


def _asked_about_pods(service: str) -> Manifest:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    gates = {"key": "elbv2.k8s.aws/pod-readiness-gate-inject", "operator": "In"}
    one = {
        "name": "mpod.elbv2.k8s.aws",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"name": service, "namespace": "kube-system", "port": 443}},
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchExpressions": [{**gates, "values": ["enabled"]}]},
        "rules": [{**rule, "resources": ["pods"], "scope": "*"}],
        "sideEffects": "None",
    }
    return o.make("MutatingWebhookConfiguration", "", "aws-load-balancer-webhook", webhooks=[one])


def two_groups_carry_the_clusters_tag() -> Posted:
    """kubernetes-sigs/aws-load-balancer-controller#1897."""
    world = Posted(
        name="two-groups-carry-the-clusters-tag",
        version="1.9.1",
        apis=BETA,
        summary="Two security groups of a node carry the cluster's tag: no port is opened.",
        at_fault=["Service/istio-system/istio-ingressgateway"],
        fix="Take the tag off one of the groups.",
        from_="",
        to="istio-system/istio-ingressgateway",
    )
    _vpc_cni(world)
    name = "aws-load-balancer-controller"
    image = f"{IMAGES}/amazon/{name}:v2.1.3"
    pod = world.workload(
        "kube-system", name, [9443], injected=False, image=image, container="controller"
    )
    world.gateway()
    annotations = {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip"}
    world.change(
        "Service",
        "istio-system",
        "istio-ingressgateway",
        lambda one: one["metadata"].update(annotations=annotations),
    )
    for minute in (9, 6, 3):
        said = {
            "level": "error",
            "ts": (NOW - timedelta(minutes=minute)).timestamp(),
            "logger": "controller",
            "msg": "Reconciler error",
            "reconcilerKind": "TargetGroupBinding",
            "controller": "targetGroupBinding",
            "name": "k8s-istiosys-istioing-737679f196",
            "namespace": "istio-system",
            "error": "expect exactly one securityGroup tagged with kubernetes.io/cluster/eks-1 "
            "for eni eni-0036, got: [sg-0255 sg-0dd9]",
        }
        world.log(pod, "controller", json.dumps(said))
    world.status("middle")
    return world


def balancer_checks_the_root_path() -> Posted:
    """kubernetes-sigs/aws-load-balancer-controller#1284."""
    world = Posted(
        name="balancer-checks-the-root-path",
        version="1.14.3",
        apis=BETA,
        summary="The ALB checks / by address, and the gateway knows no such host: it answers 404.",
        at_fault=["Ingress/istio-system/alb"],
        fix="Check /healthz/ready on the node port of 15021.",
        from_="",
        to="istio-system/istio-ingressgateway",
    )
    _vpc_cni(world)
    world.gateway()
    backend = {"service": {"name": "istio-ingressgateway", "port": {"number": 80}}}
    path = {"path": "/*", "pathType": "ImplementationSpecific", "backend": backend}
    address = {"hostname": "k8s-istiosys-alb-1.eu-west-1.elb.amazonaws.com"}
    world.objects.append(
        o.make(
            "Ingress",
            "istio-system",
            "alb",
            annotations={
                "kubernetes.io/ingress.class": "alb",
                "alb.ingress.kubernetes.io/scheme": "internet-facing",
            },
            spec={"rules": [{"http": {"paths": [path]}}]},
            status={"loadBalancer": {"ingress": [address]}},
        )
    )
    world.change("Service", "istio-system", "istio-ingressgateway", _node_ports)
    world.namespace("shop")
    world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    world.config(
        "Gateway", "shop", "web", {"selector": {"istio": "ingressgateway"}, "servers": [server]}
    )
    route = {"destination": {"host": "web", "port": {"number": 80}}}
    world.config(
        "VirtualService",
        "shop",
        "web",
        {"hosts": ["shop.example.com"], "gateways": ["web"], "http": [{"route": [route]}]},
    )
    world.status("wide")
    return world


def _node_ports(service: Manifest) -> None:
    service["spec"]["type"] = "NodePort"
    service["status"] = {"loadBalancer": {}}
    for number, port in enumerate(service["spec"]["ports"]):
        port["nodePort"] = 30080 + number


POSTED_EKS = (
    balancer_checks_the_root_path,
    balancer_webhook_without_endpoints,
    branch_interface_without_pod_identity,
    cilium_masquerades_probes,
    corefile_of_an_older_release,
    two_groups_carry_the_clusters_tag,
)
