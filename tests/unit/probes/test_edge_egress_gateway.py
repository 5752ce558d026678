"""`edge-egress-gateway`: the route to the gateway does not name the subset whose rule has tls."""

import pytest

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import EdgeSubject, ServiceSubject, WorkloadSubject
from meshdoctor.probes.edge_egress_gateway import EdgeEgressGateway, edge_egress_gateway
from tests.unit.world import world

OBJECTS = """
kind: ConfigMap
apiVersion: v1
metadata: {name: istio, namespace: istio-system}
data: {mesh: "accessLogFile: /dev/stdout"}
---
kind: Pod
apiVersion: v1
metadata: {name: cart-1, namespace: shop}
spec: {containers: [{name: cart}, {name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.0.0.1}
---
kind: Pod
apiVersion: v1
metadata: {name: out-1, namespace: infra, labels: {istio: out}}
spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}
status: {phase: Running, podIP: 10.0.0.2}
---
kind: Service
apiVersion: v1
metadata: {name: out, namespace: infra}
spec:
  clusterIP: 10.9.0.2
  selector: {istio: out}
  ports: [{name: https, port: 443, targetPort: 8443}]
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: way, namespace: shop}
spec:
  selector: {istio: out}
  servers: [{port: {number: 443, protocol: HTTPS}, hosts: [www.x.com], tls: {mode: ISTIO_MUTUAL}}]
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: to-out, namespace: shop}
spec:
  host: out.infra.svc.cluster.local
  subsets: [{name: x, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: www.x.com}}}]
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: via, namespace: shop}
spec:
  hosts: [www.x.com]
  http: [{route: [{destination: {host: out.infra.svc.cluster.local}}]}]
"""
LINE = (
    '[2026-11-18T09:24:00.875Z] "GET / HTTP/1.1" {code} {flags} - - "-" 0 95 1 - "-" "curl/8" '
    '"r-1" "{host}" "10.0.0.2:8443" outbound|443||out.infra.svc.cluster.local 10.0.0.1:40 '
    "198.51.100.7:80 10.0.0.1:50 - default\n"
)
BAD = LINE.format(code=503, flags="UC", host="www.x.com")


def facts(objects: str = OBJECTS, log: str = BAD * 3, host: str = "www.x.com") -> EdgeEgressGateway:
    view = world(objects, logs={("shop", "cart-1", "istio-proxy"): log})
    client = WorkloadSubject("shop", "cart-1", "Pod")
    found = edge_egress_gateway.run(
        view, EdgeSubject(client=client, server=None, host=host, port=80)
    )
    assert isinstance(found, EdgeEgressGateway)
    return found


def test_no_subset_is_named() -> None:
    found = facts()
    assert (found.sends, found.failures, found.works) == ("plaintext", 3, False)
    assert (found.route, found.rule) == ("VirtualService/shop/via", "DestinationRule/shop/to-out")
    assert (found.gateway, found.port, found.hosts) == ("Gateway/shop/way", 443, "www.x.com")
    assert found.service == "Service/infra/out" and found.client_target == "pod/cart-1"


def test_a_log_that_cannot_be_read() -> None:
    edge = EdgeSubject(
        client=WorkloadSubject("shop", "cart-1", "Pod"), server=None, host="www.x.com", port=80
    )
    found = edge_egress_gateway.run(world(OBJECTS), edge)
    assert isinstance(found, EdgeEgressGateway)
    assert (found.sends, found.works) == ("plaintext", False)
    assert isinstance(found.failures, Unavailable)


def test_calls_of_this_host_only() -> None:
    other = LINE.format(code=503, flags="UC", host="www.y.com")
    well = LINE.format(code=200, flags="-", host="www.x.com")
    found = facts(log=BAD + other + well)
    assert (found.failures, found.works) == (1, True)


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("local}}]}]", "local, subset: x}}]}]"),
        ("subsets: [{name: x, trafficPolicy:", "trafficPolicy: {tls:"),
        ("protocol: HTTPS}, hosts: [www.x.com], tls: {mode: ISTIO_MUTUAL}", "protocol: HTTP}"),
        ("istio-proxy, args: [proxy, sidecar]", "app"),
        ("istio-proxy, args: [proxy, router]", "nginx"),
        ("host: out.infra.svc.cluster.local}}", "host: www.x.com}}"),
        ("host: out.infra.svc.cluster.local}}", "host: none.infra.svc.cluster.local}}"),
    ],
)
def test_nothing_to_say(there: str, instead: str) -> None:
    assert there in OBJECTS
    text = OBJECTS.replace(there, instead)
    if instead.startswith("trafficPolicy"):
        text = text.replace(
            " {tls: {mode: ISTIO_MUTUAL, sni: www.x.com}}}]",
            " {mode: ISTIO_MUTUAL, sni: www.x.com}}",
        )
    assert facts(text).sends == ""


@pytest.mark.parametrize(("protocol", "sends"), [("HTTP", "plaintext"), ("TLS", "")])
def test_http_rules_need_an_http_port(protocol: str, sends: str) -> None:
    entry = f"""
---
kind: ServiceEntry
apiVersion: networking.istio.io/v1
metadata: {{name: x, namespace: shop}}
spec: {{hosts: [www.x.com], ports: [{{number: 80, protocol: {protocol}}}]}}
"""
    assert facts(OBJECTS + entry).sends == sends


def test_another_host_and_another_kind_of_edge() -> None:
    assert facts(host="www.y.com").sends == ""
    edge = EdgeSubject(client=None, server=None, host="www.x.com", port=80)
    found = edge_egress_gateway.run(world(OBJECTS), edge)
    assert isinstance(found, EdgeEgressGateway) and found.sends == ""
    own = "labels: {istio: out, security.istio.io/tlsMode: istio}"
    labelled = facts(OBJECTS.replace("labels: {istio: out}", own))
    assert str(labelled.sends).startswith("TLS for the name outbound_.443_._.out.infra")


@pytest.mark.parametrize(
    ("role", "port", "sends", "failures"),
    [("router", 443, "plaintext", 2), ("router", 80, "", 0), ("sidecar", 443, "", 0)],
)
def test_of_a_whole_mesh_the_gateway_is_what_is_called(
    role: str, port: int, sends: str, failures: int
) -> None:
    text = OBJECTS.replace("args: [proxy, router]", f"args: [proxy, {role}]")
    text = text.replace(
        "{host: out.infra.svc.cluster.local}}",
        "{host: out.infra.svc.cluster.local, port: {number: 443}}}",
    )
    view = world(text, logs={("shop", "cart-1", "istio-proxy"): BAD * 2})
    edge = EdgeSubject(
        client=WorkloadSubject("shop", "cart-1", "Pod"),
        server=WorkloadSubject("infra", "out-1", "Pod"),
        service=ServiceSubject("infra", "out"),
        host="out.infra.svc.cluster.local",
        port=port,
    )
    found = edge_egress_gateway.run(view, edge)
    assert isinstance(found, EdgeEgressGateway)
    assert (found.sends, found.failures) == (sends, failures)
