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
    assert found.bare == bare and found.named == ""
    assert found.bare_type == ("NodePort" if bare else "")


REMOTES = """
kind: Pod
apiVersion: v1
metadata: {name: istiod-1, namespace: istio-system, labels: {app: istiod}}
spec: {containers: [{name: discovery}]}
status: {phase: Running}
---
kind: Secret
apiVersion: v1
metadata:
  name: istio-remote-secret-east
  namespace: istio-system
  labels: {istio/multiCluster: "true"}
data: {east: ""}
---
kind: Secret
apiVersion: v1
metadata:
  name: istio-remote-secret-west
  namespace: istio-system
  labels: {istio/multiCluster: "true"}
data: {west: ""}
"""


@pytest.mark.parametrize(
    ("text", "cluster"), [("remote cluster west failed to sync after 30s", "west"), ("", "east")]
)
def test_the_secret_of_the_cluster_that_fails(text: str, cluster: str) -> None:
    logs = {("istio-system", "istiod-1", "discovery"): f"2026-11-18T09:00:00Z\terror\t{text}\n"}
    found = multicluster.run(world(REMOTES, logs=logs), MeshSubject())
    assert (found.secret, found.cluster) == (
        f"Secret/istio-system/istio-remote-secret-{cluster}",
        cluster,
    )


def test_a_gateway_whose_load_balancer_has_a_name() -> None:
    text = OBJECTS
    balanced = "loadBalancer: {ingress: [{hostname: x.elb.amazonaws.com}]}"
    for key, value in {"NOTE": "", "MORE": "", "STATUS": balanced, "NETWORKS": ""}.items():
        text = text.replace(key, value)
    found = multicluster.run(world(text), MeshSubject())
    assert (found.bare, found.named) == ("", "Service/istio-system/eastwest")
