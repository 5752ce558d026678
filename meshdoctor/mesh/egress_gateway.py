"""Does what sidecars send to an egress gateway fit the gateway's own server?

A VirtualService of the mesh sends a host's calls to the gateway's Service; a DestinationRule says
what is spoken on the way, often for one subset only. istiod selects the gateway's filter chain by
the SNI, which must be a host of the Gateway's server (getSNIHostsForServer in
networking/core/gateway.go); for ISTIO_MUTUAL without `sni` clients send the cluster's own name
(networking/core/cluster_tls.go; 1.5 to 1.32-dev).
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from meshdoctor.mesh.client_tls import ISTIO_MUTUAL, ClientTlsRuling
from meshdoctor.mesh.gateway_tls import TlsServer
from meshdoctor.mesh.routes import MESH, gateway_keys, in_mesh
from meshdoctor.mesh.services import host_matches, resolve_short_name
from meshdoctor.mesh.visibility import exported
from meshdoctor.model.istio import ClientTls, Destination, HttpRoute, L4Route, VirtualService

_TERMINATES = ("SIMPLE", "MUTUAL", ISTIO_MUTUAL, "OPTIONAL_MUTUAL")


class Leaving(Struct, frozen=True, kw_only=True):
    """The first http destination of a host's calls in the mesh; `host` is in full."""

    route: VirtualService
    host: str
    port: int
    subset: str


def leaving(
    routes: Iterable[VirtualService],
    host: str,
    port: int,
    namespace: str,
    default_export: tuple[str, ...] = (),
) -> Leaving | None:
    """Where sidecars of a namespace send calls to a host and port; None: no rule has a say."""
    for route in sorted(routes, key=lambda r: str(r.metadata.creation_timestamp or "")):
        if not in_mesh(route) or not any(host_matches(h, host) for h in route.spec.hosts):
            continue
        if not exported(route.spec.export_to, route.namespace, namespace, default_export):
            continue
        for one in _destinations(route.spec.http, port):
            return Leaving(
                route=route,
                host=resolve_short_name(one.host, route.namespace),
                port=one.port.number if one.port is not None else 0,
                subset=one.subset,
            )
    return None


def leading_to(
    routes: Iterable[VirtualService],
    service: str,
    port: int,
    namespace: str,
    default_export: tuple[str, ...] = (),
) -> Leaving | None:
    """The oldest route of the mesh that sends calls of a namespace to a gateway's Service and
    port, whatever their host."""
    for route in sorted(routes, key=lambda r: str(r.metadata.creation_timestamp or "")):
        if not in_mesh(route) or not exported(
            route.spec.export_to, route.namespace, namespace, default_export
        ):
            continue
        for one in _destinations(route.spec.http, 0):
            host = resolve_short_name(one.host, route.namespace)
            if host == service and one.port is not None and one.port.number == port:
                return Leaving(route=route, host=host, port=port, subset=one.subset)
    return None


def onward(routes: Iterable[VirtualService], host: str) -> tuple[tuple[str, int], ...]:
    """Where gateways send the calls to a host, with the port; 0: the rule names none."""
    found: dict[tuple[str, int], None] = {}
    for route in routes:
        if not gateway_keys(route) or not any(host_matches(h, host) for h in route.spec.hosts):
            continue
        rules: tuple[HttpRoute | L4Route, ...] = (
            *route.spec.http,
            *route.spec.tls,
            *route.spec.tcp,
        )
        for rule in rules:
            asked = [set(m.gateways or route.spec.gateways) for m in rule.match]
            if asked and not any(names - {MESH} for names in asked):
                continue
            for one in rule.route:
                to, port = one.destination.host, one.destination.port
                found[resolve_short_name(to, route.namespace), port.number if port else 0] = None
    return tuple(found)


def _destinations(rules: Iterable[HttpRoute], port: int) -> Iterator[Destination]:
    for rule in rules:
        if not rule.match or any(
            (not m.gateways or MESH in m.gateways) and (not port or m.port in (0, port))
            for m in rule.match
        ):
            yield from (one.destination for one in rule.route)


def misfit(
    ruling: ClientTlsRuling, servers: Iterable[TlsServer], to: Leaving, *, auto: bool
) -> str:
    """How what the client sends misses every TLS server of that port, in words; "" when it fits,
    or the port has no such server. A TLS server without SNI of its own (`*`) takes any. `auto`:
    the gateway's pods carry the label for auto mTLS; no template of istiod sets it there."""
    there = [s for s in servers if s.port == to.port and s.mode in _TERMINATES]
    if not there:
        return ""
    tls = ruling.tls or (ClientTls(mode=ISTIO_MUTUAL) if auto else None)
    if tls is None or tls.mode not in _TERMINATES or ruling.credential_ignored:
        return "plaintext"
    sni = tls.sni
    if not sni and tls.mode == ISTIO_MUTUAL:
        sni = f"outbound_.{to.port}_.{to.subset}_.{to.host}"
    if not sni or any(_takes(h, sni) for s in there for h in s.hosts or ("*",)):
        return ""
    return f"TLS for the name {sni}"


def _takes(host: str, sni: str) -> bool:
    return host in ("", "*") or host_matches(host, sni)
