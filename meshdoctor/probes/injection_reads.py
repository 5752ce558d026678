"""Which reads do the probes on injection and start-up share? Each is made once per run.

Not a probe: it judges nothing.
"""

from collections import defaultdict

from meshdoctor.mesh.admission import Refused, standing, unlisted
from meshdoctor.mesh.injection import Decision, NewPod, decide
from meshdoctor.mesh.injector_config import InjectorConfig, config_map_name, parse
from meshdoctor.mesh.pod_startup import Startup, judge
from meshdoctor.mesh.webhooks import Injector, injectors, matching, namespace_labels
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.kubernetes import (
    ConfigMap,
    Event,
    Namespace,
    Pod,
    WebhookConfiguration,
    Workload,
)
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.reading import istiod_pods, workload, workloads
from meshdoctor.probes.view import View

MUTATING = "MutatingWebhookConfiguration"
_RELEASE = pattern(r":v?(\d+)\.(\d+)(?:\.\d+)?[^/]*$")
EventsOf = dict[tuple[str, str], list[Event]]


def all_injectors(view: View) -> tuple[Injector, ...]:
    """Every injection webhook of the cluster."""
    return view.memo("injectors", lambda v: injectors(v.objects(MUTATING, WebhookConfiguration)))


def namespace_of(view: View, name: str) -> Namespace:
    """The namespace; one without labels when only its pods were recorded."""
    found = view.object("Namespace", Namespace, "", name)
    return found if found is not None else Namespace()


def injector_config(view: View, one: Injector) -> InjectorConfig | None:
    """The injector configuration of the istiod that a webhook calls; None when it is not there."""
    service = one.service
    namespace = service.namespace if service is not None else view.istio_namespace

    def build(v: View) -> InjectorConfig | None:
        found = v.object("ConfigMap", ConfigMap, namespace, config_map_name(one.revision))
        return parse(found) if found is not None else None

    return view.memo(("injector-config", namespace, one.revision), build)


def release_of(image: str) -> tuple[int, ...] | None:
    """(1, 28) from an image reference; None when its tag is no release."""
    found = _RELEASE.search(image)
    return (int(found.group(1)), int(found.group(2))) if found else None


def istiod_release(view: View, revision: str) -> tuple[int, ...] | None:
    """The release of a revision's istiod, from its image; None when no tag tells."""

    def build(v: View) -> tuple[int, ...] | None:
        for pod in istiod_pods(v):
            if pod.labels.get("istio.io/rev", "default") == (revision or "default"):
                container = pod.container("discovery")
                return release_of(container.image) if container is not None else None
        return None

    return view.memo(("istiod-release", revision), build)


def new_pod(view: View, found: WorkloadPods) -> NewPod:
    """What decides about the next pod of a workload: its template, else its newest pod."""
    space = found.subject.namespace
    controller, pod = found.controller, found.pods[-1] if found.pods else None
    if controller is not None and controller.kind != "CronJob":
        meta, spec = controller.spec.template.metadata, controller.spec.template.spec
    elif pod is not None:
        meta, spec = pod.metadata, pod.spec
    else:
        meta, spec = Pod().metadata, Pod().spec
    return NewPod(
        namespace=space,
        namespace_labels=namespace_of(view, space).labels,
        labels=meta.labels,
        annotations=meta.annotations,
        host_network=spec.host_network,
    )


def decision(view: View, subject: WorkloadSubject) -> Decision:
    """Whether the next pod of the workload would be injected."""

    def build(v: View) -> Decision:
        return decide_for(v, new_pod(v, workload(v, subject)))

    return view.memo(("injection-decision", subject), build)


def decide_for(view: View, pod: NewPod) -> Decision:
    """The decision for any pod, applied or not."""
    found = all_injectors(view)
    called = matching(found, namespace_labels(pod.namespace, pod.namespace_labels), pod.labels)
    config: InjectorConfig | None = None
    release = None
    if called:
        try:
            config = injector_config(view, called[-1])
            release = istiod_release(view, called[-1].revision)
        except EvidenceError:
            config = None
    return decide(pod, found, config, release)


def events_of(view: View, namespace: str) -> EventsOf:
    """Warning events of a namespace by (kind, name) of the object they are about."""

    def build(v: View) -> EventsOf:
        out: EventsOf = defaultdict(list)
        for event in v.objects("Event", Event, namespace):
            if event.type != "Normal":
                out[(event.involved_object.kind, event.involved_object.name)].append(event)
        return dict(out)

    return view.memo(("events-of", namespace), build)


def controllers_of(view: View, found: WorkloadPods) -> tuple[Workload, ...]:
    """The controller and those it owns (ReplicaSets of a Deployment, Jobs of a CronJob)."""
    space, name = found.subject.namespace, found.subject.name

    def build(v: View) -> dict[str, list[Workload]]:
        out: dict[str, list[Workload]] = defaultdict(list)
        for kind in ("ReplicaSet", "Job"):
            for one in v.objects(kind, Workload, space):
                for owner in one.metadata.owner_references:
                    out[owner.name].append(one)
        return dict(out)

    owned = view.memo(("owned-by", space), build)
    mine = () if found.controller is None else (found.controller,)
    return (*mine, *owned.get(name, ()))


def refusal(view: View, subject: WorkloadSubject) -> Refused | None:
    """What keeps the workload's pods from being created; None: nothing that is known."""

    def build(v: View) -> Refused | None:
        events = events_of(v, subject.namespace)
        found = controllers_of(v, workload(v, subject))
        found = (*found, *unlisted(found, events))
        mine = [e for c in found for e in events.get((c.kind, c.name), ())]
        return standing(found, mine, v.now)

    return view.memo(("refusal", subject), build)


def startups(view: View, subject: WorkloadSubject) -> tuple[Startup, ...]:
    """How far each pod of the workload came. Events that cannot be read are raised."""

    def build(v: View) -> tuple[Startup, ...]:
        found = workload(v, subject)
        events = events_of(v, subject.namespace) if _any_unready(found) else {}
        return tuple(
            judge(pod, events.get(("Pod", pod.name), ()), v.now)
            for pod in found.pods
            if pod.metadata.deletion_timestamp is None
        )

    return view.memo(("startups", subject), build)


def _any_unready(found: WorkloadPods) -> bool:
    return any(not s.ready for pod in found.pods for s in pod.all_statuses) or any(
        pod.status.phase == "Pending" or not pod.all_statuses for pod in found.pods
    )


def live_pods(found: WorkloadPods) -> tuple[Pod, ...]:
    """Pods that run or should: neither ended nor being deleted."""
    return tuple(
        p
        for p in found.pods
        if p.status.phase not in ("Succeeded", "Failed") and p.metadata.deletion_timestamp is None
    )


def pods_in(view: View, namespace: str) -> tuple[Pod, ...]:
    """Every live pod of a namespace that is in scope."""

    def build(v: View) -> tuple[Pod, ...]:
        return tuple(
            pod
            for (space, _), found in workloads(v).items()
            if space == namespace
            for pod in live_pods(found)
        )

    return view.memo(("live-pods-in", namespace), build)
