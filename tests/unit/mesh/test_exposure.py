"""What brings calls from outside straight to a Service's pods?"""

import msgspec
import pytest

from meshdoctor.mesh.exposure import exposure
from meshdoctor.model.kubernetes import Ingress, IngressSpec, Meta, Service, ServiceSpec


def ingress(spec: dict[str, object], name: str = "web", ns: str = "shop", **notes: str) -> Ingress:
    meta = Meta(name=name, namespace=ns, annotations=notes)
    return Ingress(kind="Ingress", metadata=meta, spec=msgspec.convert(spec, IngressSpec))


def rules(service: str) -> list[object]:
    return [{"http": {"paths": [{"backend": {"service": {"name": service}}}]}}]


ALB = ingress({"ingressClassName": "alb", "rules": rules("web")})
OLD = ingress({"rules": rules("web")}, **{"kubernetes.io/ingress.class": "alb"})
NGINX = ingress({"ingressClassName": "nginx", "rules": rules("web")}, name="a")
DEFAULT = ingress({"ingressClassName": "alb", "defaultBackend": {"service": {"name": "web"}}})
ISTIO = ingress({"ingressClassName": "istio", "rules": rules("web")})
OTHER = ingress({"ingressClassName": "alb", "rules": rules("api")})
ELSEWHERE = ingress({"ingressClassName": "alb", "rules": rules("web")}, ns="web")


@pytest.mark.parametrize(
    ("type_", "ingresses", "by", "balancer"),
    [
        ("ClusterIP", [], "", False),
        ("NodePort", [], "Service/shop/web", False),
        ("LoadBalancer", [], "Service/shop/web", False),
        ("NodePort", [ALB], "Ingress/shop/web", True),
        ("ClusterIP", [OLD], "Ingress/shop/web", True),
        ("ClusterIP", [DEFAULT], "Ingress/shop/web", True),
        ("ClusterIP", [NGINX], "Ingress/shop/a", False),
        ("ClusterIP", [NGINX, ALB], "Ingress/shop/web", True),
        ("ClusterIP", [ISTIO, OTHER, ELSEWHERE], "", False),
    ],
)
def test_exposure(type_: str, ingresses: list[Ingress], by: str, balancer: bool) -> None:
    service = Service(
        kind="Service", metadata=Meta(name="web", namespace="shop"), spec=ServiceSpec(type=type_)
    )
    found = exposure(service, ingresses)
    assert (found.by, found.balancer) == (by, balancer)
