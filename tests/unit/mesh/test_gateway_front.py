"""Load balancer against gateway, and what the gateway's log says."""

from typing import Any

import msgspec
import pytest
import yaml

from meshdoctor.mesh import gateway_front as front
from meshdoctor.mesh.access_log import parse
from meshdoctor.mesh.gateway_evidence import judge, mesh_service
from meshdoctor.mesh.gateway_tls import TlsServer
from meshdoctor.model.istio import EnvoyFilter, Gateway, K8sGateway, MeshConfig
from meshdoctor.model.kubernetes import Ingress, Meta, Pod, Service
from tests.unit.mesh.objects import one

LB = "service.beta.kubernetes.io/aws-load-balancer-"
POD = Pod(metadata=Meta(namespace="istio-system", labels={"istio": "gw"}))


def service(ports: str = "[{port: 443, targetPort: 8443}]", **notes: str) -> Service:
    data = {
        "metadata": {"annotations": {LB + k.replace("_", "-"): v for k, v in notes.items()}},
        "spec": {"type": "LoadBalancer", "ports": yaml.safe_load(ports)},
    }
    return msgspec.convert(data, Service)


def gateway(server: str) -> Gateway:
    return msgspec.convert({"spec": {"servers": [yaml.safe_load(server)]}}, Gateway, strict=False)


TLS = gateway("{port: {number: 443, protocol: HTTPS}, tls: {mode: SIMPLE}}")
PLAIN = gateway("{port: {number: 443, protocol: HTTP}}")
REDIRECT = gateway("{port: {number: 80, protocol: HTTP}, tls: {httpsRedirect: true}}")
BOTH = "[{port: 80, targetPort: 8080}, {port: 443, targetPort: 8080}]"


@pytest.mark.parametrize(
    ("balancer", "server", "kind"),
    [
        (service(), TLS, ""),
        (service(ssl_cert="arn"), TLS, front.TWICE),
        (service(ssl_cert="arn", backend_protocol="ssl"), TLS, ""),
        (service(ssl_cert="arn", ssl_ports="8443"), TLS, ""),
        (service(ssl_cert="arn", ssl_ports="443"), PLAIN, ""),
        (service(), PLAIN, front.PLAIN),
        (service(BOTH, ssl_cert="arn", ssl_ports="443"), REDIRECT, front.LOOP),
        (service(BOTH), REDIRECT, ""),
    ],
)
def test_crossed(balancer: Service, server: Gateway, kind: str) -> None:
    found = front.crossed([balancer], [server], POD)
    assert (found.kind if found else "") == kind


@pytest.mark.parametrize(
    ("listener", "mode", "kind"),
    [
        ("{protocol: HTTP}", "", ""),
        ("{protocol: HTTPS}", "SIMPLE", front.TWICE),
        ("{protocol: TLS, tls: {mode: Passthrough}}", "PASSTHROUGH", front.TWICE),
        ("{protocol: TLS, tls: {mode: Terminate}}", "SIMPLE", front.TWICE),
        ("{protocol: TCP}", "", ""),
    ],
)
def test_crossed_with_the_gateway_api(listener: str, mode: str, kind: str) -> None:
    given = {"name": "tls", "port": 443, **yaml.safe_load(listener)}
    meta = {"name": "public", "namespace": "edge"}
    made = msgspec.convert({"metadata": meta, "spec": {"listeners": [given]}}, K8sGateway)
    read = front.as_gateway(made)
    assert read.ref == "Gateway/edge/public"
    (server,) = read.spec.servers
    assert (server.tls.mode if server.tls else "") == mode
    found = front.crossed([service("[{port: 443}]", ssl_cert="arn", ssl_ports="443")], [read], POD)
    assert (found.kind if found else "") == kind


@pytest.mark.parametrize(
    ("notes", "sends"),
    [
        ({}, False),
        ({"proxy_protocol": "*"}, True),
        ({"target_group_attributes": "a=b, proxy_protocol_v2.enabled=true"}, True),
        ({"target_group_attributes": "proxy_protocol_v2.enabled=false"}, False),
    ],
)
def test_proxy_protocol_sent(notes: dict[str, str], sends: bool) -> None:
    assert front.sends_proxy_protocol(service(**notes)) is sends
    assert front.is_aws(service(**notes)) is bool(notes)


def test_proxy_protocol_expected() -> None:
    def mesh(text: str) -> MeshConfig:
        return msgspec.convert(yaml.safe_load(text), MeshConfig)

    plain = mesh("{}")
    assert not front.expects_proxy_protocol(plain, POD, [])
    topology = mesh("{defaultConfig: {gatewayTopology: {proxyProtocol: {}}}}")
    assert front.expects_proxy_protocol(topology, POD, [])
    notes = {"proxy.istio.io/config": '{"gatewayTopology": {"proxyProtocol": {}}}'}
    assert front.expects_proxy_protocol(plain, Pod(metadata=Meta(annotations=notes)), [])
    patch: Any = {"applyTo": "LISTENER", "patch": {"value": {"x": "envoy.listener.proxy_protocol"}}}
    data = {"metadata": {"namespace": "istio-system"}, "spec": {"configPatches": [patch]}}
    assert front.expects_proxy_protocol(plain, POD, [msgspec.convert(data, EnvoyFilter)])
    data["spec"]["workloadSelector"] = {"labels": {"istio": "other"}}  # type: ignore[index]
    assert not front.expects_proxy_protocol(plain, POD, [msgspec.convert(data, EnvoyFilter)])


