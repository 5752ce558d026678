"""Does anything say that this workload belongs in the mesh, and since when?

No label is no fault by itself: most clusters hold namespaces that are meant to stay outside. What
somebody wrote for a sidecar that is not there shows that one was expected.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh.injection import NewPod
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.webhooks import INJECT, INJECTION, REVISION
from meshdoctor.mesh.workloads import is_sidecar
from meshdoctor.model.kubernetes import Namespace, Object, Pod, WebhookConfiguration

_ACTS = " acts on sidecars only"
_SIDECAR_KEYS = (
    "inject.istio.io/",
    "sidecar.istio.io/",
    "proxy.istio.io/",
    "traffic.sidecar.istio.io/",
    "status.sidecar.istio.io/",
    "readiness.status.sidecar.istio.io/",
)


_NO_SETTING = frozenset({INJECT, "sidecar.istio.io/status"})


class Injected(Struct, frozen=True, kw_only=True):
    """Pods of a namespace that have a sidecar without a label of their own that asks for it: the
    name of one ("": there are none), and when the first and the last were made (None: no time is
    held)."""

    name: str = ""
    first: datetime | None = None
    last: datetime | None = None


def injected(siblings: Iterable[Pod]) -> Injected:
    """Those of a namespace's pods; found once for all workloads in it."""
    found = [p for p in siblings if is_sidecar(p) and not (p.labels.keys() & {INJECT, REVISION})]
    times = [made for p in found if (made := p.metadata.creation_timestamp) is not None]
    return Injected(
        name=found[0].name if found else "",
        first=min(times, default=None),
        last=max(times, default=None),
    )


def expected_by(pod: NewPod, here: str) -> str:
    """Who expects a sidecar for this pod, in words; "" when nobody does. `here`: who expects one
    for every pod of the namespace (`expected_in`)."""
    for key in sorted(pod.annotations):
        if key.startswith(_SIDECAR_KEYS) and pod.annotations[key] != "false":
            return f"its template carries the annotation {clean(key, 100)}"
    return here


def unread_settings(controller: Mapping[str, str], template: Mapping[str, str]) -> tuple[str, ...]:
    """Annotations for the sidecar that a controller carries and its pods do not, fit to be shown:
    nothing reads them there (Deployments, StatefulSets, DaemonSets and Jobs make pods from the
    template alone). Which say whether to inject at all are left out."""
    return tuple(
        clean(key, 100)
        for key in sorted(controller)
        if key.startswith(_SIDECAR_KEYS) and key not in _NO_SETTING and key not in template
    )


def expected_in(namespace: Namespace, siblings: Injected, policies: Iterable[Object]) -> str:
    """Who expects sidecars in a namespace, in words; "" when nobody does.

    `policies` are Istio objects of it that act on sidecars only.
    """
    key = near_miss(namespace)
    if key:
        return f"the namespace carries {clean(key, 100)}, which no webhook reads"
    if siblings.name:
        return f"pod {siblings.name} of the namespace has a sidecar"
    for policy in policies:
        return f"{policy.ref}{_ACTS}"
    return ""


def expecting_policy(words: str) -> str:
    """The policy that those words name as the one that expects a sidecar; "" when it is not one."""
    return words.removesuffix(_ACTS) if words.endswith(_ACTS) else ""


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
    pod: Pod, namespace: Namespace, config: WebhookConfiguration | None, siblings: Injected
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
    younger = siblings.last is not None and siblings.last > born
    elder = siblings.first is not None and siblings.first < born
    if younger and not elder:
        return True
    if elder:
        return False
    return None if labelled is None else False


def last_written(one: Object) -> datetime | None:
    """The last write to the object's own fields; None when no manager's time is held."""
    times = [f.time for f in one.metadata.managed_fields if f.time and f.subresource != "status"]
    return max(times, default=None)
