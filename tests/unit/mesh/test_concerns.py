"""Which routes and rules of other namespaces can matter to calls of a few?"""

import pytest

from meshdoctor.mesh.concerns import concerns, delegates
from meshdoctor.model.istio import VirtualService
from tests.unit.mesh.objects import load

HEAD = "apiVersion: networking.istio.io/v1\nmetadata: {name: a, namespace: third}\n"


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("DestinationRule", "{host: pay.shop.svc.cluster.local}", True),
        ("DestinationRule", "{host: PAY.shop}", True),
        ("DestinationRule", "{host: pay.shop.svc}", True),
        ("DestinationRule", "{host: gone.shop.svc.cluster.local}", True),
        ("DestinationRule", "{host: pay}", False),
        ("DestinationRule", "{host: pay.bank.svc.cluster.local}", False),
        ("DestinationRule", '{host: "*"}', True),
        ("DestinationRule", '{host: "*.local"}', True),
        ("DestinationRule", '{host: "*.shop.svc.cluster.local"}', True),
        ("DestinationRule", '{host: "*y.shop.svc.cluster.local"}', True),
        ("DestinationRule", '{host: "*.bank.svc.cluster.local"}', False),
        ("DestinationRule", '{host: "*.example.com"}', True),
        ("DestinationRule", "{host: api.example.com}", True),
        ("DestinationRule", "{host: www.example.com}", False),
        ("ServiceEntry", "{hosts: [a.b.c, api.example.com]}", True),
        ("ServiceEntry", "{hosts: [a.b.c]}", False),
        ("VirtualService", "{hosts: [pay.shop.svc.cluster.local]}", True),
        ("VirtualService", "{hosts: [pay.bank.svc.cluster.local]}", False),
        ("VirtualService", '{hosts: ["*"]}', True),
        ("VirtualService", '{hosts: ["*"], gateways: [front]}', False),
        ("VirtualService", '{hosts: ["*"], gateways: [front, mesh]}', True),
        (
            "VirtualService",
            '{hosts: ["*"], gateways: [front], http: [{route: [{destination: {host: pay.shop}}]}]}',
            True,
        ),
        (
            "VirtualService",
            "{hosts: [a.b.c], http: [{mirror: {host: pay.shop}, route: []}]}",
            True,
        ),
        (
            "VirtualService",
            "{hosts: [a.b.c], tcp: [{route: [{destination: {host: pay.shop}}]}]}",
            True,
        ),
        (
            "VirtualService",
            "{hosts: [a.b.c], tls: [{route: [{destination: {host: pay}}]}]}",
            False,
        ),
        ("Sidecar", "{}", False),
        ("HTTPRoute", "{rules: [{backendRefs: [{name: pay, namespace: shop}]}]}", True),
        ("HTTPRoute", "{rules: [{backendRefs: [{name: pay}]}]}", False),
        ("HTTPRoute", "{rules: [{backendRefs: [{name: a, namespace: shop, kind: B}]}]}", False),
    ],
)
def test_another_namespaces_object(kind: str, spec: str, expected: bool) -> None:
    head = HEAD.replace("networking.istio.io/v1", "gateway.networking.k8s.io/v1")
    text = head if kind == "HTTPRoute" else HEAD
    (one,) = load(f"{text}kind: {kind}\nspec: {spec}")
    assert concerns(one, {"shop", "istio-system"}, ("api.example.com",)) is expected


def test_a_short_host_may_mean_the_service_that_is_called() -> None:
    (one,) = load(f"{HEAD}kind: VirtualService\nspec: {{hosts: [pay]}}")
    assert concerns(one, {"shop"}, ("pay.shop.svc.cluster.local",))
    assert not concerns(one, {"shop"}, ("cart.shop.svc.cluster.local",))
    own = {("third", "pay")}
    called = ("pay.shop.svc.cluster.local",)
    assert not concerns(one, {"shop"}, called, lambda space, name: (space, name) in own)


def test_a_name_that_only_dns_knows_means_the_service_that_is_called() -> None:
    (one,) = load(f"{HEAD}kind: VirtualService\nspec: {{hosts: [pay.shop.svc]}}")
    assert concerns(one, (), ("pay.shop.svc.cluster.local",))
    assert not concerns(one, (), ("pay.bank.svc.cluster.local",))


def test_an_own_object_always_does() -> None:
    (one,) = load(f"{HEAD}kind: Sidecar\nspec: {{}}")
    assert concerns(one, {"third"}, ())


def test_delegates_are_named_with_their_namespace() -> None:
    text = (
        f"{HEAD}kind: VirtualService\n"
        "spec: {hosts: [x], http: [{delegate: {name: b}}, {delegate: {name: c, namespace: d}}, {}]}"
    )
    (one,) = load(text)
    assert isinstance(one, VirtualService)
    assert list(delegates(one)) == [("third", "b"), ("d", "c")]
