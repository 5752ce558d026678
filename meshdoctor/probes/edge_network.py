"""Do NetworkPolicies, EnvoyFilters or TLS parameters stand between the two ends of an edge?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import network_policy, protocols, tls_parameters
from meshdoctor.mesh.client_tls import Client, ruling
from meshdoctor.mesh.edge_path import Given
from meshdoctor.mesh.gateway_front import demands_header
from meshdoctor.mesh.network_policy import Blocked
from meshdoctor.mesh.rules import upgrades
from meshdoctor.mesh.sidecar_choice import astray
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import DestinationRule, EnvoyFilter, Sidecar
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import MissingError, NotAskedError
from meshdoctor.probes import edge_objects, reading
from meshdoctor.probes.view import View, probe


class EdgeNetwork(Struct, frozen=True, kw_only=True):
    """NetworkPolicies of both ends, judged on the port that packets carry."""

    policy: Annotated[Fact[Ref], "the NetworkPolicy that drops the pod's own port; empty: none"]
    policy_name: Annotated[Fact[str], "its name"]
    policy_namespace: Annotated[Fact[str], "its namespace"]
    direction: Annotated[Fact[str], "Ingress (at the server) or Egress (at the client)"]
    hbone_policy: Annotated[Fact[Ref], "the NetworkPolicy that drops port 15008; empty: none"]
    hbone_policy_name: Annotated[Fact[str], "its name"]
    hbone_policy_namespace: Annotated[Fact[str], "its namespace"]
    hbone_direction: Annotated[Fact[str], "Ingress or Egress"]


@probe(
    "edge-network",
    subject=SubjectKind.EDGE,
    reads=(*edge_objects.READS, "Namespace", "NetworkPolicy"),
)
def edge_network(view: View, edge: EdgeSubject) -> EdgeNetwork:
    """Which NetworkPolicy stands between the two ends?"""
    if edge.server is None:
        raise NotAskedError("NetworkPolicies of the edge", "no workload stands behind the host")
    found = edge_objects.judged(view, edge)
    client, server = _pods(view, edge)
    spaces = {p.namespace for p in (client, server) if p is not None}
    policies = reading.network_policies(view, spaces)
    labels = reading.namespace_labels(view) if policies else {}
    plain = network_policy.blocked(policies, client, server, found.workload_port, labels)
    hbone = network_policy.blocked(policies, client, server, network_policy.HBONE, labels)
    return _facts(plain, hbone)


def _pods(view: View, edge: EdgeSubject) -> tuple[Pod | None, Pod | None]:
    server = reading.workload(view, edge.server).pod if edge.server is not None else None
    if server is None:
        raise MissingError(f"pods of {edge.server}", "the workload has none")
    client = reading.workload(view, edge.client).pod if edge.client is not None else None
    return client, server


def _facts(plain: Blocked, hbone: Blocked) -> EdgeNetwork:
    def ref(found: Blocked) -> Ref:
        return Ref(found.policy.ref if found.policy is not None else "")

    return EdgeNetwork(
        policy=ref(plain),
        policy_name=plain.policy.name if plain.policy else "",
        policy_namespace=plain.policy.namespace if plain.policy else "",
        direction=plain.direction,
        hbone_policy=ref(hbone),
        hbone_policy_name=hbone.policy.name if hbone.policy else "",
        hbone_policy_namespace=hbone.policy.namespace if hbone.policy else "",
        hbone_direction=hbone.direction,
    )


class EdgeTlsExtras(Struct, frozen=True, kw_only=True):
    """What changes or narrows TLS beside DestinationRule and PeerAuthentication."""

    narrowed: Annotated[Fact[str], "what meshConfig.meshMTLS asks for; empty: the defaults"]
    mesh_config: Annotated[Fact[Ref], "the ConfigMap that says so; empty when it does not"]
    client_policy: Annotated[Fact[str], "COMPLIANCE_POLICY of the client's proxy"]
    server_policy: Annotated[Fact[str], "COMPLIANCE_POLICY of the server's proxy"]
    odd_one: Annotated[Fact[Ref], "the workload with a COMPLIANCE_POLICY the other lacks"]
    filter: Annotated[Fact[Ref], "the first EnvoyFilter that changes TLS on this edge"]
    filter_name: Annotated[Fact[str], "its name"]
    filter_namespace: Annotated[Fact[str], "its namespace"]
    filters: Annotated[Fact[int], "how many such EnvoyFilters"]
    twin: Annotated[
        Fact[str],
        "a port declared HTTP that leads to the target port of the TCP port called; empty: none",
    ]
    upgrade: Annotated[
        Fact[Ref], "the DestinationRule in force that upgrades the calls to HTTP/2; empty: none"
    ]
    upgrade_name: Annotated[Fact[str], "its name"]
    upgrade_namespace: Annotated[Fact[str], "its namespace"]
    simple: Annotated[
        Fact[Ref], "the DestinationRule that starts TLS without a certificate, for some subset too"
    ]
    simple_name: Annotated[Fact[str], "its name"]
    simple_namespace: Annotated[Fact[str], "its namespace"]
    ingress: Annotated[
        Fact[Ref],
        "the Sidecar whose ingress listener hands the port to one that no container declares, "
        "though one declares the port itself; empty: none",
    ]
    ingress_name: Annotated[Fact[str], "its name"]
    ingress_namespace: Annotated[Fact[str], "its namespace"]
    ingress_endpoint: Annotated[Fact[str], "the defaultEndpoint of that listener"]
    header_filter: Annotated[
        Fact[Ref], "the EnvoyFilter by which the server's sidecar demands a PROXY header"
    ]
    header_filter_name: Annotated[Fact[str], "its name"]
    header_filter_namespace: Annotated[Fact[str], "its namespace"]


@probe(
    "edge-tls-extras",
    subject=SubjectKind.EDGE,
    reads=(*edge_objects.READS, "EnvoyFilter"),
)
def edge_tls_extras(view: View, edge: EdgeSubject) -> EdgeTlsExtras:
    """Which EnvoyFilters and TLS parameters concern the edge?"""
    given = edge_objects.given(view, edge)
    filters = _filters(view, given)
    narrowed = tls_parameters.narrowed(given.mesh)
    mine = tls_parameters.compliance(given.client.pod if given.client else None, given.mesh)
    theirs = tls_parameters.compliance(given.server.pod if given.server else None, given.mesh)
    first = filters[0] if filters else None
    upgrade = _upgrade(view, edge)
    simple = _simple(view, edge, given)
    header = _header_filter(view, given)
    ingress, endpoint = _ingress(view, edge, given)
    return EdgeTlsExtras(
        narrowed=clean(narrowed),
        mesh_config=Ref(reading.mesh_config_ref(view) if narrowed else ""),
        client_policy=clean(mine),
        server_policy=clean(theirs),
        odd_one=Ref(_odd_one(edge, mine, theirs)),
        filter=Ref(first.ref if first else ""),
        filter_name=first.name if first else "",
        filter_namespace=first.namespace if first else "",
        filters=len(filters),
        twin=_twin(given, edge),
        upgrade=Ref(upgrade.ref if upgrade else ""),
        upgrade_name=upgrade.name if upgrade else "",
        upgrade_namespace=upgrade.namespace if upgrade else "",
        simple=Ref(simple.ref if simple else ""),
        simple_name=simple.name if simple else "",
        simple_namespace=simple.namespace if simple else "",
        ingress=Ref(ingress.ref if ingress else ""),
        ingress_name=ingress.name if ingress else "",
        ingress_namespace=ingress.namespace if ingress else "",
        ingress_endpoint=clean(endpoint, 100),
        header_filter=Ref(header.ref if header else ""),
        header_filter_name=header.name if header else "",
        header_filter_namespace=header.namespace if header else "",
    )


def _upgrade(view: View, edge: EdgeSubject) -> DestinationRule | None:
    chosen = edge_objects.judged(view, edge).ruling.chosen
    return next((r for r in chosen.rules if upgrades(r)), None) if chosen is not None else None


def _simple(view: View, edge: EdgeSubject, given: Given) -> DestinationRule | None:
    found = edge_objects.judged(view, edge).ruling
    if found.mode == "SIMPLE" and found.rule is not None:
        return found.rule
    if found.chosen is None or given.client is None:
        return None
    end = given.client
    client = Client(namespace=end.subject.namespace, labels=end.labels, proxy=end.proxy_type)
    return next(
        (
            owner
            for one, owner in found.chosen.subsets
            if ruling(found.chosen, client, edge.port, one.name).mode == "SIMPLE"
        ),
        None,
    )


def _ingress(view: View, edge: EdgeSubject, given: Given) -> tuple[Sidecar | None, str]:
    pod = given.server.pod if given.server is not None else None
    if pod is None or proxy_type(pod) != "sidecar":
        return None, ""
    found = reading.sidecar_scope(view, pod).sidecar
    port = edge_objects.judged(view, edge).workload_port
    endpoint = astray(found, port, pod) if found is not None else ""
    return (found, endpoint) if endpoint else (None, "")


def _header_filter(view: View, given: Given) -> EnvoyFilter | None:
    pod = given.server.pod if given.server is not None else None
    if pod is None or proxy_type(pod) != "sidecar":
        return None
    spaces = sorted({pod.namespace, given.root})
    there = [f for ns in spaces for f in view.objects("EnvoyFilter", EnvoyFilter, ns)]
    return demands_header(there, pod, given.root)


def _twin(given: Given, edge: EdgeSubject) -> str:
    pod = given.server.pod if given.server is not None else None
    found = protocols.twin(given.service, edge.port, pod) if given.service is not None else None
    return clean(f"{found.port} ({found.name})", 80) if found is not None else ""


def _odd_one(edge: EdgeSubject, mine: str, theirs: str) -> str:
    """The end that has a compliance policy which the other has not."""
    if mine == theirs or edge.client is None or edge.server is None:
        return ""
    return edge.client.ref if mine else edge.server.ref


def _filters(view: View, given: Given) -> tuple[EnvoyFilter, ...]:
    root = given.root
    found: list[EnvoyFilter] = []
    for end, server in ((given.client, False), (given.server, True)):
        if end is None:
            continue
        spaces = sorted({end.subject.namespace, root})
        there = [f for ns in spaces for f in view.objects("EnvoyFilter", EnvoyFilter, ns)]
        found += tls_parameters.touches_tls(
            there, end.subject.namespace, end.labels, root, server=server
        )
    return tuple({one.ref: one for one in found}.values())
