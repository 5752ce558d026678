"""Did Envoy crash in a pod of this workload, and which EnvoyFilter brings in what crashed?"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.envoy_crash import Crash, blamed, crash
from meshdoctor.mesh.envoy_killed import ended_with_error
from meshdoctor.mesh.filter_blame import of_proxy
from meshdoctor.mesh.filter_match import may_match
from meshdoctor.mesh.workloads import PROXY, image_release, owner_of, proxy_type
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import EnvoyFilter
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import reading
from meshdoctor.probes.container_logs import of_last_end
from meshdoctor.probes.reading import workload
from meshdoctor.probes.view import View, attempt, known, probe


class ProxyCrash(Struct, frozen=True, kw_only=True):
    """Of the first pod whose istio-proxy ended of late with an error that the kubelet does not
    explain; empty: there is none."""

    ended: Annotated[Fact[bool], "there is such a pod", OBSERVED]
    reason: Annotated[Fact[str], "how Envoy says that it crashed; empty: it does not", OBSERVED]
    place: Annotated[Fact[str], "the frame that tells most; or: none told", OBSERVED]
    filter: Annotated[Fact[Ref], "the EnvoyFilter that brings in what crashed; empty: none does"]
    filter_said: Annotated[Fact[str], "the same in words"]
    pod: Annotated[Fact[str], "that pod"]
    release: Annotated[Fact[str], "the release of its proxy; or: unknown"]
    workload: Annotated[Fact[Ref], "its workload"]
    namespace: Annotated[Fact[str], "its namespace"]


@probe(
    "proxy-crash",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "EnvoyFilter",
        "Job",
        "Pod",
        "StatefulSet",
        "log",
    ),
)
def proxy_crash(view: View, subject: WorkloadSubject) -> ProxyCrash:
    """Did Envoy crash in a pod of this workload, and which EnvoyFilter brings in what crashed?"""
    pods = workload(view, subject).pods
    pod = ended_with_error(pods, view.now)
    seen = attempt(lambda: _crash(view, pod)) if pod is not None else Crash()
    named = attempt(lambda: _filter(view, pod, known(seen)))
    return ProxyCrash(
        ended=pod is not None,
        reason=attempt(lambda: known(seen).reason),
        place=attempt(lambda: known(seen).place or "none told"),
        filter=named,
        filter_said=_said(named),
        pod=pod.name if pod is not None else "",
        release=(image_release(pod) if pod is not None else "") or "unknown",
        workload=Ref((owner_of(pod) if pod is not None else subject).ref),
        namespace=subject.namespace,
    )


def _crash(view: View, pod: Pod) -> Crash:
    return of_last_end(view, pod, PROXY, crash, lambda one: one.reason)


def _filter(view: View, pod: Pod | None, seen: Crash) -> Ref:
    if pod is None or not seen.reason:
        return Ref("")
    found = blamed(seen, _filters(view, pod))
    return Ref(found.ref if found is not None else "")


def _filters(view: View, pod: Pod) -> Iterable[EnvoyFilter]:
    root = reading.root_namespace(view)
    mine = of_proxy(view.objects("EnvoyFilter", EnvoyFilter), root, pod.namespace, pod.labels)
    return [f for f in mine if may_match(f, proxy_type(pod), image_release(pod))]


def _said(named: Ref | Unavailable) -> str:
    if isinstance(named, Unavailable) or not named:
        return "no EnvoyFilter is seen that brings that in"
    return f"{named} brings in what was running then"
