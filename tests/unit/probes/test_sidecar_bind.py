"""Which ports does a Sidecar have the proxy bind, and does the application want one of them?"""

import pytest

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import WorkloadSubject
from meshdoctor.probes.sidecar_bind import SidecarBind, sidecar_bind
from tests.unit.world import world

MESH = """
kind: Pod
apiVersion: v1
metadata: {name: app-1, namespace: shop}
spec:
  containers:
  - {name: app, ports: [{containerPort: 8080}]}
  - {name: istio-proxy, args: [proxy, sidecar]}
status: {phase: Running, podIP: 10.0.0.3}
---
kind: Service
apiVersion: v1
metadata: {name: other, namespace: tools}
spec: {selector: {app: other}, ports: [{name: http, port: 8080}]}
---
kind: Sidecar
apiVersion: networking.istio.io/v1
metadata: {name: default, namespace: shop}
spec: {egress: [EGRESS]}
"""
APP = WorkloadSubject("shop", "app-1", "Pod")
TAKEN = "listen tcp 0.0.0.0:8080: bind: address already in use"


def bind(egress: str, log: str | None = TAKEN) -> SidecarBind:
    logs = {} if log is None else {("shop", "app-1", "app"): log}
    found = sidecar_bind.run(world(MESH.replace("EGRESS", egress), logs=logs), APP)
    assert isinstance(found, SidecarBind)
    return found


@pytest.mark.parametrize(
    ("egress", "port"),
    [
        ("{captureMode: NONE, hosts: [tools/*]}", 8080),
        ("{captureMode: NONE, bind: 127.0.0.1, hosts: [tools/*]}", 8080),
        ("{captureMode: NONE, hosts: ['*/*']}", 8080),
        ("{captureMode: NONE, port: {number: 8080, protocol: HTTP, name: a}, hosts: [x/*]}", 8080),
        ("{captureMode: NONE, port: {number: 9090, protocol: HTTP, name: a}, hosts: [tools/*]}", 0),
        ("{captureMode: NONE, bind: 127.0.0.7, hosts: [tools/*]}", 0),
        ("{captureMode: NONE, hosts: [./*]}", 0),
        ("{captureMode: IPTABLES, hosts: [tools/*]}", 0),
        ("{hosts: [tools/*]}", 0),
    ],
)
def test_ports_that_the_proxy_binds(egress: str, port: int) -> None:
    found = bind(egress)
    assert found.port == port
    assert found.sidecar == ("Sidecar/shop/default" if port else "")


def test_what_the_application_says() -> None:
    egress = "{captureMode: NONE, hosts: [tools/*]}"
    assert bind(egress).said == TAKEN
    for silent in (TAKEN.replace("8080", "9090"), "panic: no config", None):
        assert isinstance(bind(egress, silent).said, Unavailable), "its last run is not recorded"
