"""What does a client's proxy speak to a service port, and which DestinationRule says so?

Mirrors pilot/pkg/model/push_context.go destinationRule and destination_rule.go
mergeDestinationRule, networking/util GetPortLevelTrafficPolicy and MergeSubsetTrafficPolicy, and
networking/core/cluster_tls.go buildUpstreamTLSSettings (read at 1.18 to 1.32-dev), and
xds/endpoints/mtls_checker.go tlsModeForDestinationRule (1.31). Merging keeps
rules with different exportTo apart, as ENABLE_ENHANCED_DESTINATIONRULE_MERGE (default) does.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh.services import host_matches, resolve_short_name
from meshdoctor.mesh.visibility import exported
from meshdoctor.model.istio import (
    ClientTls,
    DestinationRule,
    PortTrafficPolicy,
    Subset,
    TrafficPolicy,
)
from meshdoctor.model.snapshot import selects

DISABLE = "DISABLE"
SIMPLE = "SIMPLE"
MUTUAL = "MUTUAL"
ISTIO_MUTUAL = "ISTIO_MUTUAL"

TOP = "top"
PORT = "port"
SUBSET = "subset"


class Client(Struct, frozen=True, kw_only=True):
    """The proxy that calls: where it runs, its labels, and its type (sidecar, router ...)."""

    namespace: str
    labels: Mapping[str, str]
    proxy: str = "sidecar"


class Merged(Struct, frozen=True, kw_only=True):
    """The DestinationRules that istiod makes one of, the first (oldest) naming it."""

    rules: tuple[DestinationRule, ...]
    host: str
    policy: TrafficPolicy | None
    policy_from: DestinationRule | None
    subsets: tuple[tuple[Subset, DestinationRule], ...]
    place: str = ""

    @property
    def first(self) -> DestinationRule:
        return self.rules[0]

    @property
    def has_selector(self) -> bool:
        return self.first.spec.workload_selector is not None


class ClientTlsRuling(Struct, frozen=True, kw_only=True):
    """The tls block in force; `tls` None: no rule has a say and auto mTLS decides.

    `rule` is the DestinationRule whose words decide, `chosen` the merged rule in force even when
    it says nothing of tls; `level` is top, port or subset. `endpoint_mode` is the mode that
    istiod believes when it marks an endpoint for auto mTLS, "" for none: unlike the cluster, this
    reads the top of the policy where the port's entry says nothing.
    """

    tls: ClientTls | None = None
    rule: DestinationRule | None = None
    chosen: Merged | None = None
    level: str = ""
    port_reset: bool = False
    credential_ignored: bool = False
    endpoint_mode: str = ""

    @property
    def mode(self) -> str:
        """DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL, or "" (auto mTLS)."""
        return self.tls.mode if self.tls is not None else ""

    @property
    def source(self) -> str:
        """`DestinationRule/ns/name` that decides, or ""."""
        return self.rule.ref if self.rule is not None else ""


def _age(rule: DestinationRule) -> tuple[bool, str, str, str]:
    created = rule.metadata.creation_timestamp
    return (
        rule.spec.workload_selector is None,
        created.isoformat() if created else "",
        rule.name,
        rule.namespace,
    )


def rule_host(rule: DestinationRule, domain: str = "cluster.local") -> str:
    """The host a rule is about; a name without a dot belongs to the rule's namespace."""
    return resolve_short_name(rule.spec.host, rule.namespace, domain)


def _exports(rule: DestinationRule) -> frozenset[str]:
    """A rule with a workloadSelector never leaves its namespace."""
    if rule.spec.workload_selector is not None:
        return frozenset(".")
    return frozenset(rule.spec.export_to)


def is_private(rule: DestinationRule, default: Iterable[str] = ()) -> bool:
    """Whether only its own namespace sees the rule."""
    exports = _exports(rule) or frozenset(default)
    return exports in (frozenset("."), frozenset({rule.namespace}))


def best_host(patterns: Iterable[str], host: str) -> str:
    """The most specific pattern covering a host: exact, else the longest wildcard; "" if none."""
    matching = [p for p in patterns if host_matches(p, host)]
    return min(matching, key=lambda p: (p.startswith("*"), -len(p), p)) if matching else ""


