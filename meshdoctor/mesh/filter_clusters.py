"""Which addresses does an EnvoyFilter call through a cluster of its own, and without TLS?

A cluster that an EnvoyFilter adds is none of istiod's: neither automatic mutual TLS nor a
DestinationRule reaches it, so it speaks what its patch says (docs: reference/config/networking/
envoy-filter; the rate limit task adds such a cluster).
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from meshdoctor.mesh.filter_blame import fields
from meshdoctor.model.istio import EnvoyFilter, EnvoyFilterPatch

_SOCKETS = (
    "transport_socket",
    "transportSocket",
    "transport_socket_matches",
    "transportSocketMatches",
    "tls_context",
    "tlsContext",
)


class Called(Struct, frozen=True, kw_only=True):
    """One address of a cluster without TLS."""

    cluster: str
    host: str
    port: int


def plaintext(filter_: EnvoyFilter) -> tuple[Called, ...]:
    """The addresses of all clusters without TLS that the filter adds, in order."""
    return tuple(
        Called(cluster=str(value.get("name", "")), host=host, port=port)
        for patch in filter_.spec.config_patches
        if patch.apply_to == "CLUSTER" and patch.patch.operation == "ADD"
        for value in (patch.patch.value,)
        if not any(key in value for key in _SOCKETS)
        for host, port in _addresses(patch)
    )


def _addresses(patch: EnvoyFilterPatch) -> Iterator[tuple[str, int]]:
    for name, inner in fields(patch):
        if name in ("socket_address", "socketAddress") and isinstance(inner, Mapping):
            host, port = inner.get("address"), inner.get("port_value", inner.get("portValue"))
            if isinstance(host, str) and isinstance(port, int):
                yield host, port


class Taken(Struct, frozen=True, kw_only=True):
    """A filter that leaves a host's calls without a cluster, and how, in words."""

    filter: EnvoyFilter
    how: str


def taken(filters: Iterable[EnvoyFilter], host: str, port: int) -> Taken | None:
    """The first filter that removes the cluster of a host from sidecars that call it, or sends its
    route to another cluster. Whether that other one exists, calls tell."""
    for one in filters:
        for patch in one.spec.config_patches:
            if patch.match.context not in ("ANY", "SIDECAR_OUTBOUND", ""):
                continue
            if patch.apply_to == "CLUSTER" and patch.patch.operation == "REMOVE":
                if _is_cluster(patch, host, port):
                    return Taken(filter=one, how="removes its cluster")
            elif patch.apply_to in ("HTTP_ROUTE", "VIRTUAL_HOST") and _is_route(patch, host, port):
                named = (v for k, v in fields(patch) if k == "cluster" and isinstance(v, str))
                other = next((name for name in named if not name.endswith(f"|{host}")), "")
                if other:
                    return Taken(filter=one, how=f"sends its route to cluster {other}")
    return None


def _is_cluster(patch: EnvoyFilterPatch, host: str, port: int) -> bool:
    match = patch.match.cluster
    if match is None:
        return True
    named = match.name.split("|") if match.name else []
    if named:
        return named[0] == "outbound" and named[1:2] == [str(port)] and named[-1] == host
    return match.service in ("", host) and match.port_number in (0, port)


def _is_route(patch: EnvoyFilterPatch, host: str, port: int) -> bool:
    match = patch.match.route_configuration
    if match is None:
        return True
    vhost = match.vhost.name if match.vhost is not None else ""
    return vhost in ("", f"{host}:{port}") and match.name in ("", str(port))
