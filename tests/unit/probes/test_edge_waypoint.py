"""What goes past the waypoint of an ambient service, as edge-waypoint reads it."""

import pytest

from meshdoctor.model.subjects import EdgeSubject, ServiceSubject, WorkloadSubject
from meshdoctor.probes.edge_waypoint import edge_waypoint
from tests.unit.world import world

OBJECTS = """
kind: Namespace
apiVersion: v1
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, NAMESPACE}}
---
kind: Pod
apiVersion: v1
metadata: {name: pay-1, namespace: shop, labels: {app: pay}}
spec: {containers: [{name: pay}]}
status: {phase: Running, podIP: 10.0.0.2}
---
kind: Pod
apiVersion: v1
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {containers: [{name: web}, {name: istio-proxy, args: [proxy, ROLE]}]}
status: {phase: Running, podIP: 10.0.0.3}
---
kind: Pod
apiVersion: v1
metadata: {name: cart-1, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: cart}]}
status: {phase: Running, podIP: 10.0.0.4}
---
kind: Service
apiVersion: v1
metadata: {name: pay, namespace: shop, labels: {SERVICE}}
spec: {clusterIP: 10.96.0.9, selector: {app: pay}, ports: [{name: http, port: 80}]}
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: pay, namespace: shop}
spec: {parentRefs: [{group: "", kind: Service, name: pay}]}
"""
WAYPOINT = """
---
kind: Gateway
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008}]}
---
kind: Pod
apiVersion: v1
metadata:
  {name: waypoint-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}
spec: {containers: [{name: istio-proxy, args: [proxy, waypoint]}]}
status: {phase: Running, podIP: 10.0.0.5}
"""
USE = "istio.io/use-waypoint: waypoint"


def workload(name: str) -> WorkloadSubject:
    return WorkloadSubject("shop", f"{name}-1", "Pod")


@pytest.mark.parametrize(
    ("service", "namespace", "more", "client", "role", "mend"),
    [
        ("", "", "", "cart", "sidecar", "label"),
        (USE, "", "", "cart", "sidecar", "waypoint"),
        (USE, "", WAYPOINT, "cart", "sidecar", ""),
        ("", USE, WAYPOINT, "cart", "sidecar", ""),
        (USE, "", WAYPOINT, "web", "sidecar", "caller"),
        (USE, "", WAYPOINT, "web", "router", "ingress"),
        (f"{USE}, istio.io/ingress-use-waypoint: 'true'", "", WAYPOINT, "web", "router", ""),
    ],
)
def test_what_goes_past_a_waypoint(
    service: str, namespace: str, more: str, client: str, role: str, mend: str
) -> None:
    text = OBJECTS.replace("SERVICE", service).replace("NAMESPACE", namespace)
    edge = EdgeSubject(
        client=workload(client), server=workload("pay"), service=ServiceSubject("shop", "pay"),
        host="pay.shop", port=80,
    )  # fmt: skip
    facts = edge_waypoint.run(world(text.replace("ROLE", role) + more), edge)
    assert facts.mend == mend
    assert facts.needed_by == ("HTTPRoute/shop/pay" if mend else "")
    asked_by = {"label": "", "": ""}.get(mend, "Service/shop/pay")
    assert facts.asked_by == asked_by
