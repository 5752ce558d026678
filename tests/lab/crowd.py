"""What is the large mesh that `bench-live` measures, and how does it come to be there?

Namespaces of 30 Services with 100 injected pods, each pod owned by the ReplicaSet of its Service,
with Istio objects beside them. The pods are copies of a real one, made Running by kwok; no proxy
runs in them, so `syncpage.py` says for them what a healthy istiod would.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from tests.lab import istio, layout, processes
from tests.lab.api import Api, ApiError, Object
from tests.lab.controlplane import kubectl, start_controllers

PODS, SERVICES, ROUTED = 100, 30, 10
HASH = "5d8f7c9b6d"
PATHS = {
    "Service": "services",
    "Pod": "pods",
    "ReplicaSet": "replicasets",
    "AuthorizationPolicy": "authorizationpolicies",
    "DestinationRule": "destinationrules",
    "VirtualService": "virtualservices",
}


def name_of(number: int) -> str:
    """The bench namespace of that number."""
    return f"{layout.BENCH_PREFIX}{number:03d}"


def address(space: int, number: int) -> str:
    """The address of one pod: always the same, for kwok may set it twice."""
    count = space * PODS + number
    first, second = layout.BENCH_CIDR.split(".")[:2]
    return f"{first}.{second}.{128 + count // 250}.{count % 250 + 1}"


def template_of(pod: Object) -> Object:
    """What a copied pod takes from the real one."""
    spec = copy.deepcopy(pod["spec"])
    spec["nodeName"] = layout.BENCH_NODE
    for name in ("serviceAccount", "serviceAccountName"):
        spec[name] = "default"
    meta = pod["metadata"]
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != "pod-template-hash"}
    return {
        "metadata": {"labels": labels, "annotations": meta.get("annotations") or {}},
        "spec": spec,
        "app": labels["app"],
        "namespace": meta["namespace"],
    }


def _template(template: Object, namespace: str, service: str) -> Object:
    """The template with the names of one workload in it."""
    text = json.dumps({"metadata": template["metadata"], "spec": template["spec"]})
    text = text.replace(template["app"], service).replace(
        f"namespaces/{template['namespace']}/", f"namespaces/{namespace}/"
    )
    made: Object = json.loads(text)
    made["metadata"]["labels"].update({"app": service, "version": "v1", "pod-template-hash": HASH})
    return made


def _pods(template: Object, space: int, owners: dict[str, str]) -> Iterator[Object]:
    namespace = name_of(space)
    made = {f"svc-{n}": _template(template, namespace, f"svc-{n}") for n in range(SERVICES)}
    for number in range(PODS):
        service = f"svc-{number % SERVICES}"
        replica = f"{service}-{HASH}"
        meta = made[service]["metadata"]
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": _pod_name(number),
                "namespace": namespace,
                "labels": meta["labels"],
                "annotations": {
                    **meta["annotations"],
                    layout.BENCH_ADDRESS: address(space, number),
                },
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "kind": "ReplicaSet",
                        "name": replica,
                        "uid": owners[replica],
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "spec": made[service]["spec"],
        }


def _replica(template: Object, namespace: str, number: int) -> Object:
    service = f"svc-{number}"
    labels = {"app": service, "version": "v1", "pod-template-hash": HASH}
    app = next(c for c in template["spec"]["containers"] if c["name"] != "istio-proxy")
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": f"{service}-{HASH}", "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": len(range(number, PODS, SERVICES)),
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{"name": app["name"], "image": app["image"]}],
                    "nodeName": layout.BENCH_NODE,
                },
            },
        },
    }


def _others(namespace: str) -> Iterator[Object]:
    for number in range(SERVICES):
        service = f"svc-{number}"
        host = f"{service}.{namespace}.svc.cluster.local"
        meta = {"name": service, "namespace": namespace}
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {
                "selector": {"app": service},
                "ports": [{"name": "http", "port": 8080, "targetPort": 8080}],
            },
        }
        yield {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": meta,
            "spec": {
                "selector": {"matchLabels": {"app": service}},
                "rules": [{"from": [{"source": {"namespaces": [namespace]}}]}],
            },
        }
        if number < ROUTED:
            yield {
                "apiVersion": "networking.istio.io/v1",
                "kind": "DestinationRule",
                "metadata": meta,
                "spec": {"host": host, "subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
            }
            yield {
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": meta,
                "spec": {
                    "hosts": [host],
                    "http": [{"route": [{"destination": {"host": host, "subset": "v1"}}]}],
                },
            }


def _path(item: Object) -> str:
    group = item["apiVersion"]
    base = "/api/v1" if group == "v1" else f"/apis/{group}"
    return f"{base}/namespaces/{item['metadata']['namespace']}/{PATHS[item['kind']]}"


def _in_parallel(work: Callable[[Object], None], items: Iterable[Object]) -> None:
    """Create many objects with a few connections; the first failure ends it."""
    with ThreadPoolExecutor(12) as pool:
        for _ in pool.map(work, items):
            pass


@contextmanager
def _without_controllers() -> Iterator[None]:
    """Controllers start when all is there: else each of 10,000 pods changes endpoints, and a
    ReplicaSet that is seen before its pods makes pods of its own."""
    processes.stop("kube-controller-manager")
    try:
        yield
    finally:
        start_controllers()


def fill(api: Api, numbers: Iterable[int], template: Object) -> None:
    """Create these bench namespaces with all that is in them."""
    spaces = {number: name_of(number) for number in numbers}

    def create(item: Object) -> None:
        with suppress(ApiError):
            api.call("POST", _path(item), item)

    for name in spaces.values():
        with suppress(ApiError):
            api.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    def accounts() -> bool:
        return all(
            api.find(f"/api/v1/namespaces/{name}/serviceaccounts/default")
            for name in spaces.values()
        )

    istio.until("service accounts", 60, accounts)
    with _without_controllers():
        _in_parallel(create, (item for name in spaces.values() for item in _others(name)))
        replicas = (
            _replica(template, name, n) for name in spaces.values() for n in range(SERVICES)
        )
        _in_parallel(create, replicas)
        for number, name in spaces.items():
            listed = api.get(f"/apis/apps/v1/namespaces/{name}/replicasets")["items"]
            owners = {r["metadata"]["name"]: r["metadata"]["uid"] for r in listed}
            _in_parallel(create, _pods(template, number, owners))
        istio.until("pods that run", 400, lambda: not pending(api))
    settle(api)
    # Labelled only now: ten thousand calls of the injection webhook are not what is measured.
    for name in spaces.values():
        api.merge(
            f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"istio-injection": "enabled"}}}
        )


def proxies(numbers: Iterable[int]) -> list[str]:
    """The proxies that healthy pods of these bench namespaces would have: `pod.namespace`."""
    return [f"{_pod_name(n)}.{name_of(space)}" for space in numbers for n in range(PODS)]


def _pod_name(number: int) -> str:
    return f"svc-{number % SERVICES}-{HASH}-{number:05d}"


def settle(api: Api) -> None:
    """Wait, not for ever, until the pods run and the controllers have caught up."""
    before = -1
    for _ in range(40):
        slices = api.get("/apis/discovery.k8s.io/v1/endpointslices?limit=1")["metadata"]
        now = int(slices.get("remainingItemCount") or 0)
        if not pending(api) and now == before:
            break
        before = now
        time.sleep(3)
    time.sleep(5)


def pending(api: Api) -> int:
    """How many pods do not run yet."""
    page = api.get("/api/v1/pods?fieldSelector=status.phase%3DPending&limit=1")
    return int(page["metadata"].get("remainingItemCount") or 0) + len(page["items"] or [])


def empty() -> None:
    """Take the bench away again."""
    names = kubectl("get", "namespaces", "-o", "name").split()
    ours = [name for name in names if f"/{layout.BENCH_PREFIX}" in name]
    if ours:
        kubectl("delete", *ours, "--wait=false", timeout=120)
