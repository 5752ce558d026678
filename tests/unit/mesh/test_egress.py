"""TLS origination towards external hosts."""

from typing import Any

import msgspec
import pytest
import yaml

from meshdoctor.mesh.client_tls import ClientTlsRuling
from meshdoctor.mesh.egress import judge
from meshdoctor.model.istio import ClientTls, ServiceEntry


def entry(port: str, **spec: Any) -> ServiceEntry:
    data = {"spec": {"hosts": ["a.example.com"], "ports": [yaml.safe_load(port)], **spec}}
    return msgspec.convert(data, ServiceEntry)


HTTPS = "{number: 443, name: tls, protocol: HTTPS}"
HTTP = "{number: 80, name: http, protocol: HTTP}"
MOVED = "{number: 80, name: http, protocol: HTTP, targetPort: 443}"
WRONG = "{number: 443, name: http, protocol: HTTP}"


@pytest.mark.parametrize(
    ("port", "tls", "holds"),
    [
        (HTTPS, None, {"takes_tls"}),
        (HTTPS, ClientTls(mode="SIMPLE"), {"originates", "twice"}),
        (HTTP, None, set()),
        (HTTP, ClientTls(mode="SIMPLE"), {"originates", "tls_to_plain"}),
        (MOVED, ClientTls(mode="SIMPLE"), {"originates"}),
        (MOVED, None, {"plain_to_tls"}),
        (WRONG, None, {"plain_to_tls"}),
        (WRONG, ClientTls(mode="DISABLE"), {"plain_to_tls"}),
        (WRONG, ClientTls(mode="SIMPLE"), {"originates"}),
        (MOVED, ClientTls(mode="SIMPLE", sni="b.example.com"), {"originates", "sni_differs"}),
        (MOVED, ClientTls(mode="SIMPLE", sni="A.example.com"), {"originates"}),
        (
            MOVED,
            ClientTls(mode="SIMPLE", insecure_skip_verify=True),
            {"originates", "unverified"},
        ),
        (HTTPS, ClientTls(mode="ISTIO_MUTUAL"), {"originates", "twice"}),
        (MOVED, ClientTls(mode="ISTIO_MUTUAL"), {"originates"}),
        (MOVED, ClientTls(mode="MUTUAL"), {"no_client", "plain_to_tls"}),
        (MOVED, ClientTls(mode="MUTUAL", credential_name="x"), {"originates"}),
        (
            MOVED,
            ClientTls(mode="MUTUAL", client_certificate="c", private_key="k"),
            {"originates"},
        ),
    ],
)
def test_judgement(port: str, tls: ClientTls | None, holds: set[str]) -> None:
    number = yaml.safe_load(port)["number"]
    found = judge(entry(port), number, ClientTlsRuling(tls=tls), "a.example.com")
    assert found is not None
    names = ("originates", "twice", "plain_to_tls", "tls_to_plain", "sni_differs", "unverified")
    assert {n for n in (*names, "no_client", "takes_tls") if getattr(found, n)} == holds


def test_credential_ignored() -> None:
    ruling = ClientTlsRuling(
        tls=ClientTls(mode="SIMPLE", credential_name="x"), credential_ignored=True
    )
    found = judge(entry(MOVED), 80, ruling, "a.example.com")
    assert found is not None and found.credential_ignored and not found.originates


def test_endpoint_ports_and_edges_without_entry() -> None:
    one = entry(HTTP, endpoints=[{"address": "1.1.1.1", "ports": {"http": 8080}}])
    found = judge(one, 0, ClientTlsRuling(), "a.example.com")
    assert found is not None and found.target == 8080
    assert judge(None, 80, ClientTlsRuling(), "x") is None
    assert judge(one, 81, ClientTlsRuling(), "x") is None
    assert judge(entry(HTTP, location="MESH_INTERNAL"), 80, ClientTlsRuling(), "x") is None


@pytest.mark.parametrize(
    ("port", "mode", "unready"),
    [
        ("{number: 16221, name: tcp-postgres, protocol: TCP}", "SIMPLE", "PostgreSQL"),
        ("{number: 5432, name: tcp, protocol: TCP}", "MUTUAL", "PostgreSQL"),
        ("{number: 3306, name: db, protocol: TCP}", "SIMPLE", "MySQL"),
        ("{number: 5432, name: tcp-postgres, protocol: TCP}", "DISABLE", ""),
        ("{number: 465, name: tls-smtps, protocol: TCP}", "SIMPLE", ""),
        ("{number: 6379, name: tcp-redis, protocol: TCP}", "SIMPLE", ""),
        ("{number: 80, name: http-mysql-admin, protocol: HTTP, targetPort: 443}", "SIMPLE", ""),
    ],
)
def test_protocols_that_ask_for_tls_themselves(port: str, mode: str, unready: str) -> None:
    tls = ClientTls(mode=mode, client_certificate="c", private_key="k")
    number = yaml.safe_load(port)["number"]
    found = judge(entry(port), number, ClientTlsRuling(tls=tls), "a.example.com")
    assert found is not None and found.unready == unready