ALB = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: front
  namespace: istio-system
  annotations: {alb.ingress.kubernetes.io/backend-protocol: HTTPS}
spec: {ingressClassName: alb, defaultBackend: {service: {name: gw}}}
"""
OPEN = gateway("{port: {number: 443, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE}}")


@pytest.mark.parametrize(
    ("text", "gateways", "met"),
    [
        (ALB, [TLS], True),
        (ALB, [TLS, OPEN], False),
        (ALB, [REDIRECT], False),
        (ALB.replace("HTTPS", "HTTP"), [TLS], False),
        (ALB.replace("Name: alb", "Name: nginx"), [TLS], False),
        (ALB.replace("{name: gw}", "{name: other}"), [TLS], False),
        (ALB.replace("istio-system", "shop"), [TLS], False),
    ],
)
def test_an_alb_names_no_host(text: str, gateways: list[Gateway], met: bool) -> None:
    gw = Service(metadata=Meta(namespace="istio-system", name="gw"))
    found = front.nameless([one(Ingress, text)], [gw], gateways)
    assert (found is not None and found[1] is gateways[0]) is met


NR = (
    '[2026-11-18T09:24:00Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 1 - "-" "-" "-" "-" "-" '
    "- - 10.0.0.2:8443 1.2.3.4:5 {sni} -\n"
)
REUSED = (
    '[2026-11-18T09:24:00Z] "GET / HTTP/2" 404 NR route_not_found - "-" 0 0 1 - "-" "-" "-" '
    '"{host}" "-" - - 10.0.0.2:8443 1.2.3.4:5 a.x.com -\n'
)
SERVERS = [
    TlsServer(name=h, port=443, protocol="HTTPS", mode="SIMPLE", hosts=(h,), credentials=())
    for h in ("a.x.com", "b.x.com")
]


def test_log() -> None:
    text = "".join(
        NR.format(sni=s) for s in ("a.x.com", "c.x.com", "-", "outbound_.80_._.pay.shop.svc.y.z")
    )
    text += REUSED.format(host="b.x.com") + REUSED.format(host="a.x.com")
    seen = judge(parse(text + REUSED.format(host="q.x.com")).lines, SERVERS)
    assert (len(seen.unserved), seen.sni) == (1, "c.x.com")
    assert mesh_service(seen.mesh_sni) == ("shop", "pay", 80)
    assert [line.authority for line in seen.reused] == ["b.x.com"]
    older = parse(REUSED.format(host="b.x.com").replace("HTTP/2", "HTTP/1.1")).lines
    assert len(judge(older, SERVERS).reused) == 1
    assert mesh_service("nonsense") == ("", "", 0)
    assert len(seen.nameless) == 1 and seen.named
    assert not judge(parse(NR.format(sni="a.x.com")).lines, SERVERS).named


@pytest.mark.parametrize(
    ("apply", "context", "value", "labels", "found"),
    [
        ("LISTENER", "SIDECAR_INBOUND", "envoy.filters.listener.proxy_protocol", {}, True),
        ("LISTENER_FILTER", "", "envoy.filters.listener.proxy_protocol", {}, True),
        ("LISTENER", "SIDECAR_OUTBOUND", "envoy.filters.listener.proxy_protocol", {}, False),
        ("LISTENER", "GATEWAY", "envoy.filters.listener.proxy_protocol", {}, False),
        ("LISTENER", "SIDECAR_INBOUND", "envoy.filters.listener.tls_inspector", {}, False),
        ("LISTENER", "SIDECAR_INBOUND", "envoy.filters.listener.proxy_protocol", {"a": "b"}, False),
        ("CLUSTER", "SIDECAR_INBOUND", "envoy.filters.listener.proxy_protocol", {}, False),
    ],
)
def test_a_filter_that_demands_a_proxy_header(
    apply: str, context: str, value: str, labels: dict[str, str], found: bool
) -> None:
    patch = {
        "applyTo": apply,
        "match": {"context": context} if context else {},
        "patch": {"value": {"listener_filters": [{"name": value}]}},
    }
    selector = {"workloadSelector": {"labels": labels}} if labels else {}
    meta = {"name": "f", "namespace": "istio-system"}
    data = {"metadata": meta, "spec": {"configPatches": [patch], **selector}}
    one = front.demands_header([msgspec.convert(data, EnvoyFilter)], POD, "istio-system")
    assert (one is not None) is found
    lenient = str(patch["patch"]).replace("'name'", "'allow_requests_without_proxy_protocol'")
    data["spec"]["configPatches"][0]["patch"] = yaml.safe_load(lenient)  # type: ignore[index]
    assert front.demands_header([msgspec.convert(data, EnvoyFilter)], POD, "istio-system") is None
