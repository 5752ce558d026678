"""What does a public report hold? A few objects and log lines, of the release that it names."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.incidents.make import objects as o
from tests.incidents.make.objects import Manifest
from tests.incidents.make.world import Pod, World, whole

STATUS_COLUMNS = ("CDS", "LDS", "EDS", "RDS")


@dataclass
class Posted(World):
    """A bundle of what a person posts: all objects, the logs that were shown, nothing else."""

    version: str = o.VERSION
    apis: dict[str, str] = field(default_factory=dict)
    amendments: list[Callable[[Manifest], None]] = field(default_factory=list)

    def change(self, kind: str, namespace: str, name: str, act: Callable[[Manifest], None]) -> None:
        """Changes an object once all are made: a Service, a ReplicaSet, a ConfigMap."""

        def amend(one: Manifest) -> None:
            metadata = one["metadata"]
            found = (one["kind"], metadata.get("namespace", ""), metadata["name"])
            if found == (kind, namespace, name):
                act(one)

        self.amendments.append(amend)

    def gateway(self, namespace: str = "istio-system", name: str = "istio-ingressgateway") -> Pod:
        """An ingress gateway behind a load balancer."""
        labels = {"app": name, "istio": name.removeprefix("istio-")}
        account = f"{name}-service-account"
        pod = self.workload(
            namespace, name, [15021, 8080, 8443], role="router", labels=labels, account=account
        )
        ports = [("status-port", 15021, 15021), ("http2", 80, 8080), ("https", 443, 8443)]
        self.service(namespace, name, ports, labels)
        self.change("Service", namespace, name, _balanced)
        return pod

    def status(self, layout: str = "wide", **states: str) -> None:
        """istioctl proxy-status in the layout of its day; `states` of every proxy."""
        rows = [_heading(layout)]
        for pod in sorted((p for p in self.pods if p.injected), key=lambda p: p.name):
            found = {**states, **self.status_overrides.get(pod.name, {})}
            shown = [found.get(c, "SYNCED") for c in STATUS_COLUMNS]
            head = [f"{pod.name}.{pod.namespace}", *(["Kubernetes"] if layout != "old" else [])]
            middle = [*shown, *(["NOT SENT"] if layout == "wide" else [])]
            rows.append([*head, *middle, self.istiod.name, self.version])
        widths = [max(len(r[i]) for r in rows) + 5 for i in range(len(rows[0]))]
        lines = ("".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows)
        self.files["istioctl/proxy-status.txt"] = "".join(f"{x.rstrip()}\n" for x in lines)

    def event(self, kind: str, namespace: str, name: str, reason: str, message: str) -> None:
        """A warning that Kubernetes repeats about an object."""
        component = "kubelet" if kind == "Pod" else f"{kind.lower()}-controller"
        self.objects.append(
            o.make(
                "Event",
                namespace,
                f"{name}.{o.code(name + message, 16, '0123456789abcdef')}",
                created=whole(40),
                by=component,
                type="Warning",
                reason=reason,
                message=message,
                count=17,
                firstTimestamp=whole(40),
                lastTimestamp=whole(3),
                involvedObject={"kind": kind, "name": name, "namespace": namespace},
                source={"component": component},
                reportingComponent=component,
            )
        )

    def refuse(self, pod: Pod, message: str) -> None:
        """Takes a workload's pod away again; its ReplicaSet says why there is none."""
        self.pods.remove(pod)
        self.objects.remove(pod.manifest)
        replica = pod.name.rpartition("-")[0]
        condition = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": message,
            "lastTransitionTime": whole(40),
        }
        status = {"replicas": 0, "unavailableReplicas": 1, "conditions": [condition]}
        for kind, name in (("ReplicaSet", replica), ("Deployment", pod.workload)):
            self.change(kind, pod.namespace, name, lambda one: one.update(status=status))
        self.event(
            "ReplicaSet", pod.namespace, replica, "FailedCreate", f"Error creating: {message}"
        )

    def _outputs(self) -> None:
        """Nothing was recorded beyond what was posted."""
        for one in self.objects:
            for amend in self.amendments:
                amend(one)
            one["apiVersion"] = self.apis.get(one["kind"], one["apiVersion"])
        self.objects = [_of_release(one, self.version) for one in self.objects]


def waiting(pod: Pod, container: str, state: dict[str, Any], *, init: bool = False) -> None:
    """A container that is not up, so the pod is not ready."""
    status = pod.manifest["status"]
    for one in status["initContainerStatuses" if init else "containerStatuses"]:
        if one["name"] == container:
            one.update({"ready": False, "started": False, **state})
    for condition in status["conditions"]:
        if condition["type"] in ("ContainersReady", "Ready"):
            condition["status"] = "False"


def sandbox(pod: Pod) -> None:
    """A pod that never got its network."""
    manifest = pod.manifest
    names = [c["name"] for c in manifest["spec"]["containers"]]
    inits = [c["name"] for c in manifest["spec"].get("initContainers", [])]
    manifest["status"] = {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Initialized", "status": "False" if inits else "True"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
        ],
        "containerStatuses": [_creating(n, "PodInitializing" if inits else "") for n in names],
        "initContainerStatuses": [_creating(n, "") for n in inits],
    }


def access(
    minutes: str,
    first: str,
    code: int,
    flags: str,
    details: str,
    *,
    termination: str = "-",
    transport: str = "-",
    forwarded: str = "-",
    agent: str = "curl/8.5.0",
    authority: str = "-",
    upstream: str = "-",
    cluster: str = "-",
    local: str = "-",
    downstream: str = "-",
    peer: str = "-",
    sni: str = "-",
    route: str = "-",
) -> str:
    """One access log line in Istio's text format; `minutes` is its start."""
    number = "-" if first == "- - -" else f"4f1d{o.code(minutes + peer, 4, '0123456789')}-7b1c-9d3e"
    return (
        f'[{minutes}] "{first}" {code} {flags} {details} {termination} "{transport}" 0 95 12 - '
        f'"{forwarded}" "{agent}" "{number}" "{authority}" "{upstream}" {cluster} {local} '
        f"{downstream} {peer} {sni} {route}"
    )


def _balanced(one: Manifest) -> None:
    one["spec"] |= {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"}
    name = o.code(one["metadata"]["name"], 32, "0123456789abcdef")
    hostname = f"{name}.elb.eu-west-1.amazonaws.com"
    one["status"] = {"loadBalancer": {"ingress": [{"hostname": hostname}]}}


def _heading(layout: str) -> list[str]:
    cluster = [] if layout == "old" else ["CLUSTER"]
    extra = ["ECDS"] if layout == "wide" else []
    return ["NAME", *cluster, *STATUS_COLUMNS, *extra, "ISTIOD", "VERSION"]


def _creating(name: str, reason: str) -> Manifest:
    state = {"waiting": {"reason": reason or "ContainerCreating"}}
    return {"name": name, "ready": False, "restartCount": 0, "image": "", "state": state}


def _of_release(one: Any, version: str) -> Any:
    """The same object with the images of another Istio release."""
    if isinstance(one, str):
        return one.replace(f":{o.VERSION}", f":{version}")
    if isinstance(one, list):
        return [_of_release(x, version) for x in one]
    if isinstance(one, dict):
        return {k: _of_release(v, version) for k, v in one.items()}
    return one
