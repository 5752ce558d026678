"""Is a workload's proxy connected to the istiod it should use, and in step with it?"""

from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import revisions
from meshdoctor.mesh.annotations import TEMPLATES
from meshdoctor.mesh.changes import last_change
from meshdoctor.mesh.proxy_bootstrap import outdated
from meshdoctor.mesh.sync_judgement import absence, in_words, proxy_not_ready
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.webhooks import Answers
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.evidence import Reason, Unavailable
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
    blamed: Annotated[
        Fact[Ref],
        "its workload; istiod's, where of several workloads with a proxy of the same revision no "
        "istiod lists any",
    ]
    all_absent: Annotated[
        Fact[str], "the latter in words, as the end of a clause; empty: it is not"
    ]
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
    pods = [p for p in workload.proxies if shared.runs(p)]
    sync = attempt(lambda: shared.sync(view))
    seen = _seen(view, pods, sync)
    pod = seen.pod
    kind = workload.type_of(pod)
    revision = revisions.of_proxy(pod) if pod is not None else ""
    unanswered = _unanswered(view, pod, sync)
    running = shared.running_revisions(view)
    wanted = attempt(lambda: _wanted(view, pod, kind, workload.controller))
    outdated, mesh_config = _against_mesh(view, pod)
    blamed, all_absent = _common(view, revision, seen.absent, sync)
    return WorkloadSync(
        proxies=len(pods),
        kind=kind,
        pod=pod.name if pod is not None else "",
        workload=Ref(subject.ref),
        resource=f"{subject.owner.lower()}/{subject.name}",
        namespace=subject.namespace,
        absent=seen.absent,
        blamed=blamed or Ref(subject.ref),
        all_absent=all_absent,
        wrong=seen.wrong,
        wrong_proxies=seen.wrong_proxies,
        others_wrong=seen.others_wrong,
        lag_seen=not isinstance(seen.wrong_proxies, Unavailable) and seen.wrong_proxies > 0,
        unanswered_seconds=unanswered,
        state=_state(seen, unanswered),
        proxy_not_ready=pod is not None and proxy_not_ready(pod),
        revision=clean(revision, 63),
        revision_runs=revision in running,
        wanted_revision=wanted,
        outdated=outdated,
        mesh_config=Ref(mesh_config),
    )


class _Seen(Struct, frozen=True, kw_only=True):
    """What the sync table says of a workload; `pod` is the first out of step, else the newest."""

    pod: Pod | None
    absent: Fact[int] = 0
    wrong: Fact[str] = ""
    wrong_proxies: Fact[int] = 0
    others_wrong: Fact[int] = 0


def _seen(view: View, pods: list[Pod], sync: shared.Sync | Unavailable) -> _Seen:
    if not pods:
        return _Seen(pod=None)
    if isinstance(sync, Unavailable):
        return _Seen(pod=pods[-1], absent=sync, wrong=sync, wrong_proxies=sync, others_wrong=sync)
    mine = {f"{p.metadata.name}.{p.metadata.namespace}": p for p in pods}
    unlisted = [key for key in mine if key not in sync.table.proxies]
    if not unlisted and mine.keys().isdisjoint(sync.wrong):
        return _Seen(pod=pods[-1], others_wrong=len(sync.wrong))
    istiods = reading.istiod_pods(view) if unlisted else ()
    gone = {key: absence(mine[key], sync.table, istiods, view.now) for key in unlisted}
    lost = [key for key in unlisted if gone[key]]
    early = sum(one is None for one in gone.values())
    own = [key for key in sync.wrong if key in mine]
    bad = {*lost, *own}
    return _Seen(
        pod=next((p for key, p in mine.items() if key in bad), pods[-1]),
        absent=len(lost) if lost or not early else _early(early),
        wrong=in_words(sync.wrong[own[0]], view.now) if own else "",
        wrong_proxies=len(own),
        others_wrong=len(sync.wrong) - len(own),
    )


def _early(proxies: int) -> Unavailable:
    return Unavailable(
        reason=Reason.NOT_FOUND,
        what=f"{proxies} of its proxies at an istiod",
        detail="an istiod of theirs started less than a minute ago",
        remedy="diagnose again in a minute",
    )


