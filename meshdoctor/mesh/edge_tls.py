"""What do the two ends of one edge speak, by the objects alone?

Puts the evaluators together: who calls (mesh/capture.py), which host it means (mesh/visibility.py),
which DestinationRule and PeerAuthentication are in force, and the truth table (mesh/mtls.py). Each
suspect is judged by leaving it out: a rule is guilty when without it the two sides would talk.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import capture, client_tls, mtls, peer_authentication, protocols
from meshdoctor.mesh.app_probes import serves_tls
from meshdoctor.mesh.client_tls import Client, ClientTlsRuling, Merged
from meshdoctor.mesh.edge_path import (
    Given,
    addresses_of,
    entry_of,
    host_of,
    passthrough_of,
    service_namespace,
    sight_of,
)
from meshdoctor.mesh.mtls import ClientSide, Outcome, ServerSide
from meshdoctor.mesh.peer_authentication import Ruling
from meshdoctor.mesh.services import port_of, target_port
from meshdoctor.mesh.visibility import Scope, Sight, scope
from meshdoctor.mesh.workloads import proxy_type, tls_mode_label
from meshdoctor.model.istio import (
    ClientTls,
    DestinationRule,
    MeshConfig,
)
from meshdoctor.model.kubernetes import Pod

REDIRECTION = "ambient.istio.io/redirection"
_ORIGINATES = (client_tls.SIMPLE, client_tls.MUTUAL)


class BadSubset(Struct, frozen=True, kw_only=True):
    """A subset whose own tls fails; `rule` is the DestinationRule that states it."""

    name: str
    mode: str
    rule: DestinationRule


class Judged(Struct, frozen=True, kw_only=True):
    """What was found. `applies` False: the truth table has no say (ambient, no server pod)."""

    host: str
    mesh: MeshConfig
    applies: bool
    outcome: Outcome
    ruling: ClientTlsRuling
    policy: Ruling
    cluster_policy: Ruling
    protocol: protocols.Selected
    misplaced: str
    workload_port: int
    scope: Scope
    sight: Sight
    passthrough: str
    client_proxy: str
    server_proxy: str
    out: capture.Bypass
    into: capture.Bypass
    external: bool
    all_or_nothing: bool
    meshed: tuple[Pod, ...]
    unmeshed: tuple[Pod, ...]
    server_label: str
    works_without_rule: bool
    works_without_port: bool
    hidden_rule: Merged | None
    hidden_mode: str
    works_unshadowed: bool
    bad_subsets: tuple[BadSubset, ...]
    app_tls: bool
    client_pod: str
    server_pod: str
    client_target: str
    server_target: str
    server_first: bool

    @property
    def top_tls(self) -> ClientTls | None:
        """The tls block at the top of the rule in force."""
        chosen = self.ruling.chosen
        return chosen.policy.tls if chosen is not None and chosen.policy is not None else None

    @property
    def top_mode(self) -> str:
        """Its mode; "" when there is none."""
        return self.top_tls.mode if self.top_tls is not None else ""

    @property
    def port_guilty(self) -> bool:
        """Whether the rule's entry for the port breaks what its top would have made work."""
        if self.external and self.ruling.port_reset:
            return self.top_mode in _ORIGINATES
        return self._broken and self.works_without_port

    @property
    def shadow_guilty(self) -> bool:
        """Whether the rule that the client namespace's own hides would have made it work."""
        if self.external and self.hidden_rule is not None:
            return not self.ruling.mode and self.hidden_mode in _ORIGINATES
        return self._broken and self.hidden_rule is not None and self.works_unshadowed

    @property
    def _broken(self) -> bool:
        return self.applies and not self.outcome.works


def is_ambient(pod: Pod | None) -> bool:
    """Whether ztunnel carries the pod's traffic."""
    return pod is not None and pod.annotations.get(REDIRECTION) == "enabled"


