"""What kind of caller is this: a pod with or without a proxy, a node, an ingress, a scraper?

An address that belongs to no pod and no node is `outside`: a load balancer, another cluster, a
host. Roles are read from labels and images, as an on-call engineer would.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh.edge_target import ips
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.kubernetes import Node, Pod

POD, NODE, OUTSIDE = "pod", "node", "outside"
_INGRESS = ("ingress-nginx", "nginx-ingress", "traefik", "haproxy-ingress", "kong", "contour")
_SCRAPERS = ("prometheus", "vmagent", "grafana-agent", "alloy", "otel-collector", "opentelemetry")
_NAMES = ("app.kubernetes.io/name", "app.kubernetes.io/part-of", "app", "k8s-app")


def node_addresses(nodes: Iterable[Node], pods: Iterable[Pod]) -> frozenset[str]:
    """Addresses of the nodes themselves, from Node objects and from their pods' hostIP."""
    found = {a.address for n in nodes for a in n.status.addresses if a.type != "Hostname"}
    found |= {p.status.host_ip for p in pods if p.status.host_ip}
    return frozenset(found - {""})


class Addresses(Struct, frozen=True, kw_only=True):
    """Whose address is it? The first pod with each, and the addresses of nodes."""

    pods: dict[str, Pod]
    nodes: frozenset[str]


def addresses(nodes: Iterable[Node], pods: Iterable[Pod]) -> Addresses:
    """Indexed once, for many calls; as `pod_at` and `node_addresses` find them."""
    pods = tuple(pods)
    at: dict[str, Pod] = {}
    for pod in pods:
        if not pod.spec.host_network:
            for ip in ips(pod):
                at.setdefault(ip, pod)
    return Addresses(pods=at, nodes=node_addresses(nodes, pods))


def pod_at(address: str, pods: Iterable[Pod]) -> Pod | None:
    """The pod with this address; pods on the host network share their node's and do not count."""
    for pod in pods:
        if not pod.spec.host_network and address in ips(pod):
            return pod
    return None


def _words(pod: Pod) -> str:
    labels = [pod.labels.get(key, "") for key in _NAMES]
    images = [c.image.rpartition("@")[0] or c.image for c in pod.spec.containers]
    return " ".join([*labels, *(i.rpartition("/")[2] for i in images), *images]).lower()


def is_ingress_controller(pod: Pod) -> bool:
    """An ingress controller that is not Istio's own gateway."""
    if proxy_type(pod) == "router":
        return False
    text = _words(pod)
    return any(word in text for word in _INGRESS)


def is_scraper(pod: Pod) -> bool:
    """Prometheus or another collector of metrics."""
    text = _words(pod)
    return any(word in text for word in _SCRAPERS)


LEAST, SHORTEST = 4, 2.0


def at_intervals(calls: Iterable[tuple[str, datetime | None]]) -> bool:
    """Whether every address calls at a fixed interval, as a health check or a scanner does.

    At least four calls of each address, no less than two seconds apart, no gap more than a
    quarter away from the usual one. No calls: False.
    """
    at: dict[str, list[float]] = defaultdict(list)
    for address, start in calls:
        if start is None:
            return False
        at[address].append(start.timestamp())
    return bool(at) and all(_regular(sorted(times)) for times in at.values())


def _regular(times: list[float]) -> bool:
    gaps = sorted(b - a for a, b in zip(times, times[1:], strict=False))
    if len(times) < LEAST:
        return False
    usual = gaps[len(gaps) // 2]
    return usual >= SHORTEST and all(abs(gap - usual) <= usual / 4 for gap in gaps)
