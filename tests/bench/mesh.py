"""How does a mesh of 10,000 pods look in a bundle? Written as the API server's JSON lists."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.incidents.make import objects as o
from tests.incidents.make.objects import Manifest
from tests.incidents.make.world import World, whole

NAMESPACES = 100
PODS, SERVICES = 10_000, 3_000
PAGE = 5_000


def write(folder: Path, pods: int = PODS, services: int = SERVICES) -> None:
    """A healthy mesh: every pod injected, a third of the workloads with policies and routes."""
    world = World(name="bench", summary="", at_fault=[], healthy=True, from_="", to="")
    for number in range(NAMESPACES):
        world.namespace(_space(number))
    world.connected = False
    world.write(folder)
    _write_status(folder, world.istiod.name, pods, services)
    makers: tuple[tuple[str, Callable[[int], Iterator[Manifest]]], ...] = (
        ("pods", lambda n: _pods(n, services)),
        ("replicasets", lambda n: _replicas(n, services)),
        ("deployments", lambda n: _deployments(n, services)),
        ("services", lambda n: _services(n, services)),
        ("endpointslices", lambda n: _slices(n, pods, services)),
        ("serviceaccounts", lambda n: _accounts(n, services)),
        ("istio", lambda n: _istio(n, services)),
    )
    for name, maker in makers:
        _write_lists(folder / "objects", name, (x for n in range(pods) for x in maker(n)))


def _write_status(folder: Path, istiod: str, pods: int, services: int) -> None:
    """`istioctl proxy-status -v 1`: every proxy is in step."""
    types = ("CDS", "LDS", "EDS", "RDS", "ECDS")
    states = "".join(f"{'SYNCED':<11}" for _ in types[:-1]) + f"{'NOT SENT':<13}"
    head = f"{'NAME':<52}{'CLUSTER':<15}" + "".join(f"{t:<11}" for t in types[:-1])
    lines = [f"{head}{types[-1]:<13}{'ISTIOD':<28}VERSION"]
    for number in range(pods):
        (pod,) = _pods(number, services)
        name = f"{pod['metadata']['name']}.{pod['metadata']['namespace']}"
        lines.append(f"{name:<52}{'Kubernetes':<15}{states}{istiod:<28}{o.VERSION}")
    (folder / "istioctl").mkdir(exist_ok=True)
    (folder / "istioctl" / "proxy-status.txt").write_text("\n".join(lines) + "\n")


def _write_lists(folder: Path, name: str, found: Iterator[Manifest]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    page: list[str] = []
    number = 0
    for one in found:
        page.append(json.dumps(one, separators=(",", ":")))
        if len(page) == PAGE:
            _write_list(folder / f"{name}-{number}.json", page)
            page, number = [], number + 1
    if page:
        _write_list(folder / f"{name}-{number}.json", page)


def _write_list(path: Path, items: list[str]) -> None:
    path.write_text('{"apiVersion":"v1","kind":"List","items":[' + ",".join(items) + "]}")


def _space(number: int) -> str:
    return f"team-{number % NAMESPACES:03}"


def _name(number: int) -> str:
    return f"app-{number:04}"


def _pods(number: int, services: int) -> Iterator[Manifest]:
    workload = number % services
    name, space = _name(workload), _space(workload)
    replica = f"{name}-{o.code(name, 10)}"
    app = o.container(name, f"registry.example/{name}:1.9.{workload % 7}", [8080])
    containers, inits = [app, o.proxy(name)], [o.init()]
    ip = f"10.{64 + number // 65536}.{number // 256 % 256}.{number % 256}"
    pod = o.make(
        "Pod",
        space,
        f"{replica}-{o.code(str(number), 5)}",
        by="kube-controller-manager",
        labels={
            "app": name,
            "pod-template-hash": replica.rpartition("-")[2],
            "security.istio.io/tlsMode": "istio",
            "service.istio.io/canonical-name": name,
            "service.istio.io/canonical-revision": "latest",
        },
        annotations={
            "sidecar.istio.io/status": o.injection_status(),
            "istio.io/rev": "default",
            "prometheus.io/scrape": "true",
            "prometheus.io/port": "15020",
        },
        spec={
            "serviceAccountName": name,
            "nodeName": f"ip-10-20-{number % 2 + 1}-57.eu-west-1.compute.internal",
            "containers": containers,
            "initContainers": inits,
            "volumes": o.VOLUMES,
        },
        status=o.status(ip, "10.20.1.57", containers, inits),
    )
    pod["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replica, "controller": True}
    ]
    _weigh(pod)
    yield pod


_FIELDS = {
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "INSTANCE_IP": "status.podIP",
    "SERVICE_ACCOUNT": "spec.serviceAccountName",
    "HOST_IP": "status.hostIP",
    "ISTIO_META_NODE_NAME": "spec.nodeName",
}
_MOUNTS = {
    "workload-socket": "/var/run/secrets/workload-spiffe-uds",
    "credential-socket": "/var/run/secrets/credential-uds",
    "workload-certs": "/var/run/secrets/workload-spiffe-credentials",
    "istio-data": "/var/lib/istio/data",
    "istio-envoy": "/etc/istio/proxy",
    "istio-podinfo": "/etc/istio/pod",
    "kube-api-access-42w92": "/var/run/secrets/kubernetes.io/serviceaccount",
}


def _weigh(pod: Manifest) -> None:
    """What a real injected pod carries besides: 13 KB instead of 4."""
    for container in (*pod["spec"]["containers"], *pod["spec"]["initContainers"]):
        env = container.setdefault("env", [])
        for name, path in _FIELDS.items():
            field = {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}
            env.append({"name": name, "valueFrom": field})
        mounts = container.setdefault("volumeMounts", [])
        mounts += [{"name": n, "mountPath": p, "readOnly": True} for n, p in _MOUNTS.items()]
        container["terminationMessagePath"] = "/dev/termination-log"
        container["terminationMessagePolicy"] = "File"
    pod["spec"]["volumes"] = [*o.VOLUMES, *({"name": n, "emptyDir": {}} for n in _MOUNTS)]
    pod["spec"]["tolerations"] = [
        {"key": f"node.kubernetes.io/{k}", "operator": "Exists", "tolerationSeconds": 300}
        for k in ("not-ready", "unreachable")
    ]
    owned: Manifest = {
        f"f:{n}": {".": {}, "f:name": {}, "f:mountPath": {}} for n in (*_MOUNTS, *_FIELDS)
    }
    entry = pod["metadata"]["managedFields"][0]
    entry["fieldsV1"] = {"f:metadata": owned, "f:spec": {"f:containers": owned}}
    kubelet = {"f:status": {"f:conditions": owned, "f:containerStatuses": owned}}
    status = {**entry, "manager": "kubelet", "subresource": "status", "fieldsV1": kubelet}
    pod["metadata"]["managedFields"].append(status)


def _template(name: str) -> Manifest:
    labels = {"app": name}
    app = o.container(name, f"registry.example/{name}:1.9.0", [8080])
    template = {
        "metadata": {"labels": labels},
        "spec": {"serviceAccountName": name, "containers": [app]},
    }
    return {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}


def _replicas(number: int, services: int) -> Iterator[Manifest]:
    if number < services:
        name, space = _name(number), _space(number)
        replica = f"{name}-{o.code(name, 10)}"
        counts = {"replicas": 3, "readyReplicas": 3}
        one = o.make("ReplicaSet", space, replica, spec=_template(name), status=counts)
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "controller": True}
        one["metadata"]["ownerReferences"] = [owner]
        yield one


def _deployments(number: int, services: int) -> Iterator[Manifest]:
    if number < services:
        name = _name(number)
        counts = {"replicas": 3, "readyReplicas": 3, "availableReplicas": 3}
        yield o.make("Deployment", _space(number), name, spec=_template(name), status=counts)


def _services(number: int, services: int) -> Iterator[Manifest]:
    if number < services:
        name = _name(number)
        ip = f"172.20.{number // 250}.{number % 250}"
        yield o.service(_space(number), name, [("http", 8080, 8080)], {"app": name}, ip)


def _slices(number: int, pods: int, services: int) -> Iterator[Manifest]:
    if number < services:
        behind = [p for n in range(number, pods, services) for p in _pods(n, services)]
        yield o.slices(_space(number), _name(number), [("http", 8080, 8080)], behind)


def _accounts(number: int, services: int) -> Iterator[Manifest]:
    if number < services:
        yield o.make("ServiceAccount", _space(number), _name(number))


def _istio(number: int, services: int) -> Iterator[Manifest]:
    if number < NAMESPACES:
        strict = {"mtls": {"mode": "STRICT"}}
        yield o.make("PeerAuthentication", _space(number), "default", spec=strict)
    if number >= services:
        return
    name, space = _name(number), _space(number)
    host = f"{name}.{space}.svc.cluster.local"
    source = {"source": {"namespaces": [space]}}
    yield o.make(
        "AuthorizationPolicy",
        space,
        name,
        changed=whole(90_000 + number),
        spec={"selector": {"matchLabels": {"app": name}}, "rules": [{"from": [source]}]},
    )
    if number % 3 == 0:
        pool = {"connectionPool": {"tcp": {"maxConnections": 100}}}
        spec = {"host": host, "trafficPolicy": pool}
        yield o.make("DestinationRule", space, name, spec=spec)
        route = {"route": [{"destination": {"host": host}}], "timeout": "3s"}
        yield o.make("VirtualService", space, name, spec={"hosts": [host], "http": [route]})
