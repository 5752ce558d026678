"""Which log lines belong to one edge, and what they tell."""

from datetime import UTC, datetime

import pytest

from meshdoctor.mesh import edge_evidence as ev
from meshdoctor.mesh.access_log import Line, parse

TARGET = ev.Target(
    hosts=frozenset({"pay.shop.svc", "pay.shop", "pay"}),
    addresses=frozenset({"10.0.0.2", "172.20.0.9"}),
    port=8080,
    workload_port=9090,
)


def text(
    *,
    request: str = "GET / HTTP/1.1",
    code: int = 503,
    flags: str = "-",
    details: str = "-",
    termination: str = "-",
    failure: str = "-",
    authority: str = "-",
    host: str = "-",
    cluster: str = "-",
    local: str = "172.20.0.9:8080",
    remote: str = "10.0.0.1:5000",
    sni: str = "-",
    at: str = "2026-11-18T09:24:00.000Z",
    duration: int = 0,
) -> str:
    return (
        f'[{at}] "{request}" {code} {flags} {details} {termination} "{failure}" 0 0 {duration} - '
        f'"-" "-" "-" "{authority}" "{host}" {cluster} - {local} {remote} {sni} -'
    )


def line(**fields: object) -> Line:
    (found,) = parse(text(**fields)).lines  # type: ignore[arg-type]
    return found


OUT = "outbound|8080||pay.shop.svc.cluster.local"


@pytest.mark.parametrize(
    ("fields", "belongs"),
    [
        ({"cluster": OUT}, True),
        ({"cluster": "outbound|8080|v2|pay.shop.svc.corp.example"}, True),
        ({"cluster": "outbound|8081||pay.shop.svc.cluster.local"}, False),
        ({"cluster": "outbound|8080||pay.other.svc.cluster.local"}, False),
        ({"cluster": "PassthroughCluster", "host": "10.0.0.2:9090"}, True),
        ({"cluster": "PassthroughCluster", "host": "10.0.0.2:7"}, False),
        ({"cluster": "PassthroughCluster", "host": "10.9.9.9:8080"}, False),
        ({"cluster": "BlackHoleCluster", "authority": "pay.shop:8080"}, True),
        ({"request": "- - -", "code": 0, "flags": "NC", "sni": "pay.shop"}, True),
        ({"request": "- - -", "code": 0, "flags": "NC", "sni": "other.shop"}, False),
        ({"request": "- - -", "code": 0, "flags": "NR", "sni": "pay.shop"}, False),
        ({"request": "- - -", "code": 0, "flags": "NC"}, True),  # by the address called
        ({"request": "- - -", "code": 0, "flags": "NC", "local": "172.20.0.8:8080"}, False),
        ({"request": "- - -", "code": 0, "flags": "NR"}, False),
        ({"authority": "pay.shop:8080", "flags": "NR", "code": 404}, True),
        ({"authority": "other:8080", "flags": "NR", "local": "1.1.1.1:8080"}, False),
        ({"cluster": "inbound|9090||", "authority": "pay.shop"}, False),
        ({"cluster": "outbound|8080||a.b.svc.x", "authority": "pay.shop:8080"}, False),
        ({"request": "- - -", "code": 0, "local": "10.0.0.2:9090", "flags": "NR"}, False),
    ],
)
def test_client_lines(fields: dict[str, object], belongs: bool) -> None:
    assert bool(ev.of_client(parse(text(**fields)), TARGET)) is belongs  # type: ignore[arg-type]


def test_an_address_that_the_cluster_led_to_before_its_pod_was_gone() -> None:
    past = text(cluster="PassthroughCluster", host="10.0.0.9:8080", flags="UF")
    led = text(cluster=OUT, host="10.0.0.9:8080")
    other = text(cluster="outbound|8080||cart.shop.svc.cluster.local", host="10.0.0.9:8080")
    assert len(ev.of_client(parse(f"{led}\n{past}"), TARGET)) == 2
    assert not ev.of_client(parse(past), TARGET)
    assert not ev.of_client(parse(f"{other}\n{past}"), TARGET)


