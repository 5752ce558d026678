"""`client-log` and `server-log` on a small mesh."""

from dataclasses import replace
from typing import Any

import pytest

from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.subjects import EdgeSubject, Request, ServiceSubject, WorkloadSubject
from meshdoctor.ports import EvidenceError, ForbiddenError
from meshdoctor.probes.client_log import ClientLog, client_log
from meshdoctor.probes.edge_http import EdgeHttp, edge_http
from meshdoctor.probes.edge_nodes import edge_nodes
from meshdoctor.probes.edge_seen import edge_seen
from meshdoctor.probes.server_log import ServerLog, server_log
from tests.unit.world import world

OBJECTS = """
kind: ConfigMap
apiVersion: v1
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    accessLogFile: FILE
---
kind: Service
apiVersion: v1
metadata: {name: pay, namespace: shop}
spec:
  clusterIP: 172.20.0.9
  selector: {app: pay}
  ports: [{port: 80, targetPort: 8080, name: http}]
---
kind: Pod
apiVersion: v1
metadata: {name: cart-1, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: cart}, {name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.0.0.1}
---
kind: Pod
apiVersion: v1
metadata: {name: pay-1, namespace: shop, labels: {app: pay}}
spec: {containers: [{name: pay}, {name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.0.0.2}
---
kind: Pod
apiVersion: v1
metadata: {name: bare, namespace: shop}
spec: {containers: [{name: app}]}
status: {phase: Running, podIP: 10.0.0.3}
"""
EDGE = EdgeSubject(
    client=WorkloadSubject("shop", "cart-1", "Pod"),
    server=WorkloadSubject("shop", "pay-1", "Pod"),
    service=ServiceSubject("shop", "pay"),
    host="pay.shop.svc.cluster.local",
    port=80,
)
UC = (
    '[2026-11-18T09:24:00.271Z] "GET / HTTP/1.1" 503 UC upstream_reset_before_response_started'
    '{connection_termination} - "-" 0 95 1 - "-" "curl" "id" "pay" "10.0.0.2:8080" '
    "outbound|80||pay.shop.svc.cluster.local 10.0.0.1:5 172.20.0.9:80 10.0.0.1:6 - default\n"
)
OK = UC.replace("503 UC", "200 -").replace(
    "upstream_reset_before_response_started{connection_termination}", "via_upstream"
)
NR = (
    '[2026-11-18T09:24:00.313Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 1 - "-" "-" "-" "-" '
    '"-" - - 10.0.0.2:8080 PEER:50178 SNI -\n'
)
AGENT = "2026-11-18T09:24:00.1Z\tinfo\tEnvoy proxy is ready\n"


def mesh(client: str | None, server: str | None, file: str = "/dev/stdout", **rest: Any) -> Any:
    given = {("shop", "cart-1", "istio-proxy"): client, ("shop", "pay-1", "istio-proxy"): server}
    logs = {key: text for key, text in given.items() if text is not None}
    return world(OBJECTS.replace("FILE", file or '""'), logs=logs, **rest)


def of_client(view: Any, edge: EdgeSubject = EDGE) -> ClientLog:
    facts = client_log.run(view, edge)
    assert isinstance(facts, ClientLog)
    return facts


def of_server(view: Any, edge: EdgeSubject = EDGE) -> ServerLog:
    facts = server_log.run(view, edge)
    assert isinstance(facts, ServerLog)
    return facts


def test_client_failures() -> None:
    facts = of_client(mesh(AGENT + UC + UC + OK, ""))
    assert (facts.lines, facts.failures, facts.ok, facts.all_failed) == (3, 2, 1, False)
    assert facts.closed == 2 and facts.tls_failures == 0 and facts.tls == ""
    assert (facts.code, facts.flags, facts.pod) == (503, "UC", "cart-1")
    assert facts.upstream == "10.0.0.2:8080" and facts.working_upstreams == 1


SECOND = """
---
kind: Pod
apiVersion: v1
metadata: {name: pay-b, namespace: shop, labels: {app: pay}}
spec: {nodeName: NODE, containers: [{name: pay}]}
status: {phase: Running, podIP: 10.0.0.4}
"""
LOST = UC.replace("503 UC", "503 UF,URX").replace(
    "{connection_termination}", "{connection_timeout}"
)


