"""Which incidents of istiod and of what it injects are rebuilt from public reports?"""

from datetime import timedelta
from typing import Any

from tests.incidents.make import objects as o
from tests.incidents.make.objects import Manifest
from tests.incidents.make.pki import Authority, b64
from tests.incidents.make.posted import Posted, waiting
from tests.incidents.make.scenes_posted import ALPHA, BETA
from tests.incidents.make.world import NOW, Pod, at, whole

NATIVE = {"name": "ENABLE_NATIVE_SIDECARS", "value": "true"}
UNDONE = "Forbidden: may not be set for init containers without restartPolicy=Always"
TERMINAL = (
    "Error adding/updating listener(s) 0.0.0.0_8443: Error: terminal filter named "
    "envoy.filters.network.tcp_proxy of type envoy.filters.network.tcp_proxy must be the last "
    "filter in a network filter chain."
)
NOT_READY = "Readiness probe failed: HTTP probe failed with statuscode: 503"
READS = ("config.istio.io", "networking.istio.io", "security.istio.io", "authentication.istio.io")
PORTS = [
    ("grpc-xds", 15010, 15010),
    ("https-dns", 15012, 15012),
    ("https-webhook", 443, 15017),
    ("http-monitoring", 15014, 15014),
]


def other_webhook_undoes_native_sidecar() -> Posted:
    """DataDog/datadog-operator#1116, istio/istio#49054."""
    world = Posted(
        name="other-webhook-undoes-native-sidecar",
        version="1.20.1",
        apis=BETA,
        summary="Datadog's webhook drops restartPolicy of the native sidecar: the pod is invalid.",
        at_fault=["MutatingWebhookConfiguration//datadog-webhook"],
        fix="Upgrade the Datadog cluster agent, or keep its webhook from these pods.",
        from_="shop/server",
        to="",
    )
    world.istiod.manifest["spec"]["containers"][0]["env"] = [NATIVE]
    world.namespace("datadog", inject=False)
    world.workload("datadog", "cluster-agent", [8000], injected=False)
    world.service("datadog", "admission", [("admission", 443, 8000)], {"app": "cluster-agent"})
    world.objects.append(_webhook("datadog-webhook", "datadog", "admission"))
    world.namespace("shop")
    _native(world.workload("shop", "catalogue", [8080]))
    labels = {"app": "server", "admission.datadoghq.com/enabled": "true"}
    pod = world.workload("shop", "server", [8080], labels=labels)
    world.service("shop", "server", [("http", 80, 8080)])
    world.service("shop", "catalogue", [("http", 80, 8080)])
    fields = ("readinessProbe", "startupProbe")
    said = ", ".join(f"spec.initContainers[1].{field}: {UNDONE}" for field in fields)
    world.refuse(pod, f'Pod "{pod.name}" is invalid: [{said}]')
    world.status()
    return world


def newer_revision_took_permissions() -> Posted:
    """istio/istio#29364."""
    world = Posted(
        name="newer-revision-took-permissions",
        version="1.6.14",
        apis=ALPHA,
        summary="Installing revision 1-7-4 rewrote the ClusterRole that the older istiod needs.",
        at_fault=["ClusterRole//istiod-istio-system"],
        fix="Give the role rbac.istio.io back, or move on to the newer revision.",
        from_="",
        to="",
    )
    account = "istiod-service-account"
    world.istiod.manifest["spec"]["serviceAccountName"] = account
    labels = {"app": "istiod", "istio": "istiod", "istio.io/rev": "1-7-4"}
    world.workload(
        "istio-system",
        "istiod-1-7-4",
        [15010, 15012, 15014, 15017],
        injected=False,
        labels=labels,
        image="docker.io/istio/pilot:1.7.4",
        container="discovery",
        account=account,
    )
    world.service("istio-system", "istiod-1-7-4", PORTS, labels)
    verbs = ["get", "list", "watch"]
    rules = [{"apiGroups": [group], "resources": ["*"], "verbs": verbs} for group in READS]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole"}
    name = "istiod-istio-system"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "istio-system"}
    world.objects += [
        o.make("ClusterRole", "", name, changed=whole(90), rules=rules),
        o.make(
            "ClusterRoleBinding",
            "",
            "istiod-pilot-istio-system",
            roleRef={**role, "name": name},
            subjects=[subject],
        ),
    ]
    world.namespace("shop")
    world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    waiting(world.istiod, "discovery", {"started": True})
    world.event("Pod", "istio-system", world.istiod.name, "Unhealthy", NOT_READY)
    user = f'User "system:serviceaccount:istio-system:{account}"'
    for i in range(4):
        for kind in ("rbacconfigs", "serviceroles"):
            world.log(
                world.istiod,
                "discovery",
                f"{at(20 - i * 4)}\terror\tk8s.io/client-go@v0.18.0/tools/cache/reflector.go:125: "
                f"Failed to list *crd.IstioRbacV1Alpha1{kind.title()}: {kind}.rbac.istio.io is "
                f'forbidden: {user} cannot list resource "{kind}" in API group "rbac.istio.io" '
                "at the cluster scope",
            )
    return world


