"""When was an object last changed, by whom, and was the change taken back?"""

import json
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.model.decode import convert
from meshdoctor.model.kubernetes import Meta, Object

_CONTROLLERS = (
    "argocd",
    "argo",
    "kustomize-controller",
    "helm-controller",
    "flux",
    "fleet",
    "terraform",
    "pulumi",
    "operator",
    "controller",
)
_PEOPLE = ("kubectl", "k9s", "lens", "kiali", "node-fetch", "octant", "headlamp", "rancher", "curl")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_APPLY = "kubectl-client-side-apply"
_SOON, _LATER = timedelta(minutes=15), timedelta(hours=2)


class Write(Struct, frozen=True, kw_only=True):
    """One writer's last write outside status."""

    at: datetime
    manager: str


def writes(obj: Object) -> tuple[Write, ...]:
    """Writes, oldest first; managedFields keep one per manager. Empty when they are not kept."""
    fields = obj.metadata.managed_fields
    if not fields:
        return ()
    found = [
        Write(at=m.time, manager=m.manager)
        for m in fields
        if m.time is not None and m.subresource != "status" and m.operation != ""
    ]
    return tuple(sorted(found, key=lambda w: (w.at, w.manager)))


def last_change(obj: Object) -> datetime | None:
    """The newest write, or the creation; None when neither is known."""
    found = writes(obj)
    return found[-1].at if found else obj.metadata.creation_timestamp


def same_but_status(one: Object, other: Object) -> bool:
    """Whether nothing but status and bookkeeping differs between two readings of an object."""
    return _essence(one) == _essence(other)


def _essence(obj: Object) -> Object:
    meta = obj.metadata
    notes = {k: v for k, v in meta.annotations.items() if k != _LAST_APPLIED}
    kept = Meta(
        name=meta.name,
        namespace=meta.namespace,
        labels=meta.labels,
        annotations=notes,
        generation=meta.generation,
    )
    bare = {"status": None} if "status" in obj.__struct_fields__ else {}
    return replace(obj, metadata=kept, **bare)


class Reverted(Struct, frozen=True, kw_only=True):
    """A person's write, followed soon by a controller's."""

    person: Write
    controller: Write


def reverted(obj: Object) -> Reverted | None:
    """A person's tool wrote, and within a quarter of an hour a controller wrote over it; within
    two hours, where what `kubectl apply` noted is not what is there.

    Without that note this shows the order of two writes only, not that the second took the first
    back. Where a controller writes the very fields that a person edited, nothing of the person's
    write is left in the object.
    """
    found = writes(obj)
    if len(found) < 2:
        return None
    last, before = found[-1], found[-2]
    if not _is(last.manager, _CONTROLLERS) or not _is(before.manager, _PEOPLE):
        return None
    kept = _as_applied(obj) if before.manager == _APPLY else None
    least, within = (3, _SOON) if kept is None else (2, _LATER)
    if kept or obj.metadata.generation < least or not timedelta(0) < last.at - before.at <= within:
        return None
    return Reverted(person=before, controller=last)


def _as_applied(obj: Object) -> bool | None:
    """Whether the object's spec is what `kubectl apply` last made of it; None: it noted nothing."""
    try:
        noted = convert(json.loads(obj.annotations.get(_LAST_APPLIED, "")), _LAST_APPLIED)
    except ValueError:
        return None
    if not isinstance(noted, type(obj)):
        return None
    return bool(getattr(noted, "spec", None) == getattr(obj, "spec", None))


def _is(manager: str, known: tuple[str, ...]) -> bool:
    return any(one in manager.lower() for one in known)