def two_servers(text: str, node: str = "b") -> Any:
    """The second server behind the service is on another node than the client and the first."""
    objects = OBJECTS.replace("FILE", "/dev/stdout") + SECOND.replace("NODE", node)
    objects = objects.replace(
        "spec: {containers: [{name: cart}", "spec: {nodeName: a, containers: [{name: cart}"
    )  # noqa: E501
    objects = objects.replace(
        "spec: {containers: [{name: pay}, ", "spec: {nodeName: a, containers: [{name: pay}, "
    )  # noqa: E501
    return world(objects, logs={("shop", "cart-1", "istio-proxy"): text})


def test_calls_that_another_server_of_the_service_took_are_not_this_edges() -> None:
    view = two_servers(OK + LOST.replace("10.0.0.2", "10.0.0.4"))
    first = of_client(view)
    assert (first.ok, first.failures, first.upstream) == (1, 0, "")
    second = of_client(view, replace(EDGE, server=WorkloadSubject("shop", "pay-b", "Pod")))
    assert (second.ok, second.failures, second.upstream) == (0, 1, "10.0.0.4:8080")


def test_calls_between_nodes_and_within_one() -> None:
    text = OK + LOST.replace("10.0.0.2", "10.0.0.4")
    found = edge_nodes.run(two_servers(text), EDGE)
    assert (found.near, found.near_lost, found.far, found.far_lost) == (1, 0, 1, 1)
    assert (found.pod, found.node) == ("pay-b", "Node//b")
    same = edge_nodes.run(two_servers(text, "a"), EDGE)
    assert (same.near, same.near_lost, same.far, same.node) == (2, 1, 0, "")


def test_idle_connections_that_the_upstream_closed() -> None:
    later = UC.replace("09:24:00", "09:24:07")
    facts = of_client(mesh(OK + later, ""))
    assert (facts.closed, facts.idle_closed, facts.idle) == (1, 1, 7)
    inside = "inbound|8080|| 127.0.0.6:5 10.0.0.2:8080 {}:7"
    there = "outbound|80||pay.shop.svc.cluster.local 10.0.0.1:5 172.20.0.9:80 10.0.0.1:6"
    # The connection to the application serves all callers; the call cut off was this client's.
    text = OK.replace(there, inside.format("10.0.0.9")) + later.replace(
        there, inside.format("10.0.0.1")
    )
    seen = of_server(mesh("", text))
    assert (seen.app_closed, seen.app_idle_closed, seen.app_idle) == (1, 1, 7)
    other = of_server(mesh("", text.replace("10.0.0.1:7", "10.0.0.8:7")))
    assert (other.app_closed, other.app_idle_closed) == (0, 0)


def test_silence_with_access_logging_on_is_known() -> None:
    assert of_client(mesh(AGENT, "")).failures == 0
    assert of_server(mesh("", AGENT)).refused == 0


@pytest.mark.parametrize(
    ("text", "file"),
    [(AGENT, ""), ("", "/var/log/x"), ('[2026-11-18T09:24:00Z] "GET /" 200 x\n', "/dev/stdout")],
)
def test_no_access_log_is_no_evidence(text: str, file: str) -> None:
    client, server = of_client(mesh(text, text, file)), of_server(mesh(text, text, file))
    for fact in (client.failures, client.tls, client.closed, server.refused, server.denied_policy):
        assert isinstance(fact, Unavailable) and fact.reason is Reason.DISABLED


def test_lines_count_even_when_the_config_says_off() -> None:
    assert of_client(mesh(UC, "", "")).closed == 1


def test_client_without_proxy_logs_nothing() -> None:
    edge = EdgeSubject(
        client=WorkloadSubject("shop", "bare", "Pod"),
        server=EDGE.server,
        service=EDGE.service,
        port=80,
    )
    view = mesh(None, NR.replace("PEER", "10.0.0.3").replace("SNI", "-"))
    assert of_client(view, edge).lines == 0
    assert of_server(view, edge).refused_plaintext == 1


