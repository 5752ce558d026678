"""Which proxies should get an object, and which of them hold it?

Mirrors which xDS types istiod generates from a kind (pilot/pkg/xds/*.go, needsPush), and whom it
generates them for (exportTo, Sidecar, selectors, gateways; 1.18 to 1.32-dev). A push is dated
when istiod sent it (syncz, 1.23 and later); managedFields date a change to the second.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct, field

from meshdoctor.mesh import routes, rules
from meshdoctor.mesh.exports import audience, sees
from meshdoctor.mesh.hosts import service_of
from meshdoctor.mesh.propagation_time import Took
from meshdoctor.mesh.selectors import workload_selected
from meshdoctor.mesh.visibility import Scope
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.mesh.xds import ProxySync, State, TypeSync, is_false_alarm
from meshdoctor.model.istio import (
    AuthorizationPolicy,
    DestinationRule,
    EnvoyFilter,
    Gateway,
    MeshConfig,
    PeerAuthentication,
    RequestAuthentication,
    ServiceEntry,
    Sidecar,
    Telemetry,
    VirtualService,
    WasmPlugin,
)
from meshdoctor.model.kubernetes import Object, Pod
from meshdoctor.model.snapshot import selects

SLOW = timedelta(seconds=10)
QUIET = timedelta(seconds=60)
"""When nothing was sent for so long, nothing is to be sent."""
_CHANGE_GRAIN = timedelta(seconds=1)
TYPES: Mapping[str, tuple[str, ...]] = {
    "AuthorizationPolicy": ("LDS",),
    "DestinationRule": ("CDS", "EDS"),
    "EnvoyFilter": ("CDS", "LDS", "RDS", "ECDS"),
    "Gateway": ("LDS", "RDS"),
    "PeerAuthentication": ("CDS", "LDS", "EDS"),
    "RequestAuthentication": ("LDS",),
    "Service": ("CDS", "LDS", "RDS", "EDS"),
    "ServiceEntry": ("CDS", "LDS", "RDS", "EDS"),
    "Sidecar": ("CDS", "LDS", "RDS", "EDS"),
    "Telemetry": ("LDS",),
    "VirtualService": ("RDS", "LDS"),
    "WasmPlugin": ("LDS", "ECDS"),
}
_ALL = ("CDS", "LDS", "RDS", "EDS")
_WITH_EDS = frozenset(_ALL)


class Hold(StrEnum):
    """What a proxy has of an object.

    HAS: it acknowledged a push sent after the change. IN_STEP: it acknowledged all it was sent,
    and nothing that concerns it was sent since (or the time is not told).
    """

    HAS = "has it"
    IN_STEP = "in step"
    WAITING = "waiting"
    REFUSED = "refused"
    ABSENT = "not connected"
    UNKNOWN = "state not shown"


class ProxyHold(Struct, frozen=True, kw_only=True):
    """One proxy. `sent` is the push after the change that it took last, or, while it is waiting,
    the one that it has not acknowledged; `dated`, its pushes are dated."""

    namespace: str
    pod: str
    hold: Hold
    istiod: str = ""
    detail: str = ""
    sent: datetime | None = None
    dated: bool = False

    @property
    def done(self) -> bool:
        """Nothing is missing at this proxy, as far as is shown."""
        return self.hold in (Hold.HAS, Hold.IN_STEP)


class Surroundings(Struct, frozen=True, kw_only=True):
    """What decides whom an object concerns. `scopes`: the Sidecar in force by namespace/pod."""

    mesh: MeshConfig
    gateways: Mapping[tuple[str, str], Gateway] = field(default_factory=dict)
    scopes: Mapping[tuple[str, str], Scope] = field(default_factory=dict)


def types_of(obj: Object) -> tuple[str, ...]:
    """The xDS types that a change of the object touches."""
    return TYPES.get(obj.kind, _ALL)


def concerns(obj: Object, pod: Pod, around: Surroundings) -> bool:
    """Whether istiod generates something from the object for this proxy."""
    root = around.mesh.root_namespace
    match obj:
        case VirtualService():
            return _route(obj, pod, around)
        case DestinationRule():
            service = service_of(rules.host(obj))
            if service is not None and obj.namespace not in (pod.namespace, service[0], root):
                return False
            default = around.mesh.default_destination_rule_export_to
            seen = audience(obj.spec.export_to, obj.namespace, default)
            return _sees(seen, pod, (rules.host(obj),), obj.namespace, around, owner=False)
        case ServiceEntry():
            default = around.mesh.default_service_export_to
            seen = audience(obj.spec.export_to, obj.namespace, default)
            return _sees(seen, pod, obj.spec.hosts, obj.namespace, around, owner=True)
        case Gateway():
            return proxy_type(pod) == "router" and selects(obj.spec.selector, pod.labels)
        case Sidecar():
            mine = obj.namespace in (pod.namespace, root)
            return (
                mine
                and proxy_type(pod) == "sidecar"
                and workload_selected(obj.spec.workload_selector, pod.labels)
            )
        case EnvoyFilter():
            selector = obj.spec.workload_selector
            return obj.namespace in (pod.namespace, root) and workload_selected(
                selector, pod.labels
            )
        case (
            AuthorizationPolicy()
            | PeerAuthentication()
            | RequestAuthentication()
            | Telemetry()
            | WasmPlugin()
        ):
            return obj.namespace in (pod.namespace, root) and workload_selected(
                obj.spec.selector, pod.labels
            )
        case _:
            return True


def _route(route: VirtualService, pod: Pod, around: Surroundings) -> bool:
    if proxy_type(pod) == "router":
        bound = (around.gateways.get(key) for key in routes.gateway_keys(route))
        return any(g is not None and selects(g.spec.selector, pod.labels) for g in bound)
    if not routes.in_mesh(route):
        return False
    default = around.mesh.default_virtual_service_export_to
    seen = audience(route.spec.export_to, route.namespace, default)
    return _sees(seen, pod, routes.hosts(route), route.namespace, around, owner=True)


def _sees(
    seen: frozenset[str],
    pod: Pod,
    hosts: Sequence[str],
    namespace: str,
    around: Surroundings,
    *,
    owner: bool,
) -> bool:
    """exportTo first, then the Sidecar in force; `owner` False: any namespace's host will do."""
    if not sees(seen, pod.namespace):
        return False
    scope = around.scopes.get((pod.namespace, pod.name))
    if scope is None or scope.sidecar is None or not owner:
        return True
    return any(scope.imports(host, namespace) for host in hosts)


