"""Log lines that decide causes, as the components write them."""

import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshdoctor.mesh.log_lines import go_duration, of, scan

T = "2026-11-18T09:24:33.183753Z\t"


@pytest.mark.parametrize(
    ("line", "kind", "values"),
    [
        (
            'warning\tenvoy config\tStreamAggregatedResources gRPC config stream closed: 14, "x"',
            "xds_closed",
            {"code": "14", "reason": '"x"'},
        ),
        (
            "warning\tenvoy config\tDeltaAggregatedResources gRPC config stream to xds-grpc closed "
            "since 54s ago: 14, upstream connect error",
            "xds_closed",
            {"seconds": "54", "code": "14", "reason": "upstream connect error"},
        ),
        (
            "warning\tenvoy config\tdelta config for type.googleapis.com/envoy.config.listener.v3."
            "Listener rejected: Error adding/updating listener(s) a",
            "config_rejected",
            {
                "type": "type.googleapis.com/envoy.config.listener.v3.Listener",
                "reason": "Error adding/updating listener(s) a",
            },
        ),
        ("info\tEnvoy proxy is ready", "proxy_ready", {}),
        (
            "warn\tEnvoy proxy is NOT ready: config not received from XDS server (is Istiod "
            "running?): cds updates: 0 successful, 0 rejected; lds updates: 0 successful, 0 "
            "rejected",
            "config_not_received",
            {"cds": "0 successful, 0 rejected", "lds": "0 successful, 0 rejected"},
        ),
        (
            "warn\tEnvoy proxy is NOT ready: config received from XDS server, but was rejected: "
            "cds updates: 1 successful, 0 rejected; lds updates: 0 successful, 1 rejected",
            "config_was_rejected",
            {"cds": "1 successful, 0 rejected", "lds": "0 successful, 1 rejected"},
        ),
        (
            "warn\tEnvoy proxy is NOT ready: server is not live, current state is: INITIALIZING",
            "not_live",
            {"state": "INITIALIZING"},
        ),
        ("warn\tEnvoy proxy is NOT ready: workers have not yet started", "workers_not_started", {}),
        (
            "info\txdsproxy\tconnected to delta upstream XDS server: istiod.istio-system.svc:15012",
            "xds_connected",
            {"address": "istiod.istio-system.svc:15012"},
        ),
        (
            "error\txdsproxy\tfailed to connect to upstream istiod:15012: dial tcp: no such host",
            "xds_connect_failed",
            {"address": "istiod:15012", "reason": "dial tcp: no such host"},
        ),
        (
            "warn\tsds\tfailed to warm certificate: failed to generate workload certificate: "
            "create certificate: rpc error: code = Unavailable desc = x",
            "warm_failed",
            {
                "reason": "failed to generate workload certificate: create certificate: rpc "
                "error: code = Unavailable desc = x"
            },
        ),
        (
            "error\tcache\tresource:default failed to sign: create certificate: x",
            "sign_failed",
            {"reason": "create certificate: x"},
        ),
        ("error\tcitadelclient\tfailed to sign CSR: x", "csr_failed", {"reason": "x"}),
        (
            "error\tcitadelclient\tFailed to create certificate: rpc error: code = Unavailable x",
            "create_failed",
            {"reason": "rpc error: code = Unavailable x"},
        ),
        (
            "info\tEnvoy proxy is NOT ready: config not received from Pilot (is Pilot running?): "
            "cds updates: 0 successful, 0 rejected; lds updates: 0 successful, 0 rejected",
            "config_not_received",
            {"cds": "0 successful, 0 rejected", "lds": "0 successful, 0 rejected"},
        ),
        (
            "info\tcache\tgenerated new workload certificate\tresourceName=default "
            "latency=34.5ms ttl=23h59m59.9s",
            "certificate_made",
            {"latency": "34.5ms", "ttl": "23h59m59.9s"},
        ),
        (
            "info\tExisting workload SDS socket found at var/run/secrets/workload-spiffe-uds/"
            "socket. Default Istio SDS Server will only serve files",
            "foreign_sds",
            {"path": "var/run/secrets/workload-spiffe-uds/socket"},
        ),
        (
            "warn\tads\tADS:LDS: ACK ERROR web-1.shop-6 Internal:Error adding listener",
            "nack",
            {
                "type": "LDS",
                "connection": "web-1.shop-6",
                "code": "Internal",
                "reason": "Error adding listener",
            },
        ),
        (
            "warn\tads\tADS:LDS: ACK ERROR 10.0.0.9:52994 router~10.0.0.9~gw-1.in~in.svc.cluster."
            "local-8 (gw-1.in) Internal:Error adding listener",
            "nack",
            {
                "type": "LDS",
                "connection": "router~10.0.0.9~gw-1.in~in.svc.cluster.local-8",
                "code": "Internal",
                "reason": "Error adding listener",
            },
        ),
        (
            "warn\tads\tADS:RDS: ACK ERROR 10.0.0.9:52994 sidecar~10.0.0.9~web-1.in~in.svc.cluster."
            'local-8 (sidecar~10.0.0.9~web-1.in~in.svc.cluster.local) version_info:"2/7" node:<id:"'
            'sidecar~10.0.0.9~web-1.in" > response_nonce:"8b" error_detail:<code:13 message:"Only '
            'unique values for domains are permitted." > ',
            "nack",
            {
                "type": "RDS",
                "connection": "sidecar~10.0.0.9~web-1.in~in.svc.cluster.local-8",
                "code": "13",
                "reason": "Only unique values for domains are permitted.",
            },
        ),
        (
            "info\tads\tPush debounce stable[3] 2 for config VirtualService/a/b: 100.3ms since "
            "last change, 2.1s since last push, full=true",
            "debounce",
            {
                "events": "2",
                "config": "VirtualService/a/b",
                "since_change": "100.3ms",
                "since_push": "2.1s",
            },
        ),
        (
            "info\tads\tLDS: PUSH for node:web-1.shop resources:12 size:40.1kB",
            "push",
            {"type": "LDS", "node": "web-1.shop", "resources": "12", "size": "40.1kB"},
        ),
        (
            'info\tads\tADS: "10.0.0.1:5000" web-1.shop-6 terminated',
            "terminated",
            {"peer": "10.0.0.1:5000", "connection": "web-1.shop-6"},
        ),
        (
            "warn\tads\tfailed to fetch key and certificate for kubernetes://web-tls: secret "
            "istio-system/web-tls not found",
            "secret_missing",
            {
                "credential": "kubernetes://web-tls",
                "reason": "secret istio-system/web-tls not found",
            },
        ),
        (
            "warn\tads\tfailed to fetch ca certificate for kubernetes://web-tls-cacert",
            "secret_missing",
            {"credential": "kubernetes://web-tls-cacert"},
        ),
        (
            "warn\tads\tproxy gw-1.ns attempted to access unauthorized certificates web-tls: cross "
            "namespace secret reference requires ReferenceGrant",
            "secret_unauthorized",
            {
                "proxy": "gw-1.ns",
                "credential": "web-tls",
                "reason": "cross namespace secret reference requires ReferenceGrant",
            },
        ),
        (
            'error\tclient claims to be in cluster "b", but we only know about local cluster "a" '
            "and remote clusters []",
            "cluster_unknown",
            {"claimed": "b", "local": "a"},
        ),
        (
            "error\tFailed to authenticate client from 10.0.0.9:42112: Authenticator KubeJWT"
            "Authenticator: could not get cluster b's kube client",
            "cluster_unknown",
            {"claimed": "b"},
        ),
        (
            "warn\tMulti root is disabled, updating new ROOT-CA not supported",
            "root_not_updated",
            {},
        ),
        ("warn\tUpdating new ROOT-CA not supported", "root_not_updated", {}),
        (
            "warn\tmodel\tskipping server on gateway shop/web, duplicate host names: [a.b]",
            "server_skipped",
            {"gateway": "shop/web", "reason": "duplicate host names: [a.b]"},
        ),
        (
            "debug\tmodel\tskipping server on gateway shop/web port http.80.HTTP: conflict with "
            "existing server tcp.80.TCP",
            "server_skipped",
            {
                "gateway": "shop/web",
                "port": "http.80.HTTP",
                "reason": "conflict with existing server tcp.80.TCP",
            },
        ),
        (
            'error\tmodel\tFailed to fetch public key from jwks URI "https://a/b": Get: x509',
            "jwks_error",
            {"uri": "https://a/b", "reason": "Get: x509"},
        ),
        (
            'error\tmodel\tFailed to fetch public key from "http://a/b": Get "http://a/b": no host',
            "jwks_error",
            {"uri": "http://a/b", "reason": 'Get "http://a/b": no host'},
        ),
        (
            'error\tmodel\tFailed to fetch jwt public key from issuer "https://i/", jwks uri '
            '"http://a/b": no host',
            "jwks_error",
            {"issuer": "https://i/", "uri": "http://a/b", "reason": "no host"},
        ),
        ("error\tCSR signing error: TTL too long", "csr_refused", {"reason": "TTL too long"}),
        (
            "info\tSkipping monitoring/node-exporter-***** (actual name not yet known) due to "
            "policy check",
            "injection_skipped",
            {"pod": "monitoring/node-exporter-*****"},
        ),
        (
            "info\thttp: TLS handshake error from 192.168.10.20:37886: remote error: tls: bad "
            "certificate",
            "tls_refused",
            {"peer": "192.168.10.20:37886", "reason": "remote error: tls: bad certificate"},
        ),
        ("info\tcni-plugin\tpod namespace kube-system excluded", "cni_namespace_excluded", None),
        ("info\tcni-plugin\texcluded due to inject-disabled annotation", "cni_excluded", None),
        ("error\tistio-cni cmdAdd error: boom", "cni_failed", {"reason": "boom"}),
        ("warn\tremote cluster east failed to sync after 30s", "remote_cluster", None),
    ],
)
def test_lines(line: str, kind: str, values: dict[str, str] | None) -> None:
    (said,) = scan(T + line)
    assert said.kind == kind
    assert said.at is not None and said.at.second == 33
    if values is not None:
        assert dict(said.values) == values
    as_json = json.dumps({"level": "warn", "time": T.strip(), "msg": line})
    assert [one.kind for one in scan(as_json)] == [kind]


