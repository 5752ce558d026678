"""The truth table of Istio's mutual TLS, row by row (numbers: knowledge of the mesh, row #)."""

import itertools

import pytest

from meshdoctor.mesh import mtls
from meshdoctor.mesh.client_tls import ClientTlsRuling
from meshdoctor.mesh.mtls import ClientSide, ServerSide
from meshdoctor.model.istio import ClientTls


def rule(mode: str, *, credential_ignored: bool = False) -> ClientTlsRuling:
    return ClientTlsRuling(tls=ClientTls(mode=mode), credential_ignored=credential_ignored)


S, P, D = "STRICT", "PERMISSIVE", "DISABLE"
ROWS: list[tuple[str, ClientSide, ServerSide, str, str]] = [
    ("1 strict", ClientSide(), ServerSide(mode=S), "mutual TLS", "mtls"),
    ("1 permissive", ClientSide(), ServerSide(), "mutual TLS", "mtls"),
    ("2", ClientSide(rule=rule("ISTIO_MUTUAL")), ServerSide(mode=S), "mutual TLS", "mtls"),
    ("3", ClientSide(rule=rule(D)), ServerSide(), "plaintext", "plaintext-accepted"),
    ("4", ClientSide(rule=rule(D)), ServerSide(mode=S), "plaintext", "!plaintext-strict"),
    (
        "5",
        ClientSide(cluster_mode=D, endpoint_mode=D),
        ServerSide(mode=D),
        "plaintext",
        "plaintext-accepted",
    ),
    ("6", ClientSide(rule=rule(D)), ServerSide(mode=D), "plaintext", "plaintext-accepted"),
    (
        "7 tcp",
        ClientSide(rule=rule("ISTIO_MUTUAL")),
        ServerSide(mode=D),
        "mutual TLS",
        "!mtls-disabled",
    ),
    (
        "8 unset",
        ClientSide(endpoint_meshed=False),
        ServerSide(has_proxy=False),
        "plaintext",
        "plaintext-unmeshed",
    ),
    (
        "8 DISABLE",
        ClientSide(rule=rule(D), endpoint_meshed=False),
        ServerSide(has_proxy=False),
        "plaintext",
        "plaintext-unmeshed",
    ),
    (
        "9",
        ClientSide(rule=rule("ISTIO_MUTUAL"), endpoint_meshed=False),
        ServerSide(has_proxy=False),
        "mutual TLS",
        "!mtls-unmeshed",
    ),
    ("10", ClientSide(has_proxy=False), ServerSide(mode=S), "plaintext", "!plaintext-strict"),
    ("11", ClientSide(has_proxy=False), ServerSide(), "plaintext", "plaintext-accepted"),
    (
        "12",
        ClientSide(has_proxy=False),
        ServerSide(has_proxy=False, mode=S),
        "plaintext",
        "plaintext-unmeshed",
    ),
    (
        "port entry without tls below SIMPLE (seen in the lab)",
        ClientSide(rule=ClientTlsRuling(endpoint_mode="SIMPLE")),
        ServerSide(mode=S),
        "plaintext",
        "!plaintext-strict",
    ),
    (
        "port entry without tls below ISTIO_MUTUAL, server without proxy",
        ClientSide(rule=ClientTlsRuling(endpoint_mode="ISTIO_MUTUAL"), endpoint_meshed=False),
        ServerSide(has_proxy=False),
        "mutual TLS",
        "!mtls-unmeshed",
    ),
    (
        "port entry without tls below ISTIO_MUTUAL, namespace DISABLE",
        ClientSide(rule=ClientTlsRuling(endpoint_mode="ISTIO_MUTUAL"), cluster_mode=D),
        ServerSide(mode=D),
        "plaintext",
        "plaintext-accepted",
    ),
    (
        "13 namespace DISABLE, workload STRICT",
        ClientSide(cluster_mode=D, endpoint_mode=S),
        ServerSide(mode=S),
        "plaintext",
        "!plaintext-strict",
    ),
    (
        "14 port DISABLE",
        ClientSide(cluster_mode=S, endpoint_mode=D),
        ServerSide(mode=D),
        "plaintext",
        "plaintext-accepted",
    ),
    (
        "14 port DISABLE behind a headless service",
        ClientSide(cluster_mode=S, endpoint_mode=D, all_or_nothing=True),
        ServerSide(mode=D),
        "mutual TLS",
        "!mtls-disabled",
    ),
    (
        "15 legacy endpoint",
        ClientSide(endpoint_meshed=False, cluster_mode=S),
        ServerSide(has_proxy=False),
        "plaintext",
        "plaintext-unmeshed",
    ),
    ("16", ClientSide(rule=rule("SIMPLE")), ServerSide(mode=S), "one-way TLS", "!own-tls-strict"),
    (
        "16 on a PERMISSIVE HTTP port",
        ClientSide(rule=rule("SIMPLE")),
        ServerSide(http=True),
        "one-way TLS",
        "!own-tls-http",
    ),
    (
        "16 on a PERMISSIVE TCP port",
        ClientSide(rule=rule("SIMPLE")),
        ServerSide(),
        "one-way TLS",
        "own-tls-opaque",
    ),
    ("17", ClientSide(passthrough=True), ServerSide(mode=S), "plaintext", "!plaintext-strict"),
    ("bypass", ClientSide(bypasses=True), ServerSide(mode=S), "plaintext", "!plaintext-strict"),
    ("auto off", ClientSide(auto_mtls=False), ServerSide(mode=S), "plaintext", "!plaintext-strict"),
    (
        "headless with one bare endpoint",
        ClientSide(all_or_nothing=True, all_endpoints_meshed=False),
        ServerSide(mode=S),
        "plaintext",
        "!plaintext-strict",
    ),
    (
        "a rule overrides headless",
        ClientSide(rule=rule("ISTIO_MUTUAL"), all_or_nothing=True, all_endpoints_meshed=False),
        ServerSide(mode=S),
        "mutual TLS",
        "mtls",
    ),
    (
        "port not captured",
        ClientSide(),
        ServerSide(captured=False),
        "mutual TLS",
        "!mtls-uncaptured",
    ),
    (
        "credentialName on a sidecar",
        ClientSide(rule=rule("MUTUAL", credential_ignored=True)),
        ServerSide(mode=S),
        "plaintext",
        "!plaintext-strict",
    ),
    (
        "external",
        ClientSide(external=True, endpoint_meshed=False),
        ServerSide(has_proxy=False),
        "plaintext",
        "plaintext-unmeshed",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_truth_table(row: tuple[str, ClientSide, ServerSide, str, str]) -> None:
    _, client, server, says, expected = row
    outcome = mtls.predict(client, server)
    assert outcome.client.says == says
    assert outcome.row == expected.removeprefix("!")
    assert outcome.works is not expected.startswith("!")


def all_cases() -> list[tuple[ClientSide, ServerSide]]:
    both = (True, False)
    modes = (S, P, D)
    rules = (ClientTlsRuling(), *(rule(m) for m in (D, "SIMPLE", "MUTUAL", "ISTIO_MUTUAL")))
    return [
        (
            ClientSide(has_proxy=p, rule=r, cluster_mode=m, endpoint_mode=m, endpoint_meshed=e),
            ServerSide(has_proxy=e, mode=m, http=h),
        )
        for p, r, m, e, h in itertools.product(both, rules, modes, both, both)
    ]


def test_every_case_is_explained() -> None:
    for client, server in all_cases():
        outcome = mtls.predict(client, server)
        assert outcome.why and outcome.accepts and outcome.works == (not outcome.symptom)


def test_auto_mtls_never_fails_by_itself() -> None:
    """Without DestinationRules, and with the same policy seen on both sides, two proxies talk."""
    for client, server in all_cases():
        if client.has_proxy and client.rule.tls is None:
            assert mtls.predict(client, server).works


def test_strict_never_takes_plaintext() -> None:
    for client, server in all_cases():
        if server.has_proxy and server.mode == S:
            assert not mtls.predict(client, server).plaintext
