"""Upgrades, headers and challenges that a gateway answers itself."""

import pytest

from meshdoctor.mesh import gateway_refusals as gr
from meshdoctor.mesh.access_log import Line, parse
from meshdoctor.model.istio import EnvoyFilter
from meshdoctor.model.kubernetes import Ingress
from tests.unit.mesh.objects import one

ACME = "/.well-known/acme-challenge/x"
CERT_MANAGER = "cert-manager-challenges/v1.14.4 (linux/amd64) cert-manager/cf26d6c6"
VALIDATOR = "Mozilla/5.0 (compatible; Let's Encrypt validation server; +https://letsencrypt.org)"


def line(first: str, code: int, details: str, **more: str) -> Line:
    fields = {"flags": "-", "agent": "curl", "host": "a.x.com", "upstream": "-"} | more
    return parse(
        f'[2026-11-18T09:24:00.000Z] "{first}" {code} {fields["flags"]} {details} - "-" 0 0 1 - '
        f'"1.2.3.4" "{fields["agent"]}" "-" "{fields["host"]}" "{fields["upstream"]}" - - '
        "10.0.0.2:8080 10.1.0.1:5 - -"
    ).lines[0]


def test_upgrades() -> None:
    refused = line("POST /ts2021 HTTP/1.1", 403, "upgrade_failed")
    found = gr.upgrades([refused, refused, line("GET / HTTP/1.1", 403, "rbac_access_denied")])
    assert found and (found.host, found.path, found.count) == ("a.x.com", "/ts2021", 2)
    assert gr.upgrades([line("GET /ws HTTP/1.1", 101, "via_upstream")]) is None


def test_oversized() -> None:
    big = line("- - HTTP/1.1", 431, "http1.headers_too_large", flags="DPE", host="-")
    found = gr.oversized([big, big])
    assert found and found.count == 2
    own = line("GET / HTTP/1.1", 431, "via_upstream", upstream="10.0.0.9:80")
    assert gr.oversized([own]) is None, "the application said so"


@pytest.mark.parametrize(
    ("agent", "path", "count"),
    [
        (CERT_MANAGER, ACME, 2),
        (VALIDATOR, ACME, 2),
        ("Mozilla/5.0 zgrab/0.x", ACME, 0),  # scanners look there too
        (CERT_MANAGER, "/", 0),
    ],
)
def test_challenges(agent: str, path: str, count: int) -> None:
    asked = line(f"GET {path} HTTP/1.1", 404, "route_not_found", flags="NR", agent=agent)
    found = gr.challenges([asked, asked])
    assert (found.count if found else 0) == count
    solved = line(f"GET {path} HTTP/1.1", 200, "via_upstream", upstream="10.0.0.9:8089")
    assert gr.challenges([asked, asked, solved]) is None


@pytest.mark.parametrize(
    ("host", "path", "solves"),
    [("host: a.x.com", ACME, True), ("host: b.x.com", ACME, False), ("host: a.x.com", "/", False)],
)
def test_solves(host: str, path: str, solves: bool) -> None:
    ingress = one(
        Ingress,
        f"""
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {{name: cm-acme-http-solver-x, namespace: shop}}
spec: {{rules: [{{{host}, http: {{paths: [{{path: {path}, backend: {{}}}}]}}}}]}}
""",
    )
    assert gr.solves(ingress, "a.x.com") is solves


def test_streams_that_lasted_too_long() -> None:
    ended = line("POST /chat.Stream/Talk HTTP/2", 200, "max_duration_timeout", flags="DT")
    found = gr.cut([ended, ended, line("GET / HTTP/1.1", 504, "response_timeout")])
    assert found and (found.path, found.count) == ("/chat.Stream/Talk", 2)


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        ("{typed_config: {common_http_protocol_options: {max_stream_duration: 120s}}}", True),
        ("{typed_config: {commonHttpProtocolOptions: {maxStreamDuration: 120s}}}", True),
        ("{typed_config: {stream_idle_timeout: 120s}}", False),
    ],
)
def test_what_limits_streams(value: str, limits: bool) -> None:
    text = f"""
kind: EnvoyFilter
apiVersion: networking.istio.io/v1alpha3
metadata: {{name: limits, namespace: shop}}
spec: {{configPatches: [{{applyTo: NETWORK_FILTER, patch: {{operation: MERGE, value: {value}}}}}]}}
"""
    found = gr.limits_streams([one(EnvoyFilter, text)])
    assert (found is not None) is limits
