"""Which load balancer and which TLS servers does a gateway workload have, and do they fit?"""

from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh import gateway_front as front
from meshdoctor.mesh import gateway_tls as gt
from meshdoctor.mesh.exposure import ALB, ISTIO, backends, class_of
from meshdoctor.mesh.gateway_binding import gateway_pods
from meshdoctor.mesh.services import services_of
from meshdoctor.mesh.text import pairs
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.istio import EnvoyFilter, Gateway, K8sGateway
from meshdoctor.model.kubernetes import Ingress, Pod, Service
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import reading
from meshdoctor.probes.gateway_objects import GATEWAY_NAME, gateways_of
from meshdoctor.probes.view import View, attempt, probe


class GatewayFront(Struct, frozen=True, kw_only=True):
    """A gateway workload; everything is false or empty for workloads that are none."""

    gateway: Annotated[Fact[bool], "it runs gateway proxies"]
    terminates: Annotated[Fact[bool], "a server of its Gateways ends or passes TLS"]
    east_west: Annotated[Fact[bool], "it has an AUTO_PASSTHROUGH server"]
    first: Annotated[Fact[Ref], "the first Gateway with TLS; empty: none"]
    crossed: Annotated[Fact[str], "tls-ended-twice, redirect-loop, plain-on-443; empty: none"]
    crossed_port: Annotated[Fact[int], "the service port"]
    crossed_gateway: Annotated[Fact[Ref], "the Gateway whose server does not fit"]
    service: Annotated[Fact[Ref], "its LoadBalancer Service; empty: none"]
    service_name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "namespace of the workload"]
    sends_proxy: Annotated[Fact[bool], "the load balancer sends PROXY headers"]
    expects_proxy: Annotated[Fact[bool], "the gateway expects PROXY headers"]
    balanced: Annotated[Fact[bool], "it stands behind a load balancer of AWS"]
    ingress: Annotated[Fact[Ref], "an Ingress of another controller that leads to it; empty: none"]
    nameless: Annotated[Fact[bool], "an ALB speaks HTTPS to it, and no TLS server is for any host"]
    named: Annotated[Fact[Ref], "the first Gateway that such calls do not meet; empty: none"]
    workload: Annotated[Fact[Ref], "the workload"]
    pod: Annotated[Fact[str], "one of its pods"]
    target: Annotated[Fact[str], "the workload as kubectl takes it, kind/name"]
    idle: Annotated[
        Fact[bool], "the run asks about it, and no Gateway or Ingress gives it a listener"
    ]
    labels: Annotated[Fact[str], "the labels of its pods that Gateways select"]
    near: Annotated[Fact[Ref], "the Gateway that comes closest to selecting it; empty: none"]
    near_name: Annotated[Fact[str], "its name"]
    near_namespace: Annotated[Fact[str], "its namespace"]
    near_selector: Annotated[Fact[str], "its selector"]


_NONE = GatewayFront(
    gateway=False,
    terminates=False,
    east_west=False,
    first=Ref(""),
    crossed="",
    crossed_port=0,
    crossed_gateway=Ref(""),
    service=Ref(""),
    service_name="",
    namespace="",
    sends_proxy=False,
    expects_proxy=False,
    balanced=False,
    ingress=Ref(""),
    nameless=False,
    named=Ref(""),
    workload=Ref(""),
    pod="",
    target="",
    idle=False,
    labels="",
    near=Ref(""),
    near_name="",
    near_namespace="",
    near_selector="",
)
_SELECTED = ("app", "istio")
READS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "EnvoyFilter",
    "Gateway",
    "Ingress",
    "Job",
    "K8sGateway",
    "Pod",
    "Service",
    "StatefulSet",
)


