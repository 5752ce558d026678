"""Which edges do ztunnels log as failing? Rows of their access logs, and what is made of them."""

import pytest

from meshdoctor.engine.symptoms import seen
from meshdoctor.engine.tunnels import failing_tunnels
from meshdoctor.model.subjects import WorkloadSubject
from meshdoctor.ports import ForbiddenError
from tests.unit.world import world

MESH = """
apiVersion: v1
kind: Pod
metadata: {name: curl-1, namespace: shop, labels: {app: curl}}
spec: {nodeName: node-a, containers: [{name: curl}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: pay-1, namespace: shop, labels: {app: pay}}
spec: {nodeName: node-b, containers: [{name: pay}]}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec: {clusterIP: 172.20.0.7, selector: {app: pay}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ztunnel-a, namespace: istio-system, labels: {app: ztunnel}}
spec: {nodeName: node-a, containers: [{name: istio-proxy, image: "istio/ztunnel:1.30.3"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ztunnel-c, namespace: istio-system, labels: {app: ztunnel}}
spec: {nodeName: node-c, containers: [{name: istio-proxy, image: "istio/ztunnel:1.30.3"}]}
"""
HEAD = (
    "2026-11-18T09:24:{second}.9Z\t{level}\taccess\tconnection complete\tsrc.addr={source}:41512 "
)
LINE = HEAD + 'dst.addr={to} direction="outbound" duration="1ms"'


def line(
    error: str = "", *, to: str = "10.0.0.2:8080", source: str = "10.0.0.1", second: int = 10
) -> str:
    text = LINE.format(second=second, level="error", source=source, to=to)
    return text + (f' error="{error}"\n' if error else "\n")


REFUSED = "io error: Connection refused (os error 111)"
DENIED = "connection closed due to policy rejection: allow policies exist, but none allowed"


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        (line(DENIED), ["shop/curl-1 -> shop/pay:80"]),
        (line(REFUSED, to="172.20.0.7:80"), ["shop/curl-1 -> shop/pay:80"]),
        (line("no healthy upstream", to="203.0.113.9:443"), ["shop/curl-1 -> 203.0.113.9:443"]),
        (line(DENIED, source="10.9.9.9"), ["10.9.9.9 -> shop/pay:80"]),
        (line(DENIED, source="10.9.9.9", to="203.0.113.9:443"), []),
        (line("io error: Connection reset by peer"), []),
        (line(), []),
        ("2026-11-18T09:24:10Z\tinfo\tready\n", []),
    ],
)
def test_edges(text: str, edges: list[str]) -> None:
    view = world(MESH, logs={("istio-system", "ztunnel-a", "istio-proxy"): text})
    assert [str(one.edge) for one in failing_tunnels(view)] == edges


@pytest.mark.parametrize(("name", "count"), [("curl-1", 1), ("pay-1", 0), ("gone", 0)])
def test_of_a_workload_the_ztunnel_of_its_node_is_read(name: str, count: int) -> None:
    logs = {
        ("istio-system", "ztunnel-a", "istio-proxy"): line(DENIED),
        ("istio-system", "ztunnel-c", "istio-proxy"): line(DENIED),
    }
    view = world(MESH, logs=logs)
    assert len(failing_tunnels(view, [WorkloadSubject("shop", name, "Pod")])) == count
    assert len(failing_tunnels(view)) == 2


def test_what_cannot_be_read_shows_nothing_failing() -> None:
    assert failing_tunnels(world(MESH)) == []
    refused = ForbiddenError("list of Pod", "forbidden", "")
    assert failing_tunnels(world(MESH, failing={"Pod": refused})) == []


@pytest.mark.parametrize(
    ("later", "over"),
    [("", False), (line(second=20), True), (line(to="10.0.0.3:8080", second=20), False)],
)
def test_a_failure_is_a_symptom_until_the_target_takes_a_connection(later: str, over: bool) -> None:
    text = line(DENIED) + line(DENIED, second=12) + later
    view = world(MESH, logs={("istio-system", "ztunnel-a", "istio-proxy"): text})
    (found,) = seen(view, [])
    assert (found.count, found.over) == (2, over)
    assert found.text == f"ztunnel: {DENIED}"