def hold(
    row: ProxySync | None, pod: Pod, types: Iterable[str], changed: datetime | None
) -> ProxyHold:
    """What one proxy has, by its row of the sync table (None: no istiod lists it)."""
    if row is None:
        return ProxyHold(namespace=pod.namespace, pod=pod.name, hold=Hold.ABSENT)
    asked = set(types)
    wanted = [t for t in row.types if t.type in asked and t.state is not State.IGNORED]

    def as_(found: Hold, detail: str = "", sent: datetime | None = None) -> ProxyHold:
        return ProxyHold(
            namespace=pod.namespace,
            pod=pod.name,
            hold=found,
            istiod=row.istiod,
            detail=detail,
            sent=sent,
            dated=any(t.sent is not None for t in wanted),
        )

    if not row.types:
        return as_(Hold.UNKNOWN)
    bad = next((t for t in wanted if t.state is State.ERROR), None)
    if bad is not None:
        return as_(Hold.REFUSED, f"{bad.type}: {bad.error}" if bad.error else bad.type)
    late = [t for t in wanted if t.state is State.STALE and not is_false_alarm(row, t)]
    if late:
        oldest = min((t.sent for t in late if t.sent is not None), default=None)
        return as_(Hold.WAITING, ", ".join(t.type for t in late), oldest)
    telling = [t for t in wanted if t.type != "EDS" or asked >= _WITH_EDS]
    after = [t.sent for t in telling if t.sent is not None and _holds(t, changed)]
    if after:
        return as_(Hold.HAS, sent=max(after))
    return as_(Hold.IN_STEP)


def _holds(one: TypeSync, changed: datetime | None) -> bool:
    """Whether a push was put together and sent after the change: what istiod read earlier and
    sent late, because it is busy, does not hold it. (Endpoints are pushed all the time: their
    pushes tell only of kinds that make endpoints.)"""
    if changed is None or one.sent is None or one.sent < changed:
        return False
    return one.made is None or one.made + _CHANGE_GRAIN > changed


class Spread(Struct, frozen=True, kw_only=True):
    """One object (`ref` "": everything) over the proxies that it concerns.

    `took` is how long it took where that can be told; `moved` says why it cannot: what may have
    moved the dates of the pushes since.
    """

    ref: str
    changed: datetime | None
    changed_by: str
    proxies: tuple[ProxyHold, ...]
    not_concerned: int
    now: datetime
    took: Took | None = None
    moved: str = ""

    @property
    def done(self) -> int:
        return sum(p.done for p in self.proxies)

    @property
    def missing(self) -> tuple[ProxyHold, ...]:
        """Proxies that do not hold it, refusals first."""
        order = list(Hold)
        return tuple(
            sorted(
                (p for p in self.proxies if not p.done),
                key=lambda p: (-order.index(p.hold), p.namespace, p.pod),
            )
        )

    @property
    def slow(self) -> bool:
        """Ten seconds have passed and a proxy is without it, or it took longer than that."""
        waiting = any(not p.done and p.hold is not Hold.UNKNOWN for p in self.proxies)
        if waiting and not self.young:
            return True
        return self.took is not None and self.took.best > SLOW

    @property
    def has(self) -> int:
        """Proxies that took a push sent after the change."""
        return sum(p.hold is Hold.HAS for p in self.proxies)

    @property
    def quiet(self) -> bool:
        """istiod has sent nothing since the change: it is late, or nothing comes of the change."""
        held = all(p.hold is Hold.IN_STEP and p.dated for p in self.proxies)
        return bool(self.proxies) and self.changed is not None and held

    @property
    def young(self) -> bool:
        """What is missing may still be on its way: the change, or each push, is seconds old."""
        if self.changed is not None:
            return self.now - self.changed <= SLOW + _CHANGE_GRAIN
        waits = [p for p in self.missing if p.hold is not Hold.UNKNOWN]
        return bool(waits) and all(
            p.hold is Hold.WAITING and p.sent is not None and self.now - p.sent <= SLOW
            for p in waits
        )

    @property
    def complete(self) -> bool:
        """Every proxy took a push sent after the change, or had its time and is in step."""
        if not self.proxies or self.done < len(self.proxies):
            return False
        if self.changed is None or self.has == len(self.proxies):
            return True
        return self.now - self.changed > (QUIET if self.quiet else SLOW)
