"""Does an EnvoyFilter call a STRICT service through a cluster of its own, in plaintext?"""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import edge_evidence
from meshdoctor.mesh.access_logging import SERVER
from meshdoctor.mesh.filter_clusters import Called, plaintext
from meshdoctor.mesh.services import named_by_client, port_of, target_port
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_sidecar, owner_of
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import EnvoyFilter
from meshdoctor.model.kubernetes import Pod, Service
from meshdoctor.model.subjects import ConfigSubject, SubjectKind, WorkloadSubject
from meshdoctor.ports import MissingError
from meshdoctor.probes import proxy_logs, reading
from meshdoctor.probes.view import View, probe


class FilterCluster(Struct, frozen=True, kw_only=True):
    """The first call to sidecars that take mutual TLS alone, else the first to any; all empty for
    other kinds, and where there is none."""

    ref: Annotated[Fact[Ref], "the EnvoyFilter, if it makes such a call; empty: it does not"]
    strict: Annotated[Fact[bool], "those sidecars take mutual TLS alone"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    cluster: Annotated[Fact[str], "the cluster that it adds without TLS"]
    host: Annotated[Fact[str], "the host that this calls"]
    port: Annotated[Fact[int], "the port called"]
    service: Annotated[Fact[Ref], "the Service of that host"]
    service_namespace: Annotated[Fact[str], "its namespace"]
    workload: Annotated[Fact[Ref], "the workload behind it"]
    target: Annotated[Fact[str], "that workload as kubectl takes it, kind/name"]
    policy: Annotated[Fact[Ref], "the PeerAuthentication in force there; empty: none"]
    workload_port: Annotated[Fact[int], "the port of its pods"]


_NONE = FilterCluster(
    ref=Ref(""),
    strict=False,
    name="",
    namespace="",
    cluster="",
    host="",
    port=0,
    service=Ref(""),
    service_namespace="",
    workload=Ref(""),
    target="",
    policy=Ref(""),
    workload_port=0,
)
READS = (
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "EnvoyFilter",
    "Job",
    "PeerAuthentication",
    "Pod",
    "Service",
    "StatefulSet",
)


class _Found(Struct, frozen=True, kw_only=True):
    called: Called
    service: Service
    pod: Pod
    port: int
    strict: bool
    policy: str


@probe("config-filter-cluster", subject=SubjectKind.CONFIG, reads=READS, kinds=("EnvoyFilter",))
def config_filter_cluster(view: View, subject: ConfigSubject) -> FilterCluster:
    """Does an EnvoyFilter call a STRICT service in plaintext?"""
    found = _first(view, subject)
    if found is None:
        return _NONE
    owner = owner_of(found.pod)
    return FilterCluster(
        ref=Ref(f"EnvoyFilter/{subject.namespace}/{subject.name}"),
        strict=found.strict,
        name=subject.name,
        namespace=subject.namespace,
        cluster=clean(found.called.cluster, 100),
        host=clean(found.called.host, 200),
        port=found.called.port,
        service=Ref(found.service.ref),
        service_namespace=found.service.namespace,
        workload=Ref(owner.ref),
        target=f"{owner.owner.lower()}/{owner.name}",
        policy=Ref(found.policy),
        workload_port=found.port,
    )


def _first(view: View, subject: ConfigSubject) -> _Found | None:
    if subject.config_kind != "EnvoyFilter":
        return None
    return view.memo(("filter-cluster", subject), lambda v: _look(v, subject))


def _look(view: View, subject: ConfigSubject) -> _Found | None:
    filter_ = view.object("EnvoyFilter", EnvoyFilter, subject.namespace, subject.name)
    if filter_ is None:
        raise MissingError(str(subject), "it does not exist any more")
    found = [one for called in plaintext(filter_) for one in _behind(view, called)]
    return min(found, key=lambda one: not one.strict, default=None)


def _behind(view: View, called: Called) -> Iterator[_Found]:
    """The pods with sidecars that the call leads to, when its host is a Service."""
    where = named_by_client(called.host, "") if "." in called.host else None
    service = view.object("Service", Service, *where) if where is not None else None
    port = port_of(service, called.port) if service is not None else None
    if service is None or port is None:
        return
    for pod in reading.pods_of_service(view, service):
        number = target_port(port, pod)
        if not is_sidecar(pod) or not number:
            continue
        ruling = reading.peer_authentications(view, pod.namespace).effective(pod.labels, number)
        yield _Found(
            called=called,
            service=service,
            pod=pod,
            port=number,
            strict=ruling.mode == "STRICT",
            policy=ruling.source,
        )


class FilterClusterSeen(Struct, frozen=True, kw_only=True):
    """What the proxies behind such a cluster logged."""

    refused: Annotated[Fact[int], "plaintext connections to that port that they refused", OBSERVED]


@probe(
    "filter-cluster-seen",
    subject=SubjectKind.CONFIG,
    reads=(*READS, "Telemetry", "log"),
    costly=True,
    kinds=("EnvoyFilter",),
)
def filter_cluster_seen(view: View, subject: ConfigSubject) -> FilterClusterSeen:
    """Do the proxies behind such a cluster refuse plaintext?"""
    found = _first(view, subject)
    if found is None:
        return FilterClusterSeen(refused=0)
    owner: WorkloadSubject = owner_of(found.pod)
    logs = proxy_logs.read(view, reading.workload(view, owner), SERVER)
    lines = logs.lines(lambda log: log.lines)
    return FilterClusterSeen(
        refused=logs.seen(
            sum(
                edge_evidence.refused(line)
                and line.local_port == found.port
                and line.server_name_kind == "plaintext"
                for line in lines
            )
        )
    )
