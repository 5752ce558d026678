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
            if other.namespace == entry.namespace or age_key(other) >= age_key(entry):
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
    for other in sorted(others, key=lambda o: (age_key(o), o.name)):
        if other.ref == entry.ref or age_key(other) > age_key(entry):
            continue
        if age_key(other) == age_key(entry) and other.name > entry.name:
            continue
        both = mine & _bare_ports(other)
        if both and overlap(seen, audience(other.spec.export_to, other.namespace)):
            return Shared(port=min(both), rival=other)
    return None


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
