"""Probes on certificates: both ends, one proxy, the CA, a namespace."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
import yaml

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.subjects import (
    EdgeSubject,
    MeshSubject,
    NamespaceSubject,
    ProxySubject,
    ServiceSubject,
    WorkloadSubject,
)
from meshdoctor.ports import EvidenceError, ForbiddenError
from meshdoctor.probes.edge_certificates import EdgeCertificates, edge_certificates
from meshdoctor.probes.istiod_ca_log import IstiodCaLog, istiod_ca_log
from meshdoctor.probes.mesh_ca import MeshCa, mesh_ca
from meshdoctor.probes.namespace_root import NamespaceRoot, namespace_root
from meshdoctor.probes.proxy_external_ca import ProxyExternalCa, proxy_external_ca
from meshdoctor.probes.proxy_signing import ProxySigning, proxy_signing
from meshdoctor.probes.proxy_signing_log import ProxySigningLog, proxy_signing_log
from meshdoctor.probes.proxy_token_refusal import proxy_token_refusal
from meshdoctor.probes.signing_requests import SigningRequests, signing_requests
from tests.unit.mesh.certs import DAY, NOW, Ca
from tests.unit.world import world

OLD, NEW = Ca(start=NOW - 60 * DAY), Ca(start=NOW - DAY)
CVF = (
    '[2026-11-18T09:24:00Z] "GET / HTTP/1.1" 503 UF,URX - - "TLS_error:|268435581:SSL_routines:'
    'OPENSSL_internal:CERTIFICATE_VERIFY_FAILED{why}:TLS_error_end" 0 0 1 - "-" "-" "-" "pay" '
    '"10.0.0.2:8080" outbound|80||pay.shop.svc.cluster.local - 172.20.0.9:80 10.0.0.1:6 - -\n'
)
NO_SECRET = (
    '[2026-11-18T09:24:00Z] "GET / HTTP/1.1" 503 UF,URX - - "TLS_error:_Secret_is_not_supplied_by_'
    'SDS" 0 0 1 - "-" "-" "-" "pay" "10.0.0.2:8080" outbound|80||pay.shop.svc.cluster.local - '
    "172.20.0.9:80 10.0.0.1:6 - -\n"
)
EDGE = EdgeSubject(
    client=WorkloadSubject("shop", "cart-1", "Pod"),
    server=WorkloadSubject("shop", "pay-1", "Pod"),
    service=ServiceSubject("shop", "pay"),
    host="pay.shop.svc.cluster.local",
    port=80,
)


def root_map(namespace: str, *roots: Ca) -> dict[str, Any]:
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "istio-ca-root-cert", "namespace": namespace},
        "data": {"root-cert.pem": "".join(r.pem for r in roots)},
    }


def pod(name: str, namespace: str = "shop", ready: bool = True, **more: Any) -> dict[str, Any]:
    proxy: dict[str, Any] = {"name": "istio-proxy", "args": ["proxy", "sidecar"]}
    proxy["env"] = [{"name": "CA_ADDR", "value": more.get("ca", "")}]
    token = {"serviceAccountToken": {"audience": "istio-ca", "path": "istio-token"}}
    volumes: list[dict[str, Any]] = [
        {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}},
        {"name": "istio-token", "projected": {"sources": [token]}},
    ]
    if more.get("spire"):
        volumes.append({"name": "socket", "csi": {"driver": "csi.spiffe.io"}})
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "labels": more.get("labels", {})},
        "spec": {
            "serviceAccountName": "pay",
            "nodeName": "n1",
            "containers": [{"name": "app"}, proxy] if more.get("proxy", True) else [{"name": "a"}],
            "volumes": volumes,
        },
        "status": {
            "phase": more.get("phase", "Running"),
            "podIP": more.get("ip", "10.0.0.1"),
            "startTime": more.get("start", "2026-11-18T00:00:00Z"),
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [
                {
                    "name": "istio-proxy",
                    "ready": ready,
                    "state": {"running": {"startedAt": "2026-11-18T00:00:00Z"}},
                }
            ],
        },
    }


SERVICE = {
    "kind": "Service",
    "apiVersion": "v1",
    "metadata": {"name": "pay", "namespace": "shop"},
    "spec": {
        "clusterIP": "172.20.0.9",
        "selector": {"app": "pay"},
        "ports": [{"port": 80, "targetPort": 8080, "name": "http"}],
    },
}
MESH = {
    "kind": "ConfigMap",
    "apiVersion": "v1",
    "metadata": {"name": "istio", "namespace": "istio-system"},
    "data": {"mesh": "accessLogFile: /dev/stdout\n"},
}


def view(*objects: dict[str, Any], **rest: Any) -> Any:
    return world(yaml.safe_dump_all([MESH, *objects]), **rest)


def table(serial: str, end: str = "2026-11-19", own: str = "ACTIVE      true") -> str:
    return (
        "RESOURCE NAME  TYPE        STATUS      VALID CERT  SERIAL NUMBER  NOT AFTER  NOT BEFORE\n"
        f"default        Cert Chain  {own}  1b0a  {end}T09:05:31Z  2026-11-17T09:03:31Z\n"
        f"ROOTCA         CA          ACTIVE      true  {serial}  2036-11-15T08:55:00Z  "
        "2025-11-18T08:55:00Z\n"
    )


def serial(ca: Ca) -> str:
    return f"{ca.cert.serial_number:x}"


def edge(log: str | None, client: str, server: str, *more: dict[str, Any]) -> EdgeCertificates:
    logs = {} if log is None else {("shop", "cart-1", "istio-proxy"): log}
    secrets = {"cart-1": client, "pay-1": server}
    found = edge_certificates.run(
        view(
            SERVICE,
            pod("cart-1"),
            pod("pay-1", ip="10.0.0.2", labels={"app": "pay"}),
            root_map("istio-system", NEW),
            *more,
            logs=logs,
            istioctl={f"proxy-config secret {p}.shop": text for p, text in secrets.items() if text},
        ),
        EDGE,
    )
    assert isinstance(found, EdgeCertificates)
    return found


def test_old_root_after_a_reinstall() -> None:
    found = edge(CVF.format(why=""), table(serial(OLD)), table(serial(NEW)))
    assert (found.suspect, found.word, found.failures) == (True, "verify_failed", 1)
    assert (found.roots_differ, found.stale) == (True, "Pod/shop/cart-1")
    assert found.ca_secret == "Secret/istio-system/istio-ca-secret"
    assert not found.expired and not found.undelivered


@pytest.mark.parametrize(
    ("plugged", "older", "stale"),
    [
        ("2026-11-16T00:00:00Z", False, ""),
        ("2026-11-17T12:00:00Z", True, "Pod/shop/cart-1"),
        ("2026-11-18T08:00:00Z", True, ""),
    ],
)
def test_a_ca_plugged_in_while_pods_run(plugged: str, older: bool, stale: str) -> None:
    """Whatever the age of its root: it became the mesh's with the Secret."""
    made = secret("cacerts", OLD)
    made["metadata"]["creationTimestamp"] = plugged
    found = edge_certificates.run(
        view(
            SERVICE,
            pod("cart-1", start="2026-11-17T00:00:00Z"),
            pod("pay-1", ip="10.0.0.2", labels={"app": "pay"}),
            root_map("istio-system", OLD),
            made,
            logs={("shop", "cart-1", "istio-proxy"): CVF.format(why="")},
        ),
        EDGE,
    )
    assert isinstance(found, EdgeCertificates)
    assert (found.older, found.stale) == (older, stale)
    assert found.ca_secret == "Secret/istio-system/cacerts"


