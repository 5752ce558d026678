"""TLS servers of gateways: credentials, grants, routes, SNI, and who comes first."""

from typing import Any

import msgspec
import pytest
import yaml

from meshdoctor.mesh import gateway_tls as gt
from meshdoctor.mesh.certificates import parse
from meshdoctor.mesh.gateway_merge import merge
from meshdoctor.model.istio import Gateway, K8sGateway, ReferenceGrant, VirtualService
from meshdoctor.model.kubernetes import Secret
from tests.unit.mesh.certs import Ca


def gateway(servers: str, name: str = "web", created: str = "2026-11-01T00:00:00Z") -> Gateway:
    data = {
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created},
        "spec": {"selector": {"istio": "gw"}, "servers": yaml.safe_load(servers)},
    }
    return msgspec.convert(data, Gateway, strict=False)


def secret(*keys: str) -> Secret:
    return Secret(data=dict.fromkeys(keys, ""))


@pytest.mark.parametrize(
    ("credential", "where"),
    [
        ("web", ("istio-system", "web")),
        ("kubernetes://web", ("istio-system", "web")),
        ("kubernetes-gateway://certs/web", ("certs", "web")),
    ],
)
def test_credentials(credential: str, where: tuple[str, str]) -> None:
    text = "[{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['./a.b', '*'], "
    text += f"tls: {{mode: SIMPLE, credentialName: '{credential}'}}}}, {{port: {{number: 80}}}}]"
    (server,) = gt.of_gateway(gateway(text), "istio-system")
    assert server.credentials == (where,)
    assert (server.mode, server.hosts, server.named_hosts) == ("SIMPLE", ("a.b", "*"), ("a.b",))


def test_listeners() -> None:
    spec = """
listeners:
- {name: http, port: 80, protocol: HTTP}
- {name: a, port: 443, protocol: HTTPS, hostname: a.b, tls: {certificateRefs: [{name: x}]}}
- {name: b, port: 444, protocol: TLS, tls: {mode: Passthrough}}
- {name: c, port: 445, protocol: HTTPS, tls: {
   options: {gateway.istio.io/tls-terminate-mode: MUTUAL},
   certificateRefs: [{name: x, namespace: certs}, {name: y, kind: ConfigMap}]}}
"""
    data = {"metadata": {"name": "g", "namespace": "shop"}, "spec": yaml.safe_load(spec)}
    a, b, c = gt.of_k8s_gateway(msgspec.convert(data, K8sGateway))
    assert (a.credentials, a.mode, a.hosts) == ((("shop", "x"),), "SIMPLE", ("a.b",))
    assert (b.mode, b.credentials) == ("PASSTHROUGH", ())
    assert (c.mode, c.credentials) == ("MUTUAL", (("certs", "x"),))


GW = "gateway.networking.k8s.io"


@pytest.mark.parametrize(
    ("source", "to", "namespace", "ok"),
    [
        ({"kind": "Gateway", "group": GW, "namespace": "shop"}, {"kind": "Secret"}, "certs", True),
        (
            {"kind": "Gateway", "group": GW, "namespace": "shop"},
            {"kind": "Secret", "name": "web"},
            "certs",
            True,
        ),
        (
            {"kind": "Gateway", "group": GW, "namespace": "shop"},
            {"kind": "Secret", "name": "b"},
            "certs",
            False,
        ),
        (
            {"kind": "HTTPRoute", "group": GW, "namespace": "shop"},
            {"kind": "Secret"},
            "certs",
            False,
        ),
        ({"kind": "Gateway", "group": GW, "namespace": "b"}, {"kind": "Secret"}, "certs", False),
        ({"kind": "Gateway", "group": "", "namespace": "shop"}, {"kind": "Secret"}, "certs", False),
        ({"kind": "Gateway", "group": GW, "namespace": "shop"}, {"kind": "Secret"}, "shop", False),
        (
            {"kind": "Gateway", "group": GW, "namespace": "shop"},
            {"kind": "Service"},
            "certs",
            False,
        ),
    ],
)
def test_grants(source: Any, to: Any, namespace: str, ok: bool) -> None:
    data = {"metadata": {"namespace": namespace}, "spec": {"from": [source], "to": [to]}}
    grant = msgspec.convert(data, ReferenceGrant)
    assert gt.granted("shop", ("certs", "web"), [grant]) is ok


