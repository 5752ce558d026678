"""What will client and server speak on this port, which objects say so, and does it work?"""

from typing import Annotated

from msgspec import Struct, json

from meshdoctor.mesh.client_tls import SUBSET, tls_path
from meshdoctor.mesh.edge_tls import BadSubset, Judged
from meshdoctor.mesh.routes import destinations
from meshdoctor.mesh.services import resolve_short_name
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import DestinationRule, VirtualService
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import edge_objects, reading
from meshdoctor.probes.view import View, probe


class EdgeTls(Struct, frozen=True, kw_only=True):
    """The truth table of mutual TLS applied to one edge; nothing observed, all from objects."""

    named: Annotated[Fact[bool], "the client is known"]
    applies: Annotated[Fact[bool], "a server pod is known and neither end is ambient"]
    fails: Annotated[Fact[bool], "by the objects, what the client sends is not taken"]
    says: Annotated[Fact[str], "mutual TLS, plaintext, one-way TLS or TLS of its own"]
    reason: Annotated[
        Fact[str],
        "what makes it so: rule, auto, no-proxy, bypass, passthrough, policy-disables, headless, "
        "endpoint-label, endpoint-policy, auto-off, external, credential-ignored",
    ]
    why: Annotated[Fact[str], "the outcome in words"]
    mode: Annotated[Fact[str], "STRICT, PERMISSIVE or DISABLE in force on the server's port"]
    level: Annotated[Fact[str], "what decided the mode: mesh, namespace, workload, port, default"]
    policy: Annotated[Fact[Ref], "the PeerAuthentication that decided; empty: Istio's default"]
    policy_name: Annotated[Fact[str], "its name"]
    policy_namespace: Annotated[Fact[str], "its namespace"]
    cluster_mode: Annotated[Fact[str], "the mode that auto mTLS believes: namespace and mesh only"]
    cluster_policy: Annotated[Fact[Ref], "the PeerAuthentication behind that belief"]
    cluster_policy_name: Annotated[Fact[str], "its name"]
    cluster_policy_namespace: Annotated[Fact[str], "its namespace"]
    rule: Annotated[Fact[Ref], "the DestinationRule whose tls decides; empty: auto mTLS"]
    rule_name: Annotated[Fact[str], "its name"]
    rule_namespace: Annotated[Fact[str], "its namespace"]
    rule_host: Annotated[Fact[str], "the host it names"]
    rule_mode: Annotated[Fact[str], "DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL; empty: not said"]
    rule_level: Annotated[Fact[str], "where it is said: top, port, subset"]
    rule_path: Annotated[Fact[str], "JSON pointer of its tls block"]
    rule_guilty: Annotated[Fact[bool], "without the rule the two would talk"]
    port_reset: Annotated[Fact[bool], "the rule's entry for this port drops the tls above it"]
    port_guilty: Annotated[Fact[bool], "without the rule's entry for this port they would talk"]
    port_patch: Annotated[Fact[str], "JSON patch that repeats that tls in the port's entry"]
    shadowed: Annotated[Fact[Ref], "the rule that the client namespace's rule takes the place of"]
    shadow_guilty: Annotated[Fact[bool], "with the shadowed rule the two would talk"]
    chosen: Annotated[Fact[Ref], "the DestinationRule in force, whatever it says"]
    chosen_name: Annotated[Fact[str], "its name"]
    chosen_namespace: Annotated[Fact[str], "its namespace"]
    subset: Annotated[Fact[str], "a subset in use whose own tls fails while the rule itself works"]
    subsets: Annotated[Fact[str], "all such subsets of the same DestinationRule"]
    subset_mode: Annotated[Fact[str], "the tls mode of that subset"]
    subset_rule: Annotated[Fact[Ref], "the DestinationRule that states the subset"]
    subset_rule_name: Annotated[Fact[str], "its name"]
    subset_rule_namespace: Annotated[Fact[str], "its namespace"]
    subset_patch: Annotated[Fact[str], "JSON patch that takes the tls blocks of those subsets away"]
    passthrough: Annotated[
        Fact[str],
        "why the client's proxy does not know the host: pod-ip, unknown-host, exportTo, sidecar",
    ]
    outbound_policy: Annotated[Fact[str], "ALLOW_ANY or REGISTRY_ONLY at the client"]
    scope: Annotated[Fact[Ref], "the Sidecar in force at the client; empty: none"]
    client_proxy: Annotated[Fact[str], "sidecar, router, waypoint, or empty: no proxy"]
    client_bypass: Annotated[Fact[str], "what keeps the call away from the client's sidecar"]
    client_bypass_value: Annotated[Fact[str], "its value"]
    server_proxy: Annotated[Fact[str], "sidecar, router, waypoint, or empty: no proxy"]
    server_label: Annotated[Fact[str], "security.istio.io/tlsMode of the server's pod"]
    server_bypass: Annotated[Fact[str], "what keeps the port away from the server's sidecar"]
    server_bypass_value: Annotated[Fact[str], "its value"]
    port: Annotated[Fact[int], "service port"]
    workload_port: Annotated[Fact[int], "port of the server's pod"]
    protocol: Annotated[Fact[str], "protocol of the port: HTTP, GRPC, TCP ... or auto"]
    protocol_by: Annotated[Fact[str], "what chose it: appProtocol, name, well-known port, sniffing"]
    http: Annotated[Fact[bool], "the port is declared HTTP of some kind"]
    misplaced: Annotated[
        Fact[str], "the protocol that its name tells behind the first hyphen, for nothing; empty"
    ]
    misplaced_said: Annotated[Fact[str], "that it does not count there, or empty"]
    sniffed: Annotated[Fact[bool], "the port is not declared: the proxy waits for first bytes"]
    server_first: Annotated[
        Fact[bool],
        "the server speaks first, by the port's usual protocol or its image",
    ]
    external: Annotated[Fact[bool], "the host is outside the mesh (ServiceEntry)"]
    headless: Annotated[Fact[bool], "headless or PASSTHROUGH: one answer for all endpoints"]
    endpoints: Annotated[Fact[int], "pods behind the service"]
    unmeshed: Annotated[Fact[int], "of them without tlsMode=istio"]
    unmeshed_pod: Annotated[Fact[Ref], "the first of those"]
    host: Annotated[Fact[str], "the host asked for"]
    app_tls: Annotated[Fact[bool], "the application serves TLS on the port, by its own probe"]
    top_mode: Annotated[Fact[str], "the tls mode at the top of the DestinationRule in force"]
    hider: Annotated[Fact[Ref], "what hides the service: the Sidecar in force, or the Service"]
    mesh_config: Annotated[Fact[Ref], "the ConfigMap of the mesh config"]
    service: Annotated[Fact[Ref], "the service called; empty: none"]
    service_name: Annotated[Fact[str], "its name"]
    service_namespace: Annotated[Fact[str], "its namespace"]
    server: Annotated[Fact[Ref], "the workload called; empty: none"]
    server_name: Annotated[Fact[str], "its name"]
    server_namespace: Annotated[Fact[str], "its namespace"]
    server_pod: Annotated[Fact[str], "a pod of it"]
    unmeshed_workload: Annotated[Fact[Ref], "the workload of the first endpoint without tlsMode"]
    client: Annotated[Fact[Ref], "the calling workload; empty: not known"]
    client_name: Annotated[Fact[str], "its name"]
    client_namespace: Annotated[Fact[str], "its namespace"]
    client_pod: Annotated[Fact[str], "a pod of it"]
    client_target: Annotated[Fact[str], "the client as kubectl and istioctl take it, kind/name"]
    server_target: Annotated[Fact[str], "the server as kubectl and istioctl take it, kind/name"]


