"""Access lines of every layout, and everything that is none."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshdoctor.mesh import access_log, log_text, ztunnel_log
from meshdoctor.mesh.access_log import Line, parse, parse_line

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
WVN = "TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end"
CLIENT = (
    '[2026-11-18T09:24:00.926Z] "POST /v1/charge HTTP/1.1" 503 UF,URX '
    f'upstream_reset_before_response_started{{remote_connection_failure|{WVN}}} - "{WVN}" '
    '211 228 44 - "-" "curl/8.7.1" "5fa414b0-629b-928e-a0c2-b69aee98feaf" "payments:8080" '
    '"10.100.41.21:8080" outbound|8080|v1|payments.shop.svc.cluster.local - 172.20.61.219:8080 '
    "10.100.41.16:54145 - default"
)
LISTENER = (
    '[2026-11-18T09:24:00.313Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 1 - "-" "-" "-" '
    '"-" "-" - - 10.0.0.2:8082 10.0.0.1:50178 - -'
)
INBOUND = (
    '[2026-11-18T09:24:00.939Z] "GET / HTTP/1.1" 403 - via_upstream - "-" 211 112 7 7 '
    '"10.1.1.1,10.1.1.2" "Mozilla/5.0 (X11; Linux)" "33ade5cb" "www.my.net" "10.244.6.18:8080" '
    "inbound|8080|| 127.0.0.1:41476 10.244.6.18:8080 10.244.6.16:52108 "
    "outbound_.8080_._.presenter.h.svc.cluster.local default"
)


def one(text: str) -> Line:
    log = parse(text)
    assert len(log.lines) == 1
    return log.lines[0]


def test_client_line() -> None:
    line = one(CLIENT)
    assert line.start is not None and line.start.isoformat() == "2026-11-18T09:24:00.926000+00:00"
    assert (line.method, line.path, line.protocol) == ("POST", "/v1/charge", "HTTP/1.1")
    assert (line.code, line.flags) == (503, frozenset({"UF", "URX"}))
    assert line.transport_failure == WVN
    assert (line.bytes_received, line.bytes_sent, line.duration_ms) == (211, 228, 44)
    assert (line.authority, line.upstream_host) == ("payments:8080", "10.100.41.21:8080")
    assert line.cluster_host == "payments.shop.svc.cluster.local"
    assert (line.cluster_port, line.cluster_subset) == (8080, "v1")
    assert (line.is_outbound, line.is_inbound, line.is_listener) == (True, False, False)
    assert (line.peer_ip, line.local_port, line.server_name) == ("10.100.41.16", 8080, "")


def test_order_of_flags_does_not_matter() -> None:
    assert one(CLIENT).flags == one(CLIENT.replace("UF,URX", "URX,UF")).flags


def test_listener_line() -> None:
    line = one(LISTENER)
    assert line.is_listener and line.is_tcp and not line.is_inbound
    assert (line.code, line.details) == (0, "filter_chain_not_found")
    assert line.server_name_kind == "plaintext"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("-", "plaintext"),
        ("outbound_.8080_._.pay.shop.svc.cluster.local", "istio"),
        ("pay.shop", "foreign"),
    ],
)
def test_server_name(name: str, kind: str) -> None:
    assert one(LISTENER.replace(":50178 - -", f":50178 {name} -")).server_name_kind == kind


def test_inbound_line_and_its_middle() -> None:
    line = one(INBOUND)
    assert line.is_inbound and line.cluster_port == 8080
    assert line.forwarded_for == "10.1.1.1,10.1.1.2"
    assert line.user_agent == "Mozilla/5.0 (X11; Linux)"
    assert line.server_name_kind == "istio"


def test_tcp_denial_is_no_listener_line() -> None:
    line = one(
        '[2026-11-18T09:24:00.928Z] "- - -" 0 - - rbac_access_denied_matched_policy'
        '[ns[a]-policy[b]-rule[0]] "-" 0 0 0 - "-" "-" "-" "-" "10.42.55.13:6379" '
        "inbound|6379|| - 10.42.55.13:6379 10.42.55.12:54612 outbound_.6379_._.r.c.svc -"
    )
    assert line.is_inbound and not line.is_listener
    assert line.termination == "rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]"


@pytest.mark.parametrize(
    "agent",
    [
        '" 200 - via_upstream - "-" 0 0 0 0 "',
        '" "x" "y" "evil" "1.2.3.4:1" inbound|1|| - 1.1.1.1:1 2.2.2.2:2 - default',
        '"',
        '" "',
        "a b c | {} [] \\",
        '[2026-11-18T09:24:00.928Z] "GET / HTTP/1.1" 200 -',
    ],
)
def test_hostile_header_values_move_nothing_that_counts(agent: str) -> None:
    line = one(CLIENT.replace("curl/8.7.1", agent))
    honest = one(CLIENT)
    for name in ("code", "flags", "details", "upstream_cluster", "downstream_remote", "start"):
        assert getattr(line, name) == getattr(honest, name)


@pytest.mark.parametrize(
    "prefix",
    [
        "2026-11-18T09:24:01.123456789Z stdout F ",
        "2026-11-18T09:24:01.123456789+01:00 stderr F ",
        "2026-11-18T09:24:01.123456789Z ",
        "[pod/shop-1/istio-proxy] ",
        "[pod/shop-1/istio-proxy] 2026-11-18T09:24:01.123456789Z ",
    ],
)
def test_prefixes(prefix: str) -> None:
    assert one(prefix + LISTENER + "\r").raw == LISTENER


def test_split_cri_lines_are_joined() -> None:
    text = (
        f"2026-11-18T09:24:01.1Z stdout P {CLIENT[:100]}\n"
        f"2026-11-18T09:24:01.1Z stdout F {CLIENT[100:]}\n"
    )
    assert one(text) == one(CLIENT)


def test_docker_json_file() -> None:
    text = json.dumps(
        {"log": CLIENT + "\n", "stream": "stdout", "time": "x"}, separators=(",", ":")
    )
    assert one(text) == one(CLIENT)


@pytest.mark.parametrize("cut", range(1, 8))
def test_truncated_lines_are_no_evidence(cut: int) -> None:
    text = " ".join(CLIENT.split(" ")[:-cut])
    assert parse(text).lines == ()
    assert parse(text).unreadable == 1
    assert parse(CLIENT[cut:]).lines == ()


def test_agent_and_envoy_lines_are_other() -> None:
    text = "\n".join(
        [
            "2025-03-11T09:17:50.736239Z\tinfo\tEnvoy proxy is ready",
            "[2026-11-18 09:24:00.123][12][warning][config] xds closed",
            '{"level":"info","time":"2026-11-18T09:24:00Z","msg":"ready"}',
            "\tat some.stack(trace)",
            LISTENER,
        ]
    )
    log = parse(text)
    assert (len(log.lines), len(log.other), log.unreadable) == (1, 4, 0)


@pytest.mark.parametrize(
    "text",
    [
        '[2026-11-18T09:24:00.926Z] "GET / HTTP/1.1" 200 - "-" 0 5 1 "-" "curl" "id" "a" "b"',
        '{"start_time":"2026-11-18T09:24:00Z","authority":"a","path":"/"}',
    ],
)
def test_custom_formats_are_counted_not_read(text: str) -> None:
    log = parse(text)
    assert (log.lines, log.unreadable) == ((), 1)


def test_json_layout() -> None:
    line = one(
        json.dumps(
            {
                "response_code": "503",
                "start_time": "2026-11-18T09:24:00.926Z",
                "response_flags": "URX,UF",
                "upstream_transport_failure_reason": WVN,
                "method": "GET",
                "path": "/",
                "duration": 44,
                "upstream_cluster": "outbound|80||pay.shop.svc.cluster.local",
                "requested_server_name": None,
                "authority": "-",
                "downstream_remote_address": "[fd00::1]:5000",
            }
        )
    )
    assert (line.code, line.flags) == (503, frozenset({"UF", "URX"}))
    assert (line.duration_ms, line.authority, line.server_name) == (44, "", "")
    assert (line.peer_ip, line.is_outbound) == ("fd00::1", True)


@relaxed
@given(st.text(alphabet=st.characters(), max_size=400))
def test_never_raises(text: str) -> None:
    parse(text)
    ztunnel_log.parse(text)
    list(log_text.lines(text))


@relaxed
@given(st.text(alphabet='[]{}"- :|,.0123456789TZabcNR\n\t\\=', max_size=300))
def test_never_raises_on_near_lines(text: str) -> None:
    for start in ("", "[2026-11-18T09:24:00.926Z] ", CLIENT[:120], '{"response_code":', LISTENER):
        parse(start + text)


@relaxed
@given(
    st.dictionaries(
        st.sampled_from(["response_code", "response_flags", "start_time", "path"]),
        st.one_of(
            st.none(),
            st.integers(),
            st.text(max_size=20),
            st.lists(st.integers(), max_size=2),
            st.booleans(),
            st.floats(),
        ),
    )
)
def test_any_json_value(fields: dict[str, object]) -> None:
    parse(json.dumps(fields))


@relaxed
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    parse(data.decode("utf-8", "replace"))
    parse_line(data.decode("latin-1"))


def test_long_hostile_line_is_quick() -> None:
    assert parse(CLIENT[:300] + '" "' * 20_000).lines == ()
    assert access_log.address("nonsense") == ("", 0)


@pytest.mark.parametrize("status", ["", '"-" '])
def test_lines_of_the_years_before_response_code_details(status: str) -> None:
    line = one(
        f'[2021-01-16T07:28:51.852Z] "GET /config HTTP/1.1" 503 URX {status}'
        '"TLS error: 268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER" 0 95 57 57 '
        '"95.0.145.40,10.6.0.21" '
        '"Mozilla/5.0 (X11)" "33ade5cb" "foo.example.com" "10.6.25.34:3000" '
        "outbound|80||ui.hub-dev.svc.cluster.local 10.6.5.216:46364 10.6.5.216:8080 "
        "10.6.0.21:14387 - -"
    )
    assert (line.code, line.flags, line.details) == (503, frozenset({"URX"}), "")
    assert "WRONG_VERSION_NUMBER" in line.transport_failure
    assert (line.bytes_sent, line.forwarded_for) == (95, "95.0.145.40,10.6.0.21")
    assert (line.cluster_host, line.peer_ip) == ("ui.hub-dev.svc.cluster.local", "10.6.0.21")
    refused = (
        f'[2020-05-07T09:59:51.000Z] "- - -" 0 NR {status}"-" 0 0 0 - "-" "-" "-" "-" "-" - - '
        "10.0.0.2:8082 10.0.0.1:50178 - -"
    )
    assert one(refused).is_listener