@pytest.mark.parametrize(
    "line",
    [
        "info\tall is well",
        "info\tconnection closed",
        "info\tloaded config for 3 listeners",
        "",
        '[2026-11-18T09:24:00.926Z] "GET / HTTP/1.1" 200 - - - "-" 0 0 0 - "-" "failed to sign: x"',
        '{"response_code":200,"user_agent":"Envoy proxy is ready"}',
    ],
)
def test_other_lines(line: str) -> None:
    assert scan(line) == ()


def test_hostile_text_is_bounded_and_plain() -> None:
    (said,) = scan(T + "error\tfailed to sign: \x1b[31m" + "x" * 100_000)
    assert len(said.text) <= 300 and "\x1b" not in said.text
    assert of([said], "sign_failed") == (said,) and of([said], "nack") == ()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("100.3ms", timedelta(milliseconds=100.3)),
        ("1m0s", timedelta(minutes=1)),
        ("12µs", timedelta(microseconds=12)),
        ("soon", None),
        ("5", None),
        ("", None),
    ],
)
def test_go_duration(text: str, want: timedelta | None) -> None:
    assert go_duration(text) == want


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=300))
def test_never_raises(text: str) -> None:
    for start in ("", T, "ADS:", "failed to sign: ", " closed", '{"msg":'):
        scan(start + text)
        go_duration(text)
