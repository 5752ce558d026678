"""Which addresses does an EnvoyFilter call through a cluster of its own, and without TLS?

A cluster that an EnvoyFilter adds is none of istiod's: neither automatic mutual TLS nor a
DestinationRule reaches it, so it speaks what its patch says (docs: reference/config/networking/
envoy-filter; the rate limit task adds such a cluster).
"""

from collections.abc import Iterator, Mapping

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
