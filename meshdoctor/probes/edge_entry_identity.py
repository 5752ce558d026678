"""Do the endpoints of the ServiceEntry that is called have the identities that it names?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import entry_identity as ei
from meshdoctor.mesh.edge_path import entry_of
from meshdoctor.mesh.edge_target import ips
from meshdoctor.mesh.peer_authentication import Ruling
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_sidecar, owner_of
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
    plain: Annotated[
        Fact[Ref], "the WorkloadEntry or ServiceEntry of an endpoint called in plaintext"
    ]
    plain_address: Annotated[Fact[str], "the address of that endpoint"]
    plain_workload: Annotated[Fact[Ref], "the workload with a sidecar at it; empty: not known"]
    plain_mode: Annotated[
        Fact[str], "the mode in force there; of the mesh, where the workload is not known"
    ]
    plain_policy: Annotated[Fact[Ref], "the PeerAuthentication behind it"]


_NONE = EdgeEntryIdentity(
    entry=Ref(""),
    entry_name="",
    entry_namespace="",
    accepted="",
    stranger=Ref(""),
    identity="",
    source=Ref(""),
    address="",
    plain=Ref(""),
    plain_address="",
    plain_workload=Ref(""),
    plain_mode="",
    plain_policy=Ref(""),
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
    pods = _pods(view, entry)
    found = ei.stranger(entry, given, pods, domain)
    plain = _plain(given, pods)
    pod = pods.get(plain.address) if plain is not None else None
    ruling = _ruling(view, pod, _target(entry, edge.port)) if plain is not None else Ruling(mode="")
    return EdgeEntryIdentity(
        entry=Ref(entry.ref),
        entry_name=entry.name,
        entry_namespace=entry.namespace,
        accepted=clean(", ".join(found.accepted if found else entry.spec.subject_alt_names), 400),
        stranger=Ref(owner_of(found.pod).ref if found else ""),
        identity=clean(found.identity if found else ""),
        source=Ref(found.endpoint.source if found else ""),
        address=clean(found.endpoint.address, 60) if found else "",
        plain=Ref(plain.source if plain else ""),
        plain_address=clean(plain.address, 60) if plain else "",
        plain_workload=Ref(owner_of(pod).ref if pod else ""),
        plain_mode=ruling.mode,
        plain_policy=Ref(ruling.source),
    )


def _plain(given: tuple[ei.Endpoint, ...], pods: dict[str, Pod]) -> ei.Endpoint | None:
    """The first endpoint that clients take for one without proxy, and that may well have one."""
    return next(
        (
            one
            for one in given
            if not one.meshed and (one.address not in pods or is_sidecar(pods[one.address]))
        ),
        None,
    )


def _target(entry: ServiceEntry, number: int) -> int:
    port = next((p for p in entry.spec.ports if p.number == number), None)
    return port.target_port or number if port is not None else number


def _ruling(view: View, pod: Pod | None, port: int) -> Ruling:
    """The mode at the pod's port; where the pod is not known, what the mesh says of all."""
    if pod is None:
        root = reading.root_namespace(view)
        return reading.peer_authentications(view, root).of_all
    return reading.peer_authentications(view, pod.namespace).effective(pod.labels, port)


def _pods(view: View, entry: ServiceEntry) -> dict[str, Pod]:
    """Pods by address: of the scope, of the entry's namespace, and of those that its names speak
    of."""
    spaces = {entry.namespace, *ei.namespaces(entry.spec.subject_alt_names)}
    more = (p for space in sorted(spaces) for p in view.objects("Pod", Pod, space))
    pods = (*view.objects("Pod", Pod), *more)
    return {ip: p for p in pods if not p.spec.host_network for ip in ips(p)}