def judge(given: Given) -> Judged:
    """Judge one edge. Objects that are empty tuples are taken as absent: read them first."""
    client_pod = given.client.pod if given.client is not None else None
    server_pod = given.server.pod if given.server is not None else None
    service_port = port_of(given.service, given.port) if given.service is not None else None
    selected = (
        protocols.select(service_port)
        if service_port is not None
        else protocols.select_raw(given.port, "")
    )
    port = target_port(service_port, server_pod) if service_port is not None else given.port
    client = _client(given, client_pod)
    in_force = scope(
        given.sidecars, client.namespace, client.labels, given.root, proxy=client.proxy or "sidecar"
    )
    sight = sight_of(given, in_force)
    passthrough = passthrough_of(given, client, sight, selected)
    side = _client_side(given, client, client_pod, port, passthrough)
    server = _server_side(given, server_pod, port, selected)
    chosen = _chosen(given, client, given.rules)
    ruling = client_tls.ruling(chosen, client, given.port)
    side = replace(side, rule=ruling if side.has_proxy else ClientTlsRuling())
    outcome = mtls.predict(side, server)
    hidden = _hidden_rule(given, client, chosen)
    unshadowed = client_tls.ruling(hidden, client, given.port)
    meshed, unmeshed = _endpoints(given)
    return Judged(
        host=host_of(given),
        mesh=given.mesh,
        applies=server_pod is not None
        and not is_ambient(client_pod)
        and not is_ambient(server_pod),
        outcome=outcome,
        ruling=ruling,
        policy=_policy(given, server_pod, port),
        cluster_policy=peer_authentication.for_cluster(
            given.policies, service_namespace(given), given.root
        ),
        protocol=selected,
        misplaced=protocols.misplaced(service_port) if service_port is not None else "",
        workload_port=port,
        scope=in_force,
        sight=sight,
        passthrough=passthrough,
        client_proxy=client.proxy,
        server_proxy=proxy_type(server_pod) if server_pod is not None else "",
        out=_out(given, client_pod),
        into=capture.inbound_bypass(server_pod, port) if server_pod else capture.Bypass(),
        external=side.external,
        all_or_nothing=side.all_or_nothing,
        meshed=meshed,
        unmeshed=unmeshed,
        server_label=tls_mode_label(server_pod) if server_pod is not None else "",
        works_without_rule=mtls.predict(replace(side, rule=ClientTlsRuling()), server).works,
        works_without_port=_without_port(chosen, client, given.port, side, server),
        hidden_rule=hidden,
        hidden_mode=unshadowed.mode,
        works_unshadowed=mtls.predict(replace(side, rule=unshadowed), server).works,
        bad_subsets=_bad_subsets(chosen, client, given.port, side, server),
        app_tls=server_pod is not None and serves_tls(server_pod, port),
        client_pod=client_pod.name if client_pod is not None else "",
        server_pod=server_pod.name if server_pod is not None else "",
        client_target=given.client.target if given.client is not None else "",
        server_target=given.server.target if given.server is not None else "",
        server_first=protocols.server_speaks_first(port, server_pod),
    )


def _client(given: Given, pod: Pod | None) -> Client:
    """An unknown caller is judged as a sidecar of the service's namespace."""
    if given.client is None:
        return Client(namespace=service_namespace(given), labels={})
    kind = proxy_type(pod) if pod is not None else ""
    return Client(namespace=given.client.subject.namespace, labels=given.client.labels, proxy=kind)


def _out(given: Given, pod: Pod | None) -> capture.Bypass:
    if pod is None:
        return capture.Bypass()
    return capture.outbound_bypass(pod, addresses_of(given), given.port)


def _endpoints(given: Given) -> tuple[tuple[Pod, ...], tuple[Pod, ...]]:
    meshed = tuple(p for p in given.service_pods if tls_mode_label(p) == "istio")
    return meshed, tuple(p for p in given.service_pods if tls_mode_label(p) != "istio")


