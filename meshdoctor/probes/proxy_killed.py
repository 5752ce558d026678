"""Was Envoy killed under its agent in a pod of this workload?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.envoy_killed import ended_with_error, killed
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.container_logs import of_last_end
from meshdoctor.probes.reading import WORKLOAD_READS, workload
from meshdoctor.probes.view import View, attempt, probe


class ProxyKilled(Struct, frozen=True, kw_only=True):
    """Of the first pod whose istio-proxy ended of late with an error that the kubelet does not
    explain; empty: there is none."""

    ended: Annotated[Fact[bool], "there is such a pod", OBSERVED]
    said: Annotated[Fact[str], "what its agent says of Envoy being killed; empty: not so", OBSERVED]
    pod: Annotated[Fact[str], "that pod"]
    memory_limit: Annotated[Fact[str], "istio-proxy's memory limit; or: none"]


@probe(
    "proxy-killed",
    subject=SubjectKind.WORKLOAD,
    reads=(*WORKLOAD_READS, "log"),
)
def proxy_killed(view: View, subject: WorkloadSubject) -> ProxyKilled:
    """Was Envoy killed under its agent in a pod of this workload?"""
    pods = workload(view, subject).pods
    pod = ended_with_error(pods, view.now)
    proxy = pod.container(PROXY) if pod is not None else None
    limit = str(proxy.resources.limits.get("memory", "")) if proxy is not None else ""
    return ProxyKilled(
        ended=pod is not None,
        said=attempt(lambda: of_last_end(view, pod, PROXY, killed, bool))
        if pod is not None
        else "",
        pod=pod.name if pod is not None else "",
        memory_limit=clean(limit, 40) or "none",
    )
