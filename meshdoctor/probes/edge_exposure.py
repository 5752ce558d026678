"""Does something outside the cluster call the service's pods past Istio's gateways?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.exposure import Exposure, exposure
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import Ingress
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class EdgeExposure(Struct, frozen=True, kw_only=True):
    """What exposes the edge's Service; empty where nothing does, or where there is no Service."""

    by: Annotated[Fact[Ref], "the Ingress of another controller, or the open Service; empty: none"]
    balancer: Annotated[Fact[bool], "it is an AWS load balancer that calls pods or node ports"]


@probe("edge-exposure", subject=SubjectKind.EDGE, reads=("Ingress", "Service"))
def edge_exposure(view: View, edge: EdgeSubject) -> EdgeExposure:
    """Does something outside the cluster call the service's pods past Istio's gateways?"""
    service = reading.edge_service(view, edge)
    found = Exposure()
    if service is not None:
        found = exposure(service, view.objects("Ingress", Ingress, service.namespace))
    return EdgeExposure(by=Ref(found.by), balancer=found.balancer)
