"""Which objects decide what two ends of an edge speak? Shared reads; not a probe."""

from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.edge_path import Given
from meshdoctor.mesh.edge_tls import Judged, judge
from meshdoctor.mesh.external_host import visible
from meshdoctor.mesh.services import host_matches, named_by_client
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.istio import (
    DestinationRule,
    MeshConfig,
    PeerAuthentication,
    ServiceEntry,
    Sidecar,
    VirtualService,
)
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import EdgeSubject, ServiceSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View

READS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "DestinationRule",
    "Job",
    "PeerAuthentication",
    "Pod",
    "Service",
    "ServiceEntry",
    "Sidecar",
    "StatefulSet",
    "VirtualService",
)


def judged(view: View, edge: EdgeSubject) -> Judged:
    """The judgement of one edge, made once per run."""
    return view.memo(("edge-tls", edge), lambda v: judge(given(v, edge)))


def given(view: View, edge: EdgeSubject) -> Given:
    """The objects that have a say about an edge, of the namespaces that can have one."""
    mesh = reading.mesh_config(view)
    service = reading.edge_service(view, edge)
    client, server = _ends(view, edge)
    owner = service.namespace if service is not None else ""
    spaces = {mesh.root_namespace, owner}
    spaces |= {w.subject.namespace for w in (client, server) if w is not None}
    names = tuple(sorted(spaces - {""}))
    entries = _entries(view, edge, client, mesh)
    # Rules beside an entry that names the host have a say.
    homes = sorted({*names, *(e.namespace for e in entries if edge.service is None)})
    return Given(
        client=client,
        server=server,
        service=service,
        service_pods=_pods(view, service),
        host=edge.host,
        port=edge.port,
        asked_host=edge.request.host,
        mesh=mesh,
        policies=tuple(
            p for ns in names for p in view.objects("PeerAuthentication", PeerAuthentication, ns)
        ),
        rules=tuple(
            r for ns in homes for r in view.objects("DestinationRule", DestinationRule, ns)
        ),
        sidecars=tuple(s for ns in names for s in view.objects("Sidecar", Sidecar, ns)),
        entries=entries,
        routed_hosts=_routed(view) if edge.request.host else (),
        named_exists=_named_exists(view, edge),
    )


def _entries(
    view: View, edge: EdgeSubject, client: WorkloadPods | None, mesh: MeshConfig
) -> tuple[ServiceEntry, ...]:
    """All of them; of a host outside those that name it and that the client's proxy gets."""
    entries = view.objects("ServiceEntry", ServiceEntry)
    if edge.service is not None:
        return entries
    host = edge.host
    named = tuple(e for e in entries if host and any(host_matches(h, host) for h in e.spec.hosts))
    if client is None or client.pod is None:
        return named
    return visible(named, reading.sidecar_scope(view, client.pod), mesh)


def _named_exists(view: View, edge: EdgeSubject) -> bool:
    """Whether the cluster service that the client's host means exists.

    True if it means none, and where nobody could look: then the host counts as known.
    """
    if edge.client is None or not edge.request.host:
        return True
    meant = named_by_client(bare_host(edge.request.host), edge.client.namespace)
    if meant is None or edge.service == ServiceSubject(*meant):
        return True
    try:
        return reading.service(view, ServiceSubject(*meant)) is not None
    except EvidenceError:
        return True


def _routed(view: View) -> tuple[str, ...]:
    """Hosts that VirtualServices route for sidecars, registered or not."""
    return tuple(
        host
        for rule in view.objects("VirtualService", VirtualService)
        if not rule.spec.gateways or "mesh" in rule.spec.gateways
        for host in rule.spec.hosts
    )


def _ends(view: View, edge: EdgeSubject) -> tuple[WorkloadPods | None, WorkloadPods | None]:
    client = reading.workload(view, edge.client) if edge.client is not None else None
    server = reading.workload(view, edge.server) if edge.server is not None else None
    return client, server


def _pods(view: View, service: Service | None) -> tuple[Pod, ...]:
    return reading.pods_of_service(view, service) if service is not None else ()
