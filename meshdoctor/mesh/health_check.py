"""Does a load balancer of AWS check a port on which nothing listens?

A classic load balancer has one check for all ports: TCP to the node port of the Service's first one
(cloud-provider-aws aws.go EnsureLoadBalancer, tcpHealthCheckPort), unless externalTrafficPolicy is
Local. A gateway listens where a Gateway has a server, and on its own ports, so a first port without
a server leaves every node out of service (istio/istio#12503). The AWS load balancer controller asks
the very port that healthcheck-port gives: of a node, where targets are nodes.
"""

from collections.abc import Iterable

from msgspec import Struct

from meshdoctor.mesh.aws_load_balancer import PREFIX, Balancer
from meshdoctor.mesh.gateway_front import behind, is_aws
from meshdoctor.mesh.services import target_port
from meshdoctor.mesh.workloads import PROXY, proxy_type
from meshdoctor.model.istio import Gateway
from meshdoctor.model.kubernetes import Pod, Service

_OWN = frozenset({15020, 15021, 15090})
_TRAFFIC = "traffic-port"


class Silent(Struct, frozen=True, kw_only=True):
    """The port that is checked and answered by nobody; `of_node`: on the nodes, else the Service's
    first port. `serves`: a port of the Service that a Gateway does serve."""

    port: int
    of_node: bool
    serves: int


def silent(
    service: Service, found: Balancer, pods: Iterable[Pod], gateways: Iterable[Gateway]
) -> Silent | None:
    """The check that nothing answers, of a Service before gateway pods that some Gateway has
    servers for. None: there is none, or it cannot be told."""
    running = [p for p in pods if not p.spec.host_network]
    if not is_aws(service) or not running or not all(map(_bare_gateway, running)):
        return None
    known = tuple(gateways)
    served = [p.port for p in service.spec.ports if _listens(service, p.port, running[0], known)]
    if not served:
        return None
    if found.by_lbc:
        return _of_node(service, found, served[0])
    if found.network or service.spec.external_traffic_policy == "Local" or _given(service):
        return None
    first = next((p for p in service.spec.ports if p.protocol == "TCP"), None)
    if first is None or first.port in served or target_port(first, running[0]) in _OWN:
        return None
    return Silent(port=first.port, of_node=False, serves=served[0])


def _of_node(service: Service, found: Balancer, serves: int) -> Silent | None:
    text = _given(service)
    ports = {p.node_port for p in service.spec.ports if p.node_port}
    if found.to_pods or not text.isdigit() or not ports:
        return None
    health = service.spec.health_check_node_port
    number = int(text)
    if number in ports or number == health:
        return None
    return Silent(port=number, of_node=True, serves=serves)


def _given(service: Service) -> str:
    text = service.annotations.get(f"{PREFIX}healthcheck-port", "").strip().lower()
    return "" if text == _TRAFFIC else text


def _bare_gateway(pod: Pod) -> bool:
    """Whether nothing but the proxy can listen in the pod."""
    return proxy_type(pod) == "router" and {c.name for c in pod.spec.containers} == {PROXY}


def _listens(service: Service, number: int, pod: Pod, gateways: tuple[Gateway, ...]) -> bool:
    port = next(p for p in service.spec.ports if p.port == number)
    return any(True for _ in behind((service,), gateways, pod, target_port(port, pod)))
