"""Does kube-proxy find the local endpoints of a Service that takes traffic on their nodes only?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.kube_proxy import is_kube_proxy, unknown_node
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Node, Pod
from meshdoctor.model.subjects import ServiceSubject, SubjectKind
from meshdoctor.ports import EvidenceError, MissingError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt, probe

HOME = "kube-system"
MOST_LOGS = 2


class ServiceLocalEndpoints(Struct, frozen=True, kw_only=True):
    """Of a Service with externalTrafficPolicy Local; else kube-proxy is not asked."""

    ref: Annotated[Fact[Ref], "the service"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    local: Annotated[Fact[bool], "it takes traffic on nodes with one of its pods only"]
    unknown: Annotated[
        Fact[str],
        "the name under which kube-proxy looks for its node in vain; empty: none",
        OBSERVED,
    ]
    node: Annotated[Fact[str], "the name of that node"]
    proxy: Annotated[Fact[Ref], "the workload of kube-proxy"]
    proxy_name: Annotated[Fact[str], "its name"]


@probe(
    "service-local-endpoints",
    subject=SubjectKind.SERVICE,
    reads=("Node", "Pod", "Service", "log"),
)
def service_local_endpoints(view: View, subject: ServiceSubject) -> ServiceLocalEndpoints:
    """Does kube-proxy find the local endpoints of the Service?"""
    service = reading.service(view, subject)
    if service is None:
        raise MissingError(f"service {subject}")
    local = service.spec.external_traffic_policy == "Local"
    pods = _proxies(view) if local else ()
    lost = attempt(lambda: view.memo("node-of-kube-proxy", _lost) if pods else None)
    seen = lost if isinstance(lost, _Lost) else None
    owner = owner_of(pods[0]) if pods else None
    return ServiceLocalEndpoints(
        ref=Ref(service.ref),
        name=service.name,
        namespace=service.namespace,
        local=local,
        unknown=(seen.name if seen is not None else "")
        if lost is None or isinstance(lost, _Lost)
        else lost,
        node=seen.node if seen is not None else "",
        proxy=Ref(owner.ref if owner is not None else ""),
        proxy_name=owner.name if owner is not None else "",
    )


class _Lost(Struct, frozen=True):
    name: str
    node: str


def _proxies(view: View) -> tuple[Pod, ...]:
    return tuple(filter(is_kube_proxy, view.objects("Pod", Pod, HOME)))


def _lost(view: View) -> _Lost | None:
    """The first kube-proxy that does not find its node; raises EvidenceError when none of the logs
    looked at can be read."""
    nodes = frozenset(n.name for n in view.objects("Node", Node))
    missing: EvidenceError | None = None
    read = False
    for pod in _proxies(view)[:MOST_LOGS]:
        try:
            text = view.log(HOME, pod.name, pod.spec.containers[0].name).text
        except EvidenceError as error:
            missing = error
            continue
        read = True
        name = unknown_node(text, nodes)
        if name:
            return _Lost(name, pod.spec.node_name)
    if missing is not None and not read:
        raise missing
    return None