def test_server_refusals_are_matched_to_the_client() -> None:
    text = (
        NR.replace("PEER", "10.0.0.1").replace("SNI", "-")
        + NR.replace("PEER", "10.0.0.1").replace("SNI", "outbound_.80_._.pay.shop.svc.x")
        + NR.replace("PEER", "10.0.0.1").replace("SNI", "pay.shop")
        + NR.replace("PEER", "10.9.9.9").replace("SNI", "-")
    )
    facts = of_server(mesh("", text))
    assert (facts.refused, facts.refused_any, facts.refused_peer_count) == (3, 4, 2)
    assert (facts.refused_plaintext, facts.refused_mtls, facts.refused_foreign) == (1, 1, 1)
    assert (facts.refused_name, facts.refused_peers) == ("pay.shop", "10.0.0.1, 10.9.9.9")
    assert facts.lines == 0 and facts.pod == "pay-1"
    unknown = of_server(
        mesh("", text), EdgeSubject(client=None, server=EDGE.server, service=EDGE.service, port=80)
    )
    assert unknown.refused == 4


def test_other_ports_are_another_edge() -> None:
    text = NR.replace("PEER", "10.0.0.1").replace("10.0.0.2:8080", "10.0.0.2:9")
    assert of_server(mesh("", text)).refused_any == 0


def test_what_cannot_be_read() -> None:
    view = mesh(UC, None, failing={"log": ForbiddenError("pods/log")})
    with pytest.raises(EvidenceError):
        client_log.run(view, EDGE)
    with pytest.raises(EvidenceError):
        server_log.run(mesh(UC, None), EDGE)
    with pytest.raises(EvidenceError):
        client_log.run(mesh("", ""), EdgeSubject(client=None, server=EDGE.server))
    with pytest.raises(EvidenceError):
        server_log.run(mesh("", ""), EdgeSubject(client=None, server=None, host="example.com"))


LOW = (
    '[2026-11-18T09:24:00.271Z] "GET / HTTP/1.0" 426 - low_version - "-" 0 0 0 - "-" "nginx" "id" '
    '"pay" "-" - - {called} 10.0.0.1:6 - -\n'
)
LOW_NOW = (
    '[2026-11-18T09:24:00.271Z] "- - HTTP/1.1" 426 DPE low_version - "-" 0 16 0 - "-" "-" "-" "-" '
    '"-" - - {called} 10.0.0.1:6 - -\n'
)
UPE = (
    '[2026-11-18T09:24:00.271Z] "POST / HTTP/1.1" 502 UPE protocol_error - "-" 0 95 1 - "-" "grpc" '
    '"id" "pay" "10.0.0.2:8080" inbound|8080|| 127.0.0.6:5 10.0.0.2:8080 10.0.0.1:6 - default\n'
)


def of_http(view: Any, edge: EdgeSubject = EDGE) -> EdgeHttp:
    facts = edge_http.run(view, edge)
    assert isinstance(facts, EdgeHttp)
    return facts


def test_http_1_0() -> None:
    found = of_http(mesh("", LOW_NOW.format(called="10.0.0.2:8080")))
    assert (found.low_version, found.low_pod) == (1, "pay-1")
    found = of_http(mesh("", LOW.format(called="10.0.0.2:8080")))
    assert (found.low_version, found.low_pod, found.low_namespace) == (1, "pay-1", "shop")
    found = of_http(mesh(LOW.format(called="172.20.0.9:80"), ""))
    assert (found.low_version, found.low_pod) == (1, "cart-1")
    assert of_http(mesh("", LOW.format(called="10.0.0.2:9090"))).low_version == 0
    for other in (("426", "400"), ("low_version", "via_upstream")):
        line = LOW.format(called="10.0.0.2:8080").replace(*other)
        assert of_http(mesh("", line)).low_pod == ""


def test_http2_that_the_application_breaks() -> None:
    h2 = UC.replace("HTTP/1.1", "HTTP/2")
    found = of_http(mesh(h2 + OK, ""))
    assert (found.h2_broke, found.h2_good, found.h1_good) == (1, 0, 1)
    found = of_http(mesh(OK.replace("HTTP/1.1", "HTTP/2") + UC, None))
    assert (found.h2_good, found.h1_good) == (1, 0)
    upe = UPE.replace("HTTP/1.1", "HTTP/2")
    found = of_http(mesh("", upe))
    assert upe != UPE and (found.h2_broke, found.h2_good, found.h1_good) == (1, 0, 0)


