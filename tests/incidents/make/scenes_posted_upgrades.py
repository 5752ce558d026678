"""Which incidents of releases that do not fit each other, and of proxies kept from their
configuration, are rebuilt from public reports?"""

from typing import Any

from tests.incidents.make.objects import Manifest
from tests.incidents.make.posted import Posted, access, sandbox, waiting
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.scenes_posted_pods import NEVER_READY, agents
from tests.incidents.make.world import NODES, Pod, at, whole

GROUP = "gateway.networking.k8s.io"
NOT_READY = "Readiness probe failed: HTTP probe failed with statuscode: 503"
REFUSES = "Envoy proxy is NOT ready: config received from XDS server, but was rejected: "
NO_KEY = (
    "Error adding/updating listener(s) virtualInbound: Provider 'origins-11' in jwt_authn config "
    "has invalid local jwks: Jwks doesn't have any valid public key"
)


def gateway_api_older_than_istiod() -> Posted:
    """istio/istio.io#17394."""
    world = Posted(
        name="gateway-api-older-than-istiod",
        version="1.30.0",
        apis={"Gateway": f"{GROUP}/v1"},
        summary="istiod 1.30 reads TLSRoute from Gateway API 1.5 on; the cluster has 1.4.",
        at_fault=[f"CustomResourceDefinition//tlsroutes.{GROUP}", "TLSRoute/shop/vault"],
        fix="Install the CRDs of Gateway API 1.5.",
        from_="",
        to="shop/vault:8200",
    )
    world.namespace("edge", inject=False)
    labels = {f"{GROUP}/gateway-name": "passthrough"}
    gateway = world.workload("edge", "passthrough-istio", [443], role="router", labels=labels)
    world.service("edge", "passthrough-istio", [("tls", 443, 443)], labels)
    done = [{"type": t, "status": "True", "reason": t} for t in ("Accepted", "Programmed")]
    listener: Manifest = {"name": "tls", "port": 443, "protocol": "TLS"}
    listener |= {"hostname": "vault.example.com", "tls": {"mode": "Passthrough"}}
    state = [{"name": "tls", "attachedRoutes": 0, "conditions": done}]
    world.config(
        "Gateway",
        "edge",
        "passthrough",
        {"gatewayClassName": "istio", "listeners": [listener]},
        status={"conditions": done, "listeners": state},
    )
    world.namespace("shop")
    world.workload("shop", "vault", [8200])
    world.service("shop", "vault", [("tls-api", 8200, 8200)])
    parent = {"name": "passthrough", "namespace": "edge"}
    rule = {"backendRefs": [{"name": "vault", "port": 8200}]}
    spec = {"parentRefs": [parent], "hostnames": ["vault.example.com"], "rules": [rule]}
    world.config("TLSRoute", "shop", "vault", spec)
    for kind in ("tlsroutes", "referencegrants"):
        old = f"CRD {kind}.{GROUP} version 1.4.1 is below minimum version 1.5.0, ignoring"
        world.log(world.istiod, "discovery", f"{at(90)}\tinfo\tkclient\t{old}")
    for minute in (30, 22, 14):
        line = access(
            at(minute),
            "- - -",
            0,
            "NR",
            "filter_chain_not_found",
            downstream=f"{gateway.ip}:443",
            peer="203.0.113.5:4110",
            sni="vault.example.com",
        )
        world.log(gateway, "istio-proxy", line)
    world.status()
    return world


def cni_configuration_outlives_istio_cni() -> Posted:
    """istio/istio.io#16748."""
    world = Posted(
        name="cni-configuration-outlives-istio-cni",
        version="1.24.2",
        summary="istio-cni is gone, and the nodes' CNI configuration still calls its plugin.",
        at_fault=[f"Node//{node}" for node in NODES],
        fix="Take istio-cni out of /etc/cni/net.d on every node.",
        from_="integration/adapters",
        to="",
    )
    world.namespace("integration")
    pod = world.workload("integration", "adapters", [8080])
    world.service("integration", "adapters", [("http", 80, 8080)])
    gone = {"deletionTimestamp": whole(10000), "deletionGracePeriodSeconds": 30}
    pod.manifest["metadata"] |= gone
    ended = {"exitCode": 0, "reason": "Completed", "finishedAt": whole(10000)}
    for name in ("adapters", "istio-proxy"):
        waiting(pod, name, {"state": {"terminated": ended}})
    plugin = (
        'plugin type=\\"istio-cni\\" name=\\"istio-cni\\" failed (delete): failed to find plugin'
    )
    world.event(
        "Pod",
        "integration",
        pod.name,
        "FailedKillPod",
        'error killing pod: failed to "KillPodSandbox" for "b3761d1f-41e9-4d24-9aaf" with '
        'KillPodSandboxError: "rpc error: code = Unknown desc = failed to destroy network for pod '
        f"sandbox k8s_{pod.name}_integration_0(0d63e3f7): error removing pod "
        f'integration_{pod.name} from CNI network \\"cbr0\\": {plugin} \\"istio-cni\\" in path '
        '[/opt/cni/bin]"',
    )
    other = world.workload("integration", "projects", [8080])
    world.service("integration", "projects", [("http", 80, 8080)])
    sandbox(other)
    world.event(
        "Pod",
        "integration",
        other.name,
        "FailedCreatePodSandBox",
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create pod "
        f"network sandbox k8s_{other.name}_integration_0(5ab7): error adding pod {other.name} to "
        'CNI network "cbr0": plugin type="istio-cni" name="istio-cni" failed (add): failed to find '
        'plugin "istio-cni" in path [/opt/cni/bin]',
    )
    world.status()
    return world