NR = {
    "request": "- - -",
    "code": 0,
    "flags": "NR",
    "details": "filter_chain_not_found",
    "local": "10.0.0.2:9090",
}


DPE = {
    "request": "- - HTTP/1.1",
    "code": 400,
    "flags": "DPE",
    "details": "http1.codec_error",
    "local": "10.0.0.2:8080",
}


@pytest.mark.parametrize(
    ("fields", "belongs"),
    [
        (DPE, True),
        (DPE | {"local": "10.0.0.2:9999"}, False),
        (DPE | {"local": "172.20.0.6:8080"}, False),
        (DPE | {"cluster": OUT}, False),
        (DPE | {"code": 426, "details": "low_version"}, False),
        (DPE | {"code": 431, "details": "http1.too_many_headers"}, False),
        (DPE | {"flags": "-", "code": 200, "details": "via_upstream"}, False),
    ],
)
def test_bytes_of_the_client_that_are_no_http(fields: dict[str, object], belongs: bool) -> None:
    assert bool(ev.not_http(parse(text(**fields)), TARGET)) is belongs  # type: ignore[arg-type]


PASSED = {"request": "- - -", "code": 0, "cluster": "PassthroughCluster", "local": "10.0.0.2:8080"}


@pytest.mark.parametrize(
    ("fields", "belongs"),
    [
        (PASSED, True),
        (PASSED | {"local": "10.0.0.2:9999"}, False),
        (PASSED | {"local": "172.20.0.6:8080"}, False),
        (PASSED | {"cluster": OUT}, False),
        (PASSED | {"request": "GET / HTTP/1.1", "code": 200}, False),
    ],
)
def test_bytes_that_the_sidecar_passes_on(fields: dict[str, object], belongs: bool) -> None:
    assert bool(ev.handed_on(parse(text(**fields)), TARGET)) is belongs  # type: ignore[arg-type]


def test_bytes_that_are_no_http_to_a_host_outside() -> None:
    log = parse(text(**(DPE | {"local": "172.217.16.196:443"})))  # type: ignore[arg-type]
    outside = ev.Target(hosts=frozenset({"www.google.com"}), port=443)
    assert ev.not_http(log, outside)
    assert not ev.not_http(log, ev.Target(hosts=outside.hosts, port=80))
    assert not ev.not_http(log, ev.Target(hosts=outside.hosts)), "no port, nothing to tell it by"


@pytest.mark.parametrize(
    ("fields", "beyond"),
    [
        ({"details": "via_upstream"}, True),
        ({"details": "-", "host": "10.0.0.9:80"}, True),
        ({"details": "-", "host": "10.0.0.9:80", "flags": "UF"}, False),
        ({"details": "-", "host": "-"}, False),
        ({"details": "other", "host": "10.0.0.9:80"}, False),
    ],
)
def test_who_answered(fields: dict[str, object], beyond: bool) -> None:
    (line,) = parse(text(**({"code": 401, "flags": "-"} | fields))).lines  # type: ignore[arg-type]
    assert ev.by_upstream(line) is beyond


