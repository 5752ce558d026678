"""Which istiod revision does a proxy belong to?

The revision chosen is an annotation, the one wished for a label (trap T38): pod annotation
`istio.io/rev`, else `revision` of the injection status, else istiod's name in PROXY_CONFIG.
"""

import json
from collections.abc import Iterable
from typing import Any

from meshdoctor.mesh.proxy_bootstrap import injected
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.kubernetes import Pod, Workload

REVISION = "istio.io/rev"
STATUS = "sidecar.istio.io/status"


def of_istiod(pod: Pod) -> str:
    """The revision that an istiod pod serves; `default` without label."""
    return pod.labels.get(REVISION, "") or "default"


def of_proxy(pod: Pod) -> str:
    """The revision a proxy was injected by; "" when the pod does not tell."""
    if pod.annotations.get(REVISION):
        return pod.annotations[REVISION]
    revision = _status(pod).get("revision")
    return revision if isinstance(revision, str) and revision else _from_address(pod)


def _status(pod: Pod) -> dict[str, Any]:
    """What the injector noted of what it did (inject.go, SidecarInjectionStatus)."""
    try:
        status = json.loads(pod.annotations.get(STATUS, "{}"))
    except json.JSONDecodeError:
        return {}
    return status if isinstance(status, dict) else {}


def lost_sidecar(pod: Pod, controller: Workload | None) -> bool:
    """Whether the injector gave the pod a sidecar that is gone again. A template that carries the
    injector's note (a pod's manifest that was used again) tells nothing."""
    if controller is not None and STATUS in controller.spec.template.metadata.annotations:
        return False
    status = _status(pod)
    given = [status.get("containers"), status.get("initContainers")]
    had = any(isinstance(names, list) and PROXY in names for names in given)
    return had and pod.container(PROXY) is None


def discovery_host(pod: Pod) -> str:
    """Host of the istiod that the proxy was told to use; "" when it was not told."""
    config = injected(pod) or {}
    address = config.get("discoveryAddress")
    return address.rpartition(":")[0] if isinstance(address, str) else ""


def _from_address(pod: Pod) -> str:
    name = discovery_host(pod).partition(".")[0]
    if name == "istiod":
        return "default"
    return name.removeprefix("istiod-") if name.startswith("istiod-") else ""


def running(istiods: Iterable[Pod]) -> frozenset[str]:
    """Revisions of which an istiod pod exists that is not being deleted."""
    return frozenset(
        of_istiod(p)
        for p in istiods
        if p.metadata.deletion_timestamp is None and p.status.phase in ("Running", "Pending")
    )