def test_an_application_of_another_protocol() -> None:
    found = of_http(mesh("", UPE))
    assert (found.app_broke, found.app_good) == (1, 0)
    good = UPE.replace("502 UPE", "200 -")
    assert good != UPE and of_http(mesh("", UPE + good)).app_good == 1
    writer = "{manager: kubectl-patch, operation: Update, time: '2026-11-18T09:23:59Z'}"
    written = OBJECTS.replace("{name: pay, namespace: shop}", "{name: pay, namespace: shop, WROTE}")
    written = written.replace("WROTE", f"managedFields: [{writer}]").replace("FILE", "/dev/stdout")
    for at, counted in (("24:00.000", 0), ("24:01.000", 1)):
        once = good.replace("24:00.271", at)
        logs = {("shop", "cart-1", "istio-proxy"): "", ("shop", "pay-1", "istio-proxy"): UPE + once}
        now = of_http(world(written, logs=logs))
        assert (now.app_broke, now.app_good) == (1, counted), "what was before the change is past"
    assert of_http(mesh(UC.replace("503 UC", "503 UPE"), "")).app_broke == 0, "its proxy said none"
    bare = EdgeSubject(
        client=EDGE.client,
        server=WorkloadSubject("shop", "bare", "Pod"),
        service=EDGE.service,
        host=EDGE.host,
        port=80,
    )
    assert of_http(mesh(UC.replace("503 UC", "503 UPE"), ""), bare).app_broke == 1


@pytest.mark.parametrize(
    ("text", "refused", "taken"),
    [
        (OK.replace("200", "400"), 1, 0),
        (OK.replace("200", "400").replace("via_upstream", "other"), 0, 0),
        (OK.replace("200", "500"), 0, 0),
        (UC, 1, 0),
        (OK, 0, 1),
        (UC.replace("GET / HTTP/1.1", "- - -").replace("503", "0"), 0, 0),
    ],
)
def test_plain_requests(text: str, refused: int, taken: int) -> None:
    found = of_http(mesh(text, ""))
    assert (found.plain_refused, found.plain_taken) == (refused, taken)


def test_logs_that_cannot_show_it() -> None:
    found = of_http(mesh("", "", ""))
    assert isinstance(found.low_version, Unavailable) and isinstance(found.app_broke, Unavailable)
    half = of_http(mesh(None, LOW.format(called="10.0.0.2:8080")))
    assert half.low_version == 1 and isinstance(half.plain_refused, Unavailable)


UNREAD = (
    '[2026-11-18T09:24:00.271Z] "- - HTTP/1.1" 400 DPE http1.codec_error - "-" 0 11 0 - "-" "-" '
    '"-" "-" "-" - - {called} {peer}:4 outbound_.80_._.pay.shop.svc.cluster.local -\n'
)


@pytest.mark.parametrize(
    ("called", "peer", "count"),
    [
        ("10.0.0.2:8080", "10.0.0.1", 1),
        ("10.0.0.2:9090", "10.0.0.1", 0),
        ("10.0.0.2:8080", "10.0.0.3", 0),
        ("10.9.9.9:8080", "10.0.0.1", 0),
    ],
)
def test_bytes_that_the_servers_proxy_could_not_read(called: str, peer: str, count: int) -> None:
    found = server_log.run(mesh("", UNREAD.format(called=called, peer=peer)), EDGE)
    assert isinstance(found, ServerLog)
    assert (found.bad_requests, found.lines) == (count, 0)


def test_who_hands_back_the_failure_of_a_call_of_its_own() -> None:
    inbound = OK.replace("outbound|80||pay.shop.svc.cluster.local", "inbound|8080||")
    answered = inbound.replace("200 -", "503 -").replace("172.20.0.9:80", "10.0.0.2:8080")
    onwards = UC.replace("pay.shop", "ledger.bank")
    alone = of_server(mesh("", answered))
    assert (alone.app_errors, alone.app_further) == (1, 0)
    assert of_server(mesh("", answered + onwards)).app_further == 1
    assert of_server(mesh("", answered + onwards.replace('"id"', '"id2"'))).app_further == 0