@pytest.mark.parametrize(
    ("fields", "belongs"),
    [
        (NR, True),
        (NR | {"local": "10.0.0.2:1"}, False),
        ({"cluster": "inbound|9090||"}, True),
        ({"cluster": "inbound|1||"}, False),
        ({"cluster": "inbound|80|http|pay.shop.svc.cluster.local", "local": "10.0.0.2:9090"}, True),
        ({"cluster": "inbound|9090|http|b.shop.svc.cluster.local", "local": "10.0.0.2:1"}, False),
        ({"cluster": "InboundPassthroughCluster", "local": "10.0.0.2:9090"}, True),
        ({"cluster": OUT, "local": "10.0.0.2:9090"}, False),
    ],
)
def test_server_lines(fields: dict[str, object], belongs: bool) -> None:
    assert bool(ev.of_server(parse(text(**fields)), TARGET)) is belongs  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "fails", "is_refused"),
    [
        ({"code": 200, "details": "rbac_access_denied_matched_policy[none]"}, True, False),
        (NR, True, True),
        ({"code": 200, "details": "via_upstream"}, False, False),
        ({"code": 404, "details": "via_upstream"}, True, False),
        ({"code": 0, "flags": "DC"}, False, False),
        ({"code": 0, "request": "- - -", "flags": "-", "cluster": "inbound|9090||"}, False, False),
        (
            {
                "code": 0,
                "request": "- - -",
                "termination": "rbac_access_denied_matched_policy[none]",
                "cluster": "inbound|9090||",
            },
            True,
            False,
        ),
        ({"code": 404, "flags": "NR", "details": "route_not_found"}, True, False),
    ],
)
def test_failed_and_refused(fields: dict[str, object], fails: bool, is_refused: bool) -> None:
    one = line(**fields)
    assert (ev.failed(one), ev.refused(one)) == (fails, is_refused)


def test_typical_failure_is_the_most_frequent() -> None:
    log = parse(
        "\n".join(
            [
                text(code=200),
                text(flags="UC", cluster=OUT),
                text(flags="UF,URX", cluster=OUT, remote="10.0.0.1:1"),
                text(flags="URX,UF", cluster=OUT, remote="10.0.0.1:2"),
            ]
        )
    )
    found = ev.typical(log.lines)
    assert found is not None and found.downstream_remote == "10.0.0.1:2"
    assert ev.in_words(found) == "503 UF,URX -"
    assert ev.typical(log.lines[:1]) is None
    assert ev.count(log.lines, ev.failed) == 3
    assert ev.peers(log.lines) == ("10.0.0.1",)
    assert len(ev.from_peers(log.lines, ev.Peers(ips=frozenset({"10.0.0.9"})))) == 0


@pytest.mark.parametrize(
    ("forwards", "remote", "sent"),
    [
        (True, "203.0.113.9:0", 1),
        # The address of the caller of some gateway, not of this client.
        (False, "203.0.113.9:0", 0),
        (True, "203.0.113.9:4410", 0),
        (False, "10.0.0.9:4410", 1),
    ],
)
def test_what_a_gateway_forwards_bears_its_callers_address(
    forwards: bool, remote: str, sent: int
) -> None:
    peers = ev.Peers(ips=frozenset({"10.0.0.9"}), forwards=forwards)
    assert len(ev.from_peers([line(remote=remote)], peers)) == sent


@pytest.mark.parametrize(
    ("durations", "seconds"),
    [
        ((120_001, 120_000, 120_900), 120),
        ((120_001, 120_000), 0),
        ((120_001, 120_000, 90_000), 0),
        ((15, 15, 15), 0),  # closed at once: no patience at all
        ((), 0),
    ],
)
def test_the_same_wait(durations: tuple[int, ...], seconds: int) -> None:
    assert ev.same_wait(line(duration=one) for one in durations) == seconds


def test_span_adds_the_duration() -> None:
    one = line(duration=600_000)
    assert ev.span([one]) == (
        datetime(2026, 11, 18, 9, 24, tzinfo=UTC),
        datetime(2026, 11, 18, 9, 34, tzinfo=UTC),
    )
    assert ev.span([]) == (None, None)


def test_words() -> None:
    wvn = "TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end"
    assert ev.tls_word(line(flags="UF,URX", failure=wvn)) == "wrong_version"
    assert ev.connect_word(line(flags="UF", failure=wvn)) == ""
    assert ev.connect_word(line(flags="UF", failure="delayed_connect_error:_111")) == "refused"
    # A proxy before 1.9 logs no reason: within the pod nothing else happens.
    inside = line(flags="UF", details="-", cluster="inbound|80|http|a.b.svc.cluster.local")
    assert ev.connect_word(inside) == "refused"
    assert ev.connect_word(line(flags="UF", details="-", cluster=OUT)) == ""
    assert ev.most_common(["", "a", "b", "b"]) == "b"
    assert ev.most_common([]) == ""


