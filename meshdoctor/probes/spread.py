"""How far has one object, or everything, come? Not a probe: `meshdoctor propagation` asks it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

from msgspec.structs import replace

from meshdoctor.mesh.changes import last_change, writes
from meshdoctor.mesh.discovery import discovered
from meshdoctor.mesh.istiod_metrics import never_longer
from meshdoctor.mesh.propagation import (
    SLOW,
    ProxyHold,
    Spread,
    Surroundings,
    concerns,
    hold,
    types_of,
)
from meshdoctor.mesh.propagation import TYPES as TOUCHING
from meshdoctor.mesh.propagation_time import Arrival, Began, Took, first_update, took
from meshdoctor.mesh.routes import gateway_keys
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.visibility import scope
from meshdoctor.mesh.workloads import PROXY, proxy_type
from meshdoctor.mesh.xds import TYPES, SyncTable
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.istio import Gateway, Sidecar, VirtualService
from meshdoctor.model.kubernetes import Namespace, Object, Pod
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt

Updates = Callable[[str, str, Sequence[str]], tuple[datetime, ...]]


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


def hindsight(
    view: View,
    obj: Object,
    pods: Sequence[Pod],
    found: Spread,
    updates: Updates | None,
) -> Spread:
    """The same spread with how long it took, as far as that can be told afterwards.

    Envoy dates what it took last (`updates`); without that, istiod dates what it sent last. Both
    move with later changes: over ten seconds counts only soon after the change, where istiod
    knows of a push that took so long and nothing else is seen to have changed meanwhile.
    """
    if found.changed is None:
        return found
    began = Began(at=found.changed, grain=GRAIN)
    old = {(p.namespace, p.name) for p in pods if not _started_since(p, began.at + GRAIN)}
    if pods and not old:
        return replace(found, moved="every proxy started after the change, and got it then")
    holders = [p for p in found.proxies if p.done and (p.namespace, p.pod) in old]
    if updates is not None:
        arrivals = _arrived(holders, obj, found, began, updates)
    else:
        arrivals = [_sent(p, began) for p in holders if p.sent is not None]
    time = took(began, arrivals)
    if time is None or time.best <= SLOW:
        return replace(found, took=time)
    moved = _moved(view, obj, time, began.at)
    return replace(found, took=None if moved else time, moved=moved)


GRAIN = timedelta(seconds=1)
_TRUSTED = timedelta(minutes=2)
MOST_ASKED = 24
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def dates(
    proxies: Sequence[ProxyHold], types: Sequence[str], updates: Updates
) -> dict[tuple[str, str], tuple[datetime, ...]]:
    """When proxies took their resources of these types, by their own clocks; of at most
    MOST_ASKED that were sent something last. A proxy that does not answer is left out."""
    asked = sorted(proxies, key=lambda p: p.sent or _LONG_AGO, reverse=True)[:MOST_ASKED]
    with ThreadPoolExecutor(6, thread_name_prefix="updates") as pool:
        read = pool.map(lambda p: attempt(lambda: updates(p.namespace, p.pod, types)), asked)
    return {
        (p.namespace, p.pod): times
        for p, times in zip(asked, read, strict=True)
        if not isinstance(times, Unavailable)
    }


def _arrived(
    proxies: Sequence[ProxyHold], obj: Object, found: Spread, began: Began, updates: Updates
) -> list[Arrival]:
    """A proxy in whose configuration nothing changed has no arrival."""
    known = dates(proxies, types_of(obj), updates)
    arrivals = []
    for proxy in proxies:
        times = known.get((proxy.namespace, proxy.pod))
        if times is None:
            arrivals += [_sent(proxy, began)] if proxy.sent is not None else []
            continue
        at = first_update(times, began, found.now)
        if at is not None:
            one = Arrival(
                namespace=proxy.namespace, pod=proxy.pod, after=began.at, by=found.now, taken=at
            )
            arrivals.append(one)
    return arrivals


def _sent(proxy: ProxyHold, began: Began) -> Arrival:
    at = max(proxy.sent or began.at, began.at)
    return Arrival(namespace=proxy.namespace, pod=proxy.pod, after=at, by=at)


def _started_since(pod: Pod, at: datetime) -> bool:
    """A proxy that started after the change got it with everything else."""
    status = pod.container_status(PROXY)
    running = status.state.running if status is not None else None
    started = running.started_at if running is not None else None
    return started is not None and started > at


def _moved(view: View, obj: Object, time: Took, at: datetime) -> str:
    """What may have moved the dates since the change; "" when nothing is seen that could."""
    if time.best > _TRUSTED:
        return "the proxies have taken other changes since"
    pages = attempt(lambda: shared.deliveries(view))
    most = never_longer(pages) if not isinstance(pages, Unavailable) else None
    if most is not None and time.low.total_seconds() > most + SLOW.total_seconds() / 2:
        return f"other changes came since (no push of istiod took longer than {most:g} s)"
    until = at + time.high
    for kind in _KINDS:
        found = attempt(partial(view.objects, kind, Object))
        if isinstance(found, Unavailable):
            return f"other changes may have come since: {kind} objects could not be read"
        for other in found:
            when = last_change(other)
            if when is not None and at <= when <= until and other.ref != obj.ref:
                return f"{other.ref} was changed meanwhile"
    return ""


_KINDS = (*TOUCHING, "Namespace")