def test_a_gateway_works_for_the_host_that_is_asked_of_it() -> None:
    """Though calls to another one of its hosts fail."""
    line = OK.replace("10.0.0.1:5 172.20.0.9:80 10.0.0.1:6", "10.0.0.2:5 10.0.0.2:8080 10.0.0.1:6")
    good = line.replace('"id" "pay"', '"id" "a.org"')
    bad = line.replace('"id" "pay"', '"id" "b.org"').replace("200 -", "503 UH")
    objects = OBJECTS.replace("FILE", "/dev/stdout").replace(
        "{name: pay}, {name: istio-proxy, args: [proxy, sidecar]}",
        "{name: istio-proxy, args: [proxy, router]}",
    )
    logs = {("shop", "cart-1", "istio-proxy"): "", ("shop", "pay-1", "istio-proxy"): good + bad}
    view: Any = world(objects.replace("10.0.0.3", "10.0.0.1"), logs=logs)

    def works(host: str) -> Any:
        edge = replace(EDGE, client=WorkloadSubject("shop", "bare", "Pod"), host="")
        found = edge_seen.run(view, replace(edge, request=Request(host=host)))
        return found.working

    assert works("a.org") is True
    assert works("b.org") is False


MUTE = (
    '[2026-11-18T09:24:00.300Z] "- - -" 0 - - - "-" 312 0 4 - "-" "-" "-" "-" "10.0.0.2:8080" '
    "PassthroughCluster 10.0.0.1:5 10.0.0.2:8080 10.0.0.1:6 - -\n"
)
TAKEN = (
    '[2026-11-18T09:24:00.301Z] "- - -" 0 - - - "-" 312 SENT 4 - "-" "-" "-" "-" "127.0.0.1:8080" '
    "inbound|8080|| 127.0.0.6:5 10.0.0.2:8080 10.0.0.1:5 - -\n"
)
DENIED = "0 - - rbac_access_denied_matched_policy[none]"


@pytest.mark.parametrize(
    ("client", "server", "working"),
    [
        (MUTE, NR.replace("PEER", "10.0.0.1").replace("SNI", "-"), False),
        (MUTE, NR.replace("PEER", "10.0.0.3").replace("SNI", "-"), False),
        (MUTE, "", False),
        (MUTE, None, False),
        (MUTE, TAKEN.replace("SENT", "90"), True),
        (MUTE, TAKEN.replace("SENT", "0"), True),
        (MUTE, TAKEN.replace("0 - - -", DENIED).replace("SENT", "0"), False),
        (MUTE.replace("312 0 4", "312 90 4"), NR.replace("PEER", "10.0.0.1"), True),
        (MUTE.replace("312 0 4", "312 90 4") + MUTE, TAKEN.replace("SENT", "90"), True),
        (MUTE.replace("0 - -", "0 UF -"), TAKEN.replace("SENT", "90"), False),
        (OK.replace("0 95 1", "0 0 1"), NR.replace("PEER", "10.0.0.1"), True),
    ],
)
def test_connections_that_bring_no_byte_back_show_nothing(
    client: str, server: str | None, working: bool
) -> None:
    found = edge_seen.run(mesh(client, server), EDGE)
    assert found.working is working


def test_bytes_to_a_port_of_which_no_request_was_read() -> None:
    edge = EdgeSubject(client=EDGE.client, server=None, host="api.example.com", port=443)
    passed = (
        '[2026-11-18T09:24:00Z] "- - -" 0 - - - "-" 700 1400 9 - "-" "-" "-" "-" "192.0.2.1:443" '
        "PassthroughCluster 10.0.0.1:5 192.0.2.1:443 10.0.0.1:6 - -\n"
    )
    read = passed.replace("- - -", "GET / HTTP/1.1", 1).replace(
        '"-" "192', '"api.example.com" "192'
    )

    def only(text: str) -> Any:
        return edge_http.run(mesh(text, ""), edge).bytes_only

    assert only(passed) is True
    assert only(passed + read) is False
    assert only("") is False
    assert only(passed.replace(":443", ":8443")) is False
