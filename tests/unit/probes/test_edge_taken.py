"""`edge-taken`: another entry's TCP port takes what was for other addresses."""

from meshdoctor.model.subjects import EdgeSubject, WorkloadSubject
from meshdoctor.probes.edge_taken import EdgeTaken, edge_taken
from tests.unit.mesh.test_captured import LINE
from tests.unit.world import world

OBJECTS = """
kind: Pod
apiVersion: v1
metadata: {name: toolkit-1, namespace: tools}
spec: {containers: [{name: toolkit}, {name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.0.0.1}
---
kind: ServiceEntry
apiVersion: networking.istio.io/v1
metadata: {name: keys, namespace: infra}
spec: {hosts: [nexus.mon.svc.cluster.local], ports: [{number: 443, protocol: TCP}], resolution: DNS}
"""
CLIENT = WorkloadSubject("tools", "toolkit-1", "Pod")


def facts(
    host: str = "www.x.com", dialled: str = "140.82.121.3", objects: str = OBJECTS
) -> EdgeTaken:
    log = LINE.format(sent="10.3.8.40", dialled=dialled, name="-") * 2
    view = world(objects, logs={("tools", "toolkit-1", "istio-proxy"): log})
    found = edge_taken.run(view, EdgeSubject(client=CLIENT, server=None, host=host, port=443))
    assert isinstance(found, EdgeTaken)
    return found


def test_taken() -> None:
    found = facts()
    assert (found.by, found.calls, found.entry) == ("ServiceEntry/infra/keys", 2, "")
    assert (found.by_host, found.host) == ("nexus.mon.svc.cluster.local", "www.x.com")


def test_its_own_calls() -> None:
    assert facts(dialled="10.3.8.40").calls == 0
    assert facts(host="nexus.mon.svc.cluster.local").by == ""


def test_no_such_port() -> None:
    assert facts(objects=OBJECTS.replace("protocol: TCP", "protocol: TLS")).by == ""
    assert (
        facts(objects=OBJECTS.replace("name: istio-proxy, args: [proxy, sidecar]", "name: app")).by
        == ""
    )