def choose(
    rules: Iterable[DestinationRule],
    client: Client,
    host: str,
    service_namespace: str,
    root: str,
    *,
    default_export: Iterable[str] = (),
    domain: str = "cluster.local",
) -> Merged | None:
    """The DestinationRule in force for a client and a host; None when there is none.

    Client's namespace (for a client in the root namespace only private rules), then the
    service's, then the root: the first namespace with a match wins outright.
    """
    pool = sorted(rules, key=_age)
    default = tuple(default_export)
    local = [r for r in pool if r.namespace == client.namespace and _local(r)]
    if client.namespace == root:
        local = [r for r in local if is_private(r, default)]
    found = _pick(local, client, host, "client namespace", domain, scoped=True)
    if found is not None or best_host((rule_host(r, domain) for r in local), host):
        # rules that select other workloads end the search too (SidecarScope.DestinationRule)
        return found
    for namespace, place in ((service_namespace, "service namespace"), (root, "root namespace")):
        if not namespace:
            continue
        there = [r for r in pool if r.namespace == namespace and not is_private(r, default)]
        best = best_host((rule_host(r, domain) for r in there), host)
        seen = [
            r
            for r in there
            if rule_host(r, domain) == best
            and exported(_exports(r), r.namespace, client.namespace, default)
        ]
        found = _pick(seen, client, host, place, domain, scoped=False)
        if found is not None:
            return found
    return None


def _local(rule: DestinationRule) -> bool:
    exports = _exports(rule)
    return not exports or bool(exports & {"*", ".", rule.namespace})


def _pick(
    rules: Iterable[DestinationRule],
    client: Client,
    host: str,
    place: str,
    domain: str,
    *,
    scoped: bool,
) -> Merged | None:
    pool = tuple(rules)
    best = best_host((rule_host(r, domain) for r in pool), host)
    if not best:
        return None
    groups = _merge([r for r in pool if rule_host(r, domain) == best], best)
    catch_all: Merged | None = None
    for group in groups:
        selector = group.first.spec.workload_selector
        if selector is None:
            catch_all = group
        elif scoped and selects(selector.wanted, client.labels):
            return replace(group, place=place)
    return replace(catch_all, place=place) if catch_all is not None else None


def _merge(rules: Iterable[DestinationRule], host: str) -> tuple[Merged, ...]:
    groups: list[Merged] = []
    for rule in rules:
        separate = True
        for index, group in enumerate(groups):
            if _joins(rule, group.first):
                groups[index] = _joined(group, rule)
                separate = separate and _apart(rule, group.first)
        if separate:
            groups.append(_alone(rule, host))
    return tuple(groups)


def _joins(rule: DestinationRule, first: DestinationRule) -> bool:
    mine, theirs = rule.spec.workload_selector, first.spec.workload_selector
    if mine is None and theirs is None:
        return _exports(rule) == _exports(first)
    if mine is not None and theirs is not None:
        return mine.wanted == theirs.wanted
    return mine is None


def _apart(rule: DestinationRule, first: DestinationRule) -> bool:
    """A rule without selector completes one with a selector, and also stands on its own."""
    return (rule.spec.workload_selector is None) != (first.spec.workload_selector is None)


def _alone(rule: DestinationRule, host: str) -> Merged:
    policy = rule.spec.traffic_policy
    return Merged(
        rules=(rule,),
        host=host,
        policy=policy,
        policy_from=rule if policy is not None else None,
        subsets=tuple((s, rule) for s in rule.spec.subsets),
    )


def _joined(group: Merged, rule: DestinationRule) -> Merged:
    known = {s.name for s, _ in group.subsets}
    extra = tuple((s, rule) for s in rule.spec.subsets if s.name not in known)
    policy, origin = group.policy, group.policy_from
    if policy is None and rule.spec.traffic_policy is not None:
        policy, origin = rule.spec.traffic_policy, rule
    return replace(
        group,
        rules=(*group.rules, rule),
        policy=policy,
        policy_from=origin,
        subsets=(*group.subsets, *extra),
    )


