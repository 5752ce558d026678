"""Is a workload's proxy connected to the istiod it should use, and in step with it?"""

from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import revisions
from meshdoctor.mesh.changes import last_change
from meshdoctor.mesh.proxy_bootstrap import outdated
from meshdoctor.mesh.sync_judgement import in_words, is_absent, proxy_not_ready
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.webhooks import injectors, matching, namespace_labels
from meshdoctor.mesh.workloads import has_proxy, is_sidecar, proxy_type
from meshdoctor.mesh.xds import ProxySync, State, SyncTable, wrong_types
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import ConfigMap, Namespace, Pod, WebhookConfiguration, Workload
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, attempt, probe

MWC = "MutatingWebhookConfiguration"


class WorkloadSync(Struct, frozen=True, kw_only=True):
    """Of the running pods that have a proxy; a workload without any gives empty facts."""

    proxies: Annotated[Fact[int], "running pods with a proxy"]
    kind: Annotated[Fact[str], "sidecar, router, waypoint, ztunnel; empty: no proxy"]
    pod: Annotated[Fact[str], "the pod in question: one out of step, else the newest"]
    workload: Annotated[Fact[Ref], "the workload"]
    resource: Annotated[Fact[str], "its kind and name as kubectl rollout takes them"]
    namespace: Annotated[Fact[str], "its namespace"]
    absent: Annotated[Fact[int], "proxies that no istiod of their revision lists", OBSERVED]
    wrong: Annotated[Fact[str], "types of that pod that are ERROR, STALE or NOT SENT", OBSERVED]
    wrong_proxies: Annotated[Fact[int], "proxies of this workload out of step", OBSERVED]
    others_wrong: Annotated[Fact[int], "proxies of other workloads out of step", OBSERVED]
    lag_seen: Annotated[Fact[bool], "a proxy of it is out of step, in the table if one was read"]
    unanswered_seconds: Annotated[
        Fact[int], "age of the oldest push that the pod did not acknowledge; 0: none", OBSERVED
    ]
    state: Annotated[Fact[str], "what is wrong with the pod's proxy, in words; empty: nothing"]
    proxy_not_ready: Annotated[Fact[bool], "its istio-proxy runs and is not ready", OBSERVED]
    revision: Annotated[Fact[str], "the revision that the proxy was injected by; empty: unknown"]
    revision_runs: Annotated[Fact[bool], "an istiod of that revision runs"]
    wanted_revision: Annotated[
        Fact[str], "the revision that a new pod would get; empty: none or several"
    ]
    outdated: Annotated[Fact[str], "a defaultConfig setting the proxy was started without"]
    mesh_config: Annotated[Fact[Ref], "the mesh config"]


@probe(
    "workload-sync",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Job",
        MWC,
        "Namespace",
        "Pod",
        "StatefulSet",
        "proxy-status",
    ),
)
def workload_sync(view: View, subject: WorkloadSubject) -> WorkloadSync:
    """Is a workload's proxy connected to the istiod it should use, and in step with it?"""
    workload = reading.workload(view, subject)
    pods = [p for p in workload.pods if shared.is_client(p)]
    table = attempt(lambda: shared.sync_table(view))
    pod = _worst(view, pods, table)
    revision = revisions.of_proxy(pod) if pod is not None else ""
    seen = _seen(view, pods, table)
    return WorkloadSync(
        proxies=len(pods),
        kind=proxy_type(pod) if pod is not None else "",
        pod=pod.name if pod is not None else "",
        workload=Ref(subject.ref),
        resource=f"{subject.owner.lower()}/{subject.name}",
        namespace=subject.namespace,
        absent=seen[0],
        wrong=seen[1],
        wrong_proxies=seen[2],
        others_wrong=seen[3],
        lag_seen=not isinstance(seen[2], Unavailable) and seen[2] > 0,
        unanswered_seconds=_unanswered(view, pod, table),
        state=_state(seen, _unanswered(view, pod, table)),
        proxy_not_ready=pod is not None and proxy_not_ready(pod),
        revision=clean(revision, 63),
        revision_runs=revision in revisions.running(reading.istiod_pods(view)),
        wanted_revision=attempt(lambda: _wanted(view, pod, workload.controller)),
        outdated=attempt(lambda: _outdated(view, pod)),
        mesh_config=Ref(reading.mesh_config_ref(view)),
    )


