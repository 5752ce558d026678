"""Which protocol does a port name, an appProtocol or a number choose?"""

import pytest

from meshdoctor.mesh import protocols
from meshdoctor.model.kubernetes import (
    Container,
    ContainerPort,
    Pod,
    PodSpec,
    Service,
    ServicePort,
    ServiceSpec,
)

ROWS = [
    ("http", "", 80, "HTTP", "name"),
    ("http-web", "", 80, "HTTP", "name"),
    ("HTTP-web", "", 80, "HTTP", "name"),
    ("http2", "", 80, "HTTP2", "name"),
    ("grpc-web-x", "", 80, "GRPC-Web", "name"),
    ("grpc-x", "", 80, "GRPC", "name"),
    ("https-x", "", 443, "HTTPS", "name"),
    ("tls", "", 443, "TLS", "name"),
    ("mysql", "", 1, "MySQL", "name"),
    ("web", "", 80, "auto", "sniffing"),
    ("httpx", "", 80, "auto", "sniffing"),
    ("", "", 80, "auto", "sniffing"),
    ("", "", 3306, "TCP", "well-known port"),
    ("db", "", 27017, "TCP", "well-known port"),
    ("", "", 5432, "auto", "sniffing"),
    ("tcp-x", "http", 80, "HTTP", "appProtocol"),
    ("http-x", "strange", 80, "auto", "sniffing"),
    ("x", "kubernetes.io/h2c", 80, "HTTP2", "appProtocol"),
    ("x", "kubernetes.io/wss", 80, "HTTPS", "appProtocol"),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_select(row: tuple[str, str, int, str, str]) -> None:
    name, app, number, protocol, by = row
    found = protocols.select(ServicePort(name=name, app_protocol=app, port=number))
    assert (found.protocol, found.by) == (protocol, by)


def test_kinds_of_protocols() -> None:
    assert protocols.select_raw(80, "grpc").http
    assert protocols.select_raw(443, "https").opaque
    assert protocols.select_raw(80, "").sniffed
    udp = protocols.select_raw(53, "dns", "", "UDP")
    assert udp.protocol == "UDP" and not udp.opaque
    assert protocols.server_speaks_first(3306) and not protocols.server_speaks_first(8080)


@pytest.mark.parametrize(
    ("image", "first"),
    [
        ("docker.io/proxysql/proxysql:2.3.2", True),
        ("registry.example/mysql/web:1", False),
        ("prom/mysqld-exporter:v0.15", False),
        ("mariadb@sha256:77", True),
    ],
)
def test_a_server_that_speaks_first_by_its_image(image: str, first: bool) -> None:
    container = Container(name="a", image=image, ports=(ContainerPort(container_port=6033),))
    pod = Pod(spec=PodSpec(containers=(container,)))
    assert protocols.server_speaks_first(6033, pod) == first
    assert not protocols.server_speaks_first(8080, pod)


@pytest.mark.parametrize(
    ("ports", "called", "found"),
    [
        (((10101, "tcp-a", 9000), (10102, "grpc-a", 9000)), 10101, 10102),
        (((10101, "tcp-a", 9000), (10102, "grpc-a", 9000)), 10102, 0),
        (((10101, "tcp-a", 9000), (10102, "tcp-b", 9000)), 10101, 0),
        (((10101, "tcp-a", 9000), (10102, "grpc-a", 9001)), 10101, 0),
        (((10101, "", 9000), (10102, "grpc-a", 9000)), 10101, 0),
        (((10101, "tcp-a", 9000),), 10109, 0),
    ],
)
def test_a_port_of_another_protocol_with_the_same_target(
    ports: tuple[tuple[int, str, int], ...], called: int, found: int
) -> None:
    listed = tuple(ServicePort(port=p, name=n, target_port=t) for p, n, t in ports)
    other = protocols.twin(Service(spec=ServiceSpec(ports=listed)), called, None)
    assert (other.port if other is not None else 0) == found
