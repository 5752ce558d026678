"""Which configuration does a pair judge?"""

from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.engine.scope import Scope, parse_target
from meshdoctor.engine.subjects import resolve
from meshdoctor.model.subjects import EdgeSubject, Request, SubjectKind
from meshdoctor.ports import EvidenceError, ForbiddenError
from tests.unit.world import FakeSource

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {0}, namespace: {1}, labels: {{app: {0}}}}}
spec: {{containers: [{{name: app}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {0}, namespace: {1}}}
spec: {{selector: {{app: {0}}}, ports: [{{port: 80}}]}}
---
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {0}, namespace: {1}}}
spec: {2}
---
"""


def config(*routes: tuple[str, str, str], host: str = "") -> set[str]:
    """The configuration judged for shop/cart -> shop/pay, asked by a Host header."""
    text = POD.format("cart", "shop") + POD.format("pay", "shop") + POD.format("pay", "bank")
    text += "".join(ROUTE.format(*one) for one in routes)
    evidence = Evidence(FakeSource(text), Request(), ("istio-system", "shop"))
    scope = Scope(
        from_=parse_target("shop/cart", ""),
        to=parse_target("shop/pay:80", ""),
        request=Request(host=host),
    )
    found = resolve(RecordingView(evidence), scope).subjects[SubjectKind.CONFIG]
    return {f"{one.namespace}/{one.name}" for one in found}  # type: ignore[union-attr]


def test_of_other_namespaces_only_what_concerns_the_pair() -> None:
    found = config(
        ("own", "shop", "{hosts: [x.example.com]}"),
        ("for-pay", "third", "{hosts: [pay.shop.svc.cluster.local]}"),
        ("for-another", "third", "{hosts: [pay.bank.svc.cluster.local]}"),
    )
    assert found == {"shop/own", "third/for-pay"}


def test_routes_in_the_root_namespace_are_like_those_of_any_other() -> None:
    found = config(
        ("for-pay", "istio-system", "{hosts: [pay.shop.svc.cluster.local]}"),
        ("for-another", "istio-system", "{hosts: [pay.bank.svc.cluster.local]}"),
        ("short", "istio-system", "{hosts: [pay]}"),
        ("short-for-another", "istio-system", "{hosts: [ledger]}"),
    )
    assert found == {"istio-system/for-pay", "istio-system/short"}


def test_what_a_route_delegates_to_belongs_to_it() -> None:
    found = config(
        ("root", "third", "{hosts: [pay.shop], http: [{delegate: {name: part, namespace: far}}]}"),
        ("part", "far", "{http: [{route: [{destination: {host: elsewhere}}]}]}"),
        ("other", "far", "{http: [{route: [{destination: {host: elsewhere}}]}]}"),
    )
    assert found == {"third/root", "far/part"}


def test_who_delegates_to_a_route_belongs_to_it() -> None:
    part = "{hosts: [x.example.com], http: [{delegate: {name: part, namespace: shop}}]}"
    found = config(
        ("root", "third", part),
        ("part", "shop", "{http: [{route: [{destination: {host: pay}}]}]}"),
        ("other", "third", "{hosts: [y.example.com], http: [{delegate: {name: none}}]}"),
    )
    assert found == {"third/root", "shop/part"}


def test_what_serves_the_host_asked_for() -> None:
    routes = (("front", "third", "{hosts: [x.example.com]}"),)
    assert config(*routes) == set()
    assert config(*routes, host="x.example.com:443") == {"third/front"}


GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {0}, namespace: {1}}}
spec: {{selector: {{app: gate}}, servers: [{{hosts: ["{2}"]}}]}}
---
"""


def test_of_a_gateway_what_serves_the_host_that_is_asked_of_it() -> None:
    """Whatever namespace it lies in; what else the gateway serves is not asked about."""
    gate = POD.format("gate", "edge").replace("name: app", "name: istio-proxy, args: [router]")
    text = gate + GATEWAY.format("mine", "far", "./shop.example.com")
    text += GATEWAY.format("wide", "far", "*.example.com") + GATEWAY.format("own", "edge", "b.org")
    for name, host, bound in (
        ("misses", "c.org", "far/mine"),
        ("lost", "'*.example.com'", "far/nowhere"),
        ("other", "b.org", "edge/own"),
        ("all", "'*'", "edge/own"),
    ):
        text += ROUTE.format(name, "third", f"{{hosts: [{host}], gateways: [{bound}]}}")
    evidence = Evidence(FakeSource(text), Request(), ("edge", "istio-system"))
    scope = Scope(
        from_=None, to=parse_target("edge/gate:80", ""), request=Request(host="Shop.example.com:80")
    )
    found = resolve(RecordingView(evidence), scope)
    asked = {"Gateway/far/mine", "Gateway/far/wide"}
    asked |= {"VirtualService/third/lost", "VirtualService/third/misses"}
    judged = set(map(str, found.subjects[SubjectKind.CONFIG]))
    assert judged == {*asked, "Gateway/edge/own"}
    assert found.called == {*asked, *map(str, found.edges)}


def test_an_address_is_the_workload_whose_pod_has_it() -> None:
    status = "status: {{phase: Running, podIP: 10.0.0.{2}}}\n"
    pod = POD.replace("spec: {{containers: [{{name: app}}]}}\n", f"spec: {{{{}}}}\n{status}")
    text = pod.format("cart", "shop", 1) + pod.format("pay", "shop", 2)
    evidence = Evidence(FakeSource(text), Request(), ("istio-system", "shop"))
    for address, server in (("10.0.0.2", "shop/pay"), ("10.0.0.9", "None")):
        scope = Scope(from_=parse_target("shop/cart", ""), to=parse_target(f"{address}:6379", ""))
        (edge,) = resolve(RecordingView(evidence), scope).subjects[SubjectKind.EDGE]
        assert isinstance(edge, EdgeSubject)
        assert (str(edge.server), edge.host, edge.port) == (server, address, 6379)