def _common(
    view: View, revision: str, absent: Fact[int], sync: shared.Sync | Unavailable
) -> tuple[Ref, str]:
    """The workload of the istiod that has lost all its proxies, and that in words; "" when it has
    not, or this workload is not without it."""
    if isinstance(absent, Unavailable) or not absent or isinstance(sync, Unavailable):
        return Ref(""), ""
    table = sync.table

    def build(v: View) -> tuple[Ref, str]:
        alone = 0
        for found in reading.workloads(v).values():
            clients = [p for p in found.proxies if shared.is_client(p) and shared.runs(p)]
            mine = [p for p in clients if revisions.of_proxy(p) == revision]
            if any(f"{p.metadata.name}.{p.metadata.namespace}" in table.proxies for p in mine):
                return Ref(""), ""
            alone += bool(mine)
        istiods = [p for p in reading.istiod_pods(v) if revisions.of_istiod(p) == revision]
        if alone < 2 or not istiods:
            return Ref(""), ""
        said = f"; nor has any other proxy of the {alone} workloads looked at, so look at istiod"
        return Ref(owner_of(istiods[0]).ref), said

    return view.memo(("lost-all", revision), build)


def _state(seen: _Seen, seconds: Fact[int]) -> Fact[str]:
    absent, wrong = seen.absent, seen.wrong
    if isinstance(absent, Unavailable) or isinstance(wrong, Unavailable):
        return absent if isinstance(absent, Unavailable) else wrong
    waited = not isinstance(seconds, Unavailable) and seconds
    if wrong and waited:
        return f"{wrong}, without an answer for {seconds} s"
    return wrong or ("no istiod lists it any more" if absent else "")


def _unanswered(view: View, pod: Pod | None, sync: shared.Sync | Unavailable) -> Fact[int]:
    if pod is None:
        return 0
    if isinstance(sync, Unavailable):
        return sync
    since = sync.waiting.get(f"{pod.metadata.name}.{pod.metadata.namespace}")
    return int((view.now - since).total_seconds()) if since is not None else 0


def _wanted(view: View, pod: Pod | None, kind: str, controller: Workload | None) -> str:
    """Of sidecars, and of gateways that are injected (the gateway chart's); others carry what
    istioctl or Helm once wrote, which never changes in place."""
    injected = kind == "sidecar" or kind == "router" and _is_injected_gateway(pod)
    if pod is None or not injected:
        return ""
    space = pod.metadata.namespace
    namespace = view.object("Namespace", Namespace, "", space)
    if namespace is None:
        return ""
    hooks = view.memo("injectors-asked", lambda v: Answers(v.objects(MWC, WebhookConfiguration)))
    labels = pod.metadata.labels
    template = controller.spec.template.metadata.labels if controller else labels
    if labels.get(revisions.REVISION) != template.get(revisions.REVISION):
        labels = {k: v for k, v in labels.items() if k != revisions.REVISION}
        labels |= {k: v for k, v in template.items() if k == revisions.REVISION}
    return hooks.revision(space, namespace.labels, labels)


def _is_injected_gateway(pod: Pod | None) -> bool:
    return pod is not None and "gateway" in pod.annotations.get(TEMPLATES, "").split(",")


class _MeshConfig(Struct, frozen=True, kw_only=True):
    """The mesh config's ConfigMap and its last write; None where there is none, or nothing tells.
    Without times of writes, the creation counts: an unchanged ConfigMap older than a pod gave it
    what it holds."""

    ref: str
    found: ConfigMap | None = None
    written: datetime | None = None


def _mesh_config(view: View) -> _MeshConfig:
    ref = reading.mesh_config_ref(view)
    if not ref:
        return _MeshConfig(ref="")
    _, namespace, name = ref.split("/")
    found = view.object("ConfigMap", ConfigMap, namespace, name)
    return _MeshConfig(ref=ref, found=found, written=last_change(found) if found else None)


def _against_mesh(view: View, pod: Pod | None) -> tuple[Fact[str], str]:
    """A setting that the mesh config got after the pod was made, and the proxy lacks; and the
    mesh config."""
    if pod is None:
        return "", reading.mesh_config_ref(view)
    mesh = attempt(lambda: view.memo("mesh-config-written", _mesh_config))
    if isinstance(mesh, Unavailable):
        return mesh, reading.mesh_config_ref(view)
    return _outdated(pod, mesh), mesh.ref


def _outdated(pod: Pod, mesh: _MeshConfig) -> str:
    created = pod.metadata.creation_timestamp
    if mesh.written is None or created is None or mesh.written <= created:
        return ""
    return clean(outdated(pod, mesh.found), 60)
