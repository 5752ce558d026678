"""Which object made Envoy refuse a push?

Envoy's message names a listener, a cluster, a domain, a filter or a field, never the Kubernetes
object. The pieces are Envoy's (source/common/listener_manager, router/config_impl.cc, protobuf
utility and PGV messages, 1.24 to 1.36); which object holds them is looked up in the snapshot.
"""

import re
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct, field

from meshdoctor.mesh import filter_blame, log_blame, route_blame
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.client_tls import tls_blocks
from meshdoctor.mesh.protocols import select, select_raw
from meshdoctor.mesh.services import host_matches, named_by_client, resolve_short_name
from meshdoctor.model.istio import (
    DestinationRule,
    EnvoyFilter,
    Gateway,
    MeshConfig,
    RequestAuthentication,
    ServiceEntry,
    Telemetry,
    VirtualService,
    WasmPlugin,
)
from meshdoctor.model.kubernetes import ConfigMap, Object, Service
from meshdoctor.model.patterns import pattern

STATIC_PORTS = {15021: "health", 15090: "metrics", 15001: "outbound", 15006: "inbound"}
_LISTENER_PORT = pattern(r"['\s\[]([0-9a-fA-F.:]*|::)_(\d{1,5})['\s:,]|address '[^']*:(\d{1,5})'")
_CLUSTER = pattern(r"(outbound|inbound)_?\|(\d*)\|([^|\s]*)\|([^\s'\":,;]*)")
_UNBINDABLE = pattern(r"cannot bind '[^']*:(\d{1,5})': Permission denied")
_DOMAIN = pattern(r"[Dd]uplicate (?:entry of )?domain[s:]? (?:is )?([^\s'\",:;]+)")
_ISSUER = pattern(r"Issuer '([^']+)'")
_ENDING = frozenset({"SIMPLE", "MUTUAL"})
_PATH = pattern(r"(?:Invalid path|unable to read file|Failed to load [^:]{0,60} from):? ?(/\S+)")


