"""Which hosts, addresses and ports mean the server of an edge?"""

from collections.abc import Iterable

from meshdoctor.mesh.addresses import is_address
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.edge_evidence import Peers, Target
from meshdoctor.mesh.services import port_of, target_port
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import EdgeSubject


def target(edge: EdgeSubject, service: Service | None, pods: Iterable[Pod]) -> Target:
    """What the edge calls; `pods` are the server's. Without a service the port is the pod's."""
    pods = tuple(pods)
    addresses = {ip for pod in pods for ip in ips(pod)}
    workload_port = 0 if service is not None else edge.port
    hosts = {edge.host.lower().rstrip(".")} if edge.host else set()
    addresses |= {edge.host} if is_address(edge.host) else set()
    if service is not None:
        addresses |= {ip for ip in (service.spec.cluster_ip, *service.spec.cluster_ips) if ip}
        short = f"{service.name}.{service.namespace}"
        hosts |= {f"{short}.svc", short}
        if edge.client is not None and edge.client.namespace == service.namespace:
            hosts.add(service.name)
        port = port_of(service, edge.port)
        if port is not None:
            workload_port = target_port(port, pods[0] if pods else None)
    asked = bare_host(edge.request.host)
    if asked:
        hosts.add(asked)
    gateway = any(proxy_type(pod) == "router" for pod in pods)
    return Target(
        hosts=frozenset(hosts),
        addresses=frozenset(addresses - {"None"}),
        port=edge.port,
        workload_port=workload_port,
        named=asked if gateway else "",
        dialled=edge.port if service is not None and service.spec.cluster_ip == "None" else 0,
    )


def peers(pods: Iterable[Pod], address: str = "") -> Peers:
    """What the server's log calls a client: its pods, and an address that is known to be its."""
    pods = tuple(pods)
    known = (address, *(ip for pod in pods for ip in ips(pod)))
    return Peers(
        ips=frozenset(ip for ip in known if ip),
        forwards=any(proxy_type(pod) == "router" for pod in pods),
    )


def ips(pod: Pod) -> frozenset[str]:
    """Every address of a pod."""
    return frozenset(ip for ip in (pod.status.pod_ip, *(p.ip for p in pod.status.pod_ips)) if ip)
