"""Can an EnvoyFilter's patches match anything at all?

Mirrors pilot/pkg/model/push_context.go getMatchedEnvoyFilters and
pilot/pkg/networking/core/envoyfilter (1.18 to 1.32-dev). Filter names that Envoy gave up are no
longer in generated configuration, and since 1.19 a match on one finds nothing (istio/istio#45675).
"""

import re
from collections.abc import Iterable, Mapping

from meshdoctor.mesh.routes import hosts
from meshdoctor.mesh.selectors import workload_selected
from meshdoctor.mesh.services import services_of, target_port
from meshdoctor.mesh.xds import release
from meshdoctor.model.istio import (
    EnvoyFilter,
    EnvoyFilterPatch,
    Gateway,
    ServiceEntry,
    Sidecar,
    VirtualService,
)
from meshdoctor.model.kubernetes import Pod, Service

RENAMED: Mapping[str, str] = {
    "envoy.http_connection_manager": "envoy.filters.network.http_connection_manager",
    "envoy.tcp_proxy": "envoy.filters.network.tcp_proxy",
    "envoy.router": "envoy.filters.http.router",
    "envoy.fault": "envoy.filters.http.fault",
    "envoy.cors": "envoy.filters.http.cors",
    "envoy.lua": "envoy.filters.http.lua",
    "envoy.ext_authz": "envoy.filters.http.ext_authz",
    "envoy.filters.http.rbac.deprecated": "envoy.filters.http.rbac",
}
_BY_NEW_NAME_ALONE = (1, 19, 0)
_SIDECAR = frozenset({"SIDECAR_INBOUND", "SIDECAR_OUTBOUND"})
_OF_CHAINS = frozenset({"FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER"})
_VIRTUAL_INBOUND = 15006


def selects_workloads(
    filter_: EnvoyFilter, root_namespace: str, workloads: Iterable[tuple[str, Mapping[str, str]]]
) -> bool:
    """Whether any proxy's workload (namespace, labels) is selected; a filter in the root
    namespace selects in all namespaces."""
    if filter_.spec.target_refs:
        return True
    return any(
        namespace in (filter_.namespace,) or filter_.namespace == root_namespace
        for namespace, labels in workloads
        if workload_selected(filter_.spec.workload_selector, labels)
    )


def dead_match(
    filter_: EnvoyFilter,
    proxy_types: frozenset[str],
    versions: Iterable[str],
    inbound: frozenset[int] = frozenset(),
    vhosts: frozenset[str] = frozenset(),
) -> str:
    """Why the first patch that can match nothing does not; "" when all may match.

    `proxy_types` are those of the selected workloads, `versions` their Istio releases, `inbound`
    the ports that their proxies take calls for, `vhosts` the virtual hosts of gateways among them;
    when these are not known (empty) nothing is said about them.
    """
    known = tuple(versions)
    for index, patch in enumerate(filter_.spec.config_patches):
        reason = (
            dead(patch, proxy_types, known)
            or _dead_port(patch, inbound)
            or _dead_vhost(patch, vhosts)
        )
        if reason:
            return f"patch {index}: {reason}"
    return ""


def may_match(filter_: EnvoyFilter, proxy_type: str, version: str) -> bool:
    """Whether any patch can apply to a proxy of this type ("": not known) and release."""
    types = frozenset({proxy_type} - {""})
    known = (version,) if version else ()
    return any(not dead(p, types, known) for p in filter_.spec.config_patches)


def dead(patch: EnvoyFilterPatch, proxy_types: frozenset[str], versions: tuple[str, ...]) -> str:
    """Why a patch can match nothing of such proxies; "" when it may match."""
    match = patch.match
    if proxy_types and match.context == "GATEWAY" and "router" not in proxy_types:
        return "context GATEWAY, but only sidecars are selected"
    if proxy_types and match.context in _SIDECAR and "sidecar" not in proxy_types:
        return f"context {match.context}, but only gateways are selected"
    wanted = match.proxy.proxy_version if match.proxy is not None else ""
    if wanted and versions and not any(_version_matches(wanted, v) for v in versions):
        return f"proxyVersion {wanted} is not the proxies' {versions[0]}"
    if versions and all(release(v) < _BY_NEW_NAME_ALONE for v in versions):
        return ""
    old = next((n for n in _named(patch) if n in RENAMED), "")
    return f"filter {old} is now {RENAMED[old]}" if old else ""


