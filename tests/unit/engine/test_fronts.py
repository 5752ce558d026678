"""Through which gateways do calls from outside come?"""

from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.engine.fronts import gateways_to
from meshdoctor.engine.scope import Scope, parse_target
from meshdoctor.model.subjects import Request
from meshdoctor.ports import EvidenceError, ForbiddenError
from tests.unit.world import FakeSource

MESH = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pay, namespace: shop}
spec: {gateways: [mesh, infra/public], http: [{route: [{destination: {host: pay}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: edge}
spec: {gateways: [own], http: [{delegate: {name: part, namespace: shop}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part, namespace: shop}
spec: {http: [{route: [{destination: {host: pay.shop.svc.cluster.local}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stranger, namespace: bank}
spec: {gateways: [infra/bank], http: [{route: [{destination: {host: pay}}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: pay, namespace: shop}
spec:
  parentRefs:
  - {name: made, namespace: infra}
  - {kind: ListenerSet, name: more}
  - {kind: ListenerSet, name: gone}
  - {kind: Service, name: pay}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: shop}
spec: {parentRef: {name: shared, namespace: platform}}
"""


def fronts(from_: str = "", to: str = "shop/pay:80", **failing: EvidenceError) -> list[str]:
    source = FakeSource(MESH, failing=failing)
    view = RecordingView(Evidence(source, Request(), ("istio-system", "shop")))
    scope = Scope(from_=parse_target(from_, "") if from_ else None, to=parse_target(to, ""))
    return [f"{one.config_kind} {one.namespace}/{one.name}" for one in gateways_to(view, scope)]


def test_gateways_of_the_routes_that_lead_there() -> None:
    assert fronts() == [
        "Gateway edge/own",
        "Gateway infra/public",
        "K8sGateway infra/made",
        "K8sGateway platform/shared",
    ]


def test_a_caller_that_is_named_or_a_host_outside_has_none() -> None:
    assert fronts(from_="shop/cart") == []
    assert fronts(to="api.example.com:443") == []


def test_what_cannot_be_read_leads_nowhere() -> None:
    no = ForbiddenError("no")
    assert fronts(VirtualService=no, ListenerSet=no) == ["K8sGateway infra/made"]
    assert fronts(HTTPRoute=no) == ["Gateway edge/own", "Gateway infra/public"]
