"""What sidecars send to an egress gateway, and what its server takes."""

import msgspec
import pytest
import yaml

from meshdoctor.mesh.client_tls import ClientTlsRuling
from meshdoctor.mesh.egress_gateway import Leaving, leaving, misfit, onward
from meshdoctor.mesh.gateway_tls import TlsServer
from meshdoctor.model.istio import ClientTls, VirtualService

SERVICE = "out.istio-system.svc.cluster.local"
ROUTE = """
metadata: {name: via, namespace: shop}
spec:
  hosts: ["*.x.com"]
  gateways: [mesh, edge]
  http:
  - match: [{gateways: [edge]}]
    route: [{destination: {host: www.x.com}}]
  - match: [{gateways: [mesh], port: 80}]
    route:
    - destination: {host: out.istio-system.svc.cluster.local, subset: x, port: {number: 443}}
"""


def route(text: str = ROUTE) -> VirtualService:
    return msgspec.convert(yaml.safe_load(text), VirtualService)


@pytest.mark.parametrize(
    ("text", "host", "port", "leads"),
    [
        (ROUTE, "www.x.com", 80, True),
        (ROUTE, "www.x.com", 8080, False),
        (ROUTE, "www.y.com", 80, False),
        (ROUTE.replace("[mesh, edge]", "[edge]"), "www.x.com", 80, False),
        (ROUTE.replace("gateways: [mesh], ", ""), "www.x.com", 80, True),
        (ROUTE.replace("spec:", "spec:\n  exportTo: [infra]"), "www.x.com", 80, False),
    ],
)
def test_leaving(text: str, host: str, port: int, leads: bool) -> None:
    found = leaving([route(text)], host, port, "shop")
    assert (found is not None) is leads
    if found is not None:
        assert (found.host, found.port, found.subset) == (SERVICE, 443, "x")


def test_the_oldest_route_leads() -> None:
    old = ROUTE.replace("name: via", "name: a, creationTimestamp: 2026-01-01T00:00:00Z")
    new = ROUTE.replace("name: via", "name: b, creationTimestamp: 2026-02-01T00:00:00Z")
    found = leaving([route(new), route(old)], "www.x.com", 80, "shop")
    assert found is not None and found.route.name == "a"


def test_onward() -> None:
    assert onward([route()], "www.x.com") == (("www.x.com", 0),)
    assert onward([route()], "www.y.com") == ()
    of_the_mesh = route(ROUTE.replace("gateways: [mesh, edge]", "gateways: [mesh]"))
    assert onward([of_the_mesh], "www.x.com") == ()
    anywhere = route(ROUTE.replace("match: [{gateways: [edge]}]", "name: all"))
    assert onward([anywhere], "www.x.com") == (("www.x.com", 0),)
    tls = ROUTE.replace("http:\n", "tls:\n").replace("www.x.com}}]", "y}}]")
    assert onward([route(tls)], "www.x.com") == (("y.shop.svc.cluster.local", 0),)


def server(mode: str = "ISTIO_MUTUAL", *hosts: str, port: int = 443) -> TlsServer:
    return TlsServer(
        name="s", port=port, protocol="HTTPS", mode=mode, hosts=hosts or ("x.com",), credentials=()
    )


OWN_NAME = f"TLS for the name outbound_.443_.x_.{SERVICE}"


@pytest.mark.parametrize(
    ("tls", "servers", "auto", "sends"),
    [
        (None, [server()], False, "plaintext"),
        (ClientTls(mode="DISABLE"), [server()], False, "plaintext"),
        (None, [server()], True, OWN_NAME),
        (ClientTls(mode="ISTIO_MUTUAL"), [server()], False, OWN_NAME),
        (ClientTls(mode="ISTIO_MUTUAL"), [server("ISTIO_MUTUAL", "*")], False, ""),
        (ClientTls(mode="ISTIO_MUTUAL", sni="x.com"), [server()], False, ""),
        (ClientTls(mode="ISTIO_MUTUAL", sni="y.com"), [server()], False, "TLS for the name y.com"),
        (
            ClientTls(mode="ISTIO_MUTUAL", sni="y.com"),
            [server(), server("MUTUAL", "*.com")],
            False,
            "",
        ),
        (ClientTls(mode="SIMPLE"), [server("SIMPLE")], False, ""),
        (None, [server("PASSTHROUGH")], False, ""),
        (None, [server(port=8443)], False, ""),
    ],
)
def test_misfit(tls: ClientTls | None, servers: list[TlsServer], auto: bool, sends: str) -> None:
    to = Leaving(route=route(), host=SERVICE, port=443, subset="x")
    assert misfit(ClientTlsRuling(tls=tls), servers, to, auto=auto) == sends


def test_a_credential_that_sidecars_ignore() -> None:
    to = Leaving(route=route(), host=SERVICE, port=443, subset="")
    ruling = ClientTlsRuling(tls=ClientTls(mode="SIMPLE"), credential_ignored=True)
    assert misfit(ruling, [server("SIMPLE")], to, auto=False) == "plaintext"
