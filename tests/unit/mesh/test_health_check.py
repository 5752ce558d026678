"""Does a load balancer check a port on which nothing listens?"""

import pytest
from msgspec.structs import replace

from meshdoctor.mesh.aws_load_balancer import PREFIX, balancer
from meshdoctor.mesh.health_check import Silent, silent
from meshdoctor.model.istio import Gateway, GatewaySpec, Port, Server
from meshdoctor.model.kubernetes import (
    Container,
    Meta,
    Pod,
    PodSpec,
    Service,
    ServicePort,
    ServiceSpec,
)

HTTP = ServicePort(name="http", port=80, target_port=8080, node_port=30080)
HTTPS = ServicePort(name="https", port=443, target_port=8443, node_port=30443)
STATUS = ServicePort(name="status", port=15021, target_port=15021, node_port=30021)
PROXY = Container(name="istio-proxy", args=("proxy", "router"))
GATEWAY = Gateway(
    kind="Gateway",
    spec=GatewaySpec(servers=(Server(port=Port(number=443, name="s", protocol="HTTPS")),)),
)
CLASSIC = {f"{PREFIX}backend-protocol": "tcp"}
NODES = {f"{PREFIX}type": "external", f"{PREFIX}nlb-target-type": "instance"}


def found(
    *ports: ServicePort,
    notes: dict[str, str] | None = None,
    policy: str = "Cluster",
    containers: tuple[Container, ...] = (PROXY,),
    gateways: tuple[Gateway, ...] = (GATEWAY,),
) -> Silent | None:
    spec = ServiceSpec(type="LoadBalancer", ports=ports, external_traffic_policy=policy)
    meta = Meta(name="gw", namespace="in", annotations=CLASSIC if notes is None else notes)
    service = Service(kind="Service", metadata=meta, spec=spec)
    asked = balancer(service)
    assert asked is not None
    return silent(service, asked, [Pod(kind="Pod", spec=PodSpec(containers=containers))], gateways)


def test_a_classic_balancer_checks_the_first_port() -> None:
    assert found(HTTP, HTTPS) == Silent(port=80, of_node=False, serves=443)
    assert found(HTTPS, HTTP) is None
    assert found(STATUS, HTTP, HTTPS) is None
    assert found(HTTP, HTTPS, policy="Local") is None, "then it asks kube-proxy"
    assert found(HTTP, HTTPS, notes={}) is None, "no load balancer of AWS"
    assert found(HTTP, HTTPS, gateways=()) is None, "nothing is served yet"
    other = Container(name="nginx")
    assert found(HTTP, HTTPS, containers=(PROXY, other)) is None, "who knows where it listens"
    udp = replace(HTTP, protocol="UDP")
    assert found(udp, HTTPS) is None


@pytest.mark.parametrize(
    ("port", "kind", "silent_"),
    [("15021", "instance", True), ("30021", "instance", False), ("15021", "ip", False)]
    + [("traffic-port", "instance", False), ("", "instance", False)],
)
def test_a_network_balancer_asks_the_port_that_it_is_given(
    port: str, kind: str, silent_: bool
) -> None:
    notes = {
        **NODES,
        f"{PREFIX}nlb-target-type": kind,
        f"{PREFIX}healthcheck-port": port,
    }
    asked = found(STATUS, HTTP, HTTPS, notes=notes)
    assert asked == (Silent(port=15021, of_node=True, serves=443) if silent_ else None)


def test_the_cloud_providers_network_balancer_is_not_judged() -> None:
    notes = {f"{PREFIX}type": "nlb", f"{PREFIX}healthcheck-port": "15021"}
    assert found(HTTP, HTTPS, notes=notes) is None
