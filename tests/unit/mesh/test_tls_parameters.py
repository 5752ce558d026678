"""Which EnvoyFilters change a workload's TLS, or what its listener wants before it?"""

from typing import Any

import msgspec
import pytest

from meshdoctor.mesh.tls_parameters import touches_tls
from meshdoctor.model.istio import EnvoyFilter

PROXY_PROTOCOL = {"name": "envoy.filters.listener.proxy_protocol"}
INSPECTOR = {"name": "envoy.filters.listener.tls_inspector"}


@pytest.mark.parametrize(
    ("apply", "context", "value", "server", "touched"),
    [
        ("LISTENER", "SIDECAR_INBOUND", {"listener_filters": [PROXY_PROTOCOL]}, True, True),
        ("LISTENER", "ANY", {"listenerFilters": [INSPECTOR, PROXY_PROTOCOL]}, True, True),
        ("LISTENER_FILTER", "SIDECAR_INBOUND", PROXY_PROTOCOL, True, True),
        ("LISTENER", "SIDECAR_INBOUND", {"listener_filters": [INSPECTOR]}, True, False),
        ("LISTENER", "SIDECAR_INBOUND", {"listener_filters": "x"}, True, False),
        ("LISTENER", "SIDECAR_INBOUND", {"per_connection_buffer_limit_bytes": 1}, True, False),
        ("LISTENER", "GATEWAY", {"listener_filters": [PROXY_PROTOCOL]}, True, False),
        ("LISTENER", "SIDECAR_OUTBOUND", {"listener_filters": [PROXY_PROTOCOL]}, True, False),
        ("LISTENER", "ANY", {"listener_filters": [PROXY_PROTOCOL]}, False, False),
        ("FILTER_CHAIN", "SIDECAR_INBOUND", {"transport_socket": {}}, True, True),
    ],
)
def test_touches(
    apply: str, context: str, value: dict[str, Any], server: bool, touched: bool
) -> None:
    patch = {
        "applyTo": apply,
        "match": {"context": context},
        "patch": {"operation": "MERGE", "value": value},
    }
    data = {"metadata": {"name": "f", "namespace": "shop"}, "spec": {"configPatches": [patch]}}
    one = msgspec.convert(data, EnvoyFilter)
    assert bool(touches_tls([one], "shop", {}, "istio-system", server=server)) is touched
