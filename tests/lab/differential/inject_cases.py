"""Which namespaces and pods are drawn to ask whether a sidecar would come?

A case is a namespace with its labels and quotas, and some pods to be made in it. The webhooks and
the injector's ConfigMap are those of its round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.lab.api import Object
from tests.lab.differential.dice import Dice

SIZE = 12
"""Cases of a round: they share webhooks and configuration."""
PODS = 5
TAG, GONE = "prod", "gone"
CONFIG = "proxy.istio.io/config"
STATUS_PORT = "status.sidecar.istio.io/port"
INJECT, REVISION = "sidecar.istio.io/inject", "istio.io/rev"
IGNORED = "kube-public"
"""A namespace that istiod never injects into."""

NAMESPACE_WORDS = {"enabled": 75, "disabled": 10, "true": 6, "Enabled": 3, "": 6}
POD_WORDS = {
    "true": 44,
    "false": 14,
    **dict.fromkeys(("True", "FALSE", "yes", "no", "on", "off", "y", "n", "enabled", ""), 4),
}
REVISIONS = {"default": 45, TAG: 35, GONE: 20}
ANNOTATIONS: dict[str, tuple[str, ...]] = {
    "sidecar.istio.io/interceptionMode": ("REDIRECT", "TPROXY", "NONE", "redirect", ""),
    STATUS_PORT: ("0", "15021", "65536", "-1", "http", "", " 15020 ", "007"),
    "readiness.status.sidecar.istio.io/initialDelaySeconds": ("0", "1", "-1", "1s", "4294967296"),
    "readiness.status.sidecar.istio.io/failureThreshold": ("30", "+3", "", "1e3"),
    "traffic.sidecar.istio.io/includeOutboundIPRanges": (
        *("*", "", "10.0.0.0/8", "10.0.0.0", "10.0.0.0/8, 172.16.0.0/12", "10.0.0.0/8,"),
        *("10.0.0.1/33", "fd00::/8", "10.0.0.0/08", "a/b"),
    ),
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": ("*", "", "169.254.169.254/32", "1.2.3.4"),
    "traffic.sidecar.istio.io/includeInboundPorts": ("*", "", "8080", "8080,", "80-90", "8080, 90"),
    "traffic.sidecar.istio.io/excludeInboundPorts": ("*", "", "8080", "8080;9090", "http", " "),
    "traffic.sidecar.istio.io/excludeOutboundPorts": ("443", "443,5432", "*", "70000", "443,,80"),
    "traffic.sidecar.istio.io/includeOutboundPorts": ("443", "x"),
    "prometheus.istio.io/merge-metrics": ("true", "false", "yes", "1", "T", ""),
    CONFIG: (
        *("", "{}", "null", "- a", "a: b: c", "text", "noSuchField: 1", "concurrency: 2"),
        *("concurrency: -1", "concurrency: two", "concurrency: '2'", "concurrency: 2.5"),
        *("holdApplicationUntilProxyStarts: true", "holdApplicationUntilProxyStarts: 'true'"),
        *("hold_application_until_proxy_starts: 1", "tracing: {sampling: 200}"),
        *("tracing: {sampling: all}", "tracing: {zipkin: {address: z}}", "tracing: {zipkin: {}}"),
        *("tracing: {zipkin: {address: 'z:9411'}}", "tracing: {customTags: {a: {literal: {}}}}"),
        *("tracing: {zipkin: {address: '$(HOST_IP):9411'}}", "tracing: {customTags: {a: x}}"),
        *("drainDuration: 5s", "drainDuration: 5", "drainDuration: 1m30s", "drainDuration: 0s"),
        *("drainDuration: 1500ms", "drainDuration: -5s", "terminationDrainDuration: 1ms"),
        *("terminationDrainDuration: 5 s", "terminationDrainDuration: '0'", "meshId: 7"),
        *("proxyMetadata: {A: b}", "proxyMetadata: {A: 1}", "proxyMetadata: {A: true}"),
        *("proxyMetadata: {A: 'true'}", "proxyMetadata: [A]", "proxyMetadata: {A: null}"),
        *("statusPort: 15020", "statusPort: 0", "statusPort: '15020'", "statusPort: 70000"),
        *("proxyAdminPort: 15000", "proxyAdminPort: 0", "discoveryAddress: istiod:15012"),
        *("discoveryAddress: istiod", "discoveryAddress: 10.0.0.1:15012", "discoveryAddress: ''"),
        *("discoveryAddress: 'istiod:https'", "discoveryAddress: 'is_tiod:1'", "configPath: ''"),
        *("interceptionMode: TPROXY", "interceptionMode: none", "interceptionMode: 1"),
        *("extraStatTags: [a]", "extraStatTags: a", "extraStatTags: [1]", "image: distroless"),
        *("image: {imageType: distroless}", "proxyStatsMatcher: {inclusionPrefixes: [a]}"),
        *("proxyStatsMatcher: {inclusionPrefixes: a}", "gatewayTopology: {numTrustedProxies: 1}"),
        *("gatewayTopology: {numTrustedProxies: -1}", "runtimeValues: {a: 1}"),
        *("gatewayTopology: {forwardClientCertDetails: sanitize}", "serviceCluster: ''"),
        *("envoyAccessLogService: {address: als}", "envoyAccessLogService: {address: 'als:1'}"),
        *("tracingServiceName: CANONICAL_NAME_ONLY", "tracingServiceName: x", "statNameLength: x"),
        *("readinessProbe: {periodSeconds: 1}", "readinessProbe: {httpGet: {path: /}}"),
        *("caCertificatesPem: []", "controlPlaneAuthPolicy: MUTUAL_TLS", "concurrency: yes"),
        *("privateKeyProvider: {}", "privateKeyProvider: {cryptomb: {pollDelay: 1ms}}"),
        *("privateKeyProvider: {qat: {}}", "tracing: {lightstep: {address: 'a:1'}}"),
        *("fileFlushInterval: 1s", "statsCompression: gzip", "proxyHeaders: {server: {value: 1}}"),
        "proxyHeaders: {server: {disabled: true}}",
        "connectionSettings: {httpIdleTimeout: -1s}",
        "connectionSettings: {httpIdleTimeout: 1}",
    ),
    "inject.istio.io/templates": ("sidecar", "gateway", "sidecar,custom", "none", " sidecar", ""),
    "sidecar.istio.io/proxyCPU": ("100m", "0.1", "1", "x", "", "3", "1e2m", " 1", "-1"),
    "sidecar.istio.io/proxyCPULimit": ("2", "50m", "lots", "0"),
    "sidecar.istio.io/proxyMemory": ("128Mi", "1G", "128 Mi", "128MB", "4Gi"),
    "sidecar.istio.io/proxyMemoryLimit": ("1Gi", "64Mi", "1gi"),
    "sidecar.istio.io/proxyImage": ("example.test/proxyv2:1", ""),
    "sidecar.istio.io/nativeSidecar": ("true", "false", "x"),
    "sidecar.istio.io/logLevel": ("debug", "loud"),
    "sidecar.istio.io/statsInclusionPrefixes": ("a,b",),
    "sidecar.istio.io/rewriteAppHTTPProbers": ("false", "no"),
    "sidecar.istio.io/userVolume": ('[{"name":"v","emptyDir":{}}]', "{", ""),
    "sidecar.istio.io/userVolumeMount": ("[]", "x"),
    "sidecar.istio.io/bootstrapOverride": ("none",),
    "sidecar.istio.io/controlPlaneAuthPolicy": ("MUTUAL_TLS",),
    "sidecar.istio.io/discoveryAddress": ("istiod:15012",),
    "sidecar.istio.io/status": ("{}", "not json", '{"initContainers":["istio-init"]}'),
    "istio.io/reroute-virtual-interfaces": ("eth1", "*"),
    "traffic.sidecar.istio.io/kubevirtInterfaces": ("net1", "a b"),
    "traffic.sidecar.istio.io/excludeInterfaces": ("net1", "a/b"),
    "k8s.v1.cni.cncf.io/networks": ("a",),
}
NEVER = {"matchLabels": {"role": "batch"}}
ALWAYS = {"matchExpressions": [{"key": "wanted", "operator": "Exists"}]}


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all cases of a round share."""

    webhooks: str
    policy: str
    never: tuple[Object, ...]
    always: tuple[Object, ...]


