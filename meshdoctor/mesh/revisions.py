"""Which istiod revision does a proxy belong to?

The revision chosen is an annotation, the one wished for a label (trap T38): pod annotation
`istio.io/rev`, else `revision` of the injection status, else istiod's name in PROXY_CONFIG.
"""

import json
from collections.abc import Iterable

from meshdoctor.mesh.proxy_bootstrap import injected
from meshdoctor.model.kubernetes import Pod

REVISION = "istio.io/rev"
STATUS = "sidecar.istio.io/status"


def of_istiod(pod: Pod) -> str:
    """The revision that an istiod pod serves; `default` without label."""
    return pod.labels.get(REVISION, "") or "default"


def of_proxy(pod: Pod) -> str:
    """The revision a proxy was injected by; "" when the pod does not tell."""
    if pod.annotations.get(REVISION):
        return pod.annotations[REVISION]
    try:
        status = json.loads(pod.annotations.get(STATUS, "{}"))
    except json.JSONDecodeError:
        status = {}
    if isinstance(status, dict) and isinstance(status.get("revision"), str) and status["revision"]:
        return str(status["revision"])
    return _from_address(pod)


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
