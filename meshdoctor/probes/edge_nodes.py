"""Do calls of an edge fail only between nodes?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.edge_target import ips, target
from meshdoctor.mesh.far_calls import FarCalls, far_calls
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import NotAskedError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe


class EdgeNodes(Struct, frozen=True, kw_only=True):
    """Calls of the client's proxies to any pod behind the service, by the pods' nodes."""

    near: Annotated[Fact[int], "calls to pods of the client's own node", OBSERVED]
    near_lost: Annotated[Fact[int], "of them whose connection timed out", OBSERVED]
    far: Annotated[Fact[int], "calls to pods of other nodes", OBSERVED]
    far_lost: Annotated[Fact[int], "of them whose connection timed out", OBSERVED]
    pod: Annotated[Fact[str], "a pod of another node that does not answer; empty: none"]
    node: Annotated[Fact[Ref], "its node"]


@probe(
    "edge-nodes",
    subject=SubjectKind.EDGE,
    reads=proxy_logs.READS,
    costly=True,
)
def edge_nodes(view: View, edge: EdgeSubject) -> EdgeNodes:
    """Do calls of an edge fail only between nodes?"""
    if edge.client is None:
        raise NotAskedError(
            "log of the client's proxy", "no client is named", "name it with --from"
        )
    service = reading.edge_service(view, edge)
    if service is None:
        return _facts(FarCalls())
    client = reading.workload(view, edge.client)
    servers = reading.pods_of_service(view, service)
    wanted = target(edge, service, servers)
    lines = (
        (one.pod, line)
        for one in proxy_logs.read(view, client, CLIENT).pods
        for line in ev.of_client(one.log, wanted)
    )
    return _facts(far_calls(lines, {ip: pod for pod in servers for ip in ips(pod)}))


def _facts(found: FarCalls) -> EdgeNodes:
    node = found.pod.spec.node_name if found.pod is not None else ""
    return EdgeNodes(
        near=found.near,
        near_lost=found.near_lost,
        far=found.far,
        far_lost=found.far_lost,
        pod=found.pod.name if found.pod is not None else "",
        node=Ref(f"Node//{node}" if node else ""),
    )
