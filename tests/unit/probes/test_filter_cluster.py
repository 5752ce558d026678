# ruff: noqa: E501
"""EnvoyFilters that call STRICT services through clusters of their own."""

from typing import Any

import pytest

from meshdoctor.mesh.filter_clusters import plaintext
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.istio import EnvoyFilter
from meshdoctor.model.subjects import ConfigSubject, EdgeSubject, WorkloadSubject
from meshdoctor.probes.config_filter_cluster import config_filter_cluster, filter_cluster_seen
from meshdoctor.probes.edge_filters import edge_filters
from tests.unit.mesh.objects import one
from tests.unit.world import world

FILTER = """
kind: EnvoyFilter
apiVersion: networking.istio.io/v1alpha3
metadata: {name: limit, namespace: istio-system}
spec:
  configPatches:
  - applyTo: CLUSTER
    patch:
      operation: ADD
      value:
        name: limits
        type: STRICT_DNS
        load_assignment:
          endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: limit.shop.svc.cluster.local, port_value: 81}}}}]}]
"""
MESH = """
---
kind: Service
apiVersion: v1
metadata: {name: limit, namespace: shop}
spec: {selector: {app: limit}, ports: [{name: grpc, port: 81, targetPort: 8081}]}
---
kind: Pod
apiVersion: v1
metadata: {name: limit-1, namespace: shop, labels: {app: limit}, annotations: {sidecar.istio.io/status: "{}"}}
spec: {containers: [{name: limit}, {name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.0.0.4, conditions: [{type: Ready, status: "True"}]}
---
kind: PeerAuthentication
apiVersion: security.istio.io/v1
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""
LINE = (
    '[2026-11-18T09:24:00Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - "-" "-" "-" "-" "-" '
    "- - 10.0.0.4:8081 10.0.0.9:4000 - -\n"
)
SUBJECT = ConfigSubject("EnvoyFilter", "istio-system", "limit")


def judged(text: str) -> Any:
    return config_filter_cluster.run(world(text), SUBJECT)


def test_a_cluster_without_tls_to_strict_pods() -> None:
    found = judged(FILTER + MESH)
    assert (found.ref, found.port, found.workload_port) == (
        "EnvoyFilter/istio-system/limit",
        81,
        8081,
    )
    assert found.service == "Service/shop/limit"
    assert found.strict and found.policy == "PeerAuthentication/istio-system/default"
    permissive = judged((FILTER + MESH).replace("mode: STRICT}", "mode: PERMISSIVE}"))
    assert permissive.ref and not permissive.strict


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("type: STRICT_DNS", "transport_socket: {name: tls}"),
        ("type: STRICT_DNS", "transportSocket: {name: tls}"),
        ("operation: ADD", "operation: MERGE"),
        ("applyTo: CLUSTER", "applyTo: HTTP_FILTER"),
        ("limit.shop.svc.cluster.local", "limit.example.com"),
        ("port_value: 81", "port_value: 82"),
        (", {name: istio-proxy, args: [proxy, sidecar]}", ""),
    ],
)
def test_calls_that_work(old: str, new: str) -> None:
    text = FILTER + MESH
    assert old in text and judged(text.replace(old, new)).ref == ""


def test_other_kinds_and_camel_case() -> None:
    other = ConfigSubject("Gateway", "istio-system", "limit")
    assert config_filter_cluster.run(world(FILTER + MESH), other).ref == ""
    camel = FILTER.replace("socket_address", "socketAddress").replace("port_value", "portValue")
    assert [c.port for c in plaintext(one(EnvoyFilter, camel))] == [81]


def test_what_the_pods_refused() -> None:
    def refused(log: str | None) -> Any:
        logs = {} if log is None else {("shop", "limit-1", "istio-proxy"): log}
        return filter_cluster_seen.run(world(FILTER + MESH, logs=logs), SUBJECT).refused

    assert refused(LINE + LINE) == 2
    assert refused(LINE.replace(":8081", ":9")) == 0 or isinstance(
        refused(LINE.replace(":8081", ":9")), Unavailable
    )


TAKER = """
kind: EnvoyFilter
apiVersion: networking.istio.io/v1alpha3
metadata: {name: gone, namespace: web}
spec:
  configPatches: [PATCH]
---
kind: Pod
apiVersion: v1
metadata: {name: cart, namespace: web, labels: {app: cart}}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
"""
REMOVE = "{applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND, cluster: {WHICH}}, patch: {operation: REMOVE}}"
ROUTE = "{applyTo: HTTP_ROUTE, match: {routeConfiguration: {name: '80', vhost: {name: 'a.org:80'}}}, patch: {operation: MERGE, value: {route: {cluster: WHICH}}}}"


@pytest.mark.parametrize(
    ("patch", "which", "taker"),
    [
        (REMOVE, "service: a.org", True),
        (REMOVE, "service: a.org, portNumber: 80", True),
        (REMOVE, "name: outbound|80||a.org", True),
        (REMOVE, "service: b.org", False),
        (REMOVE, "portNumber: 81", False),
        (REMOVE, "name: outbound|81||a.org", False),
        (REMOVE.replace("OUTBOUND", "INBOUND"), "service: a.org", False),
        (REMOVE.replace("REMOVE", "MERGE"), "service: a.org", False),
        (ROUTE, "outbound|80||gone.org", True),
        (ROUTE, "outbound|80|v1|a.org", False),
        (ROUTE.replace("a.org:80", "b.org:80"), "outbound|80||gone.org", False),
    ],
)
def test_who_takes_a_cluster_away(patch: str, which: str, taker: bool) -> None:
    view = world(TAKER.replace("PATCH", patch.replace("WHICH", which)))
    edge = EdgeSubject(
        client=WorkloadSubject("web", "cart", "Pod"), server=None, host="a.org", port=80
    )
    found: Any = edge_filters.run(view, edge)
    assert found.taker == ("EnvoyFilter/web/gone" if taker else "")
