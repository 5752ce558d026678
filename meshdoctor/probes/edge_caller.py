"""Who calls on this edge: which workload or address, with which proxy, in which role?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import callers
from meshdoctor.mesh.edge_tls import is_ambient
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import proxy_type
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import MissingError, NotAskedError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class Caller(Struct, frozen=True, kw_only=True):
    """The client of the edge, or what its address belongs to."""

    kind: Annotated[Fact[str], "pod, node, or outside (no pod and no node that we know)"]
    proxy: Annotated[Fact[str], "sidecar, router, waypoint, ztunnel; empty: no proxy"]
    unmeshed: Annotated[Fact[bool], "a pod without proxy and without ambient redirection"]
    ingress: Annotated[Fact[bool], "an ingress controller other than Istio's"]
    scraper: Annotated[Fact[bool], "Prometheus or another collector of metrics"]
    workload: Annotated[Fact[Ref], "the calling workload; empty: none is known"]
    name: Annotated[Fact[str], "how to name the caller: workload or address"]
    namespace: Annotated[Fact[str], "the caller's namespace"]
    workload_name: Annotated[Fact[str], "the workload's name"]
    pod: Annotated[Fact[str], "one pod of it"]


@probe(
    "caller",
    subject=SubjectKind.EDGE,
    reads=("DaemonSet", "Deployment", "Job", "Node", "Pod", "StatefulSet"),
)
def caller(view: View, edge: EdgeSubject) -> Caller:
    """Who calls on this edge?"""
    if edge.client is not None:
        found = reading.workload(view, edge.client)
        if found.pod is None:
            raise MissingError(f"pods of {edge.client}", "the workload has none")
        return _pod(found.pod, edge.client.ref)
    if not edge.client_ip:
        raise NotAskedError("the caller", "no client is named", "name it with --from")
    pods = view.objects("Pod", Pod)
    if edge.client_ip in callers.node_addresses(reading.nodes(view), pods):
        return _address("node", edge.client_ip)
    pod = callers.pod_at(edge.client_ip, pods)
    if pod is None:
        return _address("outside", edge.client_ip)
    return _pod(pod, pod.ref)


def _address(kind: str, address: str) -> Caller:
    return Caller(
        kind=kind,
        proxy="",
        unmeshed=False,
        ingress=False,
        scraper=False,
        workload=Ref(""),
        name=clean(address),
        namespace="",
        workload_name="",
        pod="",
    )


def _pod(pod: Pod, ref: str) -> Caller:
    proxy = proxy_type(pod)
    _, _, name = ref.rpartition("/")
    return Caller(
        kind="pod",
        proxy=proxy,
        unmeshed=not proxy and not is_ambient(pod),
        ingress=callers.is_ingress_controller(pod),
        scraper=callers.is_scraper(pod),
        workload=Ref(ref),
        name=f"{pod.namespace}/{name}",
        namespace=pod.namespace,
        workload_name=name,
        pod=pod.name,
    )