def asks_for_inbound_port(filter_: EnvoyFilter) -> bool:
    """Whether a patch asks for a port of the inbound listener."""
    return any(_inbound_port(p) for p in filter_.spec.config_patches)


def inbound_ports(
    pods: Iterable[Pod],
    services: Iterable[Service],
    entries: Iterable[ServiceEntry],
    sidecars: Iterable[Sidecar],
) -> frozenset[int]:
    """The ports for which the proxies of pods of one namespace may have a chain of their own:
    target ports of Services, ports of ServiceEntries that select pods and those that a Sidecar
    lists (buildInboundListeners); empty where a pod has none. `services`, `entries` and
    `sidecars` are those of that namespace."""
    known, found = tuple(services), {_VIRTUAL_INBOUND}
    for pod in pods:
        mine = services_of(pod.labels, known)
        found |= {target_port(port, pod) for one in mine for port in one.spec.ports}
    for entry in entries:
        if entry.spec.workload_selector is not None:
            found |= {port.target_port or port.number for port in entry.spec.ports}
    for sidecar in sidecars:
        found |= {one.port.number for one in sidecar.spec.ingress}
    ports = found - {0}
    return frozenset(ports if len(ports) > 1 else ())


def _inbound_port(patch: EnvoyFilterPatch) -> int:
    """The port that a patch of the inbound listener's chains asks for; 0: none. Chains of the
    virtual listener have the pod's port, the listener itself has 15006 (filterChainMatch)."""
    match = patch.match
    if match.context != "SIDECAR_INBOUND" or patch.apply_to not in _OF_CHAINS:
        return 0
    return match.listener.port_number if match.listener is not None else 0


def _dead_port(patch: EnvoyFilterPatch, inbound: frozenset[int]) -> str:
    port = _inbound_port(patch)
    if not port or not inbound or port in inbound:
        return ""
    known = ", ".join(map(str, sorted(inbound - {_VIRTUAL_INBOUND})))
    return f"the inbound listener has no port {port}, but {known}: it knows the pods' own ports"


def asks_for_vhost(filter_: EnvoyFilter) -> bool:
    """Whether a patch asks for a virtual host of gateways by its name."""
    return any(_vhost(p) for p in filter_.spec.config_patches)


def gateway_vhosts(gateways: Iterable[Gateway], routes: Iterable[VirtualService]) -> frozenset[str]:
    """The virtual hosts of a gateway's pod, named by host and server port, and the one without any
    route (pilot/pkg/networking/core/gateway.go buildGatewayHTTPRouteConfig, 1.4 to 1.32-dev):
    `routes` are the VirtualServices bound to `gateways`."""
    ports = {server.port.number for one in gateways for server in one.spec.servers}
    names = {host for route in routes for host in hosts(route)} | {"blackhole"}
    return frozenset(f"{name}:{port}" for name in names for port in ports)


def _vhost(patch: EnvoyFilterPatch) -> str:
    route = patch.match.route_configuration
    if patch.match.context != "GATEWAY" or route is None or route.vhost is None:
        return ""
    return route.vhost.name


def _dead_vhost(patch: EnvoyFilterPatch, vhosts: frozenset[str]) -> str:
    name = _vhost(patch)
    if not name or not vhosts or name in vhosts:
        return ""
    known = ", ".join(sorted(n for n in vhosts if not n.startswith("blackhole:"))[:5])
    star = ", and a star in a name is no wildcard" if "*" in name else ""
    return f"no virtual host is named {name}, but {known or 'none is served'}{star}"


def _named(patch: EnvoyFilterPatch) -> tuple[str, str]:
    """The filter and its sub-filter that a patch matches by name; "" where it names none."""
    listener = patch.match.listener
    chain = listener.filter_chain if listener is not None else None
    found = chain.filter if chain is not None else None
    if found is None:
        return "", ""
    return found.name, found.sub_filter.name if found.sub_filter is not None else ""


def neighbour(patch: EnvoyFilterPatch) -> str | None:
    """The filter beside which, or on which, a patch of a filter chain acts: "" where it names none,
    None for a patch of something else."""
    network, http = _named(patch)
    return {"NETWORK_FILTER": network, "HTTP_FILTER": http}.get(patch.apply_to)


def _version_matches(pattern: str, version: str) -> bool:
    """An expression that does not compile is refused by istiod; here it matches, to stay silent.
    Expressions long enough to be costly are not run."""
    if len(pattern) > 100:
        return True
    try:
        return re.search(pattern, version) is not None
    except re.error:
        return True
