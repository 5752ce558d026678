# ruff: noqa: E501
"""Whom an object concerns, and who holds it."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from meshdoctor.mesh.propagation import (
    Hold,
    ProxyHold,
    Spread,
    Surroundings,
    concerns,
    hold,
    types_of,
)
from meshdoctor.mesh.propagation_time import Arrival, Began, took
from meshdoctor.mesh.visibility import scope
from meshdoctor.mesh.xds import ProxySync, State, TypeSync
from meshdoctor.model.istio import Gateway, MeshConfig, Sidecar
from meshdoctor.model.kubernetes import Object, Pod
from tests.unit.mesh.objects import load, many, one

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: web, labels: {app: cart}}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: ingress, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: ingress}
spec: {selector: {istio: ingressgateway}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: web}
spec: {egress: [{hosts: ["./*", "shop/*"]}]}
"""


def obj(kind: str, ns: str, spec: str) -> Object:
    group = (
        "security.istio.io"
        if kind.endswith(("Authentication", "Policy"))
        else "networking.istio.io"
    )
    version = "v1alpha3" if kind == "EnvoyFilter" else "v1"
    (found,) = load(
        f"{{apiVersion: {group}/{version}, kind: {kind}, metadata: {{name: a, namespace: {ns}}}, spec: {spec}}}"
    )
    return found


@pytest.mark.parametrize(
    ("kind", "ns", "spec", "cart", "gateway"),
    [
        ("VirtualService", "shop", "{hosts: [pay]}", True, False),
        ("VirtualService", "other", "{hosts: [pay]}", False, False),  # Sidecar imports shop only
        ("VirtualService", "shop", "{hosts: [pay], exportTo: ['.']}", False, False),
        ("VirtualService", "shop", "{hosts: [x.io], gateways: [ingress/web]}", False, True),
        ("VirtualService", "shop", "{hosts: [x.io], gateways: [web]}", False, False),
        ("DestinationRule", "shop", "{host: pay}", True, True),
        ("DestinationRule", "config", "{host: pay.shop.svc.cluster.local}", False, False),
        ("DestinationRule", "web", "{host: pay.shop.svc.cluster.local}", True, False),
        ("DestinationRule", "istio-system", "{host: pay.shop.svc.cluster.local}", True, True),
        ("ServiceEntry", "shop", "{hosts: [x.io]}", True, True),
        ("ServiceEntry", "other", "{hosts: [x.io]}", False, True),
        ("Gateway", "shop", "{selector: {istio: ingressgateway}}", False, True),
        ("Sidecar", "web", "{}", True, False),
        ("Sidecar", "istio-system", "{}", True, False),
        ("EnvoyFilter", "web", "{workloadSelector: {labels: {app: cart}}}", True, False),
        ("EnvoyFilter", "web", "{workloadSelector: {labels: {app: pay}}}", False, False),
        ("PeerAuthentication", "istio-system", "{}", True, True),
        ("AuthorizationPolicy", "web", "{selector: {matchLabels: {app: cart}}}", True, False),
    ],
)  # fmt: skip
def test_whom_an_object_concerns(kind: str, ns: str, spec: str, cart: bool, gateway: bool) -> None:
    pods, sidecars = many(Pod, PODS), many(Sidecar, PODS)
    around = Surroundings(
        mesh=MeshConfig(),
        gateways={("ingress", "web"): many(Gateway, PODS)[0]},
        scopes={
            (p.namespace, p.name): scope(sidecars, p.namespace, p.labels, "istio-system")
            for p in pods
            if p.namespace == "web"
        },
    )
    found = obj(kind, ns, spec)
    assert [concerns(found, p, around) for p in pods] == [cart, gateway]
    assert types_of(found)


def row(*types: TypeSync, version: str = "1.30.0") -> ProxySync:
    return ProxySync(pod="cart", namespace="web", istiod="istiod-1", version=version, types=types)