def filter_behind_the_last() -> Posted:
    """istio/istio#50658."""
    world = Posted(
        name="filter-behind-the-last",
        version="1.13.5",
        apis=BETA,
        summary="An EnvoyFilter puts a filter behind tcp_proxy, and the gateway takes no listener.",
        at_fault=["EnvoyFilter/istio-system/tcp-access"],
        fix="INSERT_BEFORE envoy.filters.network.tcp_proxy.",
        from_="istio-system/istio-ingressgateway",
        to="",
    )
    gateway = world.gateway()
    world.namespace("db")
    world.workload("db", "mysql", [3306])
    world.service("db", "mysql", [("tcp", 3306, 3306)])
    tls = {"port": {"number": 443, "name": "tls", "protocol": "TLS"}, "hosts": ["*.example.com"]}
    server = {**tls, "tls": {"mode": "PASSTHROUGH"}}
    selector = {"istio": "ingressgateway"}
    world.config("Gateway", "db", "mysql", {"selector": selector, "servers": [server]})
    match = [{"port": 443, "sniHosts": ["*.example.com"]}]
    route = [{"destination": {"host": "mysql", "port": {"number": 3306}}}]
    hosts = {"hosts": ["*.example.com"], "gateways": ["mysql"]}
    tls_routes = [{"match": match, "route": route}]
    world.config("VirtualService", "db", "mysql", {**hosts, "tls": tls_routes})
    last = {"filterChain": {"filter": {"name": "envoy.filters.network.tcp_proxy"}}}
    behind = {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "GATEWAY", "listener": {"portNumber": 8443, **last}},
        "patch": {"operation": "INSERT_AFTER", "value": {"name": "envoy.filters.network.rbac"}},
    }
    stats = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "SIDECAR_OUTBOUND", "proxy": {"proxyVersion": "^1\\.13.*"}},
        "patch": {"operation": "INSERT_BEFORE", "value": {"name": "istio.stats"}},
    }
    _filter(world, "tcp-access", behind, workloadSelector={"labels": selector})
    _filter(world, "stats-filter-1.13", stats)
    waiting(gateway, "istio-proxy", {"started": True})
    world.event("Pod", "istio-system", gateway.name, "Unhealthy", NOT_READY)
    for i in range(4):
        world.log(
            world.istiod,
            "discovery",
            f"{at(21 - i * 5)}\twarn\tads\tADS:LDS: ACK ERROR {gateway.name}.istio-system-4 "
            f"Internal:{TERMINAL}",
        )
    world.status_overrides[gateway.name] = {"LDS": "STALE"}
    world.status()
    return world


def validation_webhook_left_behind() -> Posted:
    """istio/istio#36526."""
    world = Posted(
        name="validation-webhook-left-behind",
        version="1.12.4",
        apis=BETA,
        summary="An upgrade left a validation webhook behind whose Service istiod-old is gone.",
        at_fault=["ValidatingWebhookConfiguration//istiod-old"],
        fix="Delete it: the new istiod has its own.",
        from_="",
        to="",
    )
    world.namespace("flux-system", inject=False)
    world.namespace("shop")
    world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    service = {"name": "istiod-old", "namespace": "istio-system", "port": 443}
    rule = {"apiGroups": ["networking.istio.io"], "apiVersions": ["*"], "resources": ["*"]}
    old = {
        "name": "validation.istio.io",
        "clientConfig": {"service": service},
        "failurePolicy": "Fail",
        "rules": [{**rule, "operations": ["CREATE", "UPDATE"]}],
        "sideEffects": "None",
    }
    world.objects.append(o.make("ValidatingWebhookConfiguration", "", "istiod-old", webhooks=[old]))
    world.event(
        "Kustomization",
        "flux-system",
        "shop",
        "ReconciliationFailed",
        "VirtualService/shop/web dry-run failed, reason: InternalError, error: Internal error "
        'occurred: failed calling webhook "validation.istio.io": failed to call webhook: Post '
        '"https://istiod-old.istio-system.svc:443/validate?timeout=10s": service "istiod-old" '
        "not found",
    )
    return world


