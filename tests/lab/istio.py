"""How does Istio come into the lab: its objects, its istiod, and how do we know it is ready?"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable

import yaml

from tests.lab import build, layout, netns
from tests.lab.api import Object
from tests.lab.controlplane import kubectl
from tests.lab.processes import LabError, run

SETTINGS = (
    "profile=minimal",
    "values.telemetry.enabled=false",
    # Without a default revision nothing validates objects that carry no revision label.
    "values.defaultRevision=default",
    "meshConfig.accessLogFile=/dev/stdout",
    "meshConfig.enableTracing=false",
    "meshConfig.defaultConfig.proxyMetadata.CLOUD_PLATFORM=none",
    # Extensions of Istio's own proxy that upstream Envoy lacks.
    "values.pilot.env.PILOT_ENABLE_ALPN_FILTER=false",
    "values.pilot.env.PILOT_ENABLE_METADATA_EXCHANGE=false",
    "values.pilot.autoscaleEnabled=false",
)
SYNC_TYPES = ("cluster", "listener", "route", "endpoint")


def istioctl(*argv: str, timeout: float = 60, check: bool = True) -> str:
    """Run istioctl as the lab's administrator inside the control plane's namespace."""
    command = [str(layout.BIN / "istioctl"), *argv]
    command += ["--kubeconfig", str(layout.ADMIN_CONFIG)]
    return run(netns.inside(layout.CONTROL, command), timeout=timeout, check=check).stdout


def manifest(*extra: str) -> list[Object]:
    """Istio's own objects for the lab's settings."""
    argv = ["manifest", "generate"]
    for setting in (*SETTINGS, *extra):
        argv += ["--set", setting]
    return [item for item in yaml.safe_load_all(istioctl(*argv)) if item]


def install_revision(name: str) -> None:
    """A second istiod beside the first, without what the two share."""
    apply(item for item in manifest(f"revision={name}") if name in item["metadata"]["name"])
    rollout("istio-system")


def apply(items: Iterable[Object]) -> None:
    """Apply objects on the server's side."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(items)}
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listed))


def restore_crds() -> None:
    """Istio's CRDs as its release has them."""
    apply(item for item in manifest() if item["kind"] == "CustomResourceDefinition")


def install(*extra: str) -> None:
    """The Gateway API's CRDs and Istio's first, then the rest."""
    kubectl("create", "namespace", "istio-system", check=False)
    definitions = build.cache_root() / "share" / "gateway-api-crds"
    kubectl("apply", "--server-side", "-f", str(definitions))
    items = manifest(*extra)
    crds = [item for item in items if item["kind"] == "CustomResourceDefinition"]
    rest = [item for item in items if item["kind"] != "CustomResourceDefinition"]
    apply(crds)
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    apply(rest)


def until(what: str, seconds: float, ask: Callable[[], bool], pause: float = 0.2) -> float:
    """Repeat a question until its answer is yes; returns the seconds it took."""
    begun = time.monotonic()
    while not ask():
        if time.monotonic() - begun > seconds:
            raise LabError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)
    return time.monotonic() - begun


def rollout(namespace: str = "", seconds: float = 90) -> float:
    """Wait until every pod is Ready, none is on its way out and all Deployments are complete."""

    def done() -> bool:
        argv = ["-n", namespace] if namespace else ["-A"]
        listed = json.loads(kubectl("get", "deploy,pods", "-o", "json", *argv))["items"]
        for item in listed:
            if item["metadata"]["namespace"].startswith(layout.BENCH_PREFIX):
                continue
            status = item.get("status") or {}
            if item["kind"] == "Deployment":
                wanted = item["spec"].get("replicas", 1)
                fresh = status.get("observedGeneration", 0) >= item["metadata"]["generation"]
                counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas")}
                ready = status.get("availableReplicas", 0)
                if not fresh or counts | {ready} != {wanted}:
                    return False
            elif item["metadata"].get("deletionTimestamp"):
                return False
        return True

    return until(f"rollout of {namespace or 'all'}", seconds, done)


def istiod_pods() -> list[str]:
    """Network namespaces of istiod's pods."""
    listed = json.loads(
        kubectl("-n", "istio-system", "get", "pods", "-l", "app=istiod", "-o", "json")
    )
    return [
        layout.pod_namespace("istio-system", item["metadata"]["name"])
        for item in listed["items"]
        if not item["metadata"].get("deletionTimestamp")
    ]


def get_inside(name: str, url: str) -> str:
    """Fetch a URL inside one namespace of the lab; empty when it does not answer."""
    argv = ["curl", "-s", "--max-time", "5", url]
    return run(netns.inside(name, argv), check=False).stdout


def sync_states() -> dict[str, bool]:
    """Whether each connected proxy has acknowledged all that was sent to it."""
    found: dict[str, bool] = {}
    for name in istiod_pods():
        text = get_inside(name, "http://127.0.0.1:15014/debug/syncz")
        for item in json.loads(text) if text.startswith("[") else []:
            synced = all(
                item.get(f"{kind}_sent") == item.get(f"{kind}_acked") for kind in SYNC_TYPES
            )
            found[str(item.get("proxy"))] = synced
    return found


def wait_synced(seconds: float = 60, at_least: int = 1) -> float:
    """Wait until all connected proxies are in step with istiod."""

    def done() -> bool:
        states = sync_states()
        return len(states) >= at_least and all(states.values())

    return until("proxies in step with istiod", seconds, done)


def wait_validation(seconds: float = 60) -> float:
    """Wait until istiod has armed its validation webhook."""

    def done() -> bool:
        text = kubectl(
            *("get", "validatingwebhookconfiguration", "istiod-default-validator"),
            *("-o", "jsonpath={.webhooks[0].failurePolicy}"),
            check=False,
        )
        return text == "Fail"

    return until("validation webhook", seconds, done)