CHANGED = NOW - timedelta(seconds=30)
AFTER, BEFORE = CHANGED + timedelta(seconds=2), CHANGED - timedelta(hours=1)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, Hold.ABSENT),
        (row(), Hold.UNKNOWN),
        (row(TypeSync(type="RDS", state=State.SYNCED, sent=AFTER)), Hold.HAS),
        (row(TypeSync(type="RDS", state=State.SYNCED, sent=BEFORE)), Hold.IN_STEP),
        (row(TypeSync(type="RDS", state=State.SYNCED)), Hold.IN_STEP),
        (row(TypeSync(type="RDS", state=State.STALE)), Hold.WAITING),
        (row(TypeSync(type="RDS", state=State.STALE), version="1.22.1"), Hold.IN_STEP),
        (row(TypeSync(type="RDS", state=State.ERROR, error="bad")), Hold.REFUSED),
        (row(TypeSync(type="CDS", state=State.ERROR)), Hold.IN_STEP),  # not a route's type
        (row(TypeSync(type="RDS", state=State.NOT_SENT)), Hold.IN_STEP),
        (row(TypeSync(type="RDS", state=State.IGNORED)), Hold.IN_STEP),
    ],
)
def test_what_a_proxy_has(found: ProxySync | None, expected: Hold) -> None:
    pod = many(Pod, PODS)[0]
    assert hold(found, pod, ("RDS", "LDS"), CHANGED).hold is expected


def spread(changed: datetime | None, *holds: ProxyHold) -> Spread:
    return Spread(
        ref="VirtualService/shop/pay",
        changed=changed,
        changed_by="",
        proxies=holds,
        not_concerned=0,
        now=NOW,
    )


def proxy(found: Hold, sent: datetime | None = None) -> ProxyHold:
    return ProxyHold(namespace="web", pod="cart", hold=found, sent=sent)


def test_what_is_slow_and_what_is_complete() -> None:
    quick = spread(CHANGED, proxy(Hold.HAS, AFTER), proxy(Hold.HAS, CHANGED))
    assert quick.complete and not quick.slow
    began = Began(at=CHANGED)
    late = Arrival(namespace="web", pod="cart", after=CHANGED, by=CHANGED + timedelta(seconds=12))
    slow = replace(quick, took=took(began, [replace(late, taken=late.by)]))
    assert slow.slow
    stuck = spread(CHANGED, proxy(Hold.HAS, AFTER), proxy(Hold.REFUSED))
    assert stuck.slow and not stuck.complete and stuck.missing[0].hold is Hold.REFUSED
    fresh = spread(NOW - timedelta(seconds=3), proxy(Hold.WAITING))
    assert not fresh.slow and not fresh.complete
    early = spread(NOW - timedelta(seconds=3), proxy(Hold.IN_STEP))
    assert not early.complete  # its push may not have been sent yet
    assert spread(CHANGED, proxy(Hold.IN_STEP)).complete
    assert not spread(CHANGED).complete
    dated = replace(proxy(Hold.IN_STEP), dated=True)
    silent = spread(CHANGED, dated)
    assert silent.quiet and not silent.complete  # nothing was sent for half a minute
    assert not spread(CHANGED, dated, proxy(Hold.HAS, AFTER)).quiet
    assert spread(NOW - timedelta(minutes=2), dated).complete
    sent = proxy(Hold.WAITING, NOW - timedelta(seconds=6))
    assert not spread(None, sent).slow and spread(None, sent).young
    assert spread(None, replace(sent, sent=NOW - timedelta(seconds=12))).slow
    assert spread(None, proxy(Hold.WAITING)).slow and spread(None, proxy(Hold.REFUSED)).slow
    hidden = spread(CHANGED, proxy(Hold.UNKNOWN))
    assert not hidden.slow


def test_what_istiod_read_before_the_change_does_not_hold_it() -> None:
    """A busy istiod sends what it put together long ago; endpoints alone tell of no rule."""
    pod, changed = many(Pod, PODS)[0], NOW - timedelta(seconds=9.4)
    after = changed + timedelta(seconds=3)

    def of(type_: str, made: float) -> Hold:
        when = NOW - timedelta(seconds=made)
        one = TypeSync(type=type_, state=State.SYNCED, sent=after, made=when)
        return hold(
            row(one), pod, types_of(obj("DestinationRule", "shop", "{host: a}")), changed
        ).hold

    assert [of("CDS", 12), of("CDS", 10), of("CDS", 8)] == [Hold.IN_STEP, Hold.HAS, Hold.HAS]
    assert of("EDS", 8) is Hold.IN_STEP


def test_the_object_helper_takes_one() -> None:
    with pytest.raises(ValueError, match="unpack"):
        one(Pod, PODS)
