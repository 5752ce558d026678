"""Whom does a route concern, and how do calls to its hosts end?"""

from meshdoctor.engine.triage import edges_of
from meshdoctor.mesh.access_log import parse
from meshdoctor.model.facts import Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import ConfigSubject, ServiceSubject
from meshdoctor.probes.config_calls import (
    ConfigCalls,
    ConfigReach,
    ServiceCalls,
    config_calls,
    config_reach,
    service_calls,
)
from tests.unit.world import world

OBJECTS = """
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.88.16.3}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec: {clusterIP: 10.89.97.36, selector: {app: pay}, ports: [{port: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pay, namespace: shop}
spec:
  hosts: [pay]
  http: [{route: [{destination: {host: pay, subset: v3}}]}]
"""
# As Envoy writes it: a cluster that does not exist has no name in the line.
NO_CLUSTER = (
    '[2026-11-24T21:01:58.064Z] "GET /pay HTTP/1.1" 503 NC cluster_not_found - "-" 0 0 0 - "-" '
    '"cart" "id" "pay.shop:8080" "-" - - 10.89.97.36:8080 10.88.16.3:59808 - -'
)
LOGS = {("shop", "cart-1", "istio-proxy"): NO_CLUSTER}
ROUTE = ConfigSubject("VirtualService", "shop", "pay")


def test_calls_without_a_cluster_are_found_by_name_and_address() -> None:
    view = world(OBJECTS, logs=LOGS)
    assert config_calls.run(view, ROUTE) == ConfigCalls(
        no_cluster=1, no_route=0, no_endpoint=0, faults=0, spared=1
    )
    elsewhere = {
        key: text.replace("pay.shop", "store.shop").replace("10.89.97.36", "10.89.97.37")
        for key, text in LOGS.items()
    }
    other = config_calls.run(world(OBJECTS, logs=elsewhere), ROUTE)
    assert other == ConfigCalls(no_cluster=0, no_route=0, no_endpoint=0, faults=0, spared=0)
    short = {
        key: text.replace("pay.shop", "pay").replace("10.89.97.36", "-")
        for key, text in LOGS.items()
    }
    assert config_calls.run(world(OBJECTS, logs=short), ROUTE).no_cluster == 1
    foreign = OBJECTS.replace("cart-1, namespace: shop", "cart-1, namespace: front")
    abroad = {("front", "cart-1", "istio-proxy"): next(iter(short.values()))}
    assert config_calls.run(world(foreign, logs=abroad), ROUTE).no_cluster == 0
    found = service_calls.run(view, ServiceSubject("shop", "pay"))
    assert found == ServiceCalls(no_endpoint=0)


def test_requests_that_are_ended_or_delayed_on_purpose() -> None:
    lines = [
        NO_CLUSTER.replace("503 NC cluster_not_found", found)
        for found in ("503 FI fault_filter_abort", "200 DI via_upstream", "200 - via_upstream")
    ]
    view = world(OBJECTS, logs={("shop", "cart-1", "istio-proxy"): "\n".join(lines)})
    found = config_calls.run(view, ROUTE)
    assert (found.faults, found.spared) == (2, 1)


def test_a_wildcard_covers_services_that_are_called_by_short_names() -> None:
    wide = OBJECTS.replace("hosts: [pay]", 'hosts: ["*.shop.svc.cluster.local"]')
    view = world(wide, logs=LOGS)
    assert config_calls.run(view, ROUTE) == ConfigCalls(
        no_cluster=1, no_route=0, no_endpoint=0, faults=0, spared=1
    )
    elsewhere = world(wide.replace("*.shop", "*.bank"), logs=LOGS)
    assert config_calls.run(elsewhere, ROUTE).no_cluster == 0


def test_whom_a_route_concerns() -> None:
    found = config_reach.run(world(OBJECTS), ROUTE)
    assert found == ConfigReach(
        service=Ref("Service/shop/pay"), client="pod/cart-1.shop", gateway="", gateway_ref=Ref("")
    )
    policy = config_reach.run(world(OBJECTS), ConfigSubject("Sidecar", "shop", "x"))
    assert isinstance(policy, ConfigReach) and policy.client == ""


def test_triage_knows_whom_a_call_without_a_cluster_meant() -> None:
    view = world(OBJECTS, logs=LOGS)
    pod = view.objects("Pod", Pod, "shop")[0]
    (line,) = parse(NO_CLUSTER).lines
    assert [str(e) for e in edges_of(view, pod, line)] == ["shop/cart-1 -> shop/pay:8080"]


def test_a_wildcard_at_a_gateway_covers_every_host_that_is_called() -> None:
    wide = OBJECTS.replace("hosts: [pay]", 'hosts: ["*"]\n  gateways: [public]')
    logs = {
        key: text.replace("pay.shop", "a.org").replace("97.36:8080", "97.99:8080")
        for key, text in LOGS.items()
    }
    gateway = wide.replace("[proxy, sidecar]", "[proxy, router]")
    assert config_calls.run(world(gateway, logs=logs), ROUTE).no_cluster == 1
    assert config_calls.run(world(wide, logs=logs), ROUTE).no_cluster == 0
    narrow = gateway.replace('"*"', '"*.com"')
    assert config_calls.run(world(narrow, logs=logs), ROUTE).no_cluster == 0


def test_requests_of_a_route_of_the_gateway_api_are_found_by_its_hostnames() -> None:
    route = """
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: shop}
spec: {hostnames: [api.example.com], rules: [{backendRefs: [{name: pay, port: 8081}]}]}
"""
    lost = NO_CLUSTER.replace("503 NC", "500 NC").replace("pay.shop:8080", "api.example.com")
    line = lost.replace("10.89.97.36:8080", "10.88.16.9:80")
    view = world(OBJECTS + route, logs={("shop", "cart-1", "istio-proxy"): line})
    assert config_calls.run(view, ConfigSubject("HTTPRoute", "shop", "api")).no_cluster == 1
    assert config_calls.run(view, ConfigSubject("HTTPRoute", "shop", "gone")).no_cluster == 0


PART = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part, namespace: teams}
spec: {http: [{route: [{destination: {host: gone.shop.svc.cluster.local}}]}]}
"""


def test_a_delegate_takes_the_calls_of_who_names_it() -> None:
    part = ConfigSubject("VirtualService", "teams", "part")
    handed = "http: [{delegate: {name: part, namespace: teams}}]"
    own = "http: [{route: [{destination: {host: pay, subset: v3}}]}]"
    assert config_calls.run(world(OBJECTS.replace(own, handed) + PART, logs=LOGS), part) == (
        ConfigCalls(no_cluster=1, no_route=0, no_endpoint=0, faults=0, spared=1)
    )
    nobody = config_calls.run(world(OBJECTS + PART, logs=LOGS), part)
    assert isinstance(nobody, ConfigCalls) and nobody.no_cluster == 0
