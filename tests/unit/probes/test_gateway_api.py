"""Routes on which istiod writes nothing, since it does not read their kind."""

import pytest

from meshdoctor.mesh.istiod_log import read
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import ConfigSubject
from meshdoctor.probes.config_gateway_api import config_gateway_api
from tests.unit.world import world

CRD = "tlsroutes.gateway.networking.k8s.io"
OLD = f"info\tkclient\tCRD {CRD} version 1.4.1 is below minimum version 1.5.0, ignoring"
MESH = """
kind: Pod
apiVersion: v1
metadata: {{name: istiod-1, namespace: istio-system, labels: {{app: istiod}}}}
spec: {{containers: [{{name: discovery}}]}}
status: {{phase: Running}}
---
kind: Gateway
apiVersion: gateway.networking.k8s.io/v1
metadata: {{name: edge, namespace: ingress}}
spec: {{gatewayClassName: {gateway_class}, listeners: [{{name: tls, port: 443, protocol: TLS}}]}}
---
kind: TLSRoute
apiVersion: gateway.networking.k8s.io/v1alpha2
metadata: {{name: pay, namespace: shop}}
spec: {{parentRefs: [{{name: edge, namespace: {namespace}}}]}}
status: {{parents: [{status}]}}
"""
TLS = ConfigSubject("TLSRoute", "shop", "pay")
ISTIO = "{parentRef: {name: edge}, controllerName: istio.io/gateway-controller}"


@pytest.mark.parametrize(
    ("gateway_class", "namespace", "status", "unanswered"),
    [
        ("istio", "ingress", "", True),
        ("istio-waypoint", "ingress", "", True),
        ("eg", "ingress", "", False),
        ("istio", "elsewhere", "", False),
        ("istio", "ingress", ISTIO, False),
        ("istio", "ingress", ISTIO.replace("istio.io", "example.com"), True),
    ],
)
def test_a_route_without_a_word_of_istiod(
    gateway_class: str, namespace: str, status: str, unanswered: bool
) -> None:
    text = MESH.format(gateway_class=gateway_class, namespace=namespace, status=status)
    logs = {("istio-system", "istiod-1", "discovery"): OLD}
    found = config_gateway_api.run(world(text, logs=logs), TLS)
    assert found.unanswered is unanswered
    assert (
        isinstance(found.ignored, str) and (OLD.partition("\t")[0] in found.ignored) is unanswered
    )
    assert found.definition == f"CustomResourceDefinition//{CRD}"


def test_a_log_that_is_not_held_leaves_it_open() -> None:
    text = MESH.format(gateway_class="istio", namespace="ingress", status="")
    assert isinstance(config_gateway_api.run(world(text), TLS).ignored, Unavailable)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (OLD, True),
        (OLD.replace("below minimum", "above maximum"), True),
        (f"error\tCRD {CRD} expected to have a x annotation, but none found; ignoring", True),
        (f"info\texcluding {CRD} due to pilot CRD filter", True),
        ("warn\tSkipping CRD gateway.networking.k8s.io/v1/TLSRoute as it is not present", True),
        ("warn\tSkipping CRD gateway.networking.k8s.io/v1/TCPRoute as it is not present", False),
        ("warn\tSkipping CRD networking.x-k8s.io/v1/TLSRoute as it is not present", False),
        (OLD.replace("tlsroutes", "grpcroutes"), False),
        (f"info\t{CRD} is now ready, building client", False),
    ],
)
def test_kinds_that_istiod_says_it_does_not_read(line: str, told: bool) -> None:
    said = read([f"2026-11-18T09:00:00Z\t{line}\n"])
    found = said.ignored("tlsroutes", "gateway.networking.k8s.io", "TLSRoute")
    assert (found is not None) is told