WAY_OUT = """
apiVersion: v1
kind: Pod
metadata: {name: out, namespace: infra, labels: {app: out}}
spec: {containers: [{name: istio-proxy, args: [proxy, ROLE]}]}
---
apiVersion: v1
kind: Service
metadata: {name: out, namespace: infra}
spec: {selector: {app: out}, ports: [{port: 443}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: via, namespace: shop}
spec:
  hosts: [www.x.com]
  gateways: [mesh, edge]
  http:
  - match: [{gateways: [mesh]}]
    route: [{destination: {host: out.infra.svc.cluster.local}}]
  - match: [{gateways: [edge]}]
    route: [{destination: {host: www.x.com, port: {number: 443}}}, {destination: {host: y.com}}]
---
"""


def edges(role: str = "router", host: str = "www.x.com", **failing: EvidenceError) -> list[str]:
    """What is judged of a call of shop/cart to a host outside, by way of infra/out."""
    text = POD.format("cart", "shop") + WAY_OUT.replace("ROLE", role)
    evidence = Evidence(
        FakeSource(text, failing=failing), Request(), ("infra", "istio-system", "shop")
    )
    scope = Scope(from_=parse_target("shop/cart", ""), to=parse_target(f"{host}:80", ""))
    return [str(edge) for edge in resolve(RecordingView(evidence), scope).edges]


def test_a_way_out_is_judged_on_both_sides_of_its_gateway() -> None:
    first = "shop/cart -> www.x.com:80"
    assert edges() == [first, "infra/out -> www.x.com:443"]
    assert edges("sidecar") == [first]
    assert edges(host="www.z.com") == ["shop/cart -> www.z.com:80"]
    assert edges(VirtualService=ForbiddenError("VirtualService")) == [first]


WAYPOINT = """
apiVersion: v1
kind: Pod
metadata:
  {name: waypoint-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}
spec: {containers: [{name: istio-proxy, args: [proxy, waypoint]}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {LABEL}}
---
"""


def test_a_waypoint_on_the_way_is_judged_too() -> None:
    def judged(label: str) -> set[str]:
        text = POD.format("cart", "shop") + POD.format("pay", "shop")
        text += WAYPOINT.replace("LABEL", label)
        evidence = Evidence(FakeSource(text), Request(), ("istio-system", "shop"))
        scope = Scope(
            from_=parse_target("shop/cart", ""),
            to=parse_target("shop/pay:80", ""),
            request=Request(),
        )
        found = resolve(RecordingView(evidence), scope).subjects[SubjectKind.WORKLOAD]
        return {str(one) for one in found}

    assert judged("istio.io/use-waypoint: waypoint") == {"shop/cart", "shop/pay", "shop/waypoint-1"}
    assert judged("istio.io/use-waypoint: other") == {"shop/cart", "shop/pay"}


VERSIONS = """
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: app}, {name: istio-proxy, args: [proxy, sidecar]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pay-v1, namespace: shop, labels: {app: pay, version: v1}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pay-v2, namespace: shop, labels: {app: pay, version: v2}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec: {selector: {app: pay}, ports: [{name: http, port: 80}, {name: tcp, port: 90}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: pay, namespace: shop}
spec: {host: pay, subsets: [{name: v1, labels: {version: v1}}, {name: v3, labels: {version: v3}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pay, namespace: shop}
spec: {EXPORT hosts: [pay], http: [{route: [{destination: {host: pay, subset: SUBSET}}]}]}
---
"""
HIDES = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec: {egress: [{hosts: [./*]}]}
---
"""


def called(port: int = 80, subset: str = "v1", export: str = "", more: str = "") -> list[str]:
    """The servers that a call of shop/cart to shop/pay is judged at."""
    text = VERSIONS.replace("SUBSET", subset).replace("EXPORT", export) + more
    evidence = Evidence(FakeSource(text), Request(), ("istio-system", "shop"))
    scope = Scope(from_=parse_target("shop/cart", ""), to=parse_target(f"shop/pay:{port}", ""))
    return [str(edge.server) for edge in resolve(RecordingView(evidence), scope).edges]


def test_versions_that_no_route_leads_to_get_no_calls() -> None:
    both = ["shop/pay-v1", "shop/pay-v2"]
    assert called() == ["shop/pay-v1"]
    assert called(port=90) == both, "an http rule says nothing of a TCP port"
    assert called(subset="v3") == both, "nobody is left: what is wrong is to be seen at all of them"
    assert called(export="exportTo: [edge],") == both
    assert called(more=HIDES) == both, "what a Sidecar may hide does not count"


def test_routes_that_cannot_be_read_leave_every_version() -> None:
    text = VERSIONS.replace("SUBSET", "v1").replace("EXPORT", "")
    failing = {"VirtualService": ForbiddenError("virtualservices", "forbidden")}
    evidence = Evidence(FakeSource(text, failing=failing), Request(), ("istio-system", "shop"))
    scope = Scope(from_=parse_target("shop/cart", ""), to=parse_target("shop/pay:80", ""))
    found = resolve(RecordingView(evidence), scope).edges
    assert [str(edge.server) for edge in found] == ["shop/pay-v1", "shop/pay-v2"]
