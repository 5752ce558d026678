"""What an application says of names that nobody resolves, and what the resolver says."""

import pytest

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import EdgeSubject, WorkloadSubject
from meshdoctor.probes.client_app_log import client_app_log
from meshdoctor.probes.client_silence import client_silence
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


MESH_CONFIG = """
---
kind: ConfigMap
apiVersion: v1
metadata: {name: istio, namespace: istio-system}
data: {mesh: "accessLogFile: /dev/stdout"}
"""


@pytest.mark.parametrize(
    ("app", "proxy", "silent"),
    [
        (f"lookup {HOST}: no such host", None, True),
        (f"lookup {HOST}: no such host\nGET {HOST} 200", None, None),
        (None, None, None),
        ("GET / 200", "", True),
    ],
)
def test_whether_any_call_comes_as_far_as_the_proxy(
    app: str | None, proxy: str | None, silent: bool | None
) -> None:
    given = {("shop", "web-1", "web"): app, ("shop", "web-1", "istio-proxy"): proxy}
    logs = {key: text for key, text in given.items() if text is not None}
    found = client_silence.run(world(MESH + MESH_CONFIG, logs=logs), EDGE).silent
    assert isinstance(found, Unavailable) if silent is None else found is silent


IMAGE = "{name: istio-proxy, image: 'proxyv2:1.24.0', args: [proxy, sidecar]"
CAPTURES = ", env: [{name: ISTIO_META_DNS_CAPTURE, value: 'true'}ALLOCATES]}"
ALLOCATES = ", {name: ISTIO_META_DNS_AUTO_ALLOCATE, value: 'true'}"
ENTRY = """
---
kind: ServiceEntry
apiVersion: networking.istio.io/v1
metadata: {name: partner, namespace: shop}
spec: {hosts: [api.partner.example], ADDRESSES, endpoints: [{address: vm.example}]}
"""


@pytest.mark.parametrize(
    ("env", "addresses", "image", "named"),
    [
        ("", "", "1.24.0", True),
        ("", "10.9.0.1", "1.24.0", False),
        (ALLOCATES, "", "1.24.0", False),
        ("", "", "1.25.0", False),
        ("", "", "latest", False),
    ],
)
def test_an_entry_that_the_proxy_answers_no_dns_for(
    env: str, addresses: str, image: str, named: bool
) -> None:
    proxy = (IMAGE + CAPTURES.replace("ALLOCATES", env)).replace("1.24.0", image)
    text = MESH.replace("{name: istio-proxy, args: [proxy, sidecar]}", proxy)
    text += ENTRY.replace("ADDRESSES", f"addresses: [{addresses}]")
    logs = {("shop", "web-1", "web"): f"lookup {HOST}: no such host\n"}
    found = client_app_log.run(world(text, logs=logs), EDGE)
    assert found.entry == ("ServiceEntry/shop/partner" if named else "")


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
