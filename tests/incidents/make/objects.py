"""How do the Kubernetes objects of an invented mesh look, as `kubectl get -o yaml` prints them?"""

import hashlib
import json
from typing import Any

Manifest = dict[str, Any]
VERSION = "1.30.3"
PROXY_IMAGE = f"docker.io/istio/proxyv2:{VERSION}"
STARTED = "2026-11-16T08:12:31Z"
_API = {
    "Service": "v1",
    "Namespace": "v1",
    "Node": "v1",
    "Pod": "v1",
    "Event": "v1",
    "Secret": "v1",
    "CertificateSigningRequest": "certificates.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "ConfigMap": "v1",
    "ServiceAccount": "v1",
    "ResourceQuota": "v1",
    "DaemonSet": "apps/v1",
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
    "Job": "batch/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "SecurityGroupPolicy": "vpcresources.k8s.aws/v1beta1",
    "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "AuthorizationPolicy": "security.istio.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "RequestAuthentication": "security.istio.io/v1",
    "DestinationRule": "networking.istio.io/v1",
    "Gateway": "networking.istio.io/v1",
    "ServiceEntry": "networking.istio.io/v1",
    "Sidecar": "networking.istio.io/v1",
    "VirtualService": "networking.istio.io/v1",
    "WorkloadEntry": "networking.istio.io/v1",
    "EnvoyFilter": "networking.istio.io/v1alpha3",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "ListenerSet": "gateway.networking.k8s.io/v1",
    "TLSRoute": "gateway.networking.k8s.io/v1alpha2",
}


def code(text: str, size: int, alphabet: str = "bcdfghjklmnpqrstvwxz2456789") -> str:
    """A name suffix as Kubernetes makes them, the same for the same text."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    out = ""
    for _ in range(size):
        number, digit = divmod(number, len(alphabet))
        out += alphabet[digit]
    return out


def make(
    kind: str,
    namespace: str,
    name: str,
    *,
    created: str = STARTED,
    by: str = "kubectl-client-side-apply",
    changed: str = "",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **body: Any,
) -> Manifest:
    """One object with its metadata; `changed` and `by` say who wrote it last."""
    api = _API[kind]
    metadata: Manifest = {"name": name, "creationTimestamp": created}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    metadata["uid"] = _uid(kind, namespace, name)
    metadata["resourceVersion"] = code(f"rv {kind} {namespace} {name}", 7, "123456789")
    metadata["managedFields"] = [
        {
            "manager": by,
            "operation": "Apply" if "argocd" in by else "Update",
            "apiVersion": api,
            "fieldsType": "FieldsV1",
            "time": changed or created,
        }
    ]
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def _uid(*parts: str) -> str:
    digits = hashlib.sha256("/".join(parts).encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"


def service(
    namespace: str, name: str, ports: list[tuple[str, int, int]], selector: dict[str, str], ip: str
) -> Manifest:
    return make(
        "Service",
        namespace,
        name,
        labels=selector,
        spec={
            "type": "ClusterIP",
            "clusterIP": ip,
            "clusterIPs": [ip],
            "ipFamilies": ["IPv4"],
            "selector": selector,
            "ports": [
                {"name": n, "port": p, "protocol": "TCP", "targetPort": t} for n, p, t in ports
            ],
        },
        status={"loadBalancer": {}},
    )


def slices(
    namespace: str, name: str, ports: list[tuple[str, int, int]], pods: list[Manifest]
) -> Manifest:
    """The EndpointSlice of a service over its pods."""
    return make(
        "EndpointSlice",
        namespace,
        f"{name}-{code(f'slice {namespace}/{name}', 5)}",
        labels={
            "kubernetes.io/service-name": name,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        },
        addressType="IPv4",
        endpoints=[
            {
                "addresses": [p["status"]["podIP"]],
                "conditions": {"ready": r, "serving": r, "terminating": False},
                "nodeName": p["spec"]["nodeName"],
                "targetRef": {
                    "kind": "Pod",
                    "name": p["metadata"]["name"],
                    "namespace": namespace,
                    "uid": p["metadata"]["uid"],
                },
            }
            for p in pods
            for r in (ready(p),)
        ],
        ports=[{"name": n, "port": t, "protocol": "TCP"} for n, _, t in ports],
    )


def ready(pod: Manifest) -> bool:
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def container(name: str, image: str, ports: list[int], probe: Manifest | None = None) -> Manifest:
    out: Manifest = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": p, "protocol": "TCP"} for p in ports],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    if probe:
        out["readinessProbe"] = probe
    return out


def proxy(workload: str, role: str = "sidecar") -> Manifest:
    """The istio-proxy container as the injection template writes it."""
    env = {
        "PILOT_CERT_PROVIDER": "istiod",
        "CA_ADDR": "istiod.istio-system.svc:15012",
        "ISTIO_META_CLUSTER_ID": "Kubernetes",
        "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
        "ISTIO_META_WORKLOAD_NAME": workload,
        "ISTIO_META_MESH_ID": "cluster.local",
        "TRUST_DOMAIN": "cluster.local",
    }
    return {
        "name": "istio-proxy",
        "image": PROXY_IMAGE,
        "args": ["proxy", role, "--domain", "$(POD_NAMESPACE).svc.cluster.local"],
        "env": [{"name": k, "value": v} for k, v in env.items()],
        "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
        "readinessProbe": {
            "httpGet": {"path": "/healthz/ready", "port": 15021, "scheme": "HTTP"},
            "failureThreshold": 4,
            "periodSeconds": 15,
            "timeoutSeconds": 3,
        },
        "resources": {
            "limits": {"cpu": "2", "memory": "1Gi"},
            "requests": {"cpu": "100m", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": 1337,
            "runAsNonRoot": True,
            "runAsUser": 1337,
        },
        "volumeMounts": [
            {"mountPath": "/var/run/secrets/istio", "name": "istiod-ca-cert"},
            {"mountPath": "/var/run/secrets/tokens", "name": "istio-token"},
        ],
    }


def init() -> Manifest:
    """The istio-init container, which redirects the pod's traffic."""
    args = ["istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT"]
    return {
        "name": "istio-init",
        "image": PROXY_IMAGE,
        "args": [*args, "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020"],
        "resources": {},
        "securityContext": {
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "privileged": False,
            "runAsGroup": 0,
            "runAsUser": 0,
        },
    }


