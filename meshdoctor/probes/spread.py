"""How far has one object, or everything, come? Not a probe: `meshdoctor propagation` asks it."""

from datetime import datetime

from meshdoctor.mesh.changes import last_change, writes
from meshdoctor.mesh.discovery import discovered
from meshdoctor.mesh.propagation import ProxyHold, Spread, Surroundings, concerns, hold, types_of
from meshdoctor.mesh.routes import gateway_keys
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.visibility import scope
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.mesh.xds import TYPES, SyncTable
from meshdoctor.model.istio import Gateway, Sidecar, VirtualService
from meshdoctor.model.kubernetes import Namespace, Object, Pod
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.view import View


def concerned(view: View, obj: Object | None, namespace: str = "") -> tuple[list[Pod], int]:
    """Running proxies (of a namespace) that an object concerns, and how many it does not."""
    pods = [
        p
        for p in shared.proxy_pods(view)
        if namespace in ("", p.namespace) and proxy_type(p) in ("sidecar", "router")
    ]
    if obj is None:
        return pods, 0
    if not _discovered(view, obj):
        return [], len(pods)
    around = _surroundings(view, obj, pods)
    mine = [p for p in pods if concerns(obj, p, around)]
    return mine, len(pods) - len(mine)


def _discovered(view: View, obj: Object) -> bool:
    """Whether istiod sees the object's namespace at all."""
    namespace = view.object("Namespace", Namespace, "", obj.namespace)
    return namespace is None or discovered(reading.mesh_config(view), namespace.labels)


def _surroundings(view: View, obj: Object, pods: list[Pod]) -> Surroundings:
    mesh = reading.mesh_config(view)
    sidecars = view.objects("Sidecar", Sidecar)
    gateways: dict[tuple[str, str], Gateway] = {}
    if isinstance(obj, VirtualService):
        for key in gateway_keys(obj):
            found = view.object("Gateway", Gateway, *key)
            if found is not None:
                gateways[key] = found
    return Surroundings(
        mesh=mesh,
        gateways=gateways,
        scopes={
            (p.namespace, p.name): scope(
                sidecars, p.namespace, p.labels, mesh.root_namespace, proxy=proxy_type(p)
            )
            for p in pods
        },
    )


def spread(
    obj: Object | None,
    pods: list[Pod],
    not_concerned: int,
    table: SyncTable,
    now: datetime,
    changed: datetime | None = None,
) -> Spread:
    """Compare the sync table with the proxies concerned; `changed` overrides managedFields."""
    when = changed if changed is not None or obj is None else last_change(obj)
    types = types_of(obj) if obj is not None else TYPES
    found: list[ProxyHold] = [hold(table.proxy(p.namespace, p.name), p, types, when) for p in pods]
    who = writes(obj) if obj is not None else ()
    return Spread(
        ref=obj.ref if obj is not None else "",
        changed=when,
        changed_by=clean(who[-1].manager, 60) if who else "",
        proxies=tuple(found),
        not_concerned=not_concerned,
        now=now,
    )
