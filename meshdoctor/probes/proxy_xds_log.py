"""What does a proxy's own log say of its connection to istiod?"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.log_lines import Said
from meshdoctor.mesh.proxy_xds_log import read
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt, probe


class ProxyXdsLog(Struct, frozen=True, kw_only=True):
    """Of the workload's newest pod with a proxy; nothing for a workload without."""

    lost: Annotated[Fact[bool], "the connection to istiod was lost and not opened again", OBSERVED]
    ended: Annotated[Fact[bool], "its last word is that the connection ended", OBSERVED]
    lost_text: Annotated[Fact[str], "the last line about it, istiod's where it is silent", OBSERVED]
    dropped: Annotated[
        Fact[bool], "istiods' logs tell that its connection ended, and of none since", OBSERVED
    ]
    too_large: Annotated[Fact[int], "messages over gRPC's limit", OBSERVED]
    too_large_text: Annotated[Fact[str], "the last such line", OBSERVED]
    warming: Annotated[Fact[int], "resources that Envoy waited for in vain", OBSERVED]
    pod: Annotated[Fact[str], "the pod read"]


@probe(
    "proxy-xds-log",
    subject=SubjectKind.WORKLOAD,
    reads=(*reading.WORKLOAD_READS, "log"),
    costly=True,
)
def proxy_xds_log(view: View, subject: WorkloadSubject) -> ProxyXdsLog:
    """What does a proxy's own log say of its connection to istiod?"""
    pods = [p for p in reading.workload(view, subject).pods if shared.is_client(p)]
    if not pods:
        return ProxyXdsLog(
            lost=False,
            ended=False,
            dropped=False,
            lost_text="",
            too_large=0,
            too_large_text="",
            warming=0,
            pod="",
        )
    pod = pods[-1]
    found = read(view.log(pod.namespace, pod.name, PROXY).text)
    dropped = attempt(lambda: _dropped(view, pods))
    last = found.ended or (None if isinstance(dropped, Unavailable) else dropped)
    return ProxyXdsLog(
        lost=found.lost is not None,
        ended=found.ended is not None,
        dropped=dropped if isinstance(dropped, Unavailable) else dropped is not None,
        lost_text=clean(last.text, 200) if last is not None else "",
        too_large=len(found.too_large),
        too_large_text=clean(found.too_large[-1].text, 200) if found.too_large else "",
        warming=found.warming,
        pod=pod.name,
    )


def _dropped(view: View, pods: Iterable[Pod]) -> Said | None:
    log = shared.istiod_log(view).log
    ends = (log.dropped(p.name, p.namespace, view.now) for p in pods)
    return next((end for end in ends if end is not None), None)
