"""Do the connections to a host outside go to the host of another ServiceEntry?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.access_log import Line, address
from meshdoctor.mesh.access_logging import CLIENT
from meshdoctor.mesh.edge_path import entry_of
from meshdoctor.mesh.entries import taker
from meshdoctor.mesh.external_host import visible
from meshdoctor.mesh.services import host_matches
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import ServiceEntry
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import edge_objects, proxy_logs, reading
from meshdoctor.probes.view import View, probe


class EdgeTaken(Struct, frozen=True, kw_only=True):
    """Of a client with a sidecar and a host that is no Service; else all empty."""

    by: Annotated[
        Fact[Ref], "the ServiceEntry of other hosts whose TCP port takes all addresses; empty: none"
    ]
    by_name: Annotated[Fact[str], "its name"]
    by_namespace: Annotated[Fact[str], "its namespace"]
    by_host: Annotated[Fact[str], "its first host"]
    entry: Annotated[Fact[Ref], "the ServiceEntry of the host called; empty: none"]
    host: Annotated[Fact[str], "the host called"]
    port: Annotated[Fact[int], "the port called"]
    calls: Annotated[
        Fact[int], "connections that were sent to its host, and dialled another address", OBSERVED
    ]
    pod: Annotated[Fact[str], "a pod of the client"]
    namespace: Annotated[Fact[str], "its namespace"]


_NONE = EdgeTaken(
    by=Ref(""),
    by_name="",
    by_namespace="",
    by_host="",
    entry=Ref(""),
    host="",
    port=0,
    calls=0,
    pod="",
    namespace="",
)


@probe(
    "edge-taken",
    subject=SubjectKind.EDGE,
    reads=(*edge_objects.READS, "log"),
    costly=True,
)
def edge_taken(view: View, edge: EdgeSubject) -> EdgeTaken:
    """Do connections to a host outside go to the host of another ServiceEntry?"""
    if edge.client is None or edge.service is not None or edge.server is not None or not edge.host:
        return _NONE
    workload = reading.workload(view, edge.client)
    pod = workload.pod
    if pod is None or proxy_type(pod) != "sidecar" or not edge.port:
        return _NONE
    mesh = reading.mesh_config(view)
    entries = view.objects("ServiceEntry", ServiceEntry)
    seen = visible(entries, reading.sidecar_scope(view, pod), mesh)
    found = taker(seen, edge.host, edge.port)
    if found is None:
        return _NONE
    logs = proxy_logs.read(view, workload, CLIENT)
    own = entry_of(edge_objects.given(view, edge))
    lines = logs.lines(lambda log: tuple(one for one in log.lines if _taken(one, found, edge.port)))
    return EdgeTaken(
        by=Ref(found.ref),
        by_name=found.name,
        by_namespace=found.namespace,
        by_host=clean(found.spec.hosts[0], 253) if found.spec.hosts else "",
        entry=Ref(own.ref if own is not None else ""),
        host=clean(edge.host, 253),
        port=edge.port,
        calls=logs.seen(len(lines)),
        pod=pod.name,
        namespace=pod.namespace,
    )


def _taken(line: Line, entry: ServiceEntry, port: int) -> bool:
    """A name may have more addresses than one: what was dialled is not where it was sent."""
    return (
        line.is_tcp
        and line.is_outbound
        and line.cluster_port == port
        and any(host_matches(one, line.cluster_host) for one in entry.spec.hosts)
        and address(line.downstream_local)[0] != address(line.upstream_host)[0]
    )