def test_same_root() -> None:
    found = edge(CVF.format(why=""), table(serial(NEW)), table(serial(NEW)))
    assert (found.roots_differ, found.roots_equal, found.stale) == (False, True, "")


@pytest.mark.parametrize(
    ("config", "alone"),
    [
        ("trustDomain: one", True),
        ("trustDomain: one, trustDomainAliases: [two]", False),
        ("trustDomain: cluster.local", False),
        ("enableTracing: false", False),
    ],
)
def test_a_trust_domain_of_its_own(config: str, alone: bool) -> None:
    mesh = {**MESH, "data": {"mesh": f"{{accessLogFile: /dev/stdout, {config}}}"}}
    found = edge_certificates.run(
        world(
            yaml.safe_dump_all(
                [mesh, SERVICE, pod("cart-1"), pod("pay-1", ip="10.0.0.2", labels={"app": "pay"})]
            ),
            logs={("shop", "cart-1", "istio-proxy"): CVF.format(why="")},
        ),
        EDGE,
    )
    assert isinstance(found, EdgeCertificates) and found.lone_domain is alone


def test_words_alone_can_tell() -> None:
    found = edge(CVF.format(why=":verify_cert_failed:_certificate_has_expired"), "", "")
    assert (found.verify, found.expired, found.guilty) == ("expired", True, "Pod/shop/pay-1")
    assert isinstance(found.roots_differ, Unavailable)