@pytest.mark.parametrize(
    ("details", "policy"),
    [
        ("rbac_access_denied_matched_policy[none]", "none"),
        ("rbac_access_denied_matched_policy[ns[shop]-policy[deny-all]-rule[0]]", "shop/deny-all"),
        (
            "rbac_access_denied_matched_policy[istio-ext-authz-p1-ns[a]-policy[b]-rule[0]-deny-due-"
            "to-bad-CUSTOM-action]",
            "a/b",
        ),
        ("via_upstream", ""),
    ],
)
def test_denied_policy(details: str, policy: str) -> None:
    assert ev.denied_policy(line(code=403, details=details)) == policy
    assert ev.denied_policy(line(code=0, termination=details)) == policy


def test_jwt_reason() -> None:
    found = line(code=401, details="jwt_authn_access_denied{Jwt_is_expired}")
    assert ev.jwt_reason(found) == "Jwt is expired"
    assert ev.jwt_reason(line()) == ""


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"cluster": "BlackHoleCluster", "flags": "UH", "code": 0}, True),
        ({"code": 502, "details": "direct_response"}, True),
        ({"code": 502}, True),
        ({"code": 502, "host": "10.0.0.2:9090"}, False),
        ({"code": 502, "flags": "UPE"}, False),
        ({"code": 502, "details": "via_upstream", "host": "10.0.0.2:9090", "cluster": OUT}, False),
        ({"code": 503, "flags": "UF"}, False),
    ],
)
def test_calls_that_registry_only_refuses(fields: dict[str, object], refused: bool) -> None:
    assert ev.black_holed(line(**fields)) is refused


def test_of_a_gateway_only_the_host_that_is_asked_of_it() -> None:
    mine = text(authority="shop.example.com:443", cluster="outbound|80||pay.shop", sni="lb.org")
    other = text(authority="b.org", flags="NR", details="route_not_found")
    rewritten = text(authority="pay.shop", cluster="outbound|80||pay.shop")
    by_name = text(request="- - -", flags="NR", details="filter_chain_not_found", sni="c.org")

    def kept(*some: str, host: str = "shop.example.com") -> list[int]:
        lines = parse("\n".join(some)).lines
        found = ev.of_host(lines, host)
        return [number for number, line in enumerate(lines) if line in found]

    assert kept(mine, other, rewritten) == [0, 2]
    assert kept(mine, other, host="") == [0, 1]
    assert kept(other, by_name) == [1], "callers may name another host in TLS"
    assert kept(mine, by_name) == [0], "but those that arrived did not"


def test_what_came_to_a_gateway_for_the_host_that_is_asked_of_it() -> None:
    target = ev.Target(hosts=frozenset(), port=80, workload_port=8080, named="a.org")
    out = "outbound|80||pay.shop"
    lines = parse(
        "\n".join(
            text(authority=name, cluster=out, local=f"10.0.0.2:{port}", code=200)
            for name, port in (("a.org", 8080), ("b.org", 8080), ("a.org", 8443))
        )
    )
    assert ev.of_gateway(lines, target) == lines.lines[:1]


@pytest.mark.parametrize(
    ("fields", "belongs"),
    [
        ({"sni": "a.ext.example"}, True),
        ({"authority": "a.ext.example:8080"}, True),
        ({"sni": "b.ext.example"}, False),
        ({"authority": "-"}, False),
        ({"sni": "a.ext.example", "cluster": "outbound|8081||*.ext.example"}, False),
        ({"sni": "a.ext.example", "cluster": "outbound|8080||*.other.example"}, False),
    ],
)
def test_hosts_that_share_a_wildcards_cluster(fields: dict[str, str], belongs: bool) -> None:
    target = ev.Target(hosts=frozenset({"a.ext.example"}), port=8080)
    log = parse(text(**{"cluster": "outbound|8080||*.ext.example", **fields}))  # type: ignore[arg-type]
    assert bool(ev.of_client(log, target)) is belongs
