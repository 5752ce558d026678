"""Does a sidecar know a host that is no Service of the cluster, and if not, why?

A ServiceEntry makes it known where it is exported to the sidecar's namespace and imported by the
Sidecar in force (pilot/pkg/model/push_context.go IsServiceVisible, sidecar.go; 1.18 to 1.32-dev).
What becomes of a host that is not known is outboundTrafficPolicy's decision.
"""

import ipaddress
from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from meshdoctor.mesh.services import host_matches
from meshdoctor.mesh.visibility import Scope, exported
from meshdoctor.model.istio import MeshConfig, ServiceEntry

_PASSTHROUGH = (1, 28)


class Why(StrEnum):
    """Why the sidecar does not know the host; KNOWN: it does."""

    KNOWN = ""
    UNREGISTERED = "unregistered"
    EXPORT_TO = "exportTo"
    SIDECAR = "sidecar"
    PORT = "port"


class Known(Struct, frozen=True, kw_only=True):
    """`entry` is the ServiceEntry that comes nearest; None: none names the host."""

    why: Why
    entry: ServiceEntry | None = None


def judge(
    entries: Iterable[ServiceEntry], host: str, port: int, in_force: Scope, mesh: MeshConfig
) -> Known:
    """What a sidecar in the scope of `in_force` knows of `host` on `port` (0: any port)."""
    named = sorted((e for e in entries if names(e, host)), key=lambda e: e.ref)
    if not named:
        return Known(why=Why.UNREGISTERED)
    seen = [e for e in named if _exported(e, in_force, mesh)]
    if not seen:
        return Known(why=Why.EXPORT_TO, entry=named[0])
    imported = [e for e in seen if _imported(e, host, in_force)]
    if not imported:
        return Known(why=Why.SIDECAR, entry=seen[0])
    serving = [e for e in imported if not port or port in {p.number for p in e.spec.ports}]
    if not serving:
        return Known(why=Why.PORT, entry=imported[0])
    return Known(why=Why.KNOWN, entry=serving[0])


def visible(
    entries: Iterable[ServiceEntry], in_force: Scope, mesh: MeshConfig
) -> tuple[ServiceEntry, ...]:
    """The entries of which a sidecar in the scope of `in_force` knows a host at least."""
    return tuple(
        e
        for e in entries
        if _exported(e, in_force, mesh)
        and any(
            in_force.imports(h, e.namespace, [p.number for p in e.spec.ports]) for h in e.spec.hosts
        )
    )


def names(entry: ServiceEntry, host: str) -> bool:
    """Whether an entry is about this host, by name or by address."""
    return any(host_matches(h, host) for h in entry.spec.hosts) or any(
        _holds(one, host) for one in entry.spec.addresses
    )


def lacks_endpoints(entry: ServiceEntry, release: tuple[int, ...] | None = None) -> str:
    """Why ztunnel has no endpoint for an entry, in words; "" when it may have some.

    Before 1.28 istiod sends ztunnel none for resolution NONE (istio/istio#57656); `release` is
    istiod's, None when not known.
    """
    spec = entry.spec
    if spec.endpoints or spec.workload_selector is not None:
        return ""
    if spec.resolution == "NONE" and (release is None or release < _PASSTHROUGH):
        return "resolution NONE, which ztunnel takes from 1.28 on"
    return "resolution STATIC without endpoints" if spec.resolution == "STATIC" else ""


def host_of(entry: ServiceEntry, host: str) -> str:
    """Under which of its hosts an entry that is about `host` makes it known."""
    return next(iter(_about(entry, host)), host)


def _about(entry: ServiceEntry, host: str) -> tuple[str, ...]:
    return tuple(h for h in entry.spec.hosts if host_matches(h, host)) or tuple(entry.spec.hosts)


def _holds(block: str, host: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False


def _exported(entry: ServiceEntry, in_force: Scope, mesh: MeshConfig) -> bool:
    default = mesh.default_service_export_to
    return exported(entry.spec.export_to, entry.namespace, in_force.namespace, default)


def _imported(entry: ServiceEntry, host: str, in_force: Scope) -> bool:
    ports = [p.number for p in entry.spec.ports]
    return any(in_force.imports(one, entry.namespace, ports) for one in _about(entry, host))
