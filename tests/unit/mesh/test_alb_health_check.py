"""Does an application load balancer check a path that its gateway does not know?"""

import pytest

from meshdoctor.mesh.alb_health_check import checks_root, takes_any_host
from meshdoctor.model.istio import VirtualService, VirtualServiceSpec
from meshdoctor.model.kubernetes import Ingress, Meta, Service


@pytest.mark.parametrize(
    ("ingress", "service", "root"),
    [
        ({}, {}, True),
        ({"scheme": "internet-facing", "success-codes": "200"}, {}, True),
        ({"healthcheck-path": "/healthz/ready"}, {}, False),
        ({}, {"healthcheck-path": "/healthz/ready"}, False),
        ({"healthcheck-port": "30021"}, {}, False),
        ({"success-codes": "200,404"}, {}, False),
        ({"success-codes": "200,404"}, {"success-codes": "200"}, True),
        ({"backend-protocol": "HTTPS"}, {}, False),
        ({"backend-protocol": "HTTPS", "healthcheck-protocol": "HTTP"}, {}, True),
        ({"backend-protocol-version": "GRPC"}, {}, False),
    ],
)
def test_what_is_checked(ingress: dict[str, str], service: dict[str, str], root: bool) -> None:
    notes = [
        {f"alb.ingress.kubernetes.io/{k}": v for k, v in d.items()} for d in (ingress, service)
    ]
    meta = [Meta(name="a", namespace="in", annotations=n) for n in notes]
    assert checks_root(Ingress(metadata=meta[0]), Service(metadata=meta[1])) is root


@pytest.mark.parametrize(
    ("hosts", "gateways", "any_host"),
    [
        (("*",), ("in/gw",), True),
        (("*",), ("mesh",), False),
        (("*",), (), False),
        (("*.example.com",), ("in/gw",), False),
    ],
)
def test_a_route_for_every_host(
    hosts: tuple[str, ...], gateways: tuple[str, ...], any_host: bool
) -> None:
    spec = VirtualServiceSpec(hosts=hosts, gateways=gateways)
    assert takes_any_host([VirtualService(spec=spec)]) is any_host
