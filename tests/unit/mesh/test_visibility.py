"""Which proxy sees which service?"""

from datetime import UTC, datetime, timedelta

import pytest

from meshdoctor.mesh import visibility as v
from meshdoctor.model.istio import (
    IstioEgressListener,
    MeshConfig,
    OutboundTrafficPolicy,
    Port,
    Sidecar,
    SidecarSpec,
    WorkloadSelector,
)
from meshdoctor.model.kubernetes import Meta, Service, ServicePort, ServiceSpec

ROOT = "istio-system"
MESH = MeshConfig()
T0 = datetime(2026, 1, 1, tzinfo=UTC)
PAY = "pay.shop.svc.cluster.local"


@pytest.mark.parametrize(
    ("export_to", "viewer", "default", "seen"),
    [
        ((), "other", (), True),
        (("*",), "other", (), True),
        ((".",), "other", (), False),
        ((".",), "shop", (), True),
        (("~",), "shop", (), False),
        (("other",), "other", (), True),
        (("other",), "shop", (), False),
        ((), "other", (".",), False),
        ((), "shop", (".",), True),
        (("~", "*"), "other", (), True),
    ],
)
def test_exported(
    export_to: tuple[str, ...], viewer: str, default: tuple[str, ...], seen: bool
) -> None:
    assert v.exported(export_to, "shop", viewer, default) is seen


def sidecar(
    ns: str,
    *hosts: str,
    name: str = "default",
    labels: dict[str, str] | None = None,
    age: int = 0,
    port: int = 0,
    policy: str | None = None,
) -> Sidecar:
    listener = IstioEgressListener(hosts=hosts, port=Port(number=port) if port else None)
    return Sidecar(
        kind="Sidecar",
        metadata=Meta(name=name, namespace=ns, creation_timestamp=T0 - timedelta(days=age)),
        spec=SidecarSpec(
            workload_selector=None if labels is None else WorkloadSelector(labels=labels),
            egress=(listener,) if hosts else (),
            outbound_traffic_policy=None if policy is None else OutboundTrafficPolicy(mode=policy),
        ),
    )


def in_force(*sidecars: Sidecar, proxy: str = "sidecar") -> v.Scope:
    return v.scope(sidecars, "web", {"app": "cart"}, ROOT, proxy=proxy)


def test_which_sidecar_is_in_force() -> None:
    root, space = sidecar(ROOT, "./*"), sidecar("web", "./*")
    own = sidecar("web", "*/*", name="cart", labels={"app": "cart"})
    other = sidecar("web", "*/*", name="x", labels={"app": "x"})
    assert in_force().sidecar is None
    assert in_force(root).level == "root"
    assert in_force(root, space).level == "namespace"
    assert in_force(root, space, other).level == "namespace"
    assert in_force(root, space, own).source == "Sidecar/web/cart"
    assert in_force(root, space, own, proxy="router").sidecar is None
    old = sidecar("web", "*/*", name="old", age=3)
    assert in_force(space, old).source == "Sidecar/web/old"
    rooted = sidecar(ROOT, "./*", labels={"app": "cart"})
    assert in_force(rooted).sidecar is None


@pytest.mark.parametrize(
    ("hosts", "seen"),
    [
        ((), True),
        (("*/*",), True),
        (("./*",), False),
        (("shop/*",), True),
        ((f"shop/{PAY}",), True),
        (("shop/*.svc.cluster.local",), True),
        (("shop/cart.shop.svc.cluster.local",), False),
        (("~/*",), False),
        (("web/*", "istio-system/*"), False),
    ],
)
def test_egress(hosts: tuple[str, ...], seen: bool) -> None:
    assert in_force(sidecar("web", *hosts)).imports(PAY, "shop", [8080]) is seen


def test_a_listener_with_a_port_imports_that_port_only() -> None:
    scope = in_force(sidecar("web", "*/*", port=9090))
    assert not scope.imports(PAY, "shop", [8080])
    assert scope.imports(PAY, "shop", [9090])


def test_outbound_policy() -> None:
    registry = MeshConfig(outbound_traffic_policy=OutboundTrafficPolicy(mode="REGISTRY_ONLY"))
    assert in_force().outbound_policy(MESH) == "ALLOW_ANY"
    assert in_force().outbound_policy(registry) == "REGISTRY_ONLY"
    assert in_force(sidecar("web", policy="ALLOW_ANY")).outbound_policy(registry) == "ALLOW_ANY"
    assert in_force(sidecar("web", policy="")).outbound_policy(MESH) == "REGISTRY_ONLY"


def test_sees() -> None:
    def service(export: str = "") -> Service:
        notes = {v.EXPORT_TO: export} if export else {}
        return Service(
            metadata=Meta(name="pay", namespace="shop", annotations=notes),
            spec=ServiceSpec(ports=(ServicePort(port=8080),)),
        )

    assert v.sees(service(), PAY, in_force(), MESH).visible
    assert v.sees(service("."), PAY, in_force(), MESH).hidden_by == "exportTo"
    assert v.sees(service("x, web"), PAY, in_force(), MESH).visible
    assert v.sees(service(), PAY, in_force(sidecar("web", "./*")), MESH).hidden_by == "sidecar"
