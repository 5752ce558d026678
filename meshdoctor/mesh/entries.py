"""Who owns a host name, and do two TCP services share one listener?

Mirrors pilot/pkg/model/sidecar.go selectServices and pilot/pkg/networking/core/listener.go (1.18
to 1.32-dev): a service in the client's namespace wins, then a Kubernetes Service, then the
oldest. A TCP service without an address of its own binds 0.0.0.0:PORT, where only the first one
of several works.
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.exports import audience, overlap
from meshdoctor.mesh.hosts import Catalogue, age_key, service_of
from meshdoctor.mesh.services import host_matches
from meshdoctor.model.istio import ServiceEntry

_OPAQUE = frozenset({"TCP", "MONGO", "MYSQL", "REDIS"})


class Collision(Struct, frozen=True, kw_only=True):
    """`host` of the entry is also the host of `rival`. `takes_over`: clients in the entry's own
    namespace get the entry, those elsewhere the rival."""

    host: str
    rival: str
    takes_over: bool


def collision(
    entry: ServiceEntry, known: Catalogue, client_namespaces: frozenset[str] = frozenset()
) -> Collision | None:
    """The first host that a Service of another namespace, or an older ServiceEntry of another
    namespace, has too. An entry in the Service's own namespace does not take the host over, and
    one in a namespace without proxies loses everywhere."""
    seen = audience(entry.spec.export_to, entry.namespace)
    for host in entry.spec.hosts:
        own = service_of(host)
        if own is not None and own in known.services and own[0] != entry.namespace:
            return Collision(
                host=host,
                rival=known.services[own].ref,
                takes_over=entry.namespace in client_namespaces,
            )
        for other in known.with_host(host):
            if other.namespace == entry.namespace or _first_come(other) >= _first_come(entry):
                continue
            if host.lower() in {h.lower() for h in other.spec.hosts} and overlap(
                seen, audience(other.spec.export_to, other.namespace)
            ):
                return Collision(
                    host=host, rival=other.ref, takes_over=entry.namespace in client_namespaces
                )
    return None


class Split(Struct, frozen=True, kw_only=True):
    """`other`, of the same namespace, has the host too; `ports` are those of this entry only."""

    host: str
    other: ServiceEntry
    ports: frozenset[int]


def split(entry: ServiceEntry, known: Catalogue) -> Split | None:
    """The first host that another ServiceEntry of the namespace has, without all of its ports.

    Releases before 1.8 know one service by a host and namespace, so one entry's ports only; later
    ones merge the ports (pilot/pkg/model/sidecar.go)."""
    mine = frozenset(p.number for p in entry.spec.ports)
    for host in entry.spec.hosts:
        for other in known.with_host(host):
            if other.ref == entry.ref or other.namespace != entry.namespace:
                continue
            only = mine - {p.number for p in other.spec.ports}
            if only:
                return Split(host=host, other=other, ports=only)
    return None


class Shared(Struct, frozen=True, kw_only=True):
    """An older entry already binds this TCP port without address."""

    port: int
    rival: ServiceEntry


def shared_listener(entry: ServiceEntry, others: Iterable[ServiceEntry]) -> Shared | None:
    """The older ServiceEntry whose TCP port this one shares, both without addresses.

    TLS and HTTPS are told apart by SNI, HTTP by host; only opaque TCP is not.
    """
    mine = _bare_ports(entry)
    if not mine:
        return None
    seen = audience(entry.spec.export_to, entry.namespace)
    for other in sorted(others, key=_first_come):
        if other.ref == entry.ref:
            continue
        if _first_come(other) > _first_come(entry):
            continue
        both = mine & _bare_ports(other)
        if both and overlap(seen, audience(other.spec.export_to, other.namespace)):
            return Shared(port=min(both), rival=other)
    return None


def _first_come(entry: ServiceEntry) -> tuple[str, str]:
    """Their order in listeners: by age, then name.namespace (sortConfigByCreationTime)."""
    return age_key(entry), f"{entry.name}.{entry.namespace}"


def taker(seen: Iterable[ServiceEntry], host: str, port: int) -> ServiceEntry | None:
    """The ServiceEntry of other hosts whose listener 0.0.0.0:PORT gets the connections to `host`,
    of those that the client sees, and sends them to its own. None: nobody's, or they go on.

    An entry of the host itself that has an address there, or tells by HTTP or SNI, keeps them.
    """
    seen = tuple(seen)
    own = [e for e in seen if any(host_matches(h, host) for h in e.spec.hosts)]
    if any(port in {p.number for p in e.spec.ports} - _bare_ports(e) for e in own):
        return None
    first = min((e for e in seen if port in _bare_ports(e)), key=_first_come, default=None)
    if first is None or first in own or first.spec.resolution in ("", "NONE"):
        return None
    return first


def bare_protocol(entry: ServiceEntry, port: int) -> str:
    """The protocol of a port that is TCP of any kind and has no address of its own; "" for any
    other. Such a port wants 0.0.0.0:PORT, and gets no listener where HTTP has that already."""
    if port not in _bare_ports(entry):
        return ""
    return next(p.protocol for p in entry.spec.ports if p.number == port)


def _bare_ports(entry: ServiceEntry) -> frozenset[int]:
    if entry.spec.addresses:
        return frozenset()
    return frozenset(p.number for p in entry.spec.ports if p.protocol.upper() in _OPAQUE)
