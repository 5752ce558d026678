"""ztunnel's access lines: text and JSON, and what their errors mean."""

import json

import pytest

from meshdoctor.mesh.ztunnel_log import parse

LINE = (
    "2026-11-18T09:24:00.985Z     error   access  connection complete     "
    'src.addr=10.60.63.10:41512 src.workload="curl-47c" src.namespace="default" '
    'src.identity="spiffe://cluster.local/ns/default/sa/curl" dst.addr=10.60.63.12:15008 '
    'dst.hbone_addr=10.60.63.12:9080 dst.service="p.default.svc.cluster.local" '
    'dst.workload="p-98b" dst.namespace="default" direction="inbound" bytes_sent=1 bytes_recv=2 '
    'duration="0ms" error="{error}"'
)


@pytest.mark.parametrize(
    ("error", "kind", "denied_by"),
    [
        (
            "connection closed due to policy rejection: explicitly denied by: "
            "istio-system/istio_converted_static_strict",
            "strict",
            "istio-system/istio_converted_static_strict",
        ),
        ("connection closed due to policy rejection: explicitly denied by: a/b", "denied", "a/b"),
        (
            "connection closed due to policy rejection: allow policies exist, but none allowed",
            "not_allowed",
            "",
        ),
        (
            "connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: x",
            "hbone_blocked",
            "",
        ),
        ("io error: Connection refused (os error 111)", "refused", ""),
        ("unknown waypoint: a/b", "unknown_waypoint", ""),
        ("no healthy upstream", "no_upstream", ""),
        ("http status: 401 Unauthorized", "peer_denied", ""),
        ("deadline has elapsed", "timeout", ""),
        ("tls handshake error", "tls", ""),
        ("something new", "other", ""),
        ("", "", ""),
    ],
)
def test_errors(error: str, kind: str, denied_by: str) -> None:
    (one,) = parse(LINE.replace("{error}", error))
    assert (one.kind, one.denied_by) == (kind, denied_by)


def test_fields() -> None:
    (one,) = parse("2026-11-18T09:24:01Z stdout F " + LINE.replace("{error}", 'a \\"b\\" c'))
    assert one.complete and one.direction == "inbound"
    assert (one.source_ip, one.target, one.target_port) == (
        "10.60.63.10",
        "10.60.63.12:9080",
        9080,
    )
    assert one.source_identity.endswith("/sa/curl")
    assert (one.bytes_sent, one.bytes_received, one.error) == (1, 2, 'a "b" c')


def test_json() -> None:
    (one,) = parse(
        json.dumps(
            {
                "level": "error",
                "time": "2026-11-18T09:24:00.985Z",
                "scope": "access",
                "message": "connection complete",
                "src.addr": "10.0.0.1:1",
                "dst.addr": "10.0.0.2:80",
                "direction": "outbound",
                "error": "http status: 401 Unauthorized",
            }
        )
    )
    assert (one.kind, one.target, one.source_identity) == ("peer_denied", "10.0.0.2:80", "")


@pytest.mark.parametrize(
    ("error", "said", "kind"),
    [
        ('error="no healthy upstream: 10.9.0.1:5432"', "no healthy upstream: 10.9.0.1:5432",
         "no_upstream"),
        ("error=unknown source: 10.42.0.10", "unknown source: 10.42.0.10", "other"),
    ],
)  # fmt: skip
def test_connections_that_fail_before_they_have_a_way(error: str, said: str, kind: str) -> None:
    head = "2026-11-18T09:24:00Z    warn    access    connection failed    src.addr=10.0.0.1:4 "
    (one,) = parse(f'{head}dst.addr=10.9.0.1:5432 direction="outbound" {error}')
    assert (one.complete, one.error, one.kind) == (True, said, kind)
    assert (one.source_ip, one.target_port, one.direction) == ("10.0.0.1", 5432, "outbound")


def test_other_lines() -> None:
    assert parse("2026-11-18T09:24:00Z info proxy connection complete\n{}\n") == ()
