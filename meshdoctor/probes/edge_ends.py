"""How do kubectl and istioctl take the two ends of an edge?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.model.facts import Fact
from meshdoctor.model.subjects import EdgeSubject, SubjectKind, WorkloadSubject
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class EdgeEnds(Struct, frozen=True, kw_only=True):
    """The ends as `kind/name`, which outlives a restart; empty where none is known."""

    client: Annotated[Fact[str], "the client, kind/name"]
    client_namespace: Annotated[Fact[str], "its namespace"]
    server: Annotated[Fact[str], "the server, kind/name"]
    server_namespace: Annotated[Fact[str], "its namespace"]


@probe(
    "edge-ends",
    subject=SubjectKind.EDGE,
    reads=reading.WORKLOAD_READS,
)
def edge_ends(view: View, edge: EdgeSubject) -> EdgeEnds:
    """How do commands name the two ends?"""
    client, server = _target(view, edge.client), _target(view, edge.server)
    return EdgeEnds(
        client=client,
        client_namespace=edge.client.namespace if edge.client is not None else "",
        server=server,
        server_namespace=edge.server.namespace if edge.server is not None else "",
    )


def _target(view: View, subject: WorkloadSubject | None) -> str:
    return reading.workload(view, subject).target if subject is not None else ""
