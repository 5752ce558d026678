"""What narrows the TLS that proxies of the mesh agree on, and which EnvoyFilters touch it?

meshConfig.meshMTLS (pilot/pkg/security/authn/utils/utils.go) narrows the server side of sidecars;
COMPLIANCE_POLICY (1.21 and later) narrows every context of the proxy that has it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from meshdoctor.mesh.selectors import workload_selected
from meshdoctor.mesh.workloads import proxy_container
from meshdoctor.model.istio import EnvoyFilter, EnvoyFilterPatch, MeshConfig
from meshdoctor.model.kubernetes import Pod

_VARIABLE = "COMPLIANCE_POLICY"
_PROXY_PROTOCOL = "listener.proxy_protocol"
_LISTENER = ("FILTER_CHAIN", "LISTENER", "LISTENER_FILTER")


def narrowed(mesh: MeshConfig) -> str:
    """What meshMTLS asks for beyond the default, in words; "" when nothing."""
    asked = mesh.mesh_mtls
    parts = []
    if asked.min_protocol_version not in ("", "TLS_AUTO", "TLSV1_2"):
        parts.append(f"minProtocolVersion {asked.min_protocol_version}")
    if asked.cipher_suites:
        parts.append(f"cipherSuites {', '.join(asked.cipher_suites)}")
    if asked.ecdh_curves:
        parts.append(f"ecdhCurves {', '.join(asked.ecdh_curves)}")
    return "; ".join(parts)


def compliance(pod: Pod | None, mesh: MeshConfig) -> str:
    """COMPLIANCE_POLICY of a pod's proxy; "" for none."""
    container = proxy_container(pod) if pod is not None else None
    if container is None:
        return ""
    own = next((e.value for e in container.env if e.name == _VARIABLE), None)
    return own or mesh.default_config.proxy_metadata.get(_VARIABLE, "")


def touches_tls(
    filters: Iterable[EnvoyFilter],
    namespace: str,
    labels: Mapping[str, str],
    root: str,
    *,
    server: bool,
) -> tuple[EnvoyFilter, ...]:
    """EnvoyFilters in force for a workload that change its TLS contexts or filter chains."""
    return tuple(
        one
        for one in sorted(filters, key=lambda f: (f.namespace, f.name))
        if one.namespace in (namespace, root)
        and not one.spec.target_refs
        and workload_selected(one.spec.workload_selector, labels)
        and any(_touches(patch, server) for patch in one.spec.config_patches)
    )


def _touches(patch: EnvoyFilterPatch, server: bool) -> bool:
    context = patch.match.context
    if context in (("SIDECAR_OUTBOUND", "GATEWAY") if server else ("SIDECAR_INBOUND",)):
        return False
    if patch.apply_to == "CLUSTER" and not server:
        return any(
            key.startswith(("transport_socket", "transportSocket")) for key in patch.patch.value
        )
    if patch.apply_to in _LISTENER and server:
        keys = ("transport_socket", "transportSocket", "filter_chain_match", "filterChainMatch")
        value = patch.patch.value
        return (
            patch.patch.operation == "REMOVE"
            or any(key.startswith(keys) for key in value)
            or _wants_proxy_protocol(value)
        )
    return False


def _wants_proxy_protocol(value: Mapping[str, Any]) -> bool:
    """Whether a patch has the listener want the PROXY protocol before anything else, so that it
    resets whoever begins with TLS."""
    added = value.get("listener_filters", value.get("listenerFilters", [value]))
    filters = added if isinstance(added, list) else []
    return any(
        isinstance(f, Mapping) and _PROXY_PROTOCOL in str(f.get("name", "")) for f in filters
    )