@dataclass(frozen=True, kw_only=True)
class InjectCase:
    """One namespace, and the pods asked about."""

    seed: int
    index: int
    namespace: str
    labels: dict[str, str]
    objects: tuple[Object, ...]
    pods: tuple[Object, ...]

    @property
    def name(self) -> str:
        """What `--case` takes."""
        return f"{self.seed}:{self.index}"


WEBHOOKS = ("installed", "tagged", "by-default", "tag-is-default")


def around(seed: int, number: int) -> Surroundings:
    """Webhooks and ConfigMap of a round."""
    dice = Dice("inject-round", seed, number)
    return Surroundings(
        webhooks=WEBHOOKS[number % len(WEBHOOKS)],
        policy=dice.weighted({"enabled": 70, "disabled": 25, "sometimes": 5}),
        never=tuple(x for x in (NEVER, {}) if dice.chance(40)),
        always=tuple(x for x in (ALWAYS, {}) if dice.chance(40)),
    )


def draw(seed: int, index: int) -> InjectCase:
    """One case."""
    dice = Dice("inject", seed, index)
    place = index % SIZE
    ignored = place == 0 and dice.chance(50)
    namespace = IGNORED if ignored else f"dif-inject-{place}"
    labels = {} if ignored else _namespace_labels(dice)
    return InjectCase(
        seed=seed,
        index=index,
        namespace=namespace,
        labels=labels,
        objects=() if ignored else tuple(_bounds(dice, namespace)),
        pods=tuple(_pod(dice, namespace, number) for number in range(PODS)),
    )


