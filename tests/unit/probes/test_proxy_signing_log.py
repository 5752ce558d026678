"""Who does not know istiod's name?"""

import pytest

from meshdoctor.model.subjects import ProxySubject
from meshdoctor.probes.proxy_signing_log import proxy_signing_log
from tests.unit.world import world

POD = """
kind: Pod
apiVersion: v1
metadata:
  name: {name}
  namespace: {namespace}
  labels: {{k8s-app: {label}}}
  ownerReferences: [{{kind: {kind}, name: {owner}, controller: true}}]
spec: {{containers: [{{name: istio-proxy}}]}}
status: {{phase: Running}}
---
"""
CART = POD.format(name="cart-1", namespace="shop", label="cart", kind="StatefulSet", owner="cart")
CORE = POD.format(
    name="coredns-1", namespace="kube-system", label="kube-dns", kind="StatefulSet", owner="coredns"
)
NODE = POD.format(
    name="cache-1", namespace="kube-system", label="node-local-dns", kind="DaemonSet", owner="cache"
)
ISTIOD = """
kind: Service
apiVersion: v1
metadata: {name: istiod, namespace: istio-system}
"""
SAID = (
    "error\tcitadelclient\tFailed to create certificate: rpc error: code = Unavailable desc = "
    "connection error: dial tcp: lookup istiod.istio-system.svc on {server}:53: {why}"
)


@pytest.mark.parametrize(
    ("objects", "server", "why", "resolver"),
    [
        (
            CART + CORE + NODE + ISTIOD,
            "169.254.20.10",
            "no such host",
            "DaemonSet/kube-system/cache",
        ),
        (
            CART + CORE + NODE + ISTIOD,
            "169.254.20.10",
            "i/o timeout",
            "DaemonSet/kube-system/cache",
        ),
        (CART + CORE + ISTIOD, "169.254.20.10", "no such host", ""),
        (CART + CORE + ISTIOD, "172.20.0.10", "no such host", "StatefulSet/kube-system/coredns"),
        (CART + CORE + ISTIOD, "172.20.0.10", "read udp: i/o timeout", ""),
        (CART + CORE + NODE, "169.254.20.10", "no such host", ""),
    ],
)
def test_the_resolver_that_does_not_know_istiod(
    objects: str, server: str, why: str, resolver: str
) -> None:
    logs = {("shop", "cart-1", "istio-proxy"): SAID.format(server=server, why=why)}
    found = proxy_signing_log.run(world(objects, logs=logs), ProxySubject("shop", "cart-1"))
    assert found.resolver == resolver
