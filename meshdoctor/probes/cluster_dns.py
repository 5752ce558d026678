"""Does the cluster's DNS run, and with which Corefile?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.cluster_dns import lacking, refused
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_ready, owner_of
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import ConfigMap, ContainerStatus, Pod
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.cluster_dns_reads import HOME, resolvers
from meshdoctor.probes.view import View, attempt, probe

CONFIG = "coredns"


class ClusterDns(Struct, frozen=True, kw_only=True):
    """CoreDNS as its pods show it; its Corefile and log are read only where one is not ready."""

    failing: Annotated[Fact[int], "CoreDNS pods that are not ready", OBSERVED]
    ready: Annotated[Fact[int], "those that are"]
    pod: Annotated[Fact[str], "the first that is not; empty: all are"]
    workload: Annotated[Fact[Ref], "the workload that runs them; empty: it is not seen"]
    workload_name: Annotated[Fact[str], "its name"]
    corefile: Annotated[Fact[Ref], "the ConfigMap with the Corefile"]
    image: Annotated[Fact[str], "the image that runs"]
    refused: Annotated[
        Fact[str], "its log: why it cannot run with its Corefile; empty: nothing", OBSERVED
    ]
    lacks: Annotated[Fact[str], "the plugin that its probe asks and the Corefile lacks"]


@probe("cluster-dns", subject=SubjectKind.MESH, reads=("ConfigMap", "Pod", "log"))
def cluster_dns(view: View, _: MeshSubject) -> ClusterDns:
    """Does the cluster's DNS run, and with which Corefile?"""
    pods = resolvers(view)
    down = [p for p in pods if not is_ready(p) and p.metadata.deletion_timestamp is None]
    one = down[0] if down else None
    own = owner_of(pods[0]) if pods else None
    container = next(iter(one.spec.containers), None) if one is not None else None
    return ClusterDns(
        failing=len(down),
        ready=sum(map(is_ready, pods)),
        pod=one.name if one is not None else "",
        workload=Ref(own.ref if own is not None else ""),
        workload_name=own.name if own is not None else "",
        corefile=Ref(f"ConfigMap/{HOME}/{CONFIG}"),
        image=clean(container.image.rpartition("/")[2], 80) if container is not None else "",
        refused=attempt(lambda: _refused(view, one)) if one is not None else "",
        lacks=attempt(lambda: lacking(_corefile(view), container)) if container else "",
    )


def _corefile(view: View) -> str:
    found = view.object("ConfigMap", ConfigMap, HOME, CONFIG)
    return found.data.get("Corefile", "") if found is not None else ""


def _refused(view: View, pod: Pod) -> str:
    """What the last run says; the present one may have just begun."""
    missing: EvidenceError | None = None
    for status in pod.status.container_statuses:
        for previous in (False, True) if _restarted(status) else (False,):
            try:
                log = view.log(HOME, pod.name, status.name, previous=previous)
            except EvidenceError as error:
                missing = missing or error
                continue
            missing, said = None, refused(log.text)
            if said:
                return said
    if missing is not None:
        raise missing
    return ""


def _restarted(status: ContainerStatus) -> bool:
    return status.restart_count > 0
