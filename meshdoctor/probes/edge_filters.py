"""Does an EnvoyFilter take away the cluster to which the client's calls go?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.filter_blame import of_proxy
from meshdoctor.mesh.filter_clusters import taken
from meshdoctor.mesh.services import fqdn
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import EnvoyFilter
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class EdgeFilters(Struct, frozen=True, kw_only=True):
    """EnvoyFilters at the client; empty where no client is named."""

    taker: Annotated[Fact[Ref], "the EnvoyFilter that takes the cluster away; empty: none does"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    how: Annotated[Fact[str], "what it does to the calls, in words"]
    host: Annotated[Fact[str], "the host called"]
    client: Annotated[Fact[str], "the client as kubectl takes it, kind/name"]
    client_namespace: Annotated[Fact[str], "its namespace"]


@probe(
    "edge-filters",
    subject=SubjectKind.EDGE,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "EnvoyFilter",
        "Job",
        "Pod",
        "Service",
        "StatefulSet",
    ),
)
def edge_filters(view: View, edge: EdgeSubject) -> EdgeFilters:
    """Does an EnvoyFilter take away the cluster of the calls?"""
    service = reading.edge_service(view, edge)
    host = fqdn(service) if service is not None else edge.host.lower()
    found, target, space = None, "", ""
    if edge.client is not None:
        client = reading.workload(view, edge.client)
        root, space = reading.root_namespace(view), edge.client.namespace
        there = [
            one
            for home in dict.fromkeys((root, space))
            for one in view.objects("EnvoyFilter", EnvoyFilter, home)
        ]
        target = client.target
        found = taken(of_proxy(there, root, space, client.labels), host, edge.port)
    return EdgeFilters(
        taker=Ref(found.filter.ref if found is not None else ""),
        name=found.filter.name if found is not None else "",
        namespace=found.filter.namespace if found is not None else "",
        how=clean(found.how, 200) if found is not None else "",
        host=clean(host, 253),
        client=target,
        client_namespace=space,
    )
