"""What does a kubelet do in the lab? Watches pods of the lab's node and runs what is in them.

Runs in the control plane's network namespace but the host's mount namespace, because a network
namespace made inside `ip netns exec` would not be seen outside.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from tests.lab import layout, netns, podspec, processes, rules
from tests.lab.api import Api, ApiError, Informer, Object, key_of
from tests.lab.logpump import LogPump
from tests.lab.pod import Pod, Tables
from tests.lab.processes import LabError


class Kubelet:
    """The lab's node."""

    def __init__(self) -> None:
        self._api = Api("lab-system-token")
        self._dirty = threading.Event()
        self._tables = Tables()
        self._pump = LogPump()
        self._pods: dict[str, Pod] = {}
        self._ending: set[str] = set()
        self._pool = ThreadPoolExecutor(16)

        def watch(path: str) -> Informer:
            return Informer(self._api, path, self._dirty.set)

        self._bound = watch(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{layout.NODE}")
        self._unbound = watch("/api/v1/pods?fieldSelector=spec.nodeName%3D")
        self._services = watch("/api/v1/services")
        self._slices = watch("/apis/discovery.k8s.io/v1/endpointslices")
        self._roots = watch("/api/v1/configmaps?fieldSelector=metadata.name%3Distio-ca-root-cert")
        self._root_versions: dict[tuple[str, str], str] = {}

    def run(self) -> None:
        """Look after the node for ever."""
        self._pump.start()
        informers = (self._bound, self._unbound, self._services, self._slices, self._roots)
        for informer in informers:
            informer.start()
        for informer in informers:
            informer.synced.wait()
        while True:
            self._dirty.wait(1.0)
            self._dirty.clear()
            try:
                self._bind()
                self._balance()
                self._publish()
                self._sync()
            except LabError:
                traceback.print_exc()
            time.sleep(0.05)

    def _bind(self) -> None:
        for (namespace, name), pod in self._unbound.objects().items():
            if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
                continue
            if podspec.cores(pod) > layout.CORES:
                self._refuse(pod)
                continue
            body: Object = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": layout.NODE},
            }
            with contextlib.suppress(ApiError):
                self._api.call("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", body)

    def _refuse(self, pod: Object) -> None:
        """Say, once, as a scheduler does, that no node has room for a pod."""
        namespace, name = key_of(pod)
        message = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available"
        if (pod.get("status") or {}).get("conditions"):
            return
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        body = podspec.event(pod, "Warning", "FailedScheduling", message, "default-scheduler")
        with contextlib.suppress(ApiError):
            self._api.merge(
                f"/api/v1/namespaces/{namespace}/pods/{name}/status",
                {"status": {"conditions": [{**condition, "message": message}]}},
            )
            self._api.call("POST", f"/api/v1/namespaces/{namespace}/events", body)

    def _balance(self) -> None:
        """Give every Service of type LoadBalancer an address."""
        services = [
            item
            for item in self._services.objects().values()
            if item["spec"].get("type") == "LoadBalancer"
        ]
        taken = {
            ingress.get("ip")
            for item in services
            for ingress in ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress")
            or []
        }
        for item in services:
            if ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
                continue
            free = next(
                address
                for number in range(10, 250)
                if (address := f"{layout.LOAD_BALANCER_PREFIX}{number}") not in taken
            )
            taken.add(free)
            namespace, name = key_of(item)
            with contextlib.suppress(ApiError):
                self._api.merge(
                    f"/api/v1/namespaces/{namespace}/services/{name}/status",
                    {"status": {"loadBalancer": {"ingress": [{"ip": free}]}}},
                )

    def _publish(self) -> None:
        def ours(key: tuple[str, str]) -> bool:
            return not key[0].startswith(layout.BENCH_PREFIX)

        services = {key: item for key, item in self._services.objects().items() if ours(key)}
        slices = [item for key, item in self._slices.objects().items() if ours(key)]
        text = rules.tables(services.values(), slices)
        names = rules.hosts(services, slices, self._bound.objects())
        if (text, names) != self._tables.current:
            self._tables.current = (text, names)
            netns.write_names(layout.CONTROL, names)

    def _sync(self) -> None:
        alive: set[str] = set()
        for pod in self._bound.objects().values():
            uid, meta = pod["metadata"]["uid"], pod["metadata"]
            alive.add(uid)
            if meta.get("deletionTimestamp"):
                self._finish(uid, pod)
            elif uid not in self._pods and (pod.get("status") or {}).get("podIP"):
                self._pods[uid] = Pod(self._api, pod, self._pump, self._tables)
                self._pods[uid].start()
        for uid in list(self._pods):
            if uid not in alive:
                self._finish(uid, None)
        for key, item in self._roots.objects().items():
            version = item["metadata"]["resourceVersion"]
            if self._root_versions.get(key, version) != version:
                for running in self._pods.values():
                    if running.box.pod["metadata"]["namespace"] == key[0]:
                        running.remount.set()
            self._root_versions[key] = version

    def _finish(self, uid: str, pod: Object | None) -> None:
        if uid in self._ending:
            return
        self._ending.add(uid)
        worker = self._pods.pop(uid, None)

        def work() -> None:
            try:
                if worker:
                    worker.finish()
                if pod:
                    namespace, name = key_of(pod)
                    path = f"/api/v1/namespaces/{namespace}/pods/{name}"
                    with contextlib.suppress(ApiError):
                        self._api.call(
                            "DELETE",
                            path,
                            {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}},
                        )
            except (LabError, OSError):
                traceback.print_exc()

        self._pool.submit(work)


def main() -> None:
    """Run the node until the process is ended; pods are then ended by `lab down`."""
    processes.names()
    Kubelet().run()


if __name__ == "__main__":
    main()