@probe("gateway-front", subject=SubjectKind.WORKLOAD, reads=READS)
def gateway_front(view: View, subject: WorkloadSubject) -> GatewayFront:
    """Which load balancer and which TLS servers does a gateway workload have?"""
    found = reading.workload(view, subject)
    pod = found.pod
    if pod is None or found.proxy_type != "router":
        return replace(
            _NONE,
            namespace=subject.namespace,
            workload=Ref(subject.ref),
            pod=pod.name if pod is not None else "",
            target=found.target,
        )
    gateways = gateways_of(view, pod)
    services = services_of(pod.labels, view.objects("Service", Service, pod.namespace))
    filters = view.objects("EnvoyFilter", EnvoyFilter)
    expects = front.expects_proxy_protocol(reading.mesh_config(view), pod, filters)
    servers: list[tuple[str, gt.TlsServer]] = [
        (gateway.ref, server)
        for gateway in gateways
        for server in gt.of_gateway(gateway, pod.namespace)
    ]
    own = [
        gateway
        for gateway in view.objects("K8sGateway", K8sGateway, pod.namespace)
        if gateway.name == pod.labels.get(GATEWAY_NAME)
    ]
    servers += [(gateway.ref, server) for gateway in own for server in gt.of_k8s_gateway(gateway)]
    crossed = front.crossed(services, (*gateways, *map(front.as_gateway, own)), pod)
    facts = _facts(subject, found.target, pod, servers, services, crossed, expects)
    before = attempt(lambda: _before(view, services))
    if isinstance(before, Unavailable):
        return replace(facts, ingress=before, nameless=before, named=before)
    met = front.nameless(before, services, gateways)
    near = _near(view, pod) if facts.service else None
    asked = view.namespaces is not None and not gateways and not _made(pod)
    return replace(
        facts,
        idle=asked and near is not None and not _ruled(view),
        labels=pairs({k: pod.labels[k] for k in _SELECTED if k in pod.labels}),
        near=Ref(near.ref if near else ""),
        near_name=near.name if near else "",
        near_namespace=near.namespace if near else "",
        near_selector=pairs(near.spec.selector) if near else "",
        ingress=Ref(met[0].ref if met else next((one.ref for one in before), "")),
        nameless=met is not None,
        named=Ref(met[1].ref if met else ""),
    )


def _near(view: View, pod: Pod) -> Gateway | None:
    """Of the Gateways that do not select the pod, the one with most labels of it."""
    others = [g for g in view.objects("Gateway", Gateway) if not gateway_pods(g, (pod,))]

    def alike(one: Gateway) -> tuple[int, int]:
        asked = one.spec.selector
        return (
            sum(pod.labels.get(k) == v for k, v in asked.items()),
            sum(k in pod.labels for k in asked),
        )

    return max(others, key=lambda g: (*alike(g), g.ref), default=None)


def _made(pod: Pod) -> bool:
    """Whether a Gateway of the Gateway API made it, or names it."""
    return "gateway.networking.k8s.io/gateway-name" in pod.labels


def _ruled(view: View) -> bool:
    """Whether an Ingress or a Gateway of the Gateway API may give listeners to any gateway."""
    ingresses = view.objects("Ingress", Ingress)
    return bool(view.objects("K8sGateway", K8sGateway)) or any(
        class_of(one) == ISTIO for one in ingresses
    )


def _before(view: View, services: tuple[Service, ...]) -> tuple[Ingress, ...]:
    """Ingresses of other controllers with one of these Services as a backend, an ALB first."""
    names = {(s.namespace, s.name) for s in services}
    found = [
        one
        for space in sorted({s.namespace for s in services})
        for one in view.objects("Ingress", Ingress, space)
        if class_of(one) != ISTIO and any((space, name) in names for name in backends(one))
    ]
    return tuple(sorted(found, key=lambda one: (class_of(one) != ALB, one.name)))


def _facts(
    subject: WorkloadSubject,
    target: str,
    pod: Pod,
    servers: list[tuple[str, gt.TlsServer]],
    services: tuple[Service, ...],
    crossed: front.Crossed | None,
    expects: bool,
) -> GatewayFront:
    balancer = next((s for s in services if s.spec.type == "LoadBalancer"), None)
    return GatewayFront(
        gateway=True,
        terminates=any(s.mode for _, s in servers),
        east_west=any(s.mode == gt.AUTO_PASSTHROUGH for _, s in servers),
        first=Ref(next((ref for ref, s in servers if s.mode), "")),
        crossed=crossed.kind if crossed else "",
        crossed_port=crossed.port if crossed else 0,
        crossed_gateway=Ref(crossed.gateway.ref if crossed else ""),
        service=Ref(balancer.ref if balancer else ""),
        service_name=balancer.name if balancer else "",
        namespace=subject.namespace,
        sends_proxy=balancer is not None and front.sends_proxy_protocol(balancer),
        expects_proxy=expects,
        balanced=balancer is not None and front.is_aws(balancer),
        ingress=Ref(""),
        nameless=False,
        named=Ref(""),
        workload=Ref(subject.ref),
        pod=pod.name,
        target=target,
        idle=False,
        labels="",
        near=Ref(""),
        near_name="",
        near_namespace="",
        near_selector="",
    )
