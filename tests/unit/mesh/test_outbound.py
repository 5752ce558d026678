"""What becomes of calls out of the mesh?"""

import pytest

from meshdoctor.mesh import outbound
from meshdoctor.mesh.access_log import Line, parse
from meshdoctor.model.istio import EntryAddress, EntryStatus, Port, ServiceEntry, ServiceEntrySpec
from meshdoctor.model.kubernetes import Meta, Service, ServicePort, ServiceSpec


def line(first: str, rest: str, called: str = "1.2.3.4:80", cluster: str = "-") -> Line:
    text = (
        f'[2026-11-18T09:24:00.502Z] "{first}" {rest} - "-" 0 95 12 - "-" "curl" "id" '
        f'"a.example:443" "-" {cluster} - {called} 10.0.0.1:4000 - -'
    )
    return parse(text).lines[0]


REFUSED = line("GET / HTTP/1.1", "502 - direct_response")
PASSED = line("- - -", "0 - -", cluster="PassthroughCluster")
TUNNEL = line("CONNECT - HTTP/1.1", "404 NR route_not_found", "1.2.3.4:3128")


def test_the_opposite_of_a_policy() -> None:
    assert outbound.contrary(REFUSED, False) and not outbound.contrary(REFUSED, True)
    assert outbound.contrary(PASSED, True) and not outbound.contrary(PASSED, False)
    own = line("- - -", "0 UH -", "1.2.3.4:15001", "BlackHoleCluster")
    assert not outbound.contrary(own, False), "the proxy's own port is never let through"


def test_calls_that_meet_the_routes_of_http() -> None:
    assert outbound.met_http(REFUSED) and outbound.met_http(TUNNEL)
    assert not outbound.met_http(PASSED)
    assert outbound.connects(TUNNEL, 3128) and not outbound.connects(TUNNEL, 80)
    assert not outbound.connects(line("CONNECT - HTTP/1.1", "200 - -", "1.2.3.4:3128"), 3128)


@pytest.mark.parametrize(
    ("first", "rest", "called", "cluster", "is_garbled"),
    [
        ("- - HTTP/1.1", "400 DPE http1.codec_error", "1.2.3.4:443", "-", True),
        ("- - HTTP/1.1", "400 DPE http1.codec_error", "1.2.3.4:80", "-", False),
        ("- - HTTP/1.1", "400 DPE http1.codec_error", "10.0.0.1:443", "-", False),  # inbound
        ("GET / HTTP/1.0", "426 DPE low_version", "1.2.3.4:443", "-", False),
        ("GET / HTTP/1.1", "404 NR route_not_found", "1.2.3.4:443", "-", False),
        ("GET / HTTP/1.1", "502 DPE x", "1.2.3.4:443", "outbound|443||a.example", False),
    ],
)
def test_what_was_read_as_http_and_is_none(
    first: str, rest: str, called: str, cluster: str, is_garbled: bool
) -> None:
    one = line(first, rest, called, cluster)
    assert outbound.garbled(one, 443, frozenset({"10.0.0.1"})) is is_garbled


def entry(protocol: str, *addresses: str, host: str = "a.example") -> ServiceEntry:
    ports = (Port(number=80, name="p", protocol=protocol),)
    spec = ServiceEntrySpec(hosts=(host,), ports=ports, addresses=addresses)
    return ServiceEntry(kind="ServiceEntry", metadata=Meta(name=host, namespace="x"), spec=spec)


@pytest.mark.parametrize(
    ("one", "called", "port", "found"),
    [
        (entry("TCP", "1.0.0.0/8"), "1.2.3.4", 80, True),
        (entry("TLS", "9.0.0.0/8", "1.0.0.0/8"), "1.2.3.4", 80, True),
        (entry("HTTP", "1.0.0.0/8"), "1.2.3.4", 80, False),
        (entry("TCP", "1.2.3.4"), "1.2.3.4", 80, False),
        (entry("TCP", "1.2.3.4/32"), "1.2.3.4", 80, False),
        (entry("TCP", "9.0.0.0/8"), "1.2.3.4", 80, False),
        (entry("TCP", "1.0.0.0/8"), "1.2.3.4", 443, False),
        (entry("TCP"), "1.2.3.4", 80, False),
    ],
)
def test_an_address_in_a_range(one: ServiceEntry, called: str, port: int, found: bool) -> None:
    assert (outbound.ranged([one], called, port) is not None) is found


