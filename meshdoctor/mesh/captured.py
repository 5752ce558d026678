"""Which calls does an ExternalName Service take that were meant for other addresses?

Before 1.21, and later where ENABLE_EXTERNAL_NAME_ALIAS is off, such a Service has no address of its
own, so istiod listens for its TCP ports at 0.0.0.0 (pilot/pkg/networking/core/listener.go): every
connection to that port number which no other listener takes is sent to its host, whatever address
the application dialled.
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
    one of its own: how many, such an address, and one to which they were sent."""

    host: str
    port: int
    calls: int
    dialled: str
    sent: str


def listens_everywhere(service: Service, number: int) -> bool:
    """Whether a Service has no address, and a port that is neither HTTP nor TLS."""
    return service.spec.type == "ExternalName" and any(
        port.port == number and not select(port).http and select(port).protocol not in (HTTPS, TLS)
        for port in service.spec.ports
    )


def captured(lines: Iterable[Line]) -> tuple[Captured, ...]:
    """Clusters that may have taken calls to other addresses, the busiest first."""
    found: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for line in lines:
        if not (line.is_tcp and line.is_outbound):
            continue
        pair = (address(line.downstream_local)[0], address(line.upstream_host)[0])
        if all(map(is_address, pair)):
            found.setdefault((line.cluster_host, line.cluster_port), []).append(pair)
    out = []
    for (host, port), pairs in sorted(found.items()):
        dialled = {one for one, _ in pairs}
        if len(dialled) >= ENOUGH and not dialled & {sent for _, sent in pairs}:
            first, sent = pairs[-1]
            one = Captured(host=host, port=port, calls=len(pairs), dialled=first, sent=sent)
            out.append(one)
    return tuple(sorted(out, key=lambda one: -one.calls))
