"""Do a load balancer and the gateway behind it agree on who ends TLS and who adds PROXY headers?

Annotations of the AWS load balancers on the gateway's Service (cloud-provider-aws and
aws-load-balancer-controller) against Gateway servers and gatewayTopology.proxyProtocol. A Gateway's
port number is a service port and becomes the pod's target port (mesh/gateway_binding.py).
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.exposure import ALB, backends, class_of
from meshdoctor.mesh.proxy_bootstrap import topology
from meshdoctor.mesh.services import target_port
from meshdoctor.model.istio import (
    EnvoyFilter,
    Gateway,
    GatewaySpec,
    K8sGateway,
    MeshConfig,
    Port,
    Server,
    ServerTls,
)
from meshdoctor.model.kubernetes import Ingress, Pod, Service, ServicePort
from meshdoctor.model.snapshot import selects

_LB = "service.beta.kubernetes.io/aws-load-balancer-"
_ALB = "alb.ingress.kubernetes.io/"
TWICE, LOOP, PLAIN = "tls-ended-twice", "redirect-loop", "plain-on-443"


class Crossed(Struct, frozen=True, kw_only=True):
    """A service port whose load balancer and gateway server do not fit: TWICE (the balancer ends
    TLS, the server expects it), LOOP (it ends TLS, the server redirects to https), PLAIN (TLS is
    passed on to a server that speaks plain HTTP)."""

    kind: str
    port: int
    service: Service
    gateway: Gateway
    server: Server


def ends_tls(service: Service, port: ServicePort) -> bool:
    """Whether the balancer decrypts a port and sends plaintext on."""
    notes = service.annotations
    if not notes.get(f"{_LB}ssl-cert"):
        return False
    ports = [p.strip() for p in notes.get(f"{_LB}ssl-ports", "*").split(",")]
    listed = "*" in ports or str(port.port) in ports or (port.name and port.name in ports)
    onward = notes.get(f"{_LB}backend-protocol", "tcp")
    return bool(listed) and onward not in ("ssl", "https", "tls")


def crossed(services: Iterable[Service], gateways: Iterable[Gateway], pod: Pod) -> Crossed | None:
    """The first port that is crossed; None when all fit."""
    services, gateways = tuple(services), tuple(gateways)
    for service in services:
        if service.spec.type != "LoadBalancer":
            continue
        for port in service.spec.ports:
            for gateway, server in behind(services, gateways, pod, target_port(port, pod)):
                kind = _kind(service, port, server)
                if kind:
                    return Crossed(
                        kind=kind, port=port.port, service=service, gateway=gateway, server=server
                    )
    return None


def behind(
    services: Iterable[Service], gateways: Iterable[Gateway], pod: Pod, workload_port: int
) -> Iterable[tuple[Gateway, Server]]:
    """Gateway servers that listen on a port of the pod."""
    numbers = {
        port.port
        for service in services
        for port in service.spec.ports
        if target_port(port, pod) == workload_port
    }
    for gateway in gateways:
        for server in gateway.spec.servers:
            if server.port.number in numbers or server.port.number == workload_port:
                yield gateway, server


def as_gateway(made: K8sGateway) -> Gateway:
    """A Gateway of the Gateway API as istiod reads it (pilot gateway conversion.go buildListener):
    HTTPS ends TLS, TLS passes it on unless its mode says Terminate."""
    servers = []
    for one in made.spec.listeners:
        secure = one.protocol in ("HTTPS", "TLS")
        mode = one.tls.mode if one.tls is not None else ""
        passed = one.protocol == "TLS" and mode != "Terminate"
        tls = ServerTls(mode="PASSTHROUGH" if passed else "SIMPLE") if secure else None
        port = Port(name=one.name, number=one.port, protocol=one.protocol)
        servers.append(Server(port=port, hosts=(one.hostname or "*",), tls=tls))
    return Gateway(
        api_version=made.api_version,
        kind="Gateway",
        metadata=made.metadata,
        spec=GatewaySpec(servers=tuple(servers)),
    )


def _kind(service: Service, port: ServicePort, server: Server) -> str:
    plain = server.port.protocol.upper() in ("HTTP", "HTTP2", "GRPC")
    if ends_tls(service, port):
        if server.tls is not None and server.tls.https_redirect and plain:
            return LOOP
        return TWICE if not plain and server.tls is not None else ""
    return PLAIN if port.port == 443 and plain and server.port.number == 443 else ""


def nameless(
    ingresses: Iterable[Ingress], services: Iterable[Service], gateways: Iterable[Gateway]
) -> tuple[Ingress, Gateway] | None:
    """The ALB that speaks HTTPS to the gateway, and the first Gateway whose TLS servers it does not
    meet: an ALB sends its targets no server name (SNI), which only host `*` takes.

    None when some TLS server takes any name, or there is no such ALB."""
    before = next((one for one in ingresses if _speaks_https(one, tuple(services))), None)
    tls = [(g, s) for g in gateways for s in g.spec.servers if s.tls is not None and s.tls.mode]
    if before is None or not tls or any(_takes_any(server) for _, server in tls):
        return None
    return before, tls[0][0]


def _speaks_https(ingress: Ingress, services: tuple[Service, ...]) -> bool:
    led_to = backends(ingress)
    return (
        class_of(ingress) == ALB
        and ingress.annotations.get(f"{_ALB}backend-protocol", "").upper() == "HTTPS"
        and any(s.namespace == ingress.namespace and s.name in led_to for s in services)
    )


def _takes_any(server: Server) -> bool:
    return any(host.rpartition("/")[2] == "*" for host in server.hosts)


def is_aws(service: Service) -> bool:
    """Whether a load balancer of AWS stands before the Service."""
    return service.spec.type == "LoadBalancer" and (
        any(key.startswith(_LB) for key in service.annotations)
        or any(i.hostname.endswith(".amazonaws.com") for i in service.status.load_balancer.ingress)
    )


def sends_proxy_protocol(service: Service) -> bool:
    """Whether the balancer puts a PROXY header before each connection."""
    attributes = service.annotations.get(f"{_LB}target-group-attributes", "").replace(" ", "")
    return (
        service.annotations.get(f"{_LB}proxy-protocol", "") == "*"
        or "proxy_protocol_v2.enabled=true" in attributes
    )


def expects_proxy_protocol(mesh: MeshConfig, pod: Pod, filters: Iterable[EnvoyFilter]) -> bool:
    """Whether the gateway reads a PROXY header: mesh config, its own annotation, or an EnvoyFilter
    with the listener filter."""
    if topology(pod, mesh).proxy_protocol is not None:
        return True
    return any(
        "proxy_protocol" in str(patch.patch.value)
        for one in filters
        if one.namespace in (pod.namespace, mesh.root_namespace) and _selected(one, pod)
        for patch in one.spec.config_patches
        if patch.apply_to in ("LISTENER", "LISTENER_FILTER")
    )


def demands_header(filters: Iterable[EnvoyFilter], pod: Pod, root: str) -> EnvoyFilter | None:
    """The EnvoyFilter by which a sidecar takes only connections that begin with a PROXY header:
    the listener filter on an inbound listener, unless it lets others pass too."""
    for one in filters:
        if one.namespace not in (pod.namespace, root) or not _selected(one, pod):
            continue
        for patch in one.spec.config_patches:
            text = str(patch.patch.value)
            inbound = patch.match.context in ("SIDECAR_INBOUND", "ANY", "")
            if (
                patch.apply_to in ("LISTENER", "LISTENER_FILTER")
                and inbound
                and "listener.proxy_protocol" in text
                and "allow_requests_without_proxy_protocol" not in text
            ):
                return one
    return None


def _selected(one: EnvoyFilter, pod: Pod) -> bool:
    wanted = one.spec.workload_selector.wanted if one.spec.workload_selector else {}
    return selects(wanted, pod.labels)