def plugged_in_ca_without_its_chain() -> Posted:
    """istio/istio#46855."""
    world = Posted(
        name="plugged-in-ca-without-its-chain",
        version="1.18.2",
        apis=BETA,
        summary="The certificates in cacerts do not lead to its root: istiod makes no CA and ends.",
        at_fault=["Secret/istio-system/cacerts"],
        fix="Put the intermediate certificates into cert-chain.pem, the true root into its key.",
        from_="",
        to="",
    )
    files = {"ca-cert.pem": world.root.pem, "cert-chain.pem": world.root.pem}
    other = Authority("corp", NOW - timedelta(days=300), 10)
    data = {key: b64(text) for key, text in (files | {"root-cert.pem": other.pem}).items()}
    secret = o.make("Secret", "istio-system", "cacerts", type="Opaque", changed=whole(60))
    world.objects.append({**secret, "data": {**data, "ca-key.pem": "W3JlZGFjdGVkXQ=="}})
    world.namespace("shop")
    world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    again = "back-off 5m0s restarting failed container=discovery"
    waiting(
        world.istiod,
        "discovery",
        {
            "restartCount": 6,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": again}},
            "lastState": {"terminated": {"exitCode": 255, "finishedAt": whole(4)}},
        },
    )
    world.event("Pod", "istio-system", world.istiod.name, "BackOff", again)
    said = (
        "failed to create discovery service: failed to create CA: failed to create an istiod CA: "
        "failed to create CA KeyCertBundle (cannot verify the cert with the provided root chain "
        "and cert pool with error: x509: certificate signed by unknown authority)"
    )
    start = f"{at(4.1)}\tinfo\tUse local CA certificate"
    world.log(world.istiod, "discovery", start, f"{at(4)}\terror\t{said}", f"Error: {said}")
    return world


def balancer_before_cluster_ip() -> Posted:
    """kubernetes-sigs/aws-load-balancer-controller#1695."""
    world = Posted(
        name="balancer-before-cluster-ip",
        version="1.12.1",
        apis=BETA,
        summary="The ALB targets instances, and the gateway's Service has no node port.",
        at_fault=["Ingress/istio-system/public", "Service/istio-system/istio-ingressgateway"],
        fix="A Service of type NodePort, or alb.ingress.kubernetes.io/target-type: ip.",
        from_="",
        to="istio-system/istio-ingressgateway:80",
    )
    world.gateway()
    name = "istio-ingressgateway"
    world.change("Service", "istio-system", name, lambda s: s["spec"].update(type="ClusterIP"))
    world.change("Service", "istio-system", name, lambda s: s.update(status={}))
    backend = {"service": {"name": name, "port": {"number": 80}}}
    spec = {"ingressClassName": "alb", "defaultBackend": backend}
    world.config("Ingress", "istio-system", "public", spec, status={"loadBalancer": {}})
    world.event(
        "Ingress",
        "istio-system",
        "public",
        "FailedDeployModel",
        "Failed deploy model due to InvalidParameter: 1 validation error(s) found. - minimum "
        "field value of 1, CreateTargetGroupInput.Port.",
    )
    world.status()
    return world


def _webhook(name: str, namespace: str, service: str) -> Manifest:
    """One that changes the pods that ask for it, again after others did."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    one = {
        "name": "datadog.webhook.config",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"name": service, "namespace": namespace, "port": 443}},
        "failurePolicy": "Ignore",
        "objectSelector": {"matchLabels": {"admission.datadoghq.com/enabled": "true"}},
        "reinvocationPolicy": "IfNeeded",
        "rules": [{**rule, "resources": ["pods"], "scope": "*"}],
        "sideEffects": "None",
    }
    return o.make("MutatingWebhookConfiguration", "", name, by="cluster-agent", webhooks=[one])


def _native(pod: Pod) -> None:
    """istio-proxy as an init container that stays."""
    for held, into in (
        (pod.manifest["spec"], ("containers", "initContainers")),
        (pod.manifest["status"], ("containerStatuses", "initContainerStatuses")),
    ):
        proxy = next(c for c in held[into[0]] if c["name"] == "istio-proxy")
        held[into[0]].remove(proxy)
        held[into[1]].append(proxy)
    pod.manifest["spec"]["initContainers"][-1]["restartPolicy"] = "Always"


def _filter(world: Posted, name: str, patch: dict[str, Any], **more: Any) -> None:
    spec = {**more, "configPatches": [patch]}
    world.config("EnvoyFilter", "istio-system", name, spec, changed=whole(60))


POSTED_CONTROL = (
    balancer_before_cluster_ip,
    filter_behind_the_last,
    newer_revision_took_permissions,
    other_webhook_undoes_native_sidecar,
    plugged_in_ca_without_its_chain,
    validation_webhook_left_behind,
)
