"""Which calls does an ExternalName Service take that were meant for other addresses?

Before 1.21, and later where ENABLE_EXTERNAL_NAME_ALIAS is off, such a Service has no address of its
own, so istiod listens for its TCP ports at 0.0.0.0 (pilot/pkg/networking/core/listener.go): every
connection to that port number which no other listener takes is sent to its host, whatever address
the application dialled. The server name that a client asks for tells whom it meant.
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.access_log import Line, address
from meshdoctor.mesh.addresses import is_address
from meshdoctor.mesh.protocols import HTTPS, TLS, select
from meshdoctor.model.kubernetes import Service

ENOUGH = 3
"""Fewer addresses may be those of one host whose name resolves to others from time to time."""


class Captured(Struct, frozen=True, kw_only=True):
    """Connections that the cluster of a host and port took, and none of the addresses dialled is
    one of its own: how many, such an address, one to which they were sent, to how many addresses
    they were, and the server names that they asked for."""

    host: str
    port: int
    calls: int
    dialled: str
    sent: str
    addresses: int
    names: frozenset[str]


def listens_everywhere(service: Service, number: int) -> bool:
    """Whether a Service has no address, and a port that is neither HTTP nor TLS."""
    return service.spec.type == "ExternalName" and any(
        port.port == number and not select(port).http and select(port).protocol not in (HTTPS, TLS)
        for port in service.spec.ports
    )


def meant_others(one: Captured, service: Service) -> bool:
    """Whether the connections were not for the Service: too many addresses, or all that name a
    server name one that is neither the Service's nor that of the host behind it."""
    own = f"{service.name}."
    foreign = [
        name != service.spec.external_name and not f"{name}.".startswith(own) for name in one.names
    ]
    return one.addresses >= ENOUGH or bool(foreign) and all(foreign)


def captured(lines: Iterable[Line]) -> tuple[Captured, ...]:
    """Clusters that may have taken calls to other addresses, the busiest first."""
    found: dict[tuple[str, int], list[tuple[str, str]]] = {}
    names: dict[tuple[str, int], set[str]] = {}
    for line in lines:
        if not (line.is_tcp and line.is_outbound):
            continue
        pair = (address(line.downstream_local)[0], address(line.upstream_host)[0])
        if all(map(is_address, pair)):
            cluster = (line.cluster_host, line.cluster_port)
            found.setdefault(cluster, []).append(pair)
            names.setdefault(cluster, set()).update({line.server_name} - {""})
    out = []
    for (host, port), pairs in sorted(found.items()):
        dialled = {one for one, _ in pairs}
        if dialled & {sent for _, sent in pairs}:
            continue
        first, sent = pairs[-1]
        out.append(
            Captured(
                host=host,
                port=port,
                calls=len(pairs),
                dialled=first,
                sent=sent,
                addresses=len(dialled),
                names=frozenset(names[host, port]),
            )
        )
    return tuple(sorted(out, key=lambda one: -one.calls))
