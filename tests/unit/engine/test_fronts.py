"""Through which gateways do calls from outside come?"""

from meshdoctor.engine.calls import calls_of
from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.engine.fronts import fronts_of, gateways_to, led_through
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


PODS = """
---
kind: Pod
apiVersion: v1
metadata: {name: public-1, namespace: infra, labels: {istio: public}}
spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}
---
kind: Pod
apiVersion: v1
metadata:
  {name: made-1, namespace: infra, labels: {gateway.networking.k8s.io/gateway-name: made}}
spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: public, namespace: infra}
spec: {selector: {istio: public}}
---
kind: Service
apiVersion: v1
metadata: {name: pay, namespace: shop}
spec: {ports: [{port: 80}]}
"""


def test_their_workloads_call_what_is_asked_about() -> None:
    source = FakeSource(MESH + PODS)
    view = RecordingView(Evidence(source, Request(), ("infra", "istio-system", "shop")))
    scope = Scope(to=parse_target("shop/pay:80", ""))
    assert [str(one) for one in fronts_of(view, scope)] == ["infra/public-1", "infra/made-1"]
    assert [str(one) for one in calls_of(view, scope, ())] == [
        "infra/public-1 -> shop/pay:80",
        "infra/made-1 -> shop/pay:80",
    ]
    refused = FakeSource(MESH + PODS, failing={"Pod": ForbiddenError("no")})
    assert fronts_of(RecordingView(Evidence(refused, Request(), ("infra", "shop"))), scope) == ()


OUT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: out, namespace: infra}
spec:
  hosts: ["*.example.com"]
  http:
  - route:
    - destination: {host: way.exits.svc.cluster.local}
    - destination: {host: api.example.com}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: near, namespace: infra}
spec: {hosts: [api.example.org], tcp: [{route: [{destination: {host: way}}]}]}
"""


def through(to: str, **failing: EvidenceError) -> set[str]:
    view = RecordingView(Evidence(FakeSource(OUT, failing=failing), Request(), ("shop",)))
    return set(led_through(view, Scope(to=parse_target(to, ""))))


def test_calls_of_a_host_outside_lead_through_the_namespaces_of_their_routes() -> None:
    assert through("api.example.com:443") == {"exits"}
    assert through("api.example.org:443") == {"infra"}
    assert through("example.net") == set() == through("shop/pay")
    assert through("api.example.com", VirtualService=ForbiddenError("no")) == set()
