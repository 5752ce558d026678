"""Do the endpoints of the ServiceEntry that is called have the identities that it names?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import entry_identity as ei
from meshdoctor.mesh.edge_path import entry_of
from meshdoctor.mesh.edge_target import ips
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import ServiceEntry, WorkloadEntry
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import edge_objects, reading
from meshdoctor.probes.view import View, probe


class EdgeEntryIdentity(Struct, frozen=True, kw_only=True):
    """Of a host that a ServiceEntry puts in the mesh (MESH_INTERNAL); empty for other edges."""

    entry: Annotated[Fact[Ref], "the ServiceEntry; empty: none, or it is outside the mesh"]
    entry_name: Annotated[Fact[str], "its name"]
    entry_namespace: Annotated[Fact[str], "its namespace"]
    accepted: Annotated[Fact[str], "identities that clients accept: of entry and endpoints"]
    stranger: Annotated[Fact[Ref], "a workload behind it that has another; empty: none known"]
    identity: Annotated[Fact[str], "the identity of that workload"]
    source: Annotated[Fact[Ref], "the WorkloadEntry or ServiceEntry that gives its address"]
    address: Annotated[Fact[str], "that address"]


_NONE = EdgeEntryIdentity(
    entry=Ref(""),
    entry_name="",
    entry_namespace="",
    accepted="",
    stranger=Ref(""),
    identity="",
    source=Ref(""),
    address="",
)


@probe(
    "edge-entry-identity",
    subject=SubjectKind.EDGE,
    reads=(*edge_objects.READS, "WorkloadEntry"),
)
def edge_entry_identity(view: View, edge: EdgeSubject) -> EdgeEntryIdentity:
    """Do the endpoints of the ServiceEntry have the identities that it names?"""
    if edge.service is not None or edge.server is not None or not edge.host:
        return _NONE
    entry = entry_of(edge_objects.given(view, edge))
    if entry is None or entry.spec.location != "MESH_INTERNAL":
        return _NONE
    given = ei.endpoints(entry, view.objects("WorkloadEntry", WorkloadEntry, entry.namespace))
    domain = reading.mesh_config(view).trust_domain
    found = ei.stranger(entry, given, _pods(view, entry), domain)
    return EdgeEntryIdentity(
        entry=Ref(entry.ref),
        entry_name=entry.name,
        entry_namespace=entry.namespace,
        accepted=clean(", ".join(found.accepted if found else entry.spec.subject_alt_names), 400),
        stranger=Ref(owner_of(found.pod).ref if found else ""),
        identity=clean(found.identity if found else ""),
        source=Ref(found.endpoint.source if found else ""),
        address=clean(found.endpoint.address, 60) if found else "",
    )


def _pods(view: View, entry: ServiceEntry) -> dict[str, Pod]:
    """Pods by address: of the scope, and of the namespaces that the entry's names speak of."""
    spaces = ei.namespaces(entry.spec.subject_alt_names)
    more = (p for space in sorted(spaces) for p in view.objects("Pod", Pod, space))
    pods = (*view.objects("Pod", Pod), *more)
    return {ip: p for p in pods if not p.spec.host_network for ip in ips(p)}
