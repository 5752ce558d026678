"""What brings calls from outside the cluster straight to a Service's pods?

An Ingress of another controller than Istio's names the Service as its backend; failing that, the
Service itself has node ports. The AWS load balancer controller's ALB is no pod of the cluster: it
calls the pods or the node ports itself and cannot speak Istio's mutual TLS
(aws-load-balancer-controller docs/guide/ingress/annotations.md; istio/istio#43056).
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.model.kubernetes import Ingress, Service

CLASS = "kubernetes.io/ingress.class"
ALB, ISTIO = "alb", "istio"
OPEN_TYPES = ("NodePort", "LoadBalancer")


class Exposure(Struct, frozen=True, kw_only=True):
    """`by` is the Ingress or Service (`Kind/ns/name`), "" when nothing does; `balancer`: what
    calls is a load balancer outside the cluster, by the object's own words."""

    by: str = ""
    balancer: bool = False


def exposure(service: Service, ingresses: Iterable[Ingress]) -> Exposure:
    """What exposes a Service; an Ingress comes before the Service's own type, an ALB first."""
    mine = [
        one
        for one in sorted(ingresses, key=lambda i: (class_of(i) != ALB, i.name))
        if one.namespace == service.namespace
        and class_of(one) != ISTIO
        and service.name in backends(one)
    ]
    if mine:
        return Exposure(by=mine[0].ref, balancer=class_of(mine[0]) == ALB)
    if service.spec.type in OPEN_TYPES:
        return Exposure(by=service.ref)
    return Exposure()


def class_of(ingress: Ingress) -> str:
    """The class of an Ingress, by its field or its older annotation."""
    return ingress.spec.ingress_class_name or ingress.annotations.get(CLASS, "")


def backends(ingress: Ingress) -> frozenset[str]:
    """Names of the Services that an Ingress leads to."""
    spec = ingress.spec
    paths = [p.backend.service.name for r in spec.rules for p in r.http.paths]
    return frozenset([spec.default_backend.service.name, *paths]) - {""}