class Objects(Struct, frozen=True, kw_only=True):
    """What may be at fault. All of one mesh, or what the scope lets us see; of EnvoyFilters,
    RequestAuthentications and Telemetries, only those that the refusing proxy gets."""

    services: tuple[Service, ...] = ()
    filters: tuple[EnvoyFilter, ...] = ()
    routes: tuple[VirtualService, ...] = ()
    rules: tuple[DestinationRule, ...] = ()
    entries: tuple[ServiceEntry, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    authentications: tuple[RequestAuthentication, ...] = ()
    plugins: tuple[WasmPlugin, ...] = ()
    telemetries: tuple[Telemetry, ...] = ()
    config: MeshConfig = MeshConfig()
    config_map: ConfigMap | None = None


class Offender(Struct, frozen=True, kw_only=True):
    """`objects` most likely first; empty when the message leads to none. `why` in a few words."""

    why: str
    objects: tuple[Object, ...] = field(default=())


def offender(message: str, known: Objects, type_: str = "") -> Offender:
    """The objects behind a refusal of a type (`LDS` ...).

    Try what is most specific first: a duplicate listener address, a duplicate domain, a token
    issuer, a path, the words of a patch, a cluster; at last the one patch that there is.
    """
    for look in _LOOKS:
        found = look(message, known)
        if found is not None:
            return found
    one = filter_blame.only(type_, message, known.filters)
    if one is not None:
        why = "the message names no object; this is the one EnvoyFilter on what was refused"
        return Offender(why=why, objects=(one,))
    return Offender(why="Envoy's message names no object")


_NOT_KNOWN = pattern(
    r"does not have an object factory|registered implementation|[Uu]nknown field|unknown fields|"
    r"Unable to unpack|[Ii]nvalid type URL|[Cc]ould not find (?:@type|type) |"
    r"Not supported field in StreamInfo"
)


def too_new(message: str) -> bool:
    """Whether Envoy does not know what it is sent: an object, a filter, a type or a field.

    >>> too_new("connect_terminate: 'io.istio.connect_authority' does not have an object factory")
    True
    """
    return bool(_NOT_KNOWN.search(message))


def unbindable_port(message: str) -> int:
    """The port that Envoy, not being root, may not listen on; 0: the refusal is another.

    >>> unbindable_port("Error adding/updating listener(s) 0.0.0.0_80: cannot bind '0.0.0.0:80': "
    ...                 "Permission denied")
    80
    """
    found = _UNBINDABLE.search(message)
    return int(found[1]) if found is not None else 0


def static_port(message: str) -> int:
    """The port of a refused duplicate of one of Envoy's own listeners; 0: it is no such refusal.

    >>> static_port("error adding listener: '0.0.0.0_15021' has duplicate address "
    ...             "'0.0.0.0:15021' as existing listener")
    15021
    """
    if "duplicate address" not in message and "already exists" not in message:
        return 0
    for found in _LISTENER_PORT.finditer(message):
        port = int(found[2] or found[3] or 0)
        if port in STATIC_PORTS:
            return port
    return 0


def _listener(message: str, known: Objects) -> Offender | None:
    port = static_port(message)
    if port:
        return Offender(
            why=f"port {port} is Envoy's own {STATIC_PORTS[port]} listener",
            objects=_newest(
                [
                    *(s for s in known.services if binds_wildcard(s, port)),
                    *(e for e in known.entries if listens_wide(e, port)),
                ]
            ),
        )
    if "duplicate address" in message or "multiple filter chains with" in message:
        ports = {int(m[2] or m[3]) for m in _LISTENER_PORT.finditer(message) if m[2] or m[3]}
        gateways = [g for g in known.gateways if {s.port.number for s in g.spec.servers} & ports]
        services = [s for s in known.services if {p.port for p in s.spec.ports} & ports]
        if "multiple filter chains with" in message:
            services = [s for s in services if s.headless] or services
        return Offender(
            why=f"listener on port {min(ports, default=0)}",
            objects=_newest(gateways)
            or _newest(_doubled(known, ports))
            or _newest(services)
            or _newest(e for e in known.entries if _declares(e, ports)),
        )
    if "has the same matching rules defined as" in message or "duplicate listener" in message:
        return _same_matching(message, known)
    return None


def _doubled(known: Objects, ports: set[int]) -> list[ServiceEntry]:
    """ServiceEntries that declare one of these ports for a host for which another does so too:
    istiod makes one listener, or one filter chain, of each."""
    entries = [e for e in known.entries if _declares(e, ports)]
    hosts = Counter(host for e in entries for host in set(e.spec.hosts))
    return [e for e in entries if any(hosts[host] > 1 for host in e.spec.hosts)]


def _declares(entry: ServiceEntry, ports: set[int]) -> bool:
    return any(p.number in ports for p in entry.spec.ports)


def _same_matching(message: str, known: Objects) -> Offender | None:
    """Gateways of which two servers share a listener: Envoy names the pods' port, a server the
    port of their Service. A server may name the pods' port itself: some releases make a second
    listener of that name then (istio/istio#29291)."""
    ports = {int(m[2] or m[3]) for m in _LISTENER_PORT.finditer(message) if m[2] or m[3]}
    ports |= {p.port for s in known.services for p in s.spec.ports if p.target_port in ports}
    servers = [g for g in known.gateways for s in g.spec.servers if s.port.number in ports]
    if len(servers) < 2:
        return None
    sharing = {g.ref: g for g in servers}.values()
    declared = {s.port.number for g in servers for s in g.spec.servers if s.port.number in ports}
    shown = " and ".join(str(port) for port in sorted(declared))
    if len(declared) > 1:
        shown = f"{shown}, which the pods serve as one"
    return Offender(why=f"servers that share port {shown}", objects=_newest(sharing))


def binds_wildcard(service: Service, port: int) -> bool:
    """Whether sidecars would listen on 0.0.0.0:PORT for this service: declared HTTP, or headless.
    Other TCP services bind their own address (a gateway's `status-port` 15021 is one)."""
    return any(
        p.port == port and p.protocol != "UDP" and (select(p).http or service.headless)
        for p in service.spec.ports
    )


def listens_wide(entry: ServiceEntry, port: int) -> bool:
    """The same of a ServiceEntry: HTTP, no address of its own, or a range of addresses."""
    addresses = entry.spec.addresses
    return any(
        p.number == port
        and (select_raw(port, p.protocol).http or not addresses or any("/" in a for a in addresses))
        for p in entry.spec.ports
    )


def _domain(message: str, known: Objects) -> Offender | None:
    """Whose virtual hosts share a domain: a ServiceEntry that takes a Service's name, in any of
    the spellings that Istio gives a Service (route/route.go and httproute.go
    generateVirtualHostDomains), else VirtualServices."""
    found = _DOMAIN.search(message)
    if found is None:
        return None
    host = bare_host(found[1])
    meant = _meaning(host, known)
    entries = [e for e in known.entries if any(_meaning(h, known) == meant for h in e.spec.hosts)]
    routes = [
        r
        for r in known.routes
        if any(_meaning(resolve_short_name(h, r.namespace), known) == meant for h in r.spec.hosts)
    ]
    return Offender(why=f"domain {host} twice", objects=_newest(entries) + _newest(routes))


def _meaning(host: str, known: Objects) -> str | tuple[str, str]:
    """(namespace, name) of the Service that a host spells; else the host itself."""
    host = host.lower()
    named = named_by_client(host, "") if "." in host else None
    is_service = any((s.namespace, s.name) == named for s in known.services)
    return named if named is not None and is_service else host


def _issuer(message: str, known: Objects) -> Offender | None:
    found = _ISSUER.search(message)
    if found is None:
        return None
    owners = [
        a for a in known.authentications if any(r.issuer == found[1] for r in a.spec.jwt_rules)
    ]
    return Offender(why=f"issuer {found[1]}", objects=_newest(owners)) if owners else None


def _keys(message: str, known: Objects) -> Offender | None:
    """The provider of a key set that Envoy cannot take: istiod names providers by their place
    (`origins-0`) and tells no issuer, so only the proxy's own authentications are left."""
    if "jwt_authn config" not in message:
        return None
    return Offender(
        why="a key set of its jwtRules",
        objects=_newest(a for a in known.authentications if a.spec.jwt_rules),
    )


def _path(message: str, known: Objects) -> Offender | None:
    found = _PATH.search(message)
    if found is None:
        return None
    path = found[1].rstrip(".,;'\"")
    owners: list[Object] = [r for r in known.rules if path in _tls_paths(r)]
    owners += [
        g
        for g in known.gateways
        for s in g.spec.servers
        if s.tls is not None
        and path in (s.tls.server_certificate, s.tls.private_key, s.tls.ca_certificates)
    ]
    return Offender(why=f"file {path}", objects=_newest(owners)) if owners else None


def _certificate(message: str, known: Objects) -> Offender | None:
    """Servers that name no file where Envoy wants one: istiod of before 1.5 writes an empty path
    for a credentialName that the gateway has no SDS for."""
    if "TlsCertificate" not in message or "Filename" not in message:
        return None
    owners = [
        g
        for g in known.gateways
        for s in g.spec.servers
        if s.tls is not None and s.tls.mode in _ENDING and not s.tls.server_certificate
    ]
    why = "a TLS server without certificate files"
    return Offender(why=why, objects=_newest(owners)) if owners else None


def _tls_paths(rule: DestinationRule) -> set[str]:
    return {
        path
        for tls in tls_blocks(rule)
        for path in (tls.client_certificate, tls.private_key, tls.ca_certificates)
        if path
    }


def _extension(message: str, known: Objects) -> Offender | None:
    """A Wasm extension by its name; else the EnvoyFilter that holds the message's words."""
    if re.search(r"[Ww]asm", message) and known.plugins:
        named = [p for p in known.plugins if p.spec.url and p.spec.url in message]
        named = named or [p for p in known.plugins if p.name in message]
        return Offender(why="a Wasm extension", objects=_newest(named or list(known.plugins)))
    found = filter_blame.blame(message, known.filters)
    return Offender(why=found[0], objects=_newest(found[1])) if found is not None else None


def _route(message: str, known: Objects) -> Offender | None:
    why, owners = route_blame.blame(message, known.routes)
    return Offender(why=why, objects=_newest(owners)) if owners else None


def _cluster(message: str, known: Objects) -> Offender | None:
    found = _CLUSTER.search(message)
    if found is None or not found[4]:
        return _any_filter(message, known)
    host = found[4].rstrip(".")
    rules = [
        r for r in known.rules if host_matches(resolve_short_name(r.spec.host, r.namespace), host)
    ]
    filters = [
        f for f in known.filters if any(p.apply_to == "CLUSTER" for p in f.spec.config_patches)
    ]
    return Offender(why=f"cluster of {host}", objects=_newest(rules) or _newest(filters))


def _access_log(message: str, known: Objects) -> Offender | None:
    """A Telemetry's filter, or what the mesh config says of access logs."""
    filtering = log_blame.filtering(message, known.telemetries)
    if filtering:
        return Offender(why="a filter of access logs", objects=_newest(filtering))
    said = log_blame.settings(message, known.config)
    if not said or known.config_map is None:
        return None
    return Offender(why=f"access logs, which it sets by {said}", objects=(known.config_map,))


def _any_filter(message: str, known: Objects) -> Offender | None:
    owners = filter_blame.spoken(message, known.filters)
    return Offender(why="a patch's own words", objects=_newest(owners)) if owners else None


_LOOKS = (
    _listener,
    _domain,
    _issuer,
    _keys,
    _path,
    _certificate,
    _extension,
    _route,
    _cluster,
    _access_log,
)


def _newest(found: Iterable[Object]) -> tuple[Object, ...]:
    """Newest first: what was added last is what broke it."""

    def created(obj: Object) -> float:
        moment = obj.metadata.creation_timestamp
        return moment.timestamp() if moment is not None else 0.0

    return tuple(sorted(found, key=lambda o: (-created(o), o.namespace, o.name)))