def injector_switched_off() -> Posted:
    """istio/istio#45990."""
    world = Posted(
        name="injector-switched-off",
        version="1.17.3",
        apis=BETA,
        summary="Without injection this release's istiod awaits its injector and is never Ready.",
        at_fault=["Deployment/istio-system/istiod"],
        fix="A later patch release.",
        from_="",
        to="",
    )
    for one in world.objects:
        if one["metadata"]["name"].startswith("istiod") and one["kind"] in ("Deployment", "Pod"):
            spec = one["spec"]["template"]["spec"] if one["kind"] == "Deployment" else one["spec"]
            spec["containers"][0]["env"] = [{"name": "INJECT_ENABLED", "value": "false"}]
    _waits(world, world.istiod, "discovery")
    for i in range(9):
        world.log(world.istiod, "discovery", f"{at(18 - i)}\twarn\tsidecar injector is not ready")
    gateway = world.gateway()
    _waits(world, gateway, "istio-proxy")
    refused = (
        '"transport: Error while dialing dial tcp 172.20.0.37:15012: connect: connection refused"'
    )
    for minute in (12, 9, 6):
        world.log(
            gateway,
            "istio-proxy",
            f"{at(minute)}\twarn\tsds\tfailed to warm certificate: failed to generate workload "
            "certificate: create certificate: rpc error: code = Unavailable desc = connection "
            f"error: desc = {refused}",
            f"{at(minute - 1)}\twarn\t{NEVER_READY.format('XDS server', 'Istiod')}",
        )
    return world


def issuer_without_a_public_key() -> Posted:
    """istio/istio#51489."""
    world = Posted(
        name="issuer-without-a-public-key",
        version="1.19.3",
        apis=BETA,
        summary="One issuer's keys are dead: the whole inbound listener is refused.",
        at_fault=["RequestAuthentication/shop/server"],
        fix="Take that issuer out of jwtRules.",
        from_="",
        to="shop/server:80",
    )
    world.mesh["defaultConfig"]["holdApplicationUntilProxyStarts"] = True
    world.namespace("shop")
    pod = world.workload("shop", "server", [8080])
    world.service("shop", "server", [("http", 80, 8080)])
    base = "https://idp-{}.example.com/realms/main"
    rules = [{"issuer": base.format(i), "jwksUri": f"{base.format(i)}/certs"} for i in range(13)]
    spec = {"selector": {"matchLabels": {"app": "server"}}, "jwtRules": rules}
    world.config("RequestAuthentication", "shop", "server", spec)
    pod.manifest["status"]["phase"] = "Pending"
    waiting(pod, "server", {"state": {"waiting": {"reason": "PodInitializing"}}})
    again = "back-off 5m0s restarting failed container=istio-proxy"
    ended = {"exitCode": 255, "reason": "Error", "startedAt": whole(9), "finishedAt": whole(4)}
    state: dict[str, Any] = {"waiting": {"reason": "CrashLoopBackOff", "message": again}}
    last = {"terminated": ended}
    waiting(pod, "istio-proxy", {"restartCount": 34, "state": state, "lastState": last})
    kind = "type.googleapis.com/envoy.config.listener.v3.Listener"
    counts = "cds updates: 1 successful, 0 rejected; lds updates: 0 successful, 1 rejected"
    for minute in (9, 8):
        world.log(
            pod,
            "istio-proxy",
            f"{at(minute)}\twarning\tenvoy config\tgRPC config for {kind} rejected: {NO_KEY}",
            f"{at(minute)}\twarn\t{REFUSES}{counts}",
        )
        said = f"ADS:LDS: ACK ERROR {pod.name}.shop-41 Internal:{NO_KEY}"
        world.log(world.istiod, "discovery", f"{at(minute)}\twarn\tads\t{said}")
    world.event("Pod", "shop", pod.name, "Unhealthy", NOT_READY)
    world.status()
    return world