@pytest.mark.parametrize(
    ("keys", "whole"),
    [
        (["tls.crt", "tls.key"], True),
        (["cert", "key"], True),
        (["tls.crt", "key"], False),
        (["ca.crt"], False),
        ([], False),
    ],
)
def test_keys(keys: list[str], whole: bool) -> None:
    assert (gt.lacking_keys(secret(*keys)) == "") is whole


def test_ca() -> None:
    assert not gt.lacking_ca(secret("ca.crt"), None)
    assert not gt.lacking_ca(secret("tls.crt"), secret("cacert"))
    assert gt.lacking_ca(secret("tls.crt"), None)


def test_a_secret_for_the_ca_hides_the_ca_of_the_other() -> None:
    wrong = gt.lacking_ca(secret("ca.crt", "tls.crt"), secret("tls.crt", "tls.key"))
    assert "(keys: tls.crt, tls.key)" in wrong


def tls_server(*hosts: str, mode: str = "SIMPLE") -> gt.TlsServer:
    return gt.TlsServer(
        name="s", port=443, protocol="HTTPS", mode=mode, hosts=hosts, credentials=()
    )


@pytest.mark.parametrize(
    ("hosts", "names", "missed"),
    [
        (["a.x.com"], ["a.x.com"], ""),
        (["a.x.com"], ["*.x.com"], ""),
        (["*.x.com"], ["*.x.com"], ""),
        (["*.x.com"], ["a.x.com"], "*.x.com"),
        (["*"], ["a.x.com"], ""),
        (["a.x.com", "b.x.com"], ["a.x.com"], "b.x.com"),
    ],
)
def test_uncovered(hosts: list[str], names: list[str], missed: str) -> None:
    assert gt.uncovered(tls_server(*hosts), parse(Ca().leaf(*names))) == missed
    assert gt.uncovered(tls_server(*hosts), parse("")) == ""
    assert gt.uncovered(tls_server(*hosts), parse(Ca().leaf(*names)), asked=names[0]) == ""


def route(spec: str, namespace: str = "shop") -> VirtualService:
    data = {"metadata": {"name": "r", "namespace": namespace}, "spec": yaml.safe_load(spec)}
    return msgspec.convert(data, VirtualService)


@pytest.mark.parametrize(
    ("spec", "namespace", "mode", "bad"),
    [
        ("{hosts: [a.b], gateways: [web], http: [{}]}", "shop", "PASSTHROUGH", True),
        ("{hosts: [a.b], gateways: [shop/web], tcp: [{}]}", "apps", "PASSTHROUGH", True),
        ("{hosts: [a.b], gateways: [web], http: [{}]}", "apps", "PASSTHROUGH", False),
        ("{hosts: [a.b], gateways: [web], http: [{}], tls: [{}]}", "shop", "PASSTHROUGH", False),
        ("{hosts: [c.d], gateways: [web], http: [{}]}", "shop", "PASSTHROUGH", False),
        ("{hosts: [a.b], gateways: [web], http: [{}]}", "shop", "AUTO_PASSTHROUGH", False),
        ("{hosts: [a.b], gateways: [web], http: [{}]}", "shop", "SIMPLE", False),
    ],
)
def test_passthrough(spec: str, namespace: str, mode: str, bad: bool) -> None:
    found = gt.unrouted_passthrough(
        tls_server("a.b", mode=mode), gateway("[]"), [route(spec, namespace)]
    )
    assert (found is not None) is bad


TLS = "tls: [{match: [{sniHosts: [a.b]%s}]}]"


