"""The pointer that a printed patch removes never leaves a policy that validation refuses."""

from typing import Any

import msgspec
import pytest

from meshdoctor.mesh.client_tls import SUBSET, TOP, tls_path
from meshdoctor.model.istio import DestinationRule

TLS = {"mode": "DISABLE"}
POOL = {"tcp": {"maxConnections": 5}}
PORT = {"port": {"number": 80}, "tls": TLS}
OTHER = {"port": {"number": 81}, "tls": TLS}


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ({"tls": TLS}, "/spec/trafficPolicy"),
        ({"tls": TLS, "connectionPool": POOL}, "/spec/trafficPolicy/tls"),
        ({"tls": TLS, "tunnel": {"protocol": "CONNECT"}}, "/spec/trafficPolicy/tls"),
        ({"portLevelSettings": [PORT]}, "/spec/trafficPolicy"),
        (
            {"tls": TLS, "portLevelSettings": [{"port": {"number": 80}}]},
            "/spec/trafficPolicy/portLevelSettings/0/tls",
        ),
        ({"portLevelSettings": [PORT, OTHER]}, "/spec/trafficPolicy/portLevelSettings/0"),
        (
            {"portLevelSettings": [{**PORT, "connectionPool": POOL}]},
            "/spec/trafficPolicy/portLevelSettings/0/tls",
        ),
        (
            {"portLevelSettings": [PORT], "connectionPool": POOL},
            "/spec/trafficPolicy/portLevelSettings/0",
        ),
    ],
)
def test_it_climbs_to_what_would_be_left_empty(policy: Any, path: str) -> None:
    top = msgspec.convert({"spec": {"host": "a", "trafficPolicy": policy}}, DestinationRule)
    assert tls_path(top, TOP, 80) == path
    subsets = [{"name": "v1", "trafficPolicy": policy}]
    below = msgspec.convert({"spec": {"host": "a", "subsets": subsets}}, DestinationRule)
    expected = path.replace("/spec/trafficPolicy", "/spec/subsets/0/trafficPolicy")
    assert tls_path(below, SUBSET, 80, "v1") == expected
    assert tls_path(below, SUBSET, 80, "v2") == ""