REFUSED = CVF.replace("CERTIFICATE_VERIFY_FAILED", "SSLV3_ALERT_CERTIFICATE_UNKNOWN")


@pytest.mark.parametrize(
    ("log", "client", "server", "domain", "side"),
    [
        (REFUSED, "old.local", "cluster.local", "old.local", "Pod/shop/cart-1"),
        (REFUSED, "cluster.local", "old.local", "", ""),
        (CVF, "cluster.local", "old.local", "old.local", "Pod/shop/pay-1"),
        (CVF, "cluster.local", "cluster.local", "", ""),
        (CVF, "", "", "", ""),
    ],
)
def test_the_trust_domain_that_a_refused_proxy_was_started_for(
    log: str, client: str, server: str, domain: str, side: str
) -> None:
    def started(name: str, value: str, **more: Any) -> dict[str, Any]:
        found = pod(name, **more)
        found["spec"]["containers"][1]["env"].append({"name": "TRUST_DOMAIN", "value": value})
        return found

    logs = {("shop", "cart-1", "istio-proxy"): log.format(why="")}
    pods = (
        started("cart-1", client),
        started("pay-1", server, ip="10.0.0.2", labels={"app": "pay"}),
    )
    found = edge_certificates.run(view(SERVICE, *pods, logs=logs), EDGE)
    assert isinstance(found, EdgeCertificates)
    if domain:
        assert (found.foreign_domain, found.foreign) == (domain, side)
    else:
        assert isinstance(found.foreign_domain, Unavailable)


def test_expired_and_warming() -> None:
    found = edge(None, table(serial(NEW), "2026-11-18"), table(serial(NEW)))
    assert found.suspect and found.expired and found.guilty == "Pod/shop/cart-1"
    warming = "RESOURCE NAME\ndefault    WARMING   false\n"
    found = edge(CVF.format(why=""), table(serial(NEW)), warming)
    assert found.undelivered and found.guilty == "Pod/shop/pay-1"


FILES = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: pay, namespace: shop}
spec:
  host: pay
  subsets:
  - {name: v1, trafficPolicy: {tls: {mode: MUTUAL, BLOCK}}}
