"""Does anything say that this workload belongs in the mesh, and since when?

No label is no fault by itself: most clusters hold namespaces that are meant to stay outside. What
somebody wrote for a sidecar that is not there shows that one was expected.
"""

from collections.abc import Iterable
from datetime import datetime

from meshdoctor.mesh.injection import NewPod
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.webhooks import INJECT, INJECTION, REVISION
from meshdoctor.mesh.workloads import is_sidecar
from meshdoctor.model.kubernetes import Namespace, Object, Pod, WebhookConfiguration

_SIDECAR_KEYS = (
    "inject.istio.io/",
    "sidecar.istio.io/",
    "proxy.istio.io/",
    "traffic.sidecar.istio.io/",
    "status.sidecar.istio.io/",
    "readiness.status.sidecar.istio.io/",
)


def expected_by(
    pod: NewPod, namespace: Namespace, siblings: Iterable[Pod], policies: Iterable[Object]
) -> str:
    """Who expects a sidecar here, in words; "" when nobody does.

    `siblings` are pods of the namespace, `policies` Istio objects of it that act on sidecars only.
    """
    for key in sorted(pod.annotations):
        if key.startswith(_SIDECAR_KEYS) and pod.annotations[key] != "false":
            return f"its template carries the annotation {clean(key, 100)}"
    key = near_miss(namespace)
    if key:
        return f"the namespace carries {clean(key, 100)}, which no webhook reads"
    for sibling in siblings:
        if is_sidecar(sibling) and not (sibling.labels.keys() & {INJECT, REVISION}):
            return f"pod {sibling.name} of the namespace has a sidecar"
    for policy in policies:
        return f"{policy.ref} acts on sidecars only"
    return ""


def near_miss(namespace: Namespace) -> str:
    """A label or annotation of the namespace that looks like an injection label and is none."""
    for key, value in sorted(namespace.annotations.items()):
        if key in (INJECTION, REVISION, INJECT):
            return f"the annotation {key}={value}"
    for key, value in sorted(namespace.labels.items()):
        if key in (INJECTION, REVISION, "istio.io/dataplane-mode"):
            continue
        flat = key.lower()
        if "istio" in flat and ("inject" in flat or flat.endswith(("/rev", "/revision", "-rev"))):
            return f"the label {key}={value}"
    return ""


def older_than_enablement(
    pod: Pod, namespace: Namespace, config: WebhookConfiguration | None, siblings: Iterable[Pod]
) -> bool | None:
    """Whether a pod without sidecar was made before its namespace or webhook asked for one.

    None: nothing tells when the label was set. A younger sibling with a sidecar settles it.
    """
    born = pod.metadata.creation_timestamp
    if born is None:
        return None
    labelled = last_written(namespace)
    installed = config.metadata.creation_timestamp if config is not None else None
    if (labelled is not None and born < labelled) or (installed is not None and born < installed):
        return True
    injected = [
        made
        for other in siblings
        if is_sidecar(other)
        and not (other.labels.keys() & {INJECT, REVISION})
        and (made := other.metadata.creation_timestamp) is not None
    ]
    if any(made > born for made in injected) and not any(made < born for made in injected):
        return True
    if any(made < born for made in injected):
        return False
    return None if labelled is None else False


def last_written(one: Object) -> datetime | None:
    """The last write to the object's own fields; None when no manager's time is held."""
    times = [f.time for f in one.metadata.managed_fields if f.time and f.subresource != "status"]
    return max(times, default=None)