def level_at(policy: TrafficPolicy, port: int) -> TrafficPolicy | PortTrafficPolicy:
    """What holds on a *service* port: a port entry replaces all that stands above it."""
    entries = (one for one in policy.port_level_settings if one.port.number == port)
    return next(entries, policy)


def tls_at_port(policy: TrafficPolicy | None, port: int) -> tuple[ClientTls | None, bool]:
    """The tls of a policy on a *service* port, and whether a port entry says it."""
    if policy is None:
        return None, False
    held = level_at(policy, port)
    return held.tls, held is not policy


def _endpoint_mode(policy: TrafficPolicy | None, port: int) -> str:
    """The mode that xds/endpoints/mtls_checker.go trafficPolicyTLSModeForPort finds."""
    if policy is None:
        return ""
    at_port = [e.tls for e in policy.port_level_settings if e.port.number == port and e.tls]
    found = at_port[0] if at_port else policy.tls
    return found.mode if found is not None else ""


def ruling(chosen: Merged | None, client: Client, port: int, subset: str = "") -> ClientTlsRuling:
    """What a merged rule says of tls on one service port, for one subset ("" for none)."""
    if chosen is None:
        return ClientTlsRuling()
    top, at_port = tls_at_port(chosen.policy, port)
    origin, level = chosen.policy_from, PORT if at_port else TOP
    tls, believed = top, chosen.policy if not subset else None
    reset = at_port and top is None and chosen.policy is not None and chosen.policy.tls is not None
    for one, owner in chosen.subsets:
        if one.name != subset or one.traffic_policy is None:
            continue
        believed = one.traffic_policy
        own, own_port = tls_at_port(one.traffic_policy, port)
        if own is not None or own_port:
            tls, origin, level = own, owner, SUBSET
        break
    ignored = bool(
        tls is not None
        and tls.credential_name
        and not tls.credential_name.startswith("configmap://")
        and tls.mode in (SIMPLE, MUTUAL)
        and client.proxy == "sidecar"
        and not chosen.has_selector
    )
    return ClientTlsRuling(
        tls=tls,
        rule=origin if tls is not None or reset else None,
        chosen=chosen,
        level=level if tls is not None or reset else "",
        port_reset=reset,
        credential_ignored=ignored,
        endpoint_mode=_endpoint_mode(believed, port),
    )


def tls_blocks(rule: DestinationRule) -> tuple[ClientTls, ...]:
    """Every tls block of a DestinationRule: at the top, of its ports, of its subsets and theirs."""
    policies = (rule.spec.traffic_policy, *(s.traffic_policy for s in rule.spec.subsets))
    blocks = (
        tls
        for policy in policies
        if policy is not None
        for tls in (policy.tls, *(p.tls for p in policy.port_level_settings))
    )
    return tuple(tls for tls in blocks if tls is not None)


def tls_path(rule: DestinationRule, level: str, port: int, subset: str = "") -> str:
    """JSON pointer to remove so that a ruling's tls block is gone, or to add it where a port entry
    lacks it; "" when there is no place for it.

    istiod's validation refuses a policy without any field, so the pointer climbs to the block
    that would be left empty.
    """
    policy, base = rule.spec.traffic_policy, "/spec/trafficPolicy"
    if level == SUBSET:
        names = [s.name for s in rule.spec.subsets]
        if subset not in names:
            return ""
        index = names.index(subset)
        policy, base = (
            rule.spec.subsets[index].traffic_policy,
            f"/spec/subsets/{index}/trafficPolicy",
        )
    if policy is None:
        return ""
    for index, entry in enumerate(policy.port_level_settings):
        if entry.port.number == port:
            here = f"{base}/portLevelSettings/{index}"
            if entry.tls is None or entry != PortTrafficPolicy(port=entry.port, tls=entry.tls):
                return f"{here}/tls"
            only = TrafficPolicy(port_level_settings=policy.port_level_settings)
            alone = len(policy.port_level_settings) == 1 and policy == only
            return base if alone else here
    return base if policy == TrafficPolicy(tls=policy.tls) else f"{base}/tls"