@probe("edge-tls", subject=SubjectKind.EDGE, reads=edge_objects.READS)
def edge_tls(view: View, edge: EdgeSubject) -> EdgeTls:
    """What will client and server speak on this port, and does it work?"""
    mesh_config = Ref(reading.mesh_config_ref(view))
    judged = edge_objects.judged(view, edge)
    return _facts(judged, edge, mesh_config, _bad(view, judged))


def _bad(view: View, j: Judged) -> tuple[BadSubset, ...]:
    """Subsets of one rule that fail, of those that routes lead to: others get no calls."""
    if not j.bad_subsets:
        return ()
    used = view.memo("used-subsets", _used_subsets)
    wanted = used.get(j.host.lower(), ())
    found = tuple(one for one in j.bad_subsets if one.name in wanted)
    return tuple(one for one in found if one.rule.ref == found[0].rule.ref)


def _used_subsets(view: View) -> dict[str, set[str]]:
    """By host, the subsets that some route leads to."""
    found: dict[str, set[str]] = {}
    for route in view.objects("VirtualService", VirtualService):
        for one in destinations(route):
            if one.subset:
                host = resolve_short_name(one.host, route.namespace).lower()
                found.setdefault(host, set()).add(one.subset)
    return found


def _ref(found: DestinationRule | Pod | None) -> Ref:
    return Ref(found.ref) if found is not None else Ref("")


def _hider(j: Judged, edge: EdgeSubject) -> Ref:
    if j.passthrough == "sidecar":
        return Ref(j.scope.source)
    return _service(edge) if j.passthrough == "exportTo" else Ref("")


def _subset_patch(bad: tuple[BadSubset, ...], edge: EdgeSubject) -> str:
    paths = [tls_path(one.rule, SUBSET, edge.port, one.name) for one in bad]
    steps = [f'{{"op":"remove","path":"{path}"}}' for path in paths if path]
    return f"[{','.join(steps)}]" if steps else ""


