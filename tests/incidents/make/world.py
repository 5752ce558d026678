"""What does an invented mesh hold? Builds objects, logs and istioctl outputs; writes a bundle."""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from tests.incidents.make import objects as o
from tests.incidents.make.objects import Manifest
from tests.incidents.make.pki import Authority, b64

NOW = datetime(2026, 11, 20, 3, 40, tzinfo=UTC)
NODES = ("ip-10-20-1-57.eu-west-1.compute.internal", "ip-10-20-2-201.eu-west-1.compute.internal")
MESH = {
    "accessLogFile": "/dev/stdout",
    "defaultConfig": {"discoveryAddress": "istiod.istio-system.svc:15012"},
    "enablePrometheusMerge": True,
    "rootNamespace": "istio-system",
    "trustDomain": "cluster.local",
}


def at(minutes: float) -> str:
    """RFC 3339 text of a moment so many minutes before the bundle was recorded."""
    return (NOW - timedelta(minutes=minutes)).isoformat(timespec="milliseconds")[:-6] + "Z"


def whole(minutes: float) -> str:
    """The same in whole seconds, as the API server writes times."""
    return (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Pod:
    """A pod of the invented mesh, as log lines and endpoints name it."""

    namespace: str
    name: str
    workload: str
    ip: str
    account: str
    manifest: Manifest
    injected: bool
    role: str = "sidecar"


@dataclass
class World:
    name: str
    summary: str
    at_fault: list[str]
    healthy: bool = False
    fix: str = ""
    from_: str = "orders/checkout"
    to: str = "payments/ledger:8080"
    request: dict[str, Any] = field(default_factory=dict)
    root: Authority = field(default_factory=lambda: Authority("mesh", _day(2026, 1, 12), 10))
    objects: list[Manifest] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)
    services: list[tuple[str, str, list[tuple[str, int, int]], dict[str, str]]] = field(
        default_factory=list
    )
    mesh: dict[str, Any] = field(default_factory=lambda: deepcopy(MESH))
    connected: bool = True
    secrets_root: Authority | None = None
    status_overrides: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for i, node in enumerate(NODES):
            self.objects.append(_node(node, f"10.20.{i + 1}.{57 if i == 0 else 201}"))
        self.namespace("istio-system", inject=False)
        self.istiod = self.workload(
            "istio-system",
            "istiod",
            [15010, 15012, 15014, 15017],
            injected=False,
            labels={"app": "istiod", "istio": "pilot", "istio.io/rev": "default"},
            image=f"docker.io/istio/pilot:{o.VERSION}",
            container="discovery",
        )
        self.service(
            "istio-system",
            "istiod",
            [
                ("grpc-xds", 15010, 15010),
                ("https-dns", 15012, 15012),
                ("https-webhook", 443, 15017),
                ("http-monitoring", 15014, 15014),
            ],
            {"app": "istiod", "istio": "pilot"},
        )

    def namespace(self, name: str, *, inject: bool = True, **labels: str) -> None:
        found = {"kubernetes.io/metadata.name": name, **labels}
        if inject:
            found["istio-injection"] = "enabled"
        self.objects.append(
            o.make("Namespace", "", name, labels=found, spec={}, status={"phase": "Active"})
        )

    def workload(
        self,
        namespace: str,
        name: str,
        ports: list[int],
        *,
        injected: bool = True,
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        image: str = "",
        container: str = "",
        probe: Manifest | None = None,
        account: str = "",
        role: str = "sidecar",
    ) -> Pod:
        """A Deployment with its ReplicaSet, ServiceAccount and one running pod."""
        template = labels or {"app": name}
        number = len(self.pods)
        replica = f"{name}-{o.code(f'rs {namespace}/{name}', 10)}"
        pod_name = f"{replica}-{o.code(f'pod {namespace}/{name}', 5)}"
        ip = f"10.42.{number % 2}.{11 + number * 3}"
        app = o.container(
            container or name, image or f"registry.example/{name}:2.4.1", ports, probe
        )
        containers = [app, o.proxy(name, role)] if injected and role == "sidecar" else [app]
        inits = [o.init()] if injected and role == "sidecar" else []
        if role == "router":
            containers = [o.proxy(name, role)]
        own = dict(template)
        notes = dict(annotations or {})
        if injected:
            own |= {
                "security.istio.io/tlsMode": "istio",
                "service.istio.io/canonical-name": name,
                "service.istio.io/canonical-revision": "latest",
            }
            notes |= {"sidecar.istio.io/status": o.injection_status(), "istio.io/rev": "default"}
        spec: Manifest = {
            "serviceAccountName": account or name,
            "serviceAccount": account or name,
            "nodeName": NODES[number % 2],
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "containers": containers,
        }
        if inits:
            spec["initContainers"] = inits
        if injected:
            spec["volumes"] = o.VOLUMES
        manifest = o.make(
            "Pod",
            namespace,
            pod_name,
            by="kube-controller-manager",
            labels={**own, "pod-template-hash": replica.rpartition("-")[2]},
            annotations=notes,
            spec=spec,
            status=o.status(ip, f"10.20.{number % 2 + 1}.57", containers, inits),
        )
        manifest["metadata"]["generateName"] = f"{replica}-"
        manifest["metadata"]["ownerReferences"] = [_owner("apps/v1", "ReplicaSet", replica)]
        pod = Pod(namespace, pod_name, name, ip, account or name, manifest, injected, role)
        self.pods.append(pod)
        self._controllers(pod, replica, template, dict(annotations or {}), app, role)
        return pod

    def _controllers(
        self,
        pod: Pod,
        replica: str,
        labels: dict[str, str],
        notes: dict[str, str],
        app: Manifest,
        role: str,
    ) -> None:
        template = {
            "metadata": {"labels": labels, **({"annotations": notes} if notes else {})},
            "spec": {
                "serviceAccountName": pod.account,
                "containers": [{**app, "image": "auto"} if role == "router" else app],
            },
        }
        counts = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}
        deployment = o.make(
            "Deployment",
            pod.namespace,
            pod.workload,
            labels=labels,
            by="argocd-controller",
            spec={"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
            status={**counts, "observedGeneration": 1, "updatedReplicas": 1},
        )
        owned = o.make(
            "ReplicaSet",
            pod.namespace,
            replica,
            labels=labels,
            by="kube-controller-manager",
            spec={"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
            status=counts,
        )
        owned["metadata"]["ownerReferences"] = [_owner("apps/v1", "Deployment", pod.workload)]
        account = o.make("ServiceAccount", pod.namespace, pod.account)
        self.objects += [account, deployment, owned, pod.manifest]

    def service(
        self,
        namespace: str,
        name: str,
        ports: list[tuple[str, int, int]],
        selector: dict[str, str] | None = None,
    ) -> None:
        self.services.append((namespace, name, ports, selector or {"app": name}))

    def config(self, kind: str, namespace: str, name: str, spec: Any, **more: Any) -> None:
        """An object with a spec: an Istio one, mostly."""
        self.objects.append(o.make(kind, namespace, name, spec=spec, **more))

    def log(self, pod: Pod, container: str, *lines: str) -> None:
        key = f"logs/{pod.namespace}_{pod.name}_{container}.log"
        self.files[key] = self.files.get(key, "") + "".join(line + "\n" for line in lines)

    def write(self, folder: Path) -> None:
        """The bundle and its truth, byte for byte the same every time."""
        self._finish()
        settings: dict[str, Any] = {"observed_at": whole(0)}
        if self.from_:
            settings["from"] = self.from_
        if self.to:
            settings["to"] = self.to
        if self.request:
            settings["request"] = self.request
        truth = {
            "objects": self.at_fault,
            "healthy": self.healthy,
            "summary": self.summary,
            "fix": self.fix,
        }
        self.files["bundle.yaml"] = yaml.safe_dump(settings, sort_keys=False)
        self.files["truth.yaml"] = yaml.safe_dump(truth, sort_keys=False, width=100)
        self.files["objects.yaml"] = yaml.dump_all(
            self.objects, Dumper=_Dumper, sort_keys=False, width=120
        )
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _finish(self) -> None:
        cluster_ip = 20
        for namespace, name, ports, selector in self.services:
            cluster_ip += 17
            ip = f"172.20.{cluster_ip // 250}.{cluster_ip % 250}"
            self.objects.append(o.service(namespace, name, ports, selector, ip))
            pods = [
                p.manifest
                for p in self.pods
                if p.namespace == namespace
                and selector.items() <= p.manifest["metadata"]["labels"].items()
                and p.manifest["status"].get("podIP")
            ]
            self.objects.append(o.slices(namespace, name, ports, pods))
        spaces = [x["metadata"]["name"] for x in self.objects if x["kind"] == "Namespace"]
        for space in spaces:
            self.objects.append(_root_map(space, self.root.pem))
        self.objects += [
            o.make(
                "ConfigMap",
                "istio-system",
                "istio",
                labels={"istio.io/rev": "default", "release": "istio"},
                data={
                    "mesh": yaml.safe_dump(self.mesh, sort_keys=False),
                    "meshNetworks": "networks: {}\n",
                },
            ),
            _injector(self.root),
            _validator(self.root),
        ]
        self._outputs()

    def _outputs(self) -> None:
        """What a full recording adds to the objects: istioctl's answers, metrics and logs."""
        proxies = [p for p in self.pods if p.injected and o.ready(p.manifest)]
        if self.connected:
            self.files["istioctl/proxy-status.txt"] = _proxy_status(
                proxies, self.istiod.name, self.status_overrides
            )
        for pod in proxies:
            path = f"istioctl/proxy-config-secret_{pod.name}.{pod.namespace}.json"
            self.files.setdefault(path, self._secret(pod))
        for pod in proxies:
            path = f"istioctl/proxy-config-endpoint_{pod.name}.{pod.namespace}.json"
            self.files.setdefault(path, self._endpoints())
        path = f"metrics/istio-system_{self.istiod.name}.prom"
        self.files[path] = self.files.get(path, "") + _istiod_metrics(len(proxies))
        self.files.setdefault(
            f"logs/istio-system_{self.istiod.name}_discovery.log",
            f"{at(55)}\tinfo\tads\tPush debounce stable[31] 1 for config Service: "
            "100.2ms since last change, 100.2ms since last push, full=true\n",
        )
        for pod in proxies:
            key = f"logs/{pod.namespace}_{pod.name}_istio-proxy.log"
            self.files.setdefault(key, "")
        for pod in self.pods:
            for container in pod.manifest["spec"]["containers"]:
                name = container["name"]
                if name not in ("istio-proxy", "discovery"):
                    key = f"logs/{pod.namespace}_{pod.name}_{name}.log"
                    self.files.setdefault(key, f"{at(5000)} INFO {name} is up\n")

    def _endpoints(self) -> str:
        """What every proxy holds of every service: each ready pod, healthy."""
        shown = []
        for namespace, name, ports, selector in self.services:
            pods = [
                p
                for p in self.pods
                if p.namespace == namespace
                and selector.items() <= p.manifest["metadata"]["labels"].items()
            ]
            for _, port, target in ports:
                cluster = f"outbound|{port}||{name}.{namespace}.svc.cluster.local"
                hosts = [_host(p.ip, target) for p in pods if o.ready(p.manifest)]
                shown.append({"name": cluster, "addedViaApi": True, "hostStatuses": hosts})
        return json.dumps(shown, indent=1) + "\n"

    def _secret(self, pod: Pod) -> str:
        root = self.secrets_root or self.root
        identity = f"spiffe://cluster.local/ns/{pod.namespace}/sa/{pod.account}"
        issued = NOW - timedelta(hours=7, minutes=11)
        leaf = root.leaf(identity, min(issued, root.not_after - timedelta(hours=24)))
        chain = {"inlineBytes": b64(leaf + root.pem)}
        shown = [
            _shown("default", {"tlsCertificate": {"certificateChain": chain}}),
            _shown("ROOTCA", {"validationContext": {"trustedCa": {"inlineBytes": b64(root.pem)}}}),
        ]
        return json.dumps({"dynamicActiveSecrets": shown}, indent=1) + "\n"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 9, 30, tzinfo=UTC)


def _host(ip: str, port: int) -> Manifest:
    return {
        "address": {"socketAddress": {"address": ip, "portValue": port}},
        "healthStatus": {"edsHealthStatus": "HEALTHY"},
        "weight": 1,
    }


def _istiod_metrics(proxies: int) -> str:
    """What an istiod with nothing to do says of its pushes."""
    pushes = 31 * max(proxies, 1)
    bounds = ("0.1", "0.5", "1", "3", "5", "10", "20", "30", "+Inf")
    lines = []
    for name in ("pilot_proxy_convergence_time", "pilot_proxy_queue_time"):
        lines.append(f"# TYPE {name} histogram")
        lines += [f'{name}_bucket{{le="{bound}"}} {pushes}' for bound in bounds]
        lines += [f"{name}_sum {pushes * 0.0012:.4f}", f"{name}_count {pushes}"]
    return "\n".join(
        [
            *lines,
            "# TYPE pilot_debounce_time histogram",
            *(f'pilot_debounce_time_bucket{{le="{b}"}} 31' for b in bounds[2:]),
            "pilot_debounce_time_sum 4.91",
            "pilot_debounce_time_count 31",
            "# TYPE pilot_inbound_updates counter",
            'pilot_inbound_updates{type="config"} 44',
            'pilot_inbound_updates{type="eds"} 58',
            'pilot_inbound_updates{type="svc"} 9',
            "# TYPE pilot_push_triggers counter",
            f'pilot_push_triggers{{type="config"}} {pushes}',
            "# TYPE process_start_time_seconds gauge",
            "process_start_time_seconds 1.794816751e+09",
            "",
        ]
    )


def _shown(name: str, secret: Manifest) -> Manifest:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    return {
        "name": name,
        "lastUpdated": at(431),
        "secret": {"@type": kind, "name": name, **secret},
    }


def _owner(api: str, kind: str, name: str) -> Manifest:
    return {"apiVersion": api, "kind": kind, "name": name, "controller": True}


def _node(name: str, ip: str) -> Manifest:
    pressures = ("MemoryPressure", "DiskPressure", "PIDPressure")
    conditions = [{"type": t, "status": "False"} for t in pressures]
    return o.make(
        "Node",
        "",
        name,
        labels={"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        spec={"providerID": f"aws:///eu-west-1a/i-{o.code(name, 17, '0123456789abcdef')}"},
        status={
            "addresses": [{"type": "InternalIP", "address": ip}],
            "conditions": [*conditions, {"type": "Ready", "status": "True"}],
            "nodeInfo": {
                "kubeletVersion": "v1.32.9-eks-113cf36",
                "kernelVersion": "6.1.155-176.282.amzn2023.x86_64",
                "osImage": "Amazon Linux 2023",
            },
            "allocatable": {"cpu": "3920m", "memory": "14978Mi", "pods": "58"},
        },
    )


def _root_map(namespace: str, pem: str) -> Manifest:
    return o.make(
        "ConfigMap",
        namespace,
        "istio-ca-root-cert",
        labels={"istio.io/config": "true"},
        by="pilot-discovery",
        data={"root-cert.pem": pem},
    )


def _client(root: Authority, path: str) -> Manifest:
    service = {"name": "istiod", "namespace": "istio-system", "path": path, "port": 443}
    return {"caBundle": b64(root.pem), "service": service}


def _injector(root: Authority) -> Manifest:
    """The four entries of the default revision, which is also the default tag."""
    enabled = {"key": "istio-injection", "operator": "In", "values": ["enabled"]}
    unset = {"key": "istio-injection", "operator": "DoesNotExist"}
    no_rev = {"key": "istio.io/rev", "operator": "DoesNotExist"}
    rev = {"key": "istio.io/rev", "operator": "In", "values": ["default"]}
    allowed = {"key": "sidecar.istio.io/inject", "operator": "NotIn", "values": ["false"]}
    wanted = {"key": "sidecar.istio.io/inject", "operator": "In", "values": ["true"]}
    rows = (
        ("rev.namespace", [rev, unset], [allowed]),
        ("rev.object", [no_rev, unset], [allowed, rev]),
        ("namespace", [enabled], [allowed]),
        ("object", [unset, no_rev], [wanted, no_rev]),
    )
    return o.make(
        "MutatingWebhookConfiguration",
        "",
        "istio-sidecar-injector",
        labels={"app": "sidecar-injector", "istio.io/rev": "default", "istio.io/tag": "default"},
        by="pilot-discovery",
        webhooks=[
            {
                "name": f"{name}.sidecar-injector.istio.io",
                "admissionReviewVersions": ["v1"],
                "clientConfig": _client(root, "/inject"),
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "namespaceSelector": {"matchExpressions": spaces},
                "objectSelector": {"matchExpressions": pods},
                "reinvocationPolicy": "Never",
                "rules": [_rule("", "v1", ["CREATE"], "pods")],
                "sideEffects": "None",
                "timeoutSeconds": 10,
            }
            for name, spaces, pods in rows
        ],
    )


def _validator(root: Authority) -> Manifest:
    groups = ["security.istio.io", "networking.istio.io", "telemetry.istio.io"]
    return o.make(
        "ValidatingWebhookConfiguration",
        "",
        "istiod-default-validator",
        labels={"app": "istiod", "istio": "istiod", "istio.io/rev": "default"},
        by="pilot-discovery",
        webhooks=[
            {
                "name": "validation.istio.io",
                "admissionReviewVersions": ["v1"],
                "clientConfig": _client(root, "/validate"),
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "namespaceSelector": {},
                "objectSelector": {},
                "rules": [_rule(g, "*", ["CREATE", "UPDATE"], "*") for g in groups],
                "sideEffects": "None",
                "timeoutSeconds": 10,
            }
        ],
    )


def _rule(group: str, version: str, operations: list[str], resource: str) -> Manifest:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": operations,
        "resources": [resource],
        "scope": "*",
    }


def _proxy_status(pods: list[Pod], istiod: str, over: dict[str, dict[str, str]]) -> str:
    types = ("CDS", "LDS", "EDS", "RDS", "ECDS")
    rows = [["NAME", "CLUSTER", *types, "ISTIOD", "VERSION"]]
    for pod in sorted(pods, key=lambda p: (p.name, p.namespace)):
        states = {**dict.fromkeys(types, "SYNCED"), "ECDS": "NOT SENT", **over.get(pod.name, {})}
        shown = [states[t] for t in types]
        rows.append([f"{pod.name}.{pod.namespace}", "Kubernetes", *shown, istiod, o.VERSION])
    widths = [max(len(r[i]) for r in rows) + 5 for i in range(len(rows[0]))]
    lines = ("".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows)
    return "\n".join(line.rstrip() for line in lines) + "\n"
