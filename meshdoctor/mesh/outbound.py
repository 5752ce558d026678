"""Do calls out of the mesh meet what the policy and the ServiceEntries in force say?

What no ServiceEntry names is outboundTrafficPolicy's, the Sidecar's in force before the mesh's
(pilot/pkg/networking/core/httproute.go buildCatchAllVirtualHost). A TCP entry of address ranges has
no listener of its own: it is a filter chain of 0.0.0.0:PORT, which HTTP services of that port have
too (listener.go buildSidecarOutboundListener; 1.5 to 1.32-dev). Releases before 1.13.7, 1.14.3 and
1.15 hand one cached route table to proxies of either policy (istio/istio#39794).
"""

import ipaddress
from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.access_log import Line, address
from meshdoctor.mesh.edge_evidence import BLACK_HOLE, PASSTHROUGH, black_holed, unreadable
from meshdoctor.mesh.external_host import names
from meshdoctor.mesh.protocols import select, select_raw
from meshdoctor.mesh.services import host_matches
from meshdoctor.model.istio import ServiceEntry
from meshdoctor.model.kubernetes import Service

CONNECT = "CONNECT"
_OWN_PORTS = frozenset({15001, 15006})
_ALLOTTED = (ipaddress.ip_network("240.240.0.0/16"), ipaddress.ip_network("2001:2::/48"))


def contrary(line: Line, refused: bool) -> bool:
    """Whether a proxy did with an unknown host the opposite of what the policy in force says. What
    calls the proxy's own ports is never let through."""
    if refused:
        return line.upstream_cluster == PASSTHROUGH
    return black_holed(line) and line.local_port not in _OWN_PORTS


def met_http(line: Line) -> bool:
    """Whether a call to an address outside met HTTP's routes, and none took it."""
    lost = black_holed(line) or ("NR" in line.flags and not line.upstream_cluster)
    return bool(line.method) and lost


def connects(line: Line, port: int) -> bool:
    """Whether a request for a tunnel (HTTP CONNECT, to an HTTP proxy at `port`) found no route:
    only TCP hands it on, for routes of sidecars take no CONNECT (istio/istio#35526)."""
    return line.method == CONNECT and "NR" in line.flags and line.local_port == port


def garbled(line: Line, port: int, own: frozenset[str]) -> bool:
    """Whether the pod's own call of a port outside was read as HTTP and is none: TLS, mostly. At
    1.31 a port that some service declares HTTP lets it pass to addresses of nobody, at 1.2 not.
    `own`: the pod's addresses, at which others call it."""
    return unreadable(line) and line.local_port == port and dialled(line) not in own


def nameless(line: Line, port: int) -> bool:
    """Whether a TCP call to a port was refused as one of no known host, and told no SNI: a port
    that is declared TLS is told apart by that alone."""
    return (
        line.is_tcp
        and line.upstream_cluster == BLACK_HOLE
        and line.local_port == port
        and not line.server_name
    )


def read_as_http(line: Line, port: int) -> bool:
    """Whether what went to an unknown address of a port was read as HTTP: only a listener of that
    port's own does so."""
    return bool(line.method) and line.upstream_cluster == PASSTHROUGH and line.local_port == port


def ported(line: Line, host: str, port: int) -> int:
    """The port in the Host header of a request that found no route for its known host: a sidecar
    knows a host alone and with the port of the service (buildSidecarOutboundVirtualHosts), and
    whether it leaves ports out of account depends on release and settings; 0: none."""
    _, colon, text = line.authority.rpartition(":")
    said = int(text) if colon and text.isdecimal() else 0
    lost = met_http(line) and line.host == host.lower() and line.local_port == port
    return said if lost and said != port else 0


def adrift(line: Line, host: str, port: int) -> bool:
    """Whether a call failed that went to an address of istiod's own making, as it is: such an
    address stands for the ports of a ServiceEntry alone, and nobody is there (DNS auto allocation,
    pilot/pkg/serviceregistry/serviceentry; 1.8 to 1.32-dev)."""
    lost = line.upstream_cluster == BLACK_HOLE or black_holed(line)
    lost = lost or (line.upstream_cluster == PASSTHROUGH and "UF" in line.flags)
    mine = not line.method or line.host == host.lower()
    return lost and mine and line.local_port == port and allotted(dialled(line))


def allotted(called: str) -> bool:
    """Whether istiod made an address up."""
    try:
        return any(ipaddress.ip_address(called) in one for one in _ALLOTTED)
    except ValueError:
        return False


def stands_for(
    seen: Iterable[ServiceEntry], called: str, host: str, port: int
) -> ServiceEntry | None:
    """The entry of a host for which such an address stands, and that lacks the port: by the
    addresses that its status tells, where entries have any."""
    mine = sorted((e for e in seen if names(e, host)), key=lambda e: e.ref)
    told = [e for e in mine if e.status.addresses]
    if told:
        mine = [e for e in told if called in {one.value for one in e.status.addresses}]
    return next((e for e in mine if port not in {p.number for p in e.spec.ports}), None)


def of_others(
    host: str, entries: Iterable[ServiceEntry], services: Iterable[Service]
) -> frozenset[str]:
    """Addresses that belong to somebody else than the host: to entries that do not name it, and to
    Services. A connection without a name is told apart by its address alone."""
    foreign = [e for e in entries if not any(host_matches(h, host) for h in e.spec.hosts)]
    taken = {
        a for e in foreign for a in (*e.spec.addresses, *(w.address for w in e.spec.endpoints))
    }
    taken |= {ip for s in services for ip in (s.spec.cluster_ip, *s.spec.cluster_ips)}
    return frozenset(taken - {""})


def ranged(seen: Iterable[ServiceEntry], called: str, port: int) -> ServiceEntry | None:
    """The first ServiceEntry that has the address called in a range, and the port as TCP."""
    for entry in sorted(seen, key=lambda e: e.ref):
        if any(_in_range(one, called) for one in entry.spec.addresses) and any(
            p.number == port and not select_raw(port, p.protocol).http for p in entry.spec.ports
        ):
            return entry
    return None


def _in_range(block: str, called: str) -> bool:
    try:
        network = ipaddress.ip_network(block, strict=False)
        return network.num_addresses > 1 and ipaddress.ip_address(called) in network
    except ValueError:
        return False


class Holder(Struct, frozen=True, kw_only=True):
    """What has HTTP on a port; `entry`: a ServiceEntry, else a Service."""

    ref: str
    entry: bool


def http_on(
    port: int, called: Iterable[str], entries: Iterable[ServiceEntry], services: Iterable[Service]
) -> Holder | None:
    """Who makes HTTP of a port for all addresses: an entry of one of the hosts `called` first, then
    any other entry, then a Service."""
    names = {name.lower() for name in called}
    found = [e for e in entries if _declares_http(e, port)]
    found.sort(key=lambda e: (not names & {h.lower() for h in e.spec.hosts}, e.ref))
    if found:
        return Holder(ref=found[0].ref, entry=True)
    every = [s for s in services if any(p.port == port and select(p).http for p in s.spec.ports)]
    first = min(every, key=lambda s: s.ref, default=None)
    return Holder(ref=first.ref, entry=False) if first is not None else None


def _declares_http(entry: ServiceEntry, port: int) -> bool:
    return any(p.number == port and select_raw(port, p.protocol).http for p in entry.spec.ports)


def dialled(line: Line) -> str:
    """The address that the application dialled."""
    return address(line.downstream_local)[0]