def _client_side(
    given: Given, client: Client, pod: Pod | None, port: int, passthrough: str
) -> ClientSide:
    server_pod = given.server.pod if given.server is not None else None
    entry = entry_of(given) if given.service is None else None
    _, unmeshed = _endpoints(given)
    headless = given.service is not None and (
        given.service.headless or _passthrough_lb(_chosen(given, client, given.rules))
    )
    return ClientSide(
        has_proxy=client.proxy != "",
        bypasses=bool(_out(given, pod)),
        passthrough=bool(passthrough),
        auto_mtls=given.mesh.enable_auto_mtls,
        external=entry is not None and entry.spec.location != "MESH_INTERNAL",
        cluster_mode=peer_authentication.for_cluster(
            given.policies, service_namespace(given), given.root
        ).mode,
        all_or_nothing=headless,
        all_endpoints_meshed=bool(given.service_pods) and not unmeshed,
        endpoint_meshed=server_pod is not None and tls_mode_label(server_pod) == "istio",
        endpoint_mode=_policy(given, server_pod, port).mode,
    )


def _passthrough_lb(chosen: Merged | None) -> bool:
    policy = chosen.policy if chosen is not None else None
    balancer = policy.load_balancer if policy is not None else None
    return balancer is not None and balancer.simple == "PASSTHROUGH"


def _policy(given: Given, pod: Pod | None, port: int) -> Ruling:
    if pod is None:
        space = service_namespace(given)
        return peer_authentication.effective(given.policies, space, {}, given.root, port)
    return peer_authentication.effective(
        given.policies, pod.namespace, pod.labels, given.root, port
    )


def _server_side(
    given: Given, pod: Pod | None, port: int, selected: protocols.Selected
) -> ServerSide:
    """A gateway's own listeners obey Gateway objects, not PeerAuthentication."""
    return ServerSide(
        has_proxy=pod is not None and proxy_type(pod) == "sidecar",
        captured=pod is None or not capture.inbound_bypass(pod, port),
        mode=_policy(given, pod, port).mode,
        http=selected.http,
    )


def _chosen(given: Given, client: Client, rules: Iterable[DestinationRule]) -> Merged | None:
    host = host_of(given)
    if not host:
        return None
    return client_tls.choose(
        rules,
        client,
        host,
        service_namespace(given),
        given.root,
        default_export=given.mesh.default_destination_rule_export_to,
    )


def _hidden_rule(given: Given, client: Client, chosen: Merged | None) -> Merged | None:
    """The rule of the service's or the root namespace that the chosen one shadows."""
    if chosen is None or chosen.place != "client namespace":
        return None
    if client.namespace == service_namespace(given):
        return None
    others = [r for r in given.rules if r.namespace != client.namespace]
    return _chosen(given, client, others)


def _without_port(
    chosen: Merged | None, client: Client, port: int, side: ClientSide, server: ServerSide
) -> bool:
    """Whether it would work if the rule had no entry for this port."""
    if chosen is None or chosen.policy is None:
        return False
    without = msgspec.structs.replace(chosen.policy, port_level_settings=())
    found = client_tls.ruling(replace(chosen, policy=without), client, port)
    return mtls.predict(replace(side, rule=found), server).works


def _bad_subsets(
    chosen: Merged | None, client: Client, port: int, side: ClientSide, server: ServerSide
) -> tuple[BadSubset, ...]:
    """Subsets that cannot talk to the server, though the rule without subset can."""
    if chosen is None or not mtls.predict(side, server).works:
        return ()
    out = []
    for one, owner in chosen.subsets:
        found = client_tls.ruling(chosen, client, port, one.name)
        if found.level != client_tls.SUBSET:
            continue
        if not mtls.predict(replace(side, rule=found), server).works:
            out.append(BadSubset(name=one.name, mode=found.mode, rule=owner))
    return tuple(out)