VOLUMES = [
    {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}},
    {"name": "istio-data", "emptyDir": {}},
    {
        "name": "istio-token",
        "projected": {
            "sources": [
                {
                    "serviceAccountToken": {
                        "audience": "istio-ca",
                        "expirationSeconds": 43200,
                        "path": "istio-token",
                    }
                }
            ]
        },
    },
    {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}},
]


def status(ip: str, node_ip: str, containers: list[Manifest], init_: list[Manifest]) -> Manifest:
    """The status of a pod that runs and is ready."""
    types = ("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
    return {
        "phase": "Running",
        "hostIP": node_ip,
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": STARTED,
        "qosClass": "Burstable",
        "conditions": [{"type": t, "status": "True", "lastTransitionTime": STARTED} for t in types],
        "containerStatuses": [running(c) for c in containers],
        "initContainerStatuses": [completed(c) for c in init_],
    }


def running(of: Manifest, restarts: int = 0) -> Manifest:
    return {
        "name": of["name"],
        "image": of["image"],
        "ready": True,
        "started": True,
        "restartCount": restarts,
        "lastState": {},
        "state": {"running": {"startedAt": STARTED}},
    }


def completed(of: Manifest) -> Manifest:
    return {
        "name": of["name"],
        "image": of["image"],
        "ready": True,
        "started": False,
        "restartCount": 0,
        "lastState": {},
        "state": {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": STARTED}},
    }


def injection_status(revision: str = "default") -> str:
    names = ["istio-envoy", "istio-data", "istio-token", "istiod-ca-cert"]
    found = {"initContainers": ["istio-init"], "containers": ["istio-proxy"], "volumes": names}
    return json.dumps({**found, "imagePullSecrets": None, "revision": revision})
