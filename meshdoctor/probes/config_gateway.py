"""Why does a Gateway never apply, or one of its servers?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.gateway_binding import (
    PortFault,
    gateway_pods,
    missing_port,
    nearest,
    privileged_port,
)
from meshdoctor.mesh.log_lines import of
from meshdoctor.mesh.text import clean, pairs
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import Gateway
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.ports import MissingError
from meshdoctor.probes import istiod_said
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes.view import View, probe


class GatewayFacts(Struct, frozen=True, kw_only=True):
    """Of an Istio Gateway; every other kind gives empty facts."""

    ref: Annotated[Fact[Ref], "the Gateway; empty: the subject is of another kind"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    selector: Annotated[Fact[str], "its selector"]
    pods: Annotated[Fact[int], "gateway pods that it selects in the scope"]
    gateways: Annotated[Fact[int], "gateway pods of the scope"]
    problem: Annotated[Fact[str], "what is wrong, in words; empty: nothing"]
    nearest: Annotated[Fact[str], "the gateway pod that comes closest, namespace/pod"]
    nearest_labels: Annotated[Fact[str], "its labels of the selector's keys; empty: it has none"]
    missing_port: Annotated[Fact[int], "a server's port that no Service of its pods has; 0: none"]
    privileged_port: Annotated[
        Fact[int], "port below 1024 that istiod leaves out, as the pods may not bind it; 0: none"
    ]
    skipped: Annotated[Fact[int], "times istiod said that it left that port out", OBSERVED]
    service: Annotated[Fact[Ref], "the Service in front of its pods; empty: none"]
    service_name: Annotated[Fact[str], "its name"]
    service_namespace: Annotated[Fact[str], "its namespace"]


_NO_GATEWAY = GatewayFacts(
    ref=Ref(""),
    name="",
    namespace="",
    selector="",
    pods=0,
    gateways=0,
    problem="",
    nearest="",
    nearest_labels="",
    missing_port=0,
    privileged_port=0,
    skipped=0,
    service=Ref(""),
    service_name="",
    service_namespace="",
)


@probe(
    "config-gateway",
    subject=SubjectKind.CONFIG,
    reads=("Gateway", "Pod", "Service", "log"),
    kinds=("Gateway",),
)
def config_gateway(view: View, config: ConfigSubject) -> GatewayFacts:
    """Does a Gateway select gateway pods, on ports that their Service has?"""
    if config.config_kind != "Gateway":
        return _NO_GATEWAY
    gateway = view.object("Gateway", Gateway, config.namespace, config.name)
    if gateway is None:
        raise MissingError(str(config), "it does not exist any more")
    everywhere = shared.gateway_pods_known(view)
    chosen = gateway_pods(gateway, everywhere)
    near = nearest(gateway, everywhere)
    services = view.objects("Service", Service) if chosen else ()
    miss = missing_port(gateway, chosen, services) if chosen else None
    told = _skips(view) if chosen else ()
    low = privileged_port(gateway, chosen, services, told)
    fault = miss or low
    service = fault.service if fault is not None else None
    return GatewayFacts(
        ref=Ref(gateway.ref),
        name=gateway.name,
        namespace=gateway.namespace,
        selector=pairs(gateway.spec.selector),
        pods=len(chosen),
        gateways=len(everywhere),
        problem=_problem(gateway, len(chosen), near, miss, low),
        nearest=f"{near.namespace}/{near.name}" if near is not None else "",
        nearest_labels=pairs(
            {k: near.labels[k] for k in gateway.spec.selector if k in near.labels}
            if near is not None
            else {}
        ),
        missing_port=miss.port if miss is not None else 0,
        privileged_port=low.port if low is not None else 0,
        skipped=sum(port == low.port for _, port in told) if low is not None else 0,
        service=Ref(service.ref if service is not None else ""),
        service_name=service.name if service is not None else "",
        service_namespace=service.namespace if service is not None else "",
    )


def _skips(view: View) -> tuple[tuple[str, int], ...]:
    """Gateway pods (`pod.namespace`) and ports that istiod left out, as often as it says so."""
    said = of(istiod_said.sightings(view), "port_skipped")
    return tuple((s.get("proxy"), int(s.get("port"))) for s in said if s.get("port"))


def _problem(
    gateway: Gateway,
    pods: int,
    near: Pod | None,
    miss: PortFault | None,
    low: PortFault | None,
) -> str:
    if miss is not None:
        front = miss.service.ref if miss.service is not None else "no Service"
        return clean(f"port {miss.port} is on no Service in front of its pods ({front})", 300)
    if low is not None:
        return (
            f"port {low.port} of the gateway pods is below 1024, and they may not bind it "
            "(ISTIO_META_UNPRIVILEGED_POD): istiod leaves the listener out"
        )
    if pods or near is None:
        return ""
    has = pairs({k: near.labels[k] for k in gateway.spec.selector if k in near.labels})
    wanted = pairs(gateway.spec.selector)
    return clean(
        f"no gateway pod has {wanted} (the nearest, {near.namespace}/{near.name}, has {has})", 300
    )
