"""How does the mesh become again what it was before a fault?

The objects of the healthy mesh are remembered once; whatever a fault or a fix changed, added or
removed is put back, whoever did it.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import time
from datetime import UTC, datetime

from tests.lab import istio, layout, netns
from tests.lab.api import Api, ApiError, Object, key_of
from tests.lab.processes import run

_ISTIO = {
    "networking.istio.io/v1": (
        "destinationrules gateways serviceentries sidecars virtualservices workloadentries"
    ),
    "networking.istio.io/v1alpha3": "envoyfilters",
    "networking.istio.io/v1beta1": "proxyconfigs",
    "security.istio.io/v1": "authorizationpolicies peerauthentications requestauthentications",
    "telemetry.istio.io/v1": "telemetries",
    "gateway.networking.k8s.io/v1": "gateways grpcroutes httproutes referencegrants",
}
COLLECTIONS = (
    "/api/v1/namespaces",
    "/api/v1/services",
    "/api/v1/serviceaccounts",
    "/api/v1/configmaps",
    "/api/v1/secrets",
    "/api/v1/resourcequotas",
    "/api/v1/limitranges",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/statefulsets",
    "/apis/apps/v1/replicasets",
    "/apis/batch/v1/jobs",
    "/apis/networking.k8s.io/v1/ingresses",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    *(f"/apis/{group}/{kind}" for group, kinds in _ISTIO.items() for kind in kinds.split()),
)
_VOLATILE = (
    "resourceVersion",
    "generation",
    "managedFields",
    "creationTimestamp",
    "uid",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_ANNOTATIONS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
)
_SYSTEM = ("kube-system", "kube-public", "kube-node-lease", "default")
State = dict[str, dict[tuple[str, str], Object]]


def _kept(path: str, item: Object) -> bool:
    namespace, name = key_of(item)
    if (namespace or name).startswith(layout.BENCH_PREFIX) or namespace in _SYSTEM:
        return False
    kind = path.rsplit("/", 1)[-1]
    if kind == "namespaces":
        return name not in _SYSTEM
    if kind == "configmaps":
        # The others are leader locks and published roots, which istiod keeps itself.
        return name == "istio-sidecar-injector" or not name.startswith(("istio-", "kube-root"))
    if kind == "secrets":
        return name != "istio-ca-secret"
    if kind in ("replicasets", "jobs"):
        return not item["metadata"].get("ownerReferences")
    if kind in ("clusterroles", "clusterrolebindings"):
        return "istio" in name or "meshdoctor" in name
    return True


def _essence(item: Object) -> Object:
    kept: Object = copy.deepcopy(item)
    kept.pop("status", None)
    meta = kept["metadata"]
    for name in _VOLATILE:
        meta.pop(name, None)
    notes = meta.get("annotations") or {}
    for name in _ANNOTATIONS:
        notes.pop(name, None)
    if not notes:
        meta.pop("annotations", None)
    template = (kept.get("spec") or {}).get("template")
    if isinstance(template, dict):
        notes = (template.get("metadata") or {}).get("annotations") or {}
        notes.pop("kubectl.kubernetes.io/restartedAt", None)
        if not notes:
            (template.get("metadata") or {}).pop("annotations", None)
    for webhook in kept.get("webhooks") or []:
        # istiod writes these itself, and writes them again.
        webhook.get("clientConfig", {}).pop("caBundle", None)
    return kept


def remember(api: Api) -> State:
    """All objects of the mesh as they are now."""
    return {
        path: {key_of(item): item for item in api.items(path) if _kept(path, item)}
        for path in COLLECTIONS
    }


def load_or_remember(api: Api) -> State:
    """The healthy mesh as it was before the first test since the lab came up.

    Kept in a file, so that a run that was broken off in the middle of a fault leaves no trace.
    """
    path = layout.STATE / "baseline.json"
    if path.exists():
        stored = json.loads(path.read_text())
        before: State = {
            place: {key_of(item): item for item in items} for place, items in stored.items()
        }
        settle(api, before, timestamp())
        return before
    before = remember(api)
    path.write_text(json.dumps({place: list(items.values()) for place, items in before.items()}))
    return before


def _place(path: str, key: tuple[str, str]) -> str:
    namespace, name = key
    if not namespace:
        return f"{path}/{name}"
    base, kind = path.rsplit("/", 1)
    return f"{base}/namespaces/{namespace}/{kind}/{name}"


def restore(api: Api, before: State) -> list[str]:
    """Put everything back; returns what was touched."""
    touched: list[str] = []
    # Webhooks first: a broken one would refuse what comes after.
    for path in sorted(COLLECTIONS, key=lambda path: "webhook" not in path):
        current = {key_of(item): item for item in api.items(path) if _kept(path, item)}
        for key in current.keys() - before[path].keys():
            with contextlib.suppress(ApiError):
                # A Job would else leave its pods behind.
                api.call("DELETE", _place(path, key), {"propagationPolicy": "Background"})
            touched.append(f"-{path.rsplit('/', 1)[-1]}/{'/'.join(key)}")
        for key, item in before[path].items():
            live = current.get(key)
            if live is not None and _essence(live) == _essence(item):
                continue
            touched.append(f"~{path.rsplit('/', 1)[-1]}/{'/'.join(key)}")
            body = copy.deepcopy(item)
            body.pop("status", None)
            for name in _VOLATILE:
                body["metadata"].pop(name, None)
            _write(api, path, key, body, live)
    return touched


def _write(api: Api, path: str, key: tuple[str, str], body: Object, live: Object | None) -> None:
    place = _place(path, key)
    if live is None:
        api.call("POST", place.rsplit("/", 1)[0], body)
        return
    for hook, other in zip(body.get("webhooks") or [], live.get("webhooks") or [], strict=False):
        bundle = other.get("clientConfig", {}).get("caBundle")
        if bundle:
            hook["clientConfig"]["caBundle"] = bundle
    for attempt in range(5):
        found = api.find(place)
        body["metadata"]["resourceVersion"] = (found or live)["metadata"]["resourceVersion"]
        try:
            api.call("PUT", place, body)
            return
        except ApiError as error:
            if error.code == 409 and attempt < 4:
                continue
            if error.code == 422:
                api.call("DELETE", place)
                body["metadata"].pop("resourceVersion", None)
                api.call("POST", place.rsplit("/", 1)[0], body)
                return
            raise


def timestamp() -> str:
    """Now, as creationTimestamp writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def forget(api: Api) -> None:
    """Events, idle ReplicaSets and log lines of the past do not speak in the next test."""
    for found in api.items("/api/v1/namespaces"):
        name = found["metadata"]["name"]
        if not name.startswith(layout.BENCH_PREFIX):
            with contextlib.suppress(ApiError):
                api.call("DELETE", f"/api/v1/namespaces/{name}/events")
            with contextlib.suppress(ApiError):
                api.call("DELETE", f"/apis/events.k8s.io/v1/namespaces/{name}/events")
    for item in api.items("/apis/apps/v1/replicasets"):
        if item["spec"].get("replicas") == 0:
            namespace, name = key_of(item)
            with contextlib.suppress(ApiError):
                api.call("DELETE", f"/apis/apps/v1/namespaces/{namespace}/replicasets/{name}")
    for suffix in ("raw", "log"):
        for path in layout.PODS.glob(f"*/*.{suffix}"):
            with contextlib.suppress(OSError):
                os.truncate(path, 0)