def test_who_makes_http_of_a_port() -> None:
    ports = (ServicePort(name="http", port=80),)
    service = Service(
        kind="Service", metadata=Meta(name="s", namespace="x"), spec=ServiceSpec(ports=ports)
    )
    by_entry = outbound.http_on(
        80, ("b.example",), [entry("HTTP"), entry("HTTP", host="b.example")], [service]
    )
    assert by_entry is not None and by_entry.ref == "ServiceEntry/x/b.example"
    by_service = outbound.http_on(80, (), [entry("TCP")], [service])
    assert by_service is not None and by_service.ref == "Service/x/s"
    assert outbound.http_on(81, (), [entry("HTTP")], [service]) is None


def test_addresses_of_others() -> None:
    """What is closed at another host's address is no call of this one."""
    there = Service(
        kind="Service",
        metadata=Meta(name="s", namespace="x"),
        spec=ServiceSpec(cluster_ip="9.9.9.9"),
    )
    entries = [entry("TCP", "1.2.3.4"), entry("HTTP", "5.6.7.8", host="*.b.example")]
    assert outbound.of_others("c.b.example", entries, [there]) == {"1.2.3.4", "9.9.9.9"}
    assert outbound.of_others("a.example", entries, []) == {"5.6.7.8"}


def test_calls_that_tell_no_name() -> None:
    closed = line("- - -", "0 UH -", "1.2.3.4:6379", "BlackHoleCluster")
    assert outbound.nameless(closed, 6379) and not outbound.nameless(closed, 5432)
    assert not outbound.nameless(PASSED, 80), "it was let through"


@pytest.mark.parametrize(
    ("first", "rest", "called", "cluster", "is_adrift"),
    [
        ("GET / HTTP/1.1", "503 UF -", "240.240.0.7:80", "PassthroughCluster", True),
        ("- - -", "0 UF,URX -", "240.240.0.7:80", "PassthroughCluster", True),
        ("- - -", "0 UH -", "240.240.0.7:80", "BlackHoleCluster", True),
        ("- - -", "0 - -", "240.240.0.7:80", "PassthroughCluster", False),
        ("- - -", "0 UF -", "240.240.0.7:81", "PassthroughCluster", False),
        ("- - -", "0 UF -", "198.51.100.7:80", "PassthroughCluster", False),
        ("- - -", "0 UF -", "240.240.0.7:80", "outbound|80||a.example", False),
    ],
)
def test_addresses_of_istiods_own_making(
    first: str, rest: str, called: str, cluster: str, is_adrift: bool
) -> None:
    one = line(first, rest, called, cluster)
    assert outbound.adrift(one, "a.example", 80) is is_adrift
    foreign = is_adrift and not one.method
    assert outbound.adrift(one, "b.example", 80) is foreign, "bytes tell no host"


def test_for_what_such_an_address_stands() -> None:
    def made(name: str, number: int, value: str = "") -> ServiceEntry:
        told = (EntryAddress(host="a.example", value=value),) if value else ()
        return ServiceEntry(
            kind="ServiceEntry",
            metadata=Meta(name=name, namespace="x"),
            spec=ServiceEntrySpec(hosts=("a.example",), ports=(Port(number=number),)),
            status=EntryStatus(addresses=told),
        )

    def found(*entries: ServiceEntry) -> str:
        one = outbound.stands_for(entries, "240.240.0.7", "a.example", 80)
        return one.name if one is not None else ""

    assert found(made("a", 9444)) == "a"
    assert found(made("a", 80)) == ""
    assert found(made("a", 9444, "240.240.0.7"), made("b", 80, "240.240.0.8")) == "a"
    assert found(made("a", 80, "240.240.0.7"), made("b", 9444, "240.240.0.8")) == ""
    assert found(entry("TCP", host="b.example")) == ""


@pytest.mark.parametrize(
    ("first", "rest", "called", "host", "said"),
    [
        ("GET / HTTP/1.1", "502 - direct_response", "1.2.3.4:80", "a.example", 443),
        ("GET / HTTP/1.1", "404 NR route_not_found", "1.2.3.4:80", "a.example", 443),
        ("GET / HTTP/1.1", "502 - direct_response", "1.2.3.4:443", "a.example", 0),
        ("GET / HTTP/1.1", "502 - direct_response", "1.2.3.4:80", "b.example", 0),
        ("GET / HTTP/1.1", "200 - via_upstream", "1.2.3.4:80", "a.example", 0),
    ],
)
def test_a_port_in_the_host_header(
    first: str, rest: str, called: str, host: str, said: int
) -> None:
    one = line(first, rest, called)
    assert outbound.ported(one, host, one.local_port) == said
