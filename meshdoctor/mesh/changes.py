"""When was an object last changed, by whom, and was the change taken back?"""

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

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
_SOON = timedelta(minutes=15)


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
    """A person's tool wrote, and within a quarter of an hour a controller wrote over it.

    This shows the order of two writes only, not that the second took the first back.
    """
    found = writes(obj) if obj.metadata.generation >= 3 else ()
    if len(found) < 2:
        return None
    last, before = found[-1], found[-2]
    if not _is(last.manager, _CONTROLLERS) or not _is(before.manager, _PEOPLE):
        return None
    if timedelta(0) < last.at - before.at <= _SOON:
        return Reverted(person=before, controller=last)
    return None


def _is(manager: str, known: tuple[str, ...]) -> bool:
    return any(one in manager.lower() for one in known)
