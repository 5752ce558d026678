"""`ztunnel-log` on a small ambient mesh."""

from typing import Any

import pytest

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import EdgeSubject, ServiceSubject, WorkloadSubject
from meshdoctor.ports import ForbiddenError, NotAskedError
from meshdoctor.probes.edge_ztunnel import ZtunnelLog, ztunnel_log
from tests.unit.world import world

OBJECTS = """
kind: Service
apiVersion: v1
metadata: {name: pay, namespace: shop}
spec: {clusterIP: 172.20.0.9, selector: {app: pay}, ports: [{port: 80, targetPort: 8080}]}
---
kind: Pod
apiVersion: v1
metadata: {name: cart-1, namespace: shop}
spec: {nodeName: n1, containers: [{name: cart}]}
status: {phase: Running, podIP: 10.0.0.1}
---
kind: Pod
apiVersion: v1
metadata: {name: pay-1, namespace: shop, labels: {app: pay}}
spec: {nodeName: n2, containers: [{name: pay}]}
status: {phase: Running, podIP: 10.0.0.2}
"""
ZTUNNEL = """
---
kind: Pod
apiVersion: v1
metadata: {name: ztunnel-x, namespace: istio-system, labels: {app: ztunnel}}
spec: {nodeName: n2, containers: [{name: istio-proxy, args: [proxy, ztunnel]}]}
"""
EDGE = EdgeSubject(
    client=WorkloadSubject("shop", "cart-1", "Pod"),
    server=WorkloadSubject("shop", "pay-1", "Pod"),
    service=ServiceSubject("shop", "pay"),
    port=80,
)
LINE = (
    "2026-11-18T09:24:00.985Z\terror\taccess\tconnection complete\tsrc.addr={src}:41512 "
    'dst.addr=10.0.0.2:15008 dst.hbone_addr=10.0.0.2:8080 direction="inbound" bytes_sent=0 '
    'bytes_recv=0 duration="0ms"{error}\n'
)
STRICT = (
    ' error="connection closed due to policy rejection: explicitly denied by: '
    'istio-system/istio_converted_static_strict"'
)


def facts(objects: str, log: str, **rest: Any) -> ZtunnelLog:
    view = world(objects, logs={("istio-system", "ztunnel-x", "istio-proxy"): log}, **rest)
    found = ztunnel_log.run(view, EDGE)
    assert isinstance(found, ZtunnelLog)
    return found


def test_strict_refusal() -> None:
    log = LINE.format(src="10.0.0.1", error=STRICT) + LINE.format(src="10.0.0.1", error="")
    found = facts(OBJECTS + ZTUNNEL, log + LINE.format(src="10.9.9.9", error=STRICT))
    assert (found.lines, found.ok, found.failures, found.strict) == (2, 1, 1, 1)
    assert (found.kind, found.anonymous, found.denied_by, found.pod) == (
        "strict",
        1,
        "",
        "ztunnel-x",
    )


REFUSED = ' error="connection failed: Connection refused (os error 111)"'
WAYPOINT = """
---
kind: Pod
apiVersion: v1
metadata:
  {name: waypoint-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}
spec: {nodeName: n2, containers: [{name: istio-proxy, args: [proxy, waypoint]}]}
status: {phase: Running, podIP: 10.0.0.5}
"""


def test_an_application_that_refuses() -> None:
    inbound = LINE.format(src="10.0.0.1", error=REFUSED)
    outbound = inbound.replace('direction="inbound"', 'direction="outbound"')
    found = facts(OBJECTS + ZTUNNEL, inbound + outbound)
    assert (found.refused, found.app_refused) == (2, 1)


def test_the_waypoint_calls_in_the_caller_s_stead() -> None:
    log = LINE.format(src="10.0.0.5", error=REFUSED)
    assert facts(OBJECTS + ZTUNNEL + WAYPOINT, log).app_refused == 0
    used = OBJECTS.replace(
        "metadata: {name: pay, namespace: shop}",
        "metadata: {name: pay, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}",
    )
    assert facts(used + ZTUNNEL + WAYPOINT, log).app_refused == 1


def test_no_ztunnel_is_known() -> None:
    assert facts(OBJECTS, "").failures == 0


def test_log_that_cannot_be_read() -> None:
    found = facts(OBJECTS + ZTUNNEL, "", failing={"log": ForbiddenError("pods/log")})
    assert isinstance(found.strict, Unavailable) and isinstance(found.kind, Unavailable)


def test_a_host_outside_has_no_ztunnel_where_the_mesh_has_none() -> None:
    outside = EdgeSubject(client=EDGE.client, server=None, host="api.example", port=443)
    found = ztunnel_log.run(world(OBJECTS), outside)
    assert isinstance(found, ZtunnelLog) and found.failures == 0
    with pytest.raises(NotAskedError):
        ztunnel_log.run(world(OBJECTS + ZTUNNEL), outside)


ENTRY = """
---
kind: ServiceEntry
apiVersion: networking.istio.io/v1
metadata: {name: redis, namespace: data}
spec:
  hosts: [redis.default]
  addresses: [10.9.4.0/30]
  ports: [{number: 6379, name: tcp, protocol: TCP}]
  RESOLUTION
---
kind: Pod
apiVersion: v1
metadata: {name: ztunnel-c, namespace: istio-system, labels: {app: ztunnel}}
spec: {nodeName: n1, containers: [{name: istio-proxy, args: [proxy, ztunnel]}]}
---
kind: Pod
apiVersion: v1
metadata: {name: istiod-1, namespace: istio-system, labels: {app: istiod}}
spec: {containers: [{name: discovery, image: "docker.io/istio/pilot:RELEASE"}]}
"""


@pytest.mark.parametrize(
    ("resolution", "release", "lacks"),
    [
        ("resolution: NONE", "1.25.1", True),
        ("resolution: NONE", "1.28.0", False),
        ("resolution: STATIC", "1.29.0", True),
        ("endpoints: [{address: 10.9.4.1}]", "1.25.1", False),
        ("resolution: DNS", "1.25.1", False),
    ],
)
def test_entries_without_endpoints(resolution: str, release: str, lacks: bool) -> None:
    objects = OBJECTS + ENTRY.replace("RESOLUTION", resolution).replace("RELEASE", release)
    line = (
        "2026-11-18T09:24:00Z\twarn\taccess\tconnection failed\tsrc.addr=10.0.0.1:4 "
        'dst.addr={}:6379 direction="outbound" error="no healthy upstream"\n'
    )
    log = line.format("10.9.4.2") + line.format("10.9.5.2")
    view = world(objects, logs={("istio-system", "ztunnel-c", "istio-proxy"): log})
    edge = EdgeSubject(client=EDGE.client, server=None, host="redis.default", port=6379)
    found = ztunnel_log.run(view, edge)
    assert isinstance(found, ZtunnelLog)
    assert (found.no_upstream, found.entry) == (1, "ServiceEntry/data/redis")
    assert bool(found.entry_lacks) is lacks
