"""Why does a DestinationRule, or a part of it, never apply?

Mirrors pilot/pkg/model/push_context.go destinationRule and destination_rule.go
mergeDestinationRule (1.18 to 1.32-dev). A client's proxy looks in its own namespace, then the
service's, then the root namespace; the first with a rule for the host ends the search, whatever
exportTo says of others (trap T10). Rules of one namespace and host are merged: subsets are added,
the top-level trafficPolicy is the oldest rule's that has one.
"""

from collections.abc import Collection, Iterable

from msgspec import Struct

from meshdoctor.mesh.exports import audience
from meshdoctor.mesh.hosts import age_key, service_of
from meshdoctor.mesh.services import host_matches, resolve_short_name
from meshdoctor.model.istio import DestinationRule


def host(rule: DestinationRule) -> str:
    """Its host as istiod reads it."""
    return resolve_short_name(rule.spec.host, rule.namespace)


def applies_to(rule: DestinationRule, fqdn: str) -> bool:
    """Whether the rule's host covers a service host."""
    return host_matches(host(rule), fqdn)


def never_chosen(
    rule: DestinationRule, root_namespace: str, client_namespaces: Collection[str]
) -> bool:
    """Whether no proxy can ever pick it: it lives neither with the service, nor in the root
    namespace, nor in a namespace that has proxies of its own.

    Only hosts of cluster services have a service namespace; others are not judged.
    """
    service = service_of(host(rule))
    if service is None or rule.namespace in (service[0], root_namespace):
        return False
    return rule.namespace not in client_namespaces


def upgrades(rule: DestinationRule) -> bool:
    """Whether it has calls of HTTP/1.1 go on as HTTP/2 (connectionPool.http.h2UpgradePolicy), to
    all endpoints or to some port or subset."""
    top = rule.spec.traffic_policy
    policies = [top, *(s.traffic_policy for s in rule.spec.subsets)]
    pools = [p.connection_pool for p in policies if p is not None]
    pools += [x.connection_pool for p in policies if p is not None for x in p.port_level_settings]
    return any(
        pool is not None and pool.http is not None and pool.http.h2_upgrade_policy == "UPGRADE"
        for pool in pools
    )


class Merge(Struct, frozen=True, kw_only=True):
    """What is lost when `rule` is merged behind the older `first`: its trafficPolicy, or the
    subsets that the older one defines too, or all of it (different exportTo since 1.24)."""

    first: DestinationRule
    lost: str


def lost_in_merge(rule: DestinationRule, others: Iterable[DestinationRule]) -> Merge | None:
    """What the older rule of the same namespace and host takes from this one."""
    older = [
        o
        for o in others
        if o.ref != rule.ref
        and o.namespace == rule.namespace
        and host(o).lower() == host(rule).lower()
        and o.spec.workload_selector == rule.spec.workload_selector
        and _order(o) < _order(rule)
    ]
    if not older:
        return None
    first = min(older, key=_order)
    if audience(first.spec.export_to, first.namespace) != audience(
        rule.spec.export_to, rule.namespace
    ):
        return Merge(first=first, lost="everything (its exportTo differs)")
    if rule.spec.traffic_policy is not None and any(o.spec.traffic_policy for o in older):
        return Merge(first=first, lost="its trafficPolicy")
    taken = {s.name for o in older for s in o.spec.subsets}
    double = sorted(s.name for s in rule.spec.subsets if s.name in taken)
    return Merge(first=first, lost=f"its subset {double[0]}") if double else None


def _order(rule: DestinationRule) -> tuple[str, str]:
    return (age_key(rule), rule.name)