def renew_pods(api: Api, since: str, until: str) -> list[str]:
    """Replace the pods that came into being under a fault."""
    renewed: list[str] = []
    for pod in api.items("/api/v1/pods"):
        namespace, name = key_of(pod)
        if namespace.startswith(layout.BENCH_PREFIX) or pod["metadata"].get("deletionTimestamp"):
            continue
        if since <= pod["metadata"]["creationTimestamp"] <= until:
            with contextlib.suppress(ApiError):
                api.call("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}")
            renewed.append(f"{namespace}/{name}")
    return renewed


def rejected() -> int:
    """How many updates proxies have refused from the istiods that run now."""
    total = 0.0
    for name in istio.istiod_pods():
        for line in istio.get_inside(name, "http://127.0.0.1:15014/metrics").splitlines():
            if line.startswith("pilot_total_xds_rejects"):
                total += float(line.rsplit(" ", 1)[1])
    return int(total)


def close_connections() -> None:
    """Close what pods keep open but the way to istiod: old filter chains live on in them."""
    for name in netns.all_names():
        if name != layout.CONTROL and "istiod" not in name:
            argv = ["ss", "-K", "state", "established", "dport", "!=", ":15012"]
            argv += ["and", "sport", "!=", ":15012"]
            run(netns.inside(name, argv), check=False)


def settle(api: Api, before: State, since: str) -> list[str]:
    """The whole way back to the healthy mesh."""
    until = timestamp()
    touched = restore(api, before)
    if rejected():
        for place in istio.istiod_pods():
            pod = place.removeprefix(f"{layout.CONTROL}-istio-system-")
            api.call("DELETE", f"/api/v1/namespaces/istio-system/pods/{pod}")
        time.sleep(0.5)
        istio.rollout("istio-system")
    kick_replicasets(api)
    renewed = renew_pods(api, since, until)
    istio.rollout()
    wait = istio.wait_synced(at_least=9)
    close_connections()
    forget(api)
    return [*touched, *(f"renewed {name}" for name in renewed), f"synced {json.dumps(wait)}"]


def kick_replicasets(api: Api) -> None:
    """A ReplicaSet that failed to create pods waits ever longer; any change wakes it."""
    for item in api.items("/apis/apps/v1/replicasets"):
        wanted = item["spec"].get("replicas", 0)
        if wanted and (item.get("status") or {}).get("replicas", 0) < wanted:
            namespace, name = key_of(item)
            api.merge(
                f"/apis/apps/v1/namespaces/{namespace}/replicasets/{name}",
                {"metadata": {"annotations": {"lab.meshdoctor/kick": str(time.time())}}},
            )
