"""Subsets that callers do not get, by what their logs tell."""

import pytest

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import ConfigSubject, EdgeSubject, ServiceSubject, WorkloadSubject
from meshdoctor.probes.config_hidden import config_hidden
from meshdoctor.probes.edge_scope import edge_scope
from tests.unit.world import world

OBJECTS = """
kind: Pod
apiVersion: v1
metadata: {name: web-1, namespace: front}
spec: {containers: [{name: web}, {name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running}
---
kind: Service
apiVersion: v1
metadata: {name: pay, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80}]}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: pay, namespace: shop}
spec: {hosts: [pay], http: [{route: [{destination: {host: pay, subset: v1}}]}]}
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: pay, namespace: shop}
spec: {host: pay, subsets: [{name: v1}]}
"""
LIMITS = """
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: limits, namespace: front}
spec: {host: pay.shop.svc.cluster.local}
"""
LINE = (
    '[2026-11-18T09:24:00.313Z] "GET / HTTP/1.1" 503 {flags} - - "-" 0 0 1 - "-" "curl" "id" '
    '"pay.shop" "-" - - 10.96.0.9:80 10.0.0.1:501 - default'
)
ROUTE = ConfigSubject("VirtualService", "shop", "pay")
WEB = WorkloadSubject("front", "web-1", "Pod")


@pytest.mark.parametrize(
    ("objects", "log", "subset"),
    [
        (LIMITS, LINE.format(flags="NC"), "v1"),
        (LIMITS, LINE.format(flags="UF"), ""),  # its calls meet a cluster
        (LIMITS, None, None),  # nobody knows whether it calls
        ("", None, ""),  # it gets the subset
    ],
)
def test_a_subset_that_callers_do_not_get(
    objects: str, log: str | None, subset: str | None
) -> None:
    logs = {} if log is None else {("front", "web-1", "istio-proxy"): log}
    found = config_hidden.run(world(OBJECTS + objects, logs=logs), ROUTE)
    assert isinstance(found.subset, Unavailable) if subset is None else found.subset == subset


@pytest.mark.parametrize(
    ("objects", "found"),
    [
        (LIMITS, ("v1", "DestinationRule/front/limits", "DestinationRule/shop/pay")),
        ("", ("", "DestinationRule/shop/pay", "")),
    ],
)
def test_the_rule_that_a_client_takes(objects: str, found: tuple[str, str, str]) -> None:
    edge = EdgeSubject(client=WEB, server=None, service=ServiceSubject("shop", "pay"), port=80)
    facts = edge_scope.run(world(OBJECTS + objects), edge)
    assert (facts.subset, facts.rule_said, facts.rule_elsewhere) == found