@pytest.mark.parametrize(
    ("spec", "servers", "near"),
    [
        ("", "[]", ""),
        ("{hosts: [a.b], gateways: [web], " + TLS % "" + "}", "[]", None),
        ("{hosts: [a.b], gateways: [web], " + TLS % ", port: 443" + "}", "[]", None),
        ("{hosts: [a.b], gateways: [web], " + TLS % ", port: 8443" + "}", "[]", "on port 8443"),
        ("{hosts: [a.b], gateways: [old], " + TLS % "" + "}", "[]", "is bound to old"),
        ("{hosts: [a.b], " + TLS % "" + "}", "[]", "is bound to mesh alone"),
        ("{hosts: [c.d], gateways: [web], tls: [{match: [{sniHosts: [c.d]}]}]}", "[]", "for c.d"),
        ("", "[{port: {number: 80}, hosts: [shop/a.b]}]", None),  # asked there, perhaps
    ],
)
def test_a_host_that_passes_to_nobody(spec: str, servers: str, near: str | None) -> None:
    routes = [route(spec)] if spec else []
    passing = [tls_server("a.b", mode="PASSTHROUGH")]
    found = gt.passes_to_nobody("a.b", passing, gateway(servers), routes)
    assert found == near if not near else found is not None and found.endswith(near)
    assert gt.passes_to_nobody("x.y", passing, gateway(servers), routes) is None
    assert gt.passes_to_nobody("a.b", [tls_server("a.b")], gateway(servers), routes) is None


@pytest.mark.parametrize(
    ("hosts", "name", "ok"),
    [
        (["a.x.com"], "A.x.com", True),
        (["*.x.com"], "a.x.com", True),
        (["*.x.com"], "x.com", False),
        (["*"], "y", True),
        ([], "y", True),
        (["a.x.com"], "b.x.com", False),
    ],
)
def test_sni(hosts: list[str], name: str, ok: bool) -> None:
    assert gt.serves_sni([tls_server(*hosts)], 443, name) is ok
    assert not gt.serves_sni([tls_server(*hosts)], 8443, name)


HTTPS = "{{port: {{number: 443, name: {0}, protocol: HTTPS}}, hosts: [{1}], tls: {{mode: SIMPLE}}}}"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (HTTPS.format("a", "a.b"), HTTPS.format("b", "c.d"), ""),
        (HTTPS.format("a", "a.b"), HTTPS.format("b", "a.b"), "duplicate host a.b"),
        (HTTPS.format("a", "'*/a.b'"), HTTPS.format("b", "a.b"), "duplicate host a.b"),
        (HTTPS.format("a", "./a.b"), HTTPS.format("b", "a.b"), ""),
        (
            "{port: {number: 80, protocol: HTTP}, hosts: [a.b]}",
            "{port: {number: 80, protocol: HTTP}, hosts: [a.b]}",
            "",
        ),
        (
            "{port: {number: 80, protocol: HTTP}, hosts: [a.b], tls: {httpsRedirect: true}}",
            "{port: {number: 80, protocol: HTTP}, hosts: [a.b], tls: {httpsRedirect: true}}",
            "duplicate host a.b",
        ),
        (
            "{port: {number: 80, protocol: HTTP}, hosts: [a.b]}",
            "{port: {number: 80, protocol: TCP}, hosts: [c.d]}",
            "conflict with a HTTP server of that port",
        ),
        (
            "{port: {number: 443, protocol: HTTP}, hosts: [a.b]}",
            HTTPS.format("b", "c.d"),
            "conflict with a HTTP server of that port",
        ),
        (
            "{port: {number: 80, protocol: HTTP}, bind: 1.1.1.1, hosts: [a.b]}",
            "{port: {number: 80, protocol: TCP}, hosts: [c.d]}",
            "",
        ),
    ],
)
def test_merge(old: str, new: str, why: str) -> None:
    first = gateway(f"[{old}]", "zz-old", "2026-10-01T00:00:00Z")
    second = gateway(f"[{new}]", "aa-new")
    for given in ((first, second), (second, first)):
        skipped = merge(given)
        assert [s.why for s in skipped] == ([why] if why else [])
        assert all(s.gateway is second and s.winner is first for s in skipped)
