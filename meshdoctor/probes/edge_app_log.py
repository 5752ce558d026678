"""What does the client's application itself log about TLS?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import app_log
from meshdoctor.mesh.workloads import WorkloadPods, app_containers
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import EvidenceError, NotAskedError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe

PODS_READ = 3


class EdgeAppLog(Struct, frozen=True, kw_only=True):
    """The application's own words; a TLS failure there is beyond the proxies."""

    tls_failures: Annotated[Fact[int], "lines that tell of a TLS failure of the app", OBSERVED]
    no_tls: Annotated[Fact[int], "lines that tell that its TLS was answered without", OBSERVED]
    no_greeting: Annotated[
        Fact[int], "lines that tell that a server that speaks first said nothing", OBSERVED
    ]
    line: Annotated[Fact[str], "the last that tells of a TLS failure", OBSERVED]
    pod: Annotated[Fact[str], "the pod that logged it"]
    container: Annotated[Fact[str], "its container"]


@probe(
    "edge-app-log",
    subject=SubjectKind.EDGE,
    reads=(*reading.WORKLOAD_READS, "log"),
    costly=True,
)
def edge_app_log(view: View, edge: EdgeSubject) -> EdgeAppLog:
    """What does the client's application itself log about TLS?"""
    if edge.client is None:
        raise NotAskedError("the client's log", "no client is named", "name it with --from")
    return _read(view, reading.workload(view, edge.client))


def _read(view: View, workload: WorkloadPods) -> EdgeAppLog:
    """The logs of the newest pods; raises EvidenceError when none can be read."""
    found: tuple[str, ...] = ()
    where = ("", "")
    failed: EvidenceError | None = None
    read = plain = mute = 0
    for pod in list(reversed(workload.pods))[:PODS_READ]:
        for container in app_containers(pod):
            try:
                text = view.log(pod.namespace, pod.name, container.name).text
            except EvidenceError as error:
                failed = error
                continue
            read += 1
            plain += app_log.no_tls(text)
            mute += app_log.no_greeting(text)
            lines = app_log.tls_failures(text)
            if lines and not found:
                where = (pod.name, container.name)
            found += lines
    if not read and failed is not None:
        raise failed
    return EdgeAppLog(
        tls_failures=len(found),
        no_tls=plain,
        no_greeting=mute,
        line=found[-1] if found else "",
        pod=where[0],
        container=where[1],
    )
