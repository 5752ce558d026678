"""Does a pod of this workload stay, though it is deleted, for its proxy's sake?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.lingering import lingers, waits_for
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.reading import WORKLOAD_READS, workload
from meshdoctor.probes.view import View, attempt, probe


class Lingering(Struct, frozen=True, kw_only=True):
    """The first pod that is being deleted and in which only the proxy still runs."""

    pod: Annotated[Fact[str], "that pod; empty: none"]
    grace_seconds: Annotated[Fact[int], "how long the kubelet lets it be"]
    said: Annotated[
        Fact[str], "its proxy's log: it waits for connections to end; empty: no", OBSERVED
    ]


@probe(
    "lingering",
    subject=SubjectKind.WORKLOAD,
    reads=(*WORKLOAD_READS, "log"),
)
def lingering(view: View, subject: WorkloadSubject) -> Lingering:
    """Does a pod of this workload stay, though it is deleted, for its proxy's sake?"""
    pod = next((p for p in workload(view, subject).pods if lingers(p, view.now)), None)
    if pod is None:
        return Lingering(pod="", grace_seconds=0, said="")
    return Lingering(
        pod=pod.name,
        grace_seconds=pod.metadata.deletion_grace_period_seconds or 0,
        said=attempt(lambda: _said(view, pod)),
    )


def _said(view: View, pod: Pod) -> str:
    return waits_for(view.log(pod.namespace, pod.name, PROXY).text)
