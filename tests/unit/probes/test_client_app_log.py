"""What an application says of names that nobody resolves, and what the resolver says."""

import pytest

from meshdoctor.model.subjects import EdgeSubject, WorkloadSubject
from meshdoctor.probes.client_app_log import client_app_log
from tests.unit.world import world

MESH = """
kind: Pod
apiVersion: v1
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {containers: [{name: web}, {name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running}
"""
RESOLVER = """
---
kind: Pod
apiVersion: v1
metadata:
  name: coredns-5f-1
  namespace: kube-system
  labels: {k8s-app: kube-dns, pod-template-hash: 5f}
  ownerReferences: [{kind: ReplicaSet, name: coredns-5f, controller: true}]
spec: {containers: [{name: coredns}]}
status: {phase: Running}
"""
HOST = "api.partner.example"
EDGE = EdgeSubject(
    client=WorkloadSubject("shop", "web-1", "Pod"), server=None, service=None, host=HOST, port=443
)
TIMEOUT = f"dial tcp: lookup {HOST} on 10.0.0.10:53: read udp 10.1.1.1:1->10.0.0.10:53: i/o timeout"
UPSTREAM = f"[ERROR] plugin/errors: 2 {HOST}. A: read udp 10.1.1.2:4->10.20.0.2:53: i/o timeout"


@pytest.mark.parametrize(
    ("line", "errors", "silent"),
    [
        (TIMEOUT, 1, True),
        (f"getaddrinfo EAI_AGAIN {HOST}", 1, True),
        (f"lookup {HOST}: server misbehaving", 1, True),
        (f"curl: (28) Resolving timed out after 5000 ms: {HOST}", 1, True),
        (f"lookup {HOST}: no such host", 1, False),
        (f"getaddrinfo ENOTFOUND {HOST}", 1, False),
        (TIMEOUT.replace(HOST, "other.example"), 0, False),
        (f"dial tcp 203.0.113.7:443: i/o timeout for {HOST}", 0, False),
    ],
)
def test_who_did_not_answer(line: str, errors: int, silent: bool) -> None:
    logs = {
        ("shop", "web-1", "web"): line + "\n",
        ("kube-system", "coredns-5f-1", "coredns"): UPSTREAM + "\n",
    }
    found = client_app_log.run(world(MESH + RESOLVER, logs=logs), EDGE)
    assert found.name_errors == errors
    assert found.resolver == ("Deployment/kube-system/coredns" if silent else "")
    assert found.resolver_said == (f"; coredns-5f-1 says: {UPSTREAM}" if silent else "")


@pytest.mark.parametrize(
    "said",
    [UPSTREAM.replace(HOST, "other.example"), "[INFO] plugin/reload: Running configuration", ""],
)
def test_a_resolver_that_says_nothing_of_the_name(said: str) -> None:
    logs = {
        ("shop", "web-1", "web"): TIMEOUT + "\n",
        ("kube-system", "coredns-5f-1", "coredns"): said,
    }
    found = client_app_log.run(world(MESH + RESOLVER, logs=logs), EDGE)
    assert (found.resolver, found.resolver_said) == ("Deployment/kube-system/coredns", "")


def test_no_resolver_is_seen() -> None:
    logs = {("shop", "web-1", "web"): TIMEOUT + "\n"}
    found = client_app_log.run(world(MESH, logs=logs), EDGE)
    assert (found.resolver, found.resolver_said) == ("", "")
