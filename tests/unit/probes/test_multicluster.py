"""`multicluster`: gateways of a network that have no address."""

import pytest

from meshdoctor.model.subjects import MeshSubject
from meshdoctor.probes.multicluster import Multicluster, multicluster
from tests.unit.world import world

OBJECTS = """
kind: Service
apiVersion: v1
metadata:
  name: eastwest
  namespace: istio-system
  labels: {topology.istio.io/network: net1}
  annotations: {NOTE}
spec: {type: NodePort, ports: [{port: 15443}]MORE}
status: {STATUS}
---
kind: ConfigMap
apiVersion: v1
metadata: {name: istio, namespace: istio-system}
data: {mesh: "", meshNetworks: "NETWORKS"}
"""


@pytest.mark.parametrize(
    ("change", "bare"),
    [
        ({}, "Service/istio-system/eastwest"),
        ({"NETWORKS": "networks: {net1: {gateways: [{address: 192.0.2.1, port: 31443}]}}"}, ""),
        ({"NOTE": "traffic.istio.io/nodeSelector: '{}'"}, ""),
        ({"MORE": ", externalIPs: [192.0.2.1]"}, ""),
        ({"STATUS": "loadBalancer: {ingress: [{ip: 192.0.2.1}]}"}, ""),
        ({"topology.istio.io/network": "app"}, ""),
    ],
)
def test_gateways_without_address(change: dict[str, str], bare: str) -> None:
    text = OBJECTS
    for key, value in (dict.fromkeys(("NOTE", "MORE", "STATUS", "NETWORKS"), "") | change).items():
        text = text.replace(key, value)
    found = multicluster.run(world(text), MeshSubject())
    assert isinstance(found, Multicluster)
    assert found.bare == bare
    assert found.bare_type == ("NodePort" if bare else "")
