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


REFUSED = (
    "2026-11-18T09:10:00Z\terror\tcontrollers\terror handling ingress/edge, and retry budget "
    "exceeded: apply failed: patch apps/v1, Kind=Deployment/ingress/edge-istio: Deployment.apps "
    '"edge-istio" is invalid: spec.selector: field is immutable\tcontroller=gateway deployment'
)
MADE = """
kind: Deployment
apiVersion: apps/v1
metadata:
  {{name: edge-istio, namespace: ingress, creationTimestamp: "{created}", managedFields: [{field}]}}
spec: {{selector: {{}}, template: {{}}}}
---
"""
AT, LATER = "2026-11-18T09:00:00Z", "2026-11-18T09:20:00Z"
WRITTEN = f'{{manager: istio.io/gateway-controller, operation: Apply, time: "{LATER}"}}'


@pytest.mark.parametrize(
    ("made", "remade"),
    [
        ("", False),
        (MADE.format(created=AT, field=""), False),
        (MADE.format(created=LATER, field=""), True),
        (MADE.format(created=AT, field=WRITTEN), True),
        (MADE.format(created=AT, field=WRITTEN.replace("istio.io/gateway", "kube")), False),
    ],
)
def test_what_istiod_makes_for_a_gateway_is_refused(made: str, remade: bool) -> None:
    text = made + MESH.format(gateway_class="istio", namespace="ingress", status="")
    logs = {("istio-system", "istiod-1", "discovery"): REFUSED}
    edge = ConfigSubject("K8sGateway", "ingress", "edge")
    found = config_gateway_api.run(world(text, logs=logs), edge)
    assert isinstance(found.undeployed, str) and "immutable" in found.undeployed
    assert (found.undeployed_object, found.remade) == ("Deployment/ingress/edge-istio", remade)


def test_what_istiod_says_of_another_gateway_or_controller() -> None:
    other = REFUSED.replace("ingress/edge,", "ingress/other,")
    secret = REFUSED.replace("gateway deployment", "namespace controller")
    assert read([other, secret]).not_deployed("ingress", "edge") is None


def test_istiods_own_trial_of_validation_is_no_refusal() -> None:
    said = "info\tvalidationServer\tconfiguration is invalid: "
    assert not read([said + "gateway must have at least one server"]).said
    assert read([said + "gateway needs a selector"]).kind("invalid")


BACKEND = """
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {{name: pay, namespace: shop, generation: 3}}
spec: {{rules: [{{backendRefs: [{{name: pay, port: 8080}}]}}, {{backendRefs: [{backend}]}}]}}
status:
  parents:
  - controllerName: istio.io/gateway-controller
    parentRef: {{name: edge, namespace: ingress}}
    conditions:
    - {{type: Accepted, status: "{accepted}", reason: NoMatchingParent, observedGeneration: {seen}}}
---
kind: Service
apiVersion: v1
metadata: {{name: pay, namespace: shop}}
spec: {{ports: [{{name: http, port: 8080, targetPort: 8081}}]}}
"""


@pytest.mark.parametrize(
    ("backend", "rule", "port"),
    [
        ("{name: pay, port: 8081}", 2, 8081),
        ("{name: pay, port: 8080}", 0, 0),
        ("{name: gone, port: 8081}", 0, 0),  # that istiod tells itself
        ("{kind: InferencePool, group: x.io, name: pay, port: 8081}", 0, 0),
    ],
)
def test_a_port_that_the_service_does_not_have(backend: str, rule: int, port: int) -> None:
    text = BACKEND.format(backend=backend, accepted="True", seen=3)
    found = config_gateway_api.run(world(text), ConfigSubject("HTTPRoute", "shop", "pay"))
    assert (found.lost_rule, found.lost_port) == (rule, port)
    assert (found.lost_service == "Service/shop/pay") is bool(rule)
    assert found.ports == ("8080" if rule else "")


@pytest.mark.parametrize(
    ("seen", "condition", "answered"),
    [(3, "Accepted", True), (2, "", False), (0, "Accepted", False)],
)
def test_a_refusal_of_the_route_as_it_is_now(seen: int, condition: str, answered: bool) -> None:
    text = BACKEND.format(backend="", accepted="False", seen=seen)
    found = config_gateway_api.run(world(text), ConfigSubject("HTTPRoute", "shop", "pay"))
    assert (found.condition, found.answered) == (condition, answered)


RULES = """
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {{name: {name}, namespace: shop}}
spec: {{parentRefs: [{parent}], hostnames: [{host}], rules: [{rules}]}}
---
"""
TO = "{backendRefs: [{name: pay, port: 80}]}"


@pytest.mark.parametrize(
    ("rules", "unfed"),
    [
        (f"{TO}, {{matches: [{{path: {{value: /a}}}}]}}", 2),
        (f"{TO}, {{filters: [{{type: RequestRedirect}}]}}", 0),
        ("{filters: [{type: RequestHeaderModifier}]}", 1),
        (TO, 0),
        ("", 0),
    ],
)
def test_a_rule_without_a_backend(rules: str, unfed: int) -> None:
    text = RULES.format(name="pay", parent="{name: edge}", host="a.example", rules=rules)
    found = config_gateway_api.run(world(text), ConfigSubject("HTTPRoute", "shop", "pay"))
    assert found.unfed_rule == unfed


SERVICE = "{group: '', kind: Service, name: pay, port: 80}"


@pytest.mark.parametrize(
    ("parent", "host", "rules", "rival"),
    [
        (SERVICE, "b.example", TO, True),
        (SERVICE.replace(", port: 80", ""), "b.example", TO, True),
        (SERVICE, "b.example", "{matches: [{path: {type: PathPrefix, value: /}}]}", True),
        (SERVICE, "a.example", TO, False),
        (SERVICE.replace("80", "81"), "b.example", TO, False),
        (SERVICE.replace("pay", "cart"), "b.example", TO, False),
        ("{name: edge}", "b.example", TO, False),
        (SERVICE, "b.example", "{matches: [{path: {type: PathPrefix, value: /b}}]}", False),
    ],
)
def test_hostnames_of_routes_for_a_service(parent: str, host: str, rules: str, rival: bool) -> None:
    text = RULES.format(name="one", parent=SERVICE, host="a.example", rules=TO)
    text += RULES.format(name="two", parent=parent, host=host, rules=rules)
    found = config_gateway_api.run(world(text), ConfigSubject("HTTPRoute", "shop", "one"))
    assert found.rival == ("HTTPRoute/shop/two" if rival else "")