def _port_patch(j: Judged, port: int) -> str:
    if not j.ruling.port_reset or j.top_tls is None or j.ruling.rule is None:
        return ""
    path = tls_path(j.ruling.rule, j.ruling.level, port)
    return json.encode([{"op": "add", "path": path, "value": j.top_tls}]).decode() if path else ""


def _service(edge: EdgeSubject) -> Ref:
    found = edge.service
    return Ref(f"Service/{found.namespace}/{found.name}" if found is not None else "")


def _facts(j: Judged, edge: EdgeSubject, mesh_config: Ref, bad: tuple[BadSubset, ...]) -> EdgeTls:
    rule, policy, chosen = j.ruling.rule, j.policy.policy, j.ruling.chosen
    cluster = j.cluster_policy.policy
    fails = j.applies and not j.outcome.works
    return EdgeTls(
        named=edge.client is not None,
        applies=j.applies,
        fails=fails,
        says=j.outcome.client.says,
        reason=j.outcome.client.reason,
        why=j.outcome.why,
        mode=j.policy.mode,
        level=j.policy.level,
        policy=Ref(j.policy.source),
        policy_name=policy.name if policy else "",
        policy_namespace=policy.namespace if policy else "",
        cluster_mode=j.cluster_policy.mode,
        cluster_policy=Ref(j.cluster_policy.source),
        cluster_policy_name=cluster.name if cluster else "",
        cluster_policy_namespace=cluster.namespace if cluster else "",
        rule=Ref(j.ruling.source),
        rule_name=rule.name if rule else "",
        rule_namespace=rule.namespace if rule else "",
        rule_host=clean(rule.spec.host) if rule else "",
        rule_mode=j.ruling.mode,
        rule_level=j.ruling.level,
        rule_path=tls_path(rule, j.ruling.level, edge.port) if rule else "",
        rule_guilty=fails and j.works_without_rule,
        port_reset=j.ruling.port_reset,
        port_guilty=j.port_guilty,
        port_patch=_port_patch(j, edge.port),
        shadowed=_ref(j.hidden_rule.first if j.hidden_rule else None),
        shadow_guilty=j.shadow_guilty,
        chosen=_ref(chosen.first if chosen else None),
        chosen_name=chosen.first.name if chosen else "",
        chosen_namespace=chosen.first.namespace if chosen else "",
        subset=bad[0].name if bad else "",
        subsets=", ".join(one.name for one in bad),
        subset_mode=bad[0].mode if bad else "",
        subset_rule=_ref(bad[0].rule if bad else None),
        subset_rule_name=bad[0].rule.name if bad else "",
        subset_rule_namespace=bad[0].rule.namespace if bad else "",
        subset_patch=_subset_patch(bad, edge),
        passthrough=j.passthrough,
        outbound_policy=j.scope.outbound_policy(j.mesh),
        scope=Ref(j.scope.source),
        client_proxy=j.client_proxy,
        client_bypass=j.out.by,
        client_bypass_value=clean(j.out.value),
        server_proxy=j.server_proxy,
        server_label=clean(j.server_label),
        server_bypass=j.into.by,
        server_bypass_value=clean(j.into.value),
        port=edge.port,
        workload_port=j.workload_port,
        protocol=j.protocol.protocol,
        protocol_by=j.protocol.by,
        http=j.protocol.http,
        misplaced=j.misplaced,
        misplaced_said=f"; {j.misplaced} behind it counts for nothing" if j.misplaced else "",
        sniffed=j.protocol.sniffed,
        server_first=j.server_first,
        external=j.external,
        headless=j.all_or_nothing,
        endpoints=len(j.meshed) + len(j.unmeshed),
        unmeshed=len(j.unmeshed),
        unmeshed_pod=_ref(j.unmeshed[0] if j.unmeshed else None),
        host=clean(j.host),
        app_tls=j.app_tls,
        top_mode=j.top_mode,
        hider=_hider(j, edge),
        mesh_config=mesh_config,
        service=_service(edge),
        service_name=edge.service.name if edge.service else "",
        service_namespace=edge.service.namespace if edge.service else "",
        server=Ref(edge.server.ref if edge.server else ""),
        server_name=edge.server.name if edge.server else "",
        server_namespace=edge.server.namespace if edge.server else "",
        server_pod=j.server_pod,
        unmeshed_workload=Ref(owner_of(j.unmeshed[0]).ref if j.unmeshed else ""),
        client=Ref(edge.client.ref if edge.client else ""),
        client_name=edge.client.name if edge.client else "",
        client_namespace=edge.client.namespace if edge.client else "",
        client_pod=j.client_pod,
        client_target=j.client_target,
        server_target=j.server_target,
    )
