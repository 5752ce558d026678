"""Does a host that a rule or route names mean the service its writer had in mind?

Mirrors pilot/pkg/model ResolveShortnameToFQDN (1.18 to 1.32-dev): only a name without a dot is
completed, with the namespace of the *object that holds it*; `svc.ns` stays as it is written and
then matches a ServiceEntry at best (trap T11).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct, field

from meshdoctor.mesh.services import CLUSTER_DOMAIN, fqdn, host_matches, resolve_short_name
from meshdoctor.model.istio import ServiceEntry
from meshdoctor.model.kubernetes import Service


class Catalogue(Struct, frozen=True, kw_only=True):
    """The services and ServiceEntry hosts that are known."""

    services: Mapping[tuple[str, str], Service] = field(default_factory=dict)
    entries: tuple[ServiceEntry, ...] = ()
    by_name: Mapping[str, tuple[Service, ...]] = field(default_factory=dict)
    by_host: Mapping[str, tuple[ServiceEntry, ...]] = field(default_factory=dict)
    wildcards: tuple[ServiceEntry, ...] = ()

    def named(self, name: str) -> tuple[Service, ...]:
        """Services of that name, in any namespace."""
        return self.by_name.get(name, ())

    def entry_for(self, host: str) -> ServiceEntry | None:
        """A ServiceEntry that has this host or a wildcard over it."""
        exact = self.by_host.get(host.lower(), ())
        return next((e for e in (*exact, *self.wildcards) if _covers(e, host)), None)

    def with_host(self, host: str) -> tuple[ServiceEntry, ...]:
        """ServiceEntries that list exactly this host, oldest first."""
        return self.by_host.get(host.lower(), ())


def catalogue(services: Iterable[Service], entries: Iterable[ServiceEntry]) -> Catalogue:
    """Index services by (namespace, name), entries by host, oldest first."""
    known = {(s.namespace, s.name): s for s in services}
    ordered = tuple(sorted(entries, key=lambda e: (age_key(e), e.name)))
    names: dict[str, list[Service]] = defaultdict(list)
    for (_, name), service in sorted(known.items()):
        names[name].append(service)
    hosts: dict[str, list[ServiceEntry]] = defaultdict(list)
    for entry in ordered:
        for host in entry.spec.hosts:
            hosts[host.lower()].append(entry)
    return Catalogue(
        services=known,
        entries=ordered,
        by_name={name: tuple(found) for name, found in names.items()},
        by_host={host: tuple(found) for host, found in hosts.items()},
        wildcards=tuple(e for e in ordered if any("*" in h for h in e.spec.hosts)),
    )


def age_key(obj: object) -> str:
    """Sort key of an object's age: oldest first, unknown last."""
    created = getattr(getattr(obj, "metadata", None), "creation_timestamp", None)
    return created.isoformat() if created is not None else "9999"


def _covers(entry: ServiceEntry, host: str) -> bool:
    return any(host_matches(pattern, host) for pattern in entry.spec.hosts)


class Misread(Struct, frozen=True, kw_only=True):
    """A host that istiod reads as `read_as` (which no service has), where the service `meant`
    exists. `literal`: the name has dots and is not completed at all."""

    host: str
    read_as: str
    read_namespace: str
    read_name: str
    meant: Service
    literal: bool


def service_of(host: str, domain: str = CLUSTER_DOMAIN) -> tuple[str, str] | None:
    """(namespace, name) of a full cluster host name; None when it is none.

    >>> service_of("pay.shop.svc.cluster.local"), service_of("pay.shop")
    (('shop', 'pay'), None)
    """
    name, _, rest = host.partition(".")
    namespace, _, suffix = rest.partition(".")
    return (namespace, name) if name and namespace and suffix == f"svc.{domain}" else None


def misread(
    host: str, namespace: str, known: Catalogue, domain: str = CLUSTER_DOMAIN
) -> Misread | None:
    """How a host goes astray; None when it names something, is a wildcard, or nothing that
    exists could have been meant.

    `svc.ns` and `svc.ns.svc` are meant as the service ns/svc; a bare name as a service of that
    name elsewhere (only when there is exactly one: else nobody can tell).
    """
    if not host or host.startswith("*") or known.entry_for(host) is not None:
        return None
    resolved = resolve_short_name(host, namespace, domain)
    own = service_of(resolved, domain)
    if own is not None:
        if own in known.services or "." in host or known.entry_for(resolved) is not None:
            return None
        elsewhere = known.named(host)
        if len(elsewhere) != 1:
            return None
        return Misread(
            host=host,
            read_as=resolved,
            read_namespace=own[0],
            read_name=own[1],
            meant=elsewhere[0],
            literal=False,
        )
    parts = host.split(".")
    meant = known.services.get((parts[1], parts[0])) if len(parts) > 1 else None
    if meant is None or not fqdn(meant, domain).startswith(host + "."):
        return None
    return Misread(
        host=host, read_as=host, read_namespace="", read_name="", meant=meant, literal=True
    )


_LEAST = 8
_LETTERS = "abcdefghijklmnopqrstuvwxyz-."


def slip(host: str, known: Callable[[str], bool]) -> str:
    """The only known host of which this one differs by one slip of the pen; "" when there is none,
    or several. A slip: two characters changed places, or a letter, hyphen or dot is another one,
    too many or absent. Another digit is none, for names are numbered on purpose.

    >>> slip("api.exmaple.com", {"api.example.com"}.__contains__)
    'api.example.com'
    >>> slip("web-1.example.com", {"web-2.example.com"}.__contains__)
    ''
    """
    if len(host) < _LEAST or "*" in host:
        return ""
    found = sorted({one for one in _slips(host) if one != host and known(one)})
    return found[0] if len(found) == 1 else ""


def _slips(host: str) -> Iterator[str]:
    for at in range(len(host) + 1):
        head, tail = host[:at], host[at:]
        yield from (head + letter + tail for letter in _LETTERS)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        if tail and not tail[0].isdigit():
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in _LETTERS)
