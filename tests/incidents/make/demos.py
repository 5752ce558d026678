"""Which incidents are shipped with meshdoctor? Five, each invented, each small."""

from datetime import timedelta

from tests.incidents.make.lines import exchange, refused, request, reset
from tests.incidents.make.pki import Authority
from tests.incidents.make.world import NOW, Pod, World, at, whole

HTTP = [("http", 8080, 8080)]
LEDGER = "ledger.payments.svc.cluster.local"


def shop(world: World) -> tuple[Pod, Pod]:
    """checkout calls ledger, in two namespaces that are both in the mesh."""
    world.namespace("orders")
    world.namespace("payments")
    checkout = world.workload("orders", "checkout", [8080])
    ledger = world.workload("payments", "ledger", [8080])
    world.service("orders", "checkout", HTTP)
    world.service("payments", "ledger", HTTP)
    world.config("PeerAuthentication", "payments", "default", {"mtls": {"mode": "STRICT"}})
    return checkout, ledger


def destination_rule_off() -> World:
    world = World(
        name="destination-rule-off",
        summary="A DestinationRule turns TLS off towards a namespace that takes mutual TLS only.",
        at_fault=["DestinationRule/payments/ledger", "PeerAuthentication/payments/default"],
        fix="Remove tls.mode DISABLE from the DestinationRule.",
        request={"method": "POST", "path": "/v1/entries", "host": "ledger.payments:8080"},
    )
    checkout, ledger = shop(world)
    world.config(
        "DestinationRule",
        "payments",
        "ledger",
        {"host": LEDGER, "trafficPolicy": {"tls": {"mode": "DISABLE"}}},
        created="2026-10-02T12:00:04Z",
        changed=whole(28.3),
        by="argocd-controller",
    )
    for i in range(14):
        minutes = 27.9 - i * 1.9
        world.log(checkout, "istio-proxy", reset(minutes, checkout, ledger, LEDGER, 8080))
        world.log(ledger, "istio-proxy", refused(minutes, ledger, checkout.ip))
    return world


def plaintext_client() -> World:
    world = World(
        name="plaintext-client",
        summary="A job outside the mesh calls a workload that takes mutual TLS only.",
        at_fault=["Deployment/reports/nightly-report", "PeerAuthentication/payments/default"],
        fix="Inject the client, or accept plaintext on that port for as long as it has to call.",
        from_="reports/nightly-report",
        to="payments/ledger:8080",
    )
    checkout, ledger = shop(world)
    world.namespace("reports", inject=False)
    report = world.workload("reports", "nightly-report", [], injected=False)
    for i in range(6):
        minutes = 24.5 - i * 3.1
        world.log(ledger, "istio-proxy", refused(minutes, ledger, report.ip))
        out, inside = exchange(minutes - 0.7, checkout, ledger, LEDGER, 8080, "/v1/balance")
        world.log(checkout, "istio-proxy", out)
        world.log(ledger, "istio-proxy", inside)
    world.log(
        report,
        "nightly-report",
        *(f"{at(24.5 - i * 3.1)} ERROR ledger: Connection reset by peer" for i in range(6)),
    )
    return world


def expired_root() -> World:
    root = Authority("old mesh", NOW - timedelta(days=3650, hours=5), 10)
    world = World(
        name="expired-root",
        summary="The mesh's root certificate expired: every mutual TLS handshake fails.",
        at_fault=[
            "Secret/istio-system/istio-ca-secret",
            "ConfigMap/istio-system/istio-ca-root-cert",
        ],
        fix="Give istiod a new CA, then restart istiod and every workload.",
        root=root,
    )
    checkout, ledger = shop(world)
    world.objects.append(_ca_secret(root))
    failure = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"
    expired = f"{failure}:verify_cert_failed:_certificate_has_expired:TLS_error_end"
    for i in range(12):
        minutes = 110 - i * 9.2
        line = reset(
            minutes,
            checkout,
            ledger,
            LEDGER,
            8080,
            flags="URX,UF",
            details="upstream_reset_before_response_started{remote_connection_failure|"
            + expired
            + "}",
            transport=expired,
        )
        world.log(checkout, "istio-proxy", line)
    world.log(
        world.istiod,
        "discovery",
        f"{at(61)}\terror\tserverca\tCSR signing error: cert is expired: "
        f"NotAfter {root.not_after:%Y-%m-%dT%H:%M:%SZ}",
    )
    seconds = (root.not_after - NOW).total_seconds()
    world.files[f"metrics/istio-system_{world.istiod.name}.prom"] = (
        "# TYPE citadel_server_root_cert_expiry_seconds gauge\n"
        f"citadel_server_root_cert_expiry_seconds {seconds:.0f}\n"
        "# TYPE citadel_server_root_cert_expiry_timestamp gauge\n"
        f"citadel_server_root_cert_expiry_timestamp {root.not_after.timestamp():.0f}\n"
    )
    return world


def _ca_secret(root: Authority) -> dict[str, object]:
    from tests.incidents.make.objects import make
    from tests.incidents.make.pki import b64

    return make(
        "Secret",
        "istio-system",
        "istio-ca-secret",
        by="pilot-discovery",
        type="istio.io/ca-root",
        data={"ca-cert.pem": b64(root.pem), "ca-key.pem": "W3JlZGFjdGVkXQ=="},
    )


def application_says_no() -> World:
    world = World(
        name="application-says-no",
        summary="The application itself answers 403; the policies around it are innocent.",
        at_fault=["Deployment/payments/ledger"],
        healthy=True,
        fix="Nothing to change in the mesh: the ledger refuses the caller's tenant.",
        request={"method": "POST", "path": "/v1/entries", "host": "ledger.payments:8080"},
    )
    checkout, ledger = shop(world)
    world.config(
        "AuthorizationPolicy",
        "payments",
        "ledger-callers",
        {
            "selector": {"matchLabels": {"app": "ledger"}},
            "action": "ALLOW",
            "rules": [
                {"from": [{"source": {"principals": ["cluster.local/ns/orders/sa/checkout"]}}]}
            ],
        },
        changed=whole(2870),
        by="argocd-controller",
    )
    for i in range(8):
        minutes = 19 - i * 2.2
        common = {"client": checkout, "server": ledger, "host": LEDGER, "port": 8080}
        for side, pod in (("outbound", checkout), ("inbound", ledger)):
            line = request(
                minutes,
                side=side,
                method="POST",
                path="/v1/entries",
                code=403,
                **common,  # type: ignore[arg-type]
            )
            world.log(pod, "istio-proxy", line)
        world.log(
            ledger,
            "ledger",
            f"{at(minutes)} WARN tenant 4711 is suspended: refusing POST /v1/entries with 403",
        )
    return world


def healthy() -> World:
    world = World(
        name="healthy",
        summary="Nothing is wrong, and everything needed to say so was recorded.",
        at_fault=[],
        healthy=True,
        fix="Nothing to do.",
    )
    checkout, ledger = shop(world)
    for i in range(10):
        out, inside = exchange(21 - i * 2, checkout, ledger, LEDGER, 8080, "/v1/balance")
        world.log(checkout, "istio-proxy", out)
        world.log(ledger, "istio-proxy", inside)
    return world


DEMOS = (application_says_no, destination_rule_off, expired_root, healthy, plaintext_client)