"""


@pytest.mark.parametrize(
    ("name", "block", "by"),
    [
        ("file-cert:/etc/a.pem~/etc/b.pem", "clientCertificate: /etc/a.pem", "DestinationRule"),
        ("file-cert:/etc/a.pem~/etc/b.pem", "clientCertificate: /etc/c.pem", ""),
        ("file-root:/etc/ca.pem", "caCertificates: /etc/ca.pem", "DestinationRule"),
        ("kubernetes://bank-cacert", "credentialName: bank", "DestinationRule"),
        ("kubernetes://bank", "credentialName: other", ""),
    ],
)
def test_a_secret_that_a_rule_names_and_never_comes(name: str, block: str, by: str) -> None:
    """The proxy has its own identity and root: it waits for another certificate."""
    waits = f"{name}  Cert Chain  WARMING  false\n"
    rule = yaml.safe_load(FILES.replace("BLOCK", block))
    found = edge(NO_SECRET, table(serial(NEW)) + waits, table(serial(NEW)), rule)
    assert (found.waits_for, found.undelivered) == (name, False)
    assert found.waits_by == (f"{by}/shop/pay" if by else "")
    own = table(serial(NEW), own="WARMING     false")
    found = edge(NO_SECRET, own, table(serial(NEW)), rule)
    assert (found.waits_for, found.undelivered) == ("", True)


@pytest.mark.parametrize(
    ("tls", "log", "waits"),
    [
        ("{mode: MUTUAL, clientCertificate: /etc/a.pem}", "UC", True),
        ("{mode: ISTIO_MUTUAL}", "UC", False),
        ("{mode: MUTUAL, clientCertificate: /etc/a.pem}", "-", False),
    ],
)
def test_a_proxy_closes_the_connection_itself_while_a_secret_is_missing(
    tls: str, log: str, waits: bool
) -> None:
    """Envoy 1.40 writes UC and no reason."""
    name = "file-cert:/etc/a.pem~/etc/b.pem"
    rule = yaml.safe_load(FILES.partition("  subsets")[0] + f"  trafficPolicy: {{tls: {tls}}}\n")
    line = NO_SECRET.replace("UF,URX", log).replace("TLS_error:_Secret_is_not_supplied_by_SDS", "-")
    warming = table(serial(NEW)) + f"{name}  Cert Chain  WARMING  false\n"
    found = edge(line, warming, table(serial(NEW)), rule)
    assert (found.suspect, found.waits_for == name) == (waits, waits)


def test_nothing_is_looked_at_when_nothing_points_there() -> None:
    found = edge("", table(serial(OLD)), table(serial(NEW)))
    assert not found.suspect and isinstance(found.roots_differ, Unavailable)


def test_rule_that_names_another_account() -> None:
    rule = {
        "kind": "DestinationRule",
        "apiVersion": "networking.istio.io/v1",
        "metadata": {"name": "pay", "namespace": "shop"},
        "spec": {
            "host": "pay",
            "trafficPolicy": {
                "tls": {"mode": "ISTIO_MUTUAL", "subjectAltNames": ["spiffe://cluster.local/x"]}
            },
        },
    }
    found = edge("", "", "", rule)
    assert found.sans_miss and found.rule == "DestinationRule/shop/pay"
    assert found.identity == "spiffe://cluster.local/ns/shop/sa/pay"


def signing(*objects: dict[str, Any], status: str = "") -> ProxySigning:
    texts = {"proxy-status": status} if status else {}
    found = proxy_signing.run(view(*objects, istioctl=texts), ProxySubject("shop", "cart-1"))
    assert isinstance(found, ProxySigning)
    return found


LISTED = "NAME  CLUSTER  CDS  LDS  EDS  RDS  ECDS  ISTIOD  VERSION\n{}.shop  K  SYNCED  SYNCED  "
LISTED += "SYNCED  SYNCED  NOT SENT  istiod-1  1.24.1\n"


def test_doubt() -> None:
    fresh = root_map("shop", OLD)
    assert not signing(pod("cart-1"), fresh).doubtful
    assert signing(pod("cart-1", ready=False), fresh).doubtful
    assert signing(pod("cart-1"), fresh, status=LISTED.format("pay-1")).disconnected
    assert not signing(pod("cart-1"), fresh, status=LISTED.format("cart-1")).doubtful
    old = signing(pod("cart-1", start="2026-10-01T00:00:00Z"), root_map("shop", NEW))
    assert old.before_root and old.doubtful and old.audience == "istio-ca"
    assert signing(pod("cart-1", ca="cert-manager-istio-csr.cert-manager.svc:443")).external
    assert not signing(pod("cart-1", ca="istiod.istio-system.svc:15012")).external
    with pytest.raises(EvidenceError):
        signing()


def mounted(leaf: str, *roots: Ca, volume: str = "istio-csr-dns-cert", **rest: Any) -> Any:
    istiod = pod("istiod-1", "istio-system", labels={"app": "istiod"}, proxy=False)
    istiod["spec"]["containers"] = [{"name": "discovery"}]
    istiod["spec"]["volumes"] = [{"name": volume, "secret": {"secretName": "istiod-tls"}}]
    secret = {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "istiod-tls", "namespace": "istio-system"},
        "data": {"tls.crt": base64.b64encode(leaf.encode()).decode()} if leaf else {},
    }
    objects = (pod("cart-1", ready=False), istiod, secret, root_map("shop", *roots))
    found = proxy_signing.run(view(*objects, **rest), ProxySubject("shop", "cart-1"))
    return found.mounted


def test_a_certificate_mounted_in_istiod() -> None:
    name = "istiod.istio-system.svc"
    assert mounted(NEW.leaf(name), OLD) == "Secret/istio-system/istiod-tls"
    assert mounted(OLD.leaf(name), OLD, NEW) == ""
    assert mounted(NEW.leaf(name), OLD, volume="another") == ""
    assert mounted("", OLD) == "" and mounted(NEW.leaf(name)) == ""
    unread = mounted(NEW.leaf(name), OLD, failing={"Secret": ForbiddenError("Secret")})
    assert isinstance(unread, Unavailable)


def test_a_native_sidecar_that_is_not_up_leaves_its_pod_pending() -> None:
    fresh = root_map("shop", OLD)
    waiting = pod("cart-1", ready=False, phase="Pending")
    assert signing(waiting, fresh).doubtful
    waiting["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "PodInitializing"}}
    assert not signing(waiting, fresh).doubtful
    waiting["status"]["containerStatuses"][0]["restartCount"] = 3
    assert signing(waiting, fresh).doubtful


FAIL = "2026-11-18T09:0{}:00.1Z\twarn\tsds\tfailed to warm certificate: rpc error: code = {}\n"


@pytest.mark.parametrize(
    ("code", "field"),
    [
        ('Unavailable desc = "dial tcp 10.0.0.9:15012: i/o timeout"', "unreachable"),
        ("Unauthenticated desc = request authenticate failure", "rejected"),
        ("InvalidArgument desc = CSR signing error (TTL)", "refused"),
        ("Unavailable desc = authentication handshake failed: x509: unknown", "untrusted"),
    ],
)
def test_signing_log(code: str, field: str) -> None:
    text = FAIL.format(1, code)
    good = "2026-11-18T09:05:00.1Z\tinfo\tcache\tgenerated new workload certificate\tttl=1h\n"
    for log, recovered in ((text, False), (text + good, True)):
        found = proxy_signing_log.run(
            view(logs={("shop", "cart-1", "istio-proxy"): log}), ProxySubject("shop", "cart-1")
        )
        assert isinstance(found, ProxySigningLog)
        assert getattr(found, field) == 1 and found.recovered is recovered


def test_what_failed_stands_at_the_end_of_a_long_line() -> None:
    """The words of a line are cut; its reason is not."""
    said = (
        "2026-11-18T09:01:00.1Z\twarning\tenvoy config\tStreamSecrets gRPC config stream to "
        "sds-grpc closed: 2, failed to generate secret for default: failed to generate workload "
        "certificate: create certificate: rpc error: code = Unavailable desc = connection error: "
        'desc = "transport: authentication handshake failed: x509: certificate signed by unknown '
        "authority (possibly because of {}) while trying to verify candidate authority\n"
    )
    found = proxy_signing_log.run(
        view(logs={("shop", "cart-1", "istio-proxy"): said.format("x" * 120)}),
        ProxySubject("shop", "cart-1"),
    )
    assert isinstance(found, ProxySigningLog)
    assert (found.untrusted, found.unreachable) == (1, 0)
    assert "x509" in str(found.text)


AUTH = (
    "2026-11-18T09:00:00Z\terror\tads\tFailed to authenticate client from {}:46968: Authenticator "
    "ClientCertAuthenticator: no chain is found; Authenticator KubeJWTAuthenticator: failed "
    'to validate the JWT from cluster "Kubernetes": the service account authentication returns an '
    "error: [{}]\n"
)
OLD_AUTH = (
    "2026-11-18T09:00:00Z\terror\tserverca\tAuthentication failed: Authenticator "
    "KubeJWTAuthenticator at index 1 got error: failed to validate the JWT: the service account "
    "authentication returns an error: [{}].\n"
)
FORMER = "invalid bearer token, ServiceAccount UID (3b71) does not match claim (01b1)"


@pytest.mark.parametrize(
    ("log", "ready", "reason", "account"),
    [
        (AUTH.format("10.0.0.1", FORMER), False, FORMER, "ServiceAccount/shop/pay"),
        (
            AUTH.format("10.0.0.1", "Token has been invalidated"),
            False,
            "Token has been invalidated",
            "",
        ),
        (OLD_AUTH.format("Token has been invalidated"), False, "Token has been invalidated", ""),
        (
            OLD_AUTH.format("a") + AUTH.format("10.0.0.1", "b") + OLD_AUTH.format("c"),
            False,
            "b",
            "",
        ),
        (AUTH.format("10.0.0.7", FORMER), False, "", ""),
        (AUTH.format("10.0.0.1", FORMER), True, "", ""),
        ("", False, "", ""),
    ],
)
def test_why_istiod_refuses_a_token(log: str, ready: bool, reason: str, account: str) -> None:
    found = proxy_token_refusal.run(
        view(
            pod("istiod-1", "istio-system", labels={"app": "istiod"}),
            pod("cart-1", ready=ready),
            logs={("istio-system", "istiod-1", "discovery"): log},
        ),
        ProxySubject("shop", "cart-1"),
    )
    assert (found.reason, found.account) == (reason, account)
    assert found.said == (f"; istiod says why: {reason}" if reason else "")


@pytest.mark.parametrize(
    ("code", "expired"),
    [
        ("x509: certificate has expired or is not yet valid", 1),
        ("x509: certificate signed by unknown authority", 0),
        ("handshake failed: remote error: tls: x509: certificate has expired", 0),
    ],
)
def test_istiods_certificate_is_out_of_date(code: str, expired: int) -> None:
    logs = {("shop", "cart-1", "istio-proxy"): FAIL.format(1, f"Unavailable desc = {code}")}
    found = proxy_signing_log.run(view(logs=logs), ProxySubject("shop", "cart-1"))
    assert isinstance(found, ProxySigningLog)
    assert (found.untrusted, found.expired) == (1, expired)


def secret(name: str, ca: Ca, **keys: str) -> dict[str, Any]:
    return {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "istio-system",
            "creationTimestamp": "2026-11-18T08:00:00Z",
        },
        "data": {"root-cert.pem": ca.pem, "ca-cert.pem": ca.pem, **keys},
    }


def istiod(namespace: str = "istio-system") -> dict[str, Any]:
    return pod("istiod-1", namespace, proxy=False, labels={"app": "istiod"})


def of_ca(*objects: dict[str, Any], **rest: Any) -> MeshCa:
    found = mesh_ca.run(view(*objects, **rest), MeshSubject())
    assert isinstance(found, MeshCa)
    return found


def test_own_ca() -> None:
    found = of_ca(root_map("istio-system", NEW), secret("istio-ca-secret", NEW), istiod())
    assert (found.kind, found.plugged, found.external) == ("istiod self-signed", False, False)
    assert (found.root_state, found.secret_state, found.secret_differs) == ("valid", "valid", False)
    assert (found.missing_keys, found.rival) == ("", "")


def test_plugged_in_ca_with_another_root() -> None:
    found = of_ca(root_map("istio-system", OLD), secret("cacerts", NEW), istiod())
    assert found.plugged and found.secret == "Secret/istio-system/cacerts"
    assert (found.secret_differs, found.secret_after_istiod) == (True, True)
    assert found.missing_keys == "ca-key.pem, cert-chain.pem"


def test_expired_root_and_unreadable_secret() -> None:
    dead = Ca(start=NOW - 30 * DAY, days=10)
    found = of_ca(
        root_map("istio-system", dead), istiod(), failing={"Secret": ForbiddenError("secrets")}
    )
    assert found.root_state == "expired"
    for fact in (found.kind, found.secret_state, found.secret_differs):
        assert isinstance(fact, Unavailable)


def test_other_cas_and_rivals() -> None:
    assert of_ca(istiod(), pod("a", spire=True)).kind == "spire"
    assert of_ca(istiod(), pod("a", ca="cert-manager-istio-csr.cm.svc:443")).kind == "istio-csr"
    two = [istiod(), istiod("istio-canary"), root_map("istio-system", OLD)]
    assert of_ca(*two, root_map("istio-canary", NEW)).rival_differs
    assert not of_ca(*two, root_map("istio-canary", OLD)).rival_differs


def test_istiod_log() -> None:
    text = "2026-11-18T09:00:00Z\twarn\tMulti root is disabled, updating new ROOT-CA not supported"
    found = istiod_ca_log.run(
        view(istiod(), logs={("istio-system", "istiod-1", "discovery"): text}), MeshSubject()
    )
    assert isinstance(found, IstiodCaLog) and found.root_kept == 1
    for empty in (view(), view(istiod())):
        with pytest.raises(EvidenceError):
            istiod_ca_log.run(empty, MeshSubject())


@pytest.mark.parametrize(
    ("word", "minutes", "refused"),
    [
        ("remote error: tls: bad certificate", (20, 15), True),
        ("remote error: tls: bad certificate", (20,), False),
        ("EOF", (20, 15), False),
    ],
)
def test_clients_that_refuse_istiods_certificate(
    word: str, minutes: tuple[int, ...], refused: bool
) -> None:
    times = (NOW - timedelta(minutes=m) for m in minutes)
    line = "{:%Y-%m-%dT%H:%M:%SZ}\tinfo\thttp: TLS handshake error from 10.0.0.9:59130: {}\n"
    text = "".join(line.format(at, word) for at in times)
    logs = {("istio-system", "istiod-1", "discovery"): text}
    found = istiod_ca_log.run(view(istiod(), logs=logs), MeshSubject())
    assert isinstance(found, IstiodCaLog) and found.distrusted is refused
    told = istiod()
    assert of_ca(told).serving_by == ""
    provider = {"name": "PILOT_CERT_PROVIDER", "value": "kubernetes"}
    told["spec"]["containers"] = [{"name": "discovery", "env": [provider]}]
    assert of_ca(told).serving_by == "kubernetes"


def test_namespace_root() -> None:
    event = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": "e", "namespace": "shop"},
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed: configmap "istio-ca-root-cert" not found',
        "count": 4,
    }
    for phase, waiting in (("Pending", 1), ("Running", 0)):
        found = namespace_root.run(view(pod("a", phase=phase), event), NamespaceSubject("shop"))
        assert isinstance(found, NamespaceRoot)
        assert (found.waiting, found.absent, found.events) == (waiting, True, 4)


@pytest.mark.parametrize(
    ("hard", "used", "at_fault"),
    [
        ({"configmaps": "0"}, {"configmaps": "0"}, "ResourceQuota/shop/counts"),
        ({"count/configmaps": 4}, {"count/configmaps": 4}, "ResourceQuota/shop/counts"),
        ({"configmaps": "4"}, {"configmaps": "3"}, ""),
        ({"pods": "0"}, {"pods": "0"}, ""),
    ],
)
def test_a_quota_that_leaves_no_room_for_the_root(
    hard: dict[str, Any], used: dict[str, Any], at_fault: str
) -> None:
    quota = {
        "kind": "ResourceQuota",
        "apiVersion": "v1",
        "metadata": {"name": "counts", "namespace": "shop"},
        "spec": {"hard": hard},
        "status": {"hard": hard, "used": used},
    }
    found = namespace_root.run(view(pod("a", phase="Pending"), quota), NamespaceSubject("shop"))
    assert isinstance(found, NamespaceRoot) and found.quota == at_fault
    assert (at_fault or "discoverySelectors") in str(found.why)


@pytest.mark.parametrize(
    ("holder", "mesh", "lock", "blamed"),
    [
        ("", "{}", "ConfigMap/istio-system/istio-namespace-controller-election", True),
        ("istiod-1", "{}", "", True),
        ("istiod-1", "discoverySelectors: [{matchLabels: {d: 'on'}}]", "", False),
    ],
)
def test_who_should_have_written_the_root(holder: str, mesh: str, lock: str, blamed: bool) -> None:
    told = json.dumps({"holderIdentity": holder, "leaderTransitions": 29}, separators=(",", ":"))
    election = {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {
            "name": "istio-namespace-controller-election",
            "namespace": "istio-system",
            "annotations": {"control-plane.alpha.kubernetes.io/leader": told},
        },
    }
    config = {**MESH, "data": {"mesh": mesh}}
    objects = [config, istiod(), pod("a", phase="Pending"), election]
    text = yaml.safe_dump_all(objects)
    found = namespace_root.run(world(text), NamespaceSubject("shop"))
    assert found.lock == lock and ("no istiod holds" in str(found.why)) is bool(lock)
    assert bool(found.istiod) is blamed


def test_signing_requests() -> None:
    def csr(name: str, user: str, *conditions: str) -> dict[str, Any]:
        return {
            "kind": "CertificateSigningRequest",
            "apiVersion": "certificates.k8s.io/v1",
            "metadata": {"name": name},
            "spec": {"signerName": "s.io/x", "username": f"system:serviceaccount:{user}"},
            "status": {"conditions": [{"type": c, "status": "True"} for c in conditions]},
        }

    found = signing_requests.run(
        view(
            csr("a", "istio-system:istiod"),
            csr("b", "istio-system:istiod", "Denied"),
            csr("c", "istio-system:istiod", "Approved"),
            csr("d", "kube-system:other"),
        ),
        MeshSubject(),
    )
    assert isinstance(found, SigningRequests)
    assert (found.pending, found.denied, found.first_name) == (1, 1, "a")
    assert (found.unissued, found.controller, found.lacks) == (0, "", "")


@pytest.mark.parametrize(
    ("made", "certificate", "args", "unissued", "lacks"),
    [
        ("2026-11-18T09:00:00Z", "", [], 1, True),
        ("2026-11-18T09:00:00Z", "", ["--feature-gates=A=true,{gate}"], 1, False),
        ("2026-11-18T09:00:00Z", "LS0t", [], 0, False),
        ("2026-11-18T09:29:50Z", "", [], 0, False),
    ],
)
def test_requests_that_nobody_signs(
    made: str, certificate: str, args: list[str], unissued: int, lacks: bool
) -> None:
    gate = "ExperimentalCertificateSigningRequestControllers=true"
    csr = {
        "kind": "CertificateSigningRequest",
        "apiVersion": "certificates.k8s.io/v1",
        "metadata": {"name": "a", "creationTimestamp": made},
        "spec": {
            "signerName": "clusterissuers.cert-manager.io/mesh",
            "username": "system:serviceaccount:istio-system:istiod",
        },
        "status": {
            "conditions": [{"type": "Approved", "status": "True"}],
            "certificate": certificate,
        },
    }
    container = {
        "name": "controller",
        "image": "quay.io/jetstack/cert-manager-controller:v1.11.0",
        "args": [one.format(gate=gate) for one in args],
    }
    controller = {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "cert-manager", "namespace": "cert-manager"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    found = signing_requests.run(view(csr, controller), MeshSubject())
    assert isinstance(found, SigningRequests)
    assert (found.unissued, gate in str(found.lacks)) == (unissued, lacks)
    assert found.controller == ("Deployment/cert-manager/cert-manager" if unissued else "")
    near = signing_requests.run(view(csr), MeshSubject())
    assert isinstance(near, SigningRequests)
    assert (near.unissued, near.controller, near.lacks) == (unissued, "", "")


CSR_LOG = (
    '2026-11-18T09:24:00Z\terror\tklog\tgrpc_server "msg"="failed to authenticate request" '
    '"error"="could not get cluster c-1\'s kube client" "serving_addr"="0.0.0.0:6443"\n'
)


@pytest.mark.parametrize(
    ("args", "claimed", "log", "cluster", "differs", "unknown"),
    [
        (["--issuer-name=ca"], "c-1", CSR_LOG, "Kubernetes", True, 1),
        (["--cluster-id=c-1"], "c-1", "", "c-1", False, 0),
        (["--cluster-id", "c-2"], "c-1", "", "c-2", True, 0),
        (["--issuer-name=ca"], "", "", "Kubernetes", False, 0),
        ([], "c-1", "", "", False, 0),
    ],
)
def test_the_ca_beside_istiod(
    args: list[str], claimed: str, log: str, cluster: str, differs: bool, unknown: int
) -> None:
    asker = pod("cart-1", ca="cert-manager-istio-csr.cert-manager.svc:443")
    asker["spec"]["containers"][1]["env"].append(
        {"name": "ISTIO_META_CLUSTER_ID", "value": claimed}
    )
    signer = pod("csr-1", "cert-manager", proxy=False, labels={"app": "csr"})
    signer["spec"]["containers"][0] |= {"image": "cert-manager-istio-csr:v0.8.0", "args": args}
    service = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "cert-manager-istio-csr", "namespace": "cert-manager"},
        "spec": {"selector": {"app": "csr"}, "ports": [{"port": 443, "targetPort": 6443}]},
    }
    logs = {("cert-manager", "csr-1", "a"): log}
    objects = view(asker, signer, service, logs=logs)
    found = proxy_external_ca.run(objects, ProxySubject("shop", "cart-1"))
    assert isinstance(found, ProxyExternalCa)
    assert found.workload == "Pod/cert-manager/csr-1"
    assert (found.cluster, found.differs, found.unknown) == (cluster, differs, unknown)
    own = view(pod("cart-1", ca="istiod.istio-system.svc:15012"), signer, service, logs=logs)
    none = proxy_external_ca.run(own, ProxySubject("shop", "cart-1"))
    assert isinstance(none, ProxyExternalCa)
    assert (none.workload, none.differs, none.unknown) == ("", False, 0)


def test_a_ca_beside_istiod_whose_log_cannot_be_read() -> None:
    asker = pod("cart-1", ca="csr.cert-manager.svc:443")
    signer = pod("csr-1", "cert-manager", proxy=False, labels={"app": "csr"})
    service = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "csr", "namespace": "cert-manager"},
        "spec": {"selector": {"app": "csr"}, "ports": [{"port": 443}]},
    }
    found = proxy_external_ca.run(view(asker, signer, service), ProxySubject("shop", "cart-1"))
    assert isinstance(found, ProxyExternalCa)
    assert isinstance(found.unknown, Unavailable) and isinstance(found.text, Unavailable)


def test_an_address_of_another_cluster() -> None:
    def beyond(log: str) -> Any:
        return edge(log, table(serial(NEW)), table(serial(NEW))).beyond

    here = CVF.format(why="")
    assert "10.0.0.2:8080" in here and beyond(here) == ""
    there = here.replace("10.0.0.2:8080", "203.0.113.7:15443")
    assert beyond(there) == "203.0.113.7:15443"
    assert beyond(there.replace("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")) == ""