def _namespace_labels(dice: Dice) -> dict[str, str]:
    labels: dict[str, str] = {}
    if dice.chance(65):
        labels["istio-injection"] = dice.weighted(NAMESPACE_WORDS)
    if dice.chance(40):
        labels[REVISION] = dice.weighted(REVISIONS)
    if dice.chance(20):
        level = dice.one(("privileged", "baseline", "restricted"))
        labels["pod-security.kubernetes.io/enforce"] = level
    return labels


def _bounds(dice: Dice, namespace: str) -> list[Object]:
    """LimitRange and ResourceQuota of a namespace, seldom."""
    found: list[Object] = []
    here = {"name": "bounds", "namespace": namespace}
    if dice.chance(12):
        limit = dice.one(
            (
                {"type": "Container", "max": {"cpu": "500m"}},
                {"type": "Container", "min": {"memory": "256Mi"}},
                {"type": "Container", "max": {"cpu": "4", "memory": "2Gi"}},
                {"type": "Pod", "max": {"cpu": "1"}},
                {"type": "Container", "maxLimitRequestRatio": {"cpu": "4"}},
                {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1m"}},
            )
        )
        spec = {"limits": [limit]}
        found.append({"apiVersion": "v1", "kind": "LimitRange", "metadata": here, "spec": spec})
    if dice.chance(10):
        hard = dice.one(({"limits.cpu": "1"}, {"requests.cpu": "10"}, {"pods": "50"}))
        spec_ = {"hard": hard}
        found.append({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": here, "spec": spec_})
    return found


def _pod(dice: Dice, namespace: str, number: int) -> Object:
    labels = {"app": "asked"}
    annotations: dict[str, str] = {}
    if dice.chance(35):
        labels[INJECT] = dice.weighted(POD_WORDS)
    if dice.chance(20):
        annotations[INJECT] = dice.weighted(POD_WORDS)
    if dice.chance(25):
        labels[REVISION] = dice.weighted(REVISIONS)
    if dice.chance(20):
        labels["role"] = dice.one(("batch", "web"))
    if dice.chance(20):
        labels["wanted"] = dice.one(("", "yes"))
    if dice.chance(45):
        for name in dice.some(sorted(ANNOTATIONS), 2):
            annotations[name] = dice.one(ANNOTATIONS[name])
        if dice.chance(20):
            annotations[STATUS_PORT] = dice.one(ANNOTATIONS[STATUS_PORT])
        if dice.chance(30):
            annotations[CONFIG] = dice.one(ANNOTATIONS[CONFIG])
    spec: Object = {
        "containers": [_container(dice)],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000},
    }
    if dice.chance(8):
        spec["hostNetwork"] = True
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"asked-{number}",
            "namespace": namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
    }


def _container(dice: Dice) -> Object:
    """Fit for the strictest Pod Security level, and within every LimitRange that is drawn."""
    container: Object = {
        "name": "app",
        "image": "lab/app:1",
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "200m", "memory": "256Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if dice.chance(40):
        kind = dice.one(("readinessProbe", "livenessProbe", "startupProbe"))
        container[kind] = dice.one(
            (
                {"httpGet": {"path": "/", "port": 8080}},
                {"tcpSocket": {"port": 8080}},
                {"grpc": {"port": 8080}},
                {"exec": {"command": ["true"]}},
            )
        )
    if dice.chance(8):
        container["lifecycle"] = {
            dice.one(("postStart", "preStop")): dice.one(
                ({"httpGet": {"path": "/", "port": 8080}}, {"exec": {"command": ["true"]}})
            )
        }
    return container


def without_injection(pod: Object) -> Object:
    """The same pod, that no webhook is asked about."""
    metadata = {**pod["metadata"], "labels": {**pod["metadata"]["labels"], INJECT: "false"}}
    return {**pod, "metadata": metadata}


def every(seed: int, indexes: Sequence[int]) -> list[InjectCase]:
    """The cases of these numbers."""
    return [draw(seed, index) for index in indexes]