def policy_names_the_port_of_the_dns_service() -> Posted:
    """istio/istio#14736."""
    name = "allow-egress-to-istio-system-and-kube-dns"
    world = Posted(
        name="policy-names-the-port-of-the-dns-service",
        version="1.6.8",
        apis=BETA,
        summary="The NetworkPolicy allows UDP 53; behind the Service CoreDNS listens on 8053.",
        at_fault=[f"NetworkPolicy/shop/{name}"],
        fix="Allow port 8053.",
        from_="",
        to="shop/sleep:80",
    )
    world.namespace("kube-system", inject=False)
    labels = {"k8s-app": "kube-dns"}
    image = "registry.example/coredns:1.3.1"
    world.workload("kube-system", "coredns", [8053], injected=False, labels=labels, image=image)
    world.service("kube-system", "kube-dns", [("dns", 53, 8053)], labels)
    world.namespace("shop")
    pod = world.workload("shop", "sleep", [80])
    world.service("shop", "sleep", [("http", 80, 80)])
    egress = [
        {"to": [_space("kube-system")], "ports": [{"protocol": "UDP", "port": 53}]},
        {"to": [_space("istio-system")]},
    ]
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress}
    world.config("NetworkPolicy", "shop", name, spec)
    _waits(world, pod, "istio-proxy")
    lookup = "dial tcp: lookup istiod.istio-system.svc on 172.20.0.10:53: read udp"
    for minute in (20, 16, 12):
        world.log(
            pod,
            "istio-proxy",
            f"{at(minute)}\terror\tcitadelclient\tFailed to create certificate: rpc error: code = "
            f'Unavailable desc = connection error: desc = "transport: Error while dialing {lookup} '
            f'{pod.ip}:44183->172.20.0.10:53: i/o timeout"',
            f"{at(minute - 1)}\tinfo\t{NEVER_READY.format('Pilot', 'Pilot')}",
        )
    return world


def service_account_made_anew() -> Posted:
    """istio/istio#42158."""
    world = Posted(
        name="service-account-made-anew",
        version="1.15.2",
        apis=BETA,
        summary="The account was deleted and made again; the pod's token names the former one.",
        at_fault=["ServiceAccount/shop/web"],
        fix="Restart the pods.",
        from_="",
        to="shop/web:80",
    )
    world.namespace("shop")
    pod = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    _waits(world, pod, "istio-proxy")
    for minute in (20, 14, 8):
        world.log(
            world.istiod,
            "discovery",
            f"{at(minute)}\terror\tads\tFailed to authenticate client from {pod.ip}:46968: "
            "Authenticator ClientCertAuthenticator: no verified chain is found; Authenticator "
            'KubeJWTAuthenticator: failed to validate the JWT from cluster "Kubernetes": the '
            "service account authentication returns an error: [invalid bearer token, "
            "ServiceAccount UID (3b719c50-2356) does not match claim (01b10893-6b6e)]",
        )
        world.log(
            pod,
            "istio-proxy",
            f"{at(minute)}\twarn\tsds\tfailed to warm certificate: failed to generate workload "
            "certificate: create certificate: rpc error: code = Unauthenticated desc = request "
            "authenticate failure",
            f"{at(minute - 1)}\twarn\t{NEVER_READY.format('XDS server', 'Istiod')}",
        )
    world.status("middle")
    return world


def node_of_another_name() -> Posted:
    """kubernetes/kubernetes#80579."""
    world = Posted(
        name="node-of-another-name",
        version="1.8.4",
        apis=BETA,
        summary="The VPC has a DNS domain of its own, and kube-proxy looks for nodes of that name.",
        at_fault=["DaemonSet/kube-system/kube-proxy"],
        fix="--hostname-override with the Node's name.",
        from_="",
        to="istio-system/istio-ingressgateway:80",
    )
    world.namespace("kube-system", inject=False)
    image = "602401143452.dkr.ecr.eu-west-1.amazonaws.com/eks/kube-proxy:v1.18.8-eksbuild.1"
    agents(world, "kube-system", "kube-proxy", image)
    for one in world.objects:
        if one["kind"] == "Pod" and one["metadata"]["name"].startswith("kube-proxy"):
            host = one["spec"]["nodeName"].partition(".")[0] + ".corp.example.com"
            world.files[f"logs/kube-system_{one['metadata']['name']}_kube-proxy.log"] = "".join(
                f"E1119 23:0{i}:12.120193       1 node.go:125] Failed to retrieve node info: nodes "
                f'"{host}" not found\n'
                for i in range(5)
            )
    gateway = world.gateway()
    world.change("Service", "istio-system", "istio-ingressgateway", _local)
    world.log(gateway, "istio-proxy", f"{at(300)}\tinfo\tEnvoy proxy is ready")
    world.status("middle")
    return world


def _local(one: Manifest) -> None:
    one["spec"] |= {"externalTrafficPolicy": "Local", "healthCheckNodePort": 31877}
    kind = {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"}
    one["metadata"].setdefault("annotations", {}).update(kind)


def _space(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _waits(world: Posted, pod: Pod, container: str) -> None:
    """The container runs and does not get ready."""
    running = {"running": {"startedAt": whole(25)}}
    waiting(pod, container, {"started": True, "state": running})
    world.event("Pod", pod.namespace, pod.name, "Unhealthy", NOT_READY)


POSTED_UPGRADES = (
    cni_configuration_outlives_istio_cni,
    gateway_api_older_than_istiod,
    injector_switched_off,
    issuer_without_a_public_key,
    node_of_another_name,
    policy_names_the_port_of_the_dns_service,
    service_account_made_anew,
)