def _worst(view: View, pods: list[Pod], table: SyncTable | Unavailable) -> Pod | None:
    if not isinstance(table, Unavailable):
        for pod in pods:
            row = table.proxy(pod.namespace, pod.name)
            if row is not None and wrong_types(row, view.now):
                return pod
            if row is None and is_absent(pod, table, reading.istiod_pods(view), view.now):
                return pod
    return pods[-1] if pods else None


def _seen(
    view: View, pods: list[Pod], table: SyncTable | Unavailable
) -> tuple[Fact[int], Fact[str], Fact[int], Fact[int]]:
    """absent, wrong, wrong_proxies, others_wrong."""
    if not pods:
        return 0, "", 0, 0
    if isinstance(table, Unavailable):
        return table, table, table, table
    absent = sum(is_absent(p, table, reading.istiod_pods(view), view.now) for p in pods)
    mine = {f"{p.name}.{p.namespace}" for p in pods}
    wrong = view.memo("wrong-proxies", _all_wrong)
    own = [p for p in wrong if p.id in mine]
    return absent, in_words(own[0], view.now) if own else "", len(own), len(wrong) - len(own)


def _state(
    seen: tuple[Fact[int], Fact[str], Fact[int], Fact[int]], seconds: Fact[int]
) -> Fact[str]:
    absent, wrong = seen[0], seen[1]
    if isinstance(absent, Unavailable) or isinstance(wrong, Unavailable):
        return absent if isinstance(absent, Unavailable) else wrong
    waited = not isinstance(seconds, Unavailable) and seconds
    if wrong and waited:
        return f"{wrong}, without an answer for {seconds} s"
    return wrong or ("no istiod lists it any more" if absent else "")


def _unanswered(view: View, pod: Pod | None, table: SyncTable | Unavailable) -> Fact[int]:
    """Of pushes that are dated (istiod 1.23 and later); what is not dated counts as none."""
    if pod is None:
        return 0
    if isinstance(table, Unavailable):
        return table
    row = table.proxy(pod.namespace, pod.name)
    late = [t.sent for t in row.types if t.state is State.STALE and t.sent] if row else []
    return int((view.now - min(late)).total_seconds()) if late else 0


def _all_wrong(view: View) -> list[ProxySync]:
    proxies = shared.sync_table(view).proxies.values()
    return [p for p in proxies if wrong_types(p, view.now)]


def _wanted(view: View, pod: Pod | None, controller: Workload | None) -> str:
    """Only sidecars: gateways are injected by their own labels, which never change in place."""
    if pod is None or not has_proxy(pod) or not is_sidecar(pod):
        return ""
    namespace = view.object("Namespace", Namespace, "", pod.namespace)
    if namespace is None:
        return ""
    template = controller.spec.template.metadata.labels if controller else pod.labels
    labels = {k: v for k, v in pod.labels.items() if k != revisions.REVISION}
    labels |= {k: v for k, v in template.items() if k == revisions.REVISION}
    called = matching(
        injectors(view.objects(MWC, WebhookConfiguration)),
        namespace_labels(pod.namespace, namespace.labels),
        labels,
    )
    found = {one.revision for one in called}
    return clean(min(found), 63) if len(found) == 1 else ""


def _outdated(view: View, pod: Pod | None) -> str:
    if pod is None:
        return ""
    ref = reading.mesh_config_ref(view)
    if not ref:
        return ""
    _, namespace, name = ref.split("/")
    found = view.object("ConfigMap", ConfigMap, namespace, name)
    created = pod.metadata.creation_timestamp
    if found is None or created is None or not _changed_after(found, created):
        return ""
    return clean(outdated(pod, found), 60)


def _changed_after(found: ConfigMap, created: datetime) -> bool:
    """Whether the mesh config was written after the pod was made. Without times of writes, the
    creation counts: an unchanged ConfigMap older than the pod gave it what it holds."""
    at = last_change(found)
    return at is not None and at > created
