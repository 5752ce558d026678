"""Does locality load balancing confine the client to few endpoints?"""

from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh.client_tls import Client, choose
from meshdoctor.mesh.endpoints import slices_of
from meshdoctor.mesh.locality import ZONE, confinement, prefers_local
from meshdoctor.mesh.services import fqdn
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import DestinationRule
from meshdoctor.model.kubernetes import EndpointSlice, Node
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class EdgeLocality(Struct, frozen=True, kw_only=True):
    """Ready endpoints by zone, as the client's zone sees them."""

    outlier: Annotated[Fact[bool], "the rule in force ejects endpoints (outlierDetection)"]
    setting: Annotated[Fact[str], "what prefers the client's zone; empty: nothing does"]
    source: Annotated[Fact[Ref], "the DestinationRule or Service that says so"]
    local: Annotated[Fact[int], "ready endpoints in the client's zone"]
    total: Annotated[Fact[int], "ready endpoints with a zone"]
    uneven: Annotated[Fact[bool], "the client's zone has less than half of its even share"]
    zone: Annotated[Fact[str], "the client's zone; empty: unknown"]


@probe(
    "edge-locality",
    subject=SubjectKind.EDGE,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "DestinationRule",
        "EndpointSlice",
        "Job",
        "Node",
        "Pod",
        "Service",
        "StatefulSet",
    ),
)
def edge_locality(view: View, edge: EdgeSubject) -> EdgeLocality:
    """Does locality load balancing confine the client to few endpoints?"""
    none = EdgeLocality(
        outlier=False, setting="", source=Ref(""), local=0, total=0, uneven=False, zone=""
    )
    service = reading.edge_service(view, edge)
    if service is None or edge.client is None:
        return none
    client = reading.workload(view, edge.client)
    mesh = reading.mesh_config(view)
    rule = choose(
        view.objects("DestinationRule", DestinationRule),
        Client(namespace=edge.client.namespace, labels=client.labels),
        fqdn(service),
        service.namespace,
        mesh.root_namespace,
        default_export=mesh.default_destination_rule_export_to,
    )
    policy = rule.policy if rule is not None else None
    outlier = policy is not None and policy.outlier_detection is not None
    none = replace(none, outlier=outlier)
    setting = prefers_local(policy, service, mesh)
    if not setting or client.pod is None:
        return none
    node = view.object("Node", Node, "", client.pod.spec.node_name)
    zone = node.labels.get(ZONE, "") if node is not None else ""
    slices = view.objects("EndpointSlice", EndpointSlice, service.namespace)
    found = confinement(slices_of(service, slices), zone)
    by_rule = rule is not None and rule.policy_from is not None and "outlier" in setting
    source = rule.policy_from.ref if by_rule and rule and rule.policy_from else service.ref
    return EdgeLocality(
        outlier=outlier,
        setting=setting,
        source=Ref(source),
        local=found.local,
        total=found.total,
        uneven=bool(zone) and found.uneven,
        zone=zone,
    )
