"""Which reads do the probes on injection and start-up share? Each is made once per run.

Not a probe: it judges nothing.
"""

from collections import defaultdict

from msgspec import Struct

from meshdoctor.mesh.admission import Refused, lacks_pods, standing, unlisted
from meshdoctor.mesh.ambient import MODE
from meshdoctor.mesh.injection import IGNORED_NAMESPACES, Decision, NewPod, answered, passed_over
from meshdoctor.mesh.injector_config import InjectorConfig, config_map_name, parse
from meshdoctor.mesh.pod_startup import Stage, Startup, glance, judge, worst
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.webhooks import (
    INJECTION,
    REVISION,
    Injector,
    Injectors,
    matching,
    namespace_labels,
    overview,
)
from meshdoctor.mesh.workloads import WorkloadPods
from meshdoctor.model.facts import Ref
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
ENFORCE = "pod-security.kubernetes.io/enforce"
_RELEASE = pattern(r":v?(\d+)\.(\d+)(?:\.\d+)?[^/]*$")
EventsOf = dict[tuple[str, str], list[Event]]
NO_POD = Startup(pod=Pod(), stage=Stage.ENDED)


class Space(Struct, frozen=True, kw_only=True):
    """A namespace as all its workloads see it. `injection`, `revision`, `mode` and `enforce` are
    the values of its labels, fit to be shown; empty: absent. `system`: it is Kubernetes' or
    Istio's own."""

    object: Namespace
    labels: dict[str, str]
    ref: Ref
    injection: str
    revision: str
    mode: str
    enforce: str
    system: bool


class Site(Struct, frozen=True, kw_only=True):
    """What the injection of all workloads of a namespace depends on."""

    space: Space
    hooks: Injectors


def webhooks(view: View) -> Injectors:
    """Every injection webhook of the cluster, and what holds of them together."""
    return view.memo("injectors", lambda v: overview(v.objects(MUTATING, WebhookConfiguration)))


def all_injectors(view: View) -> tuple[Injector, ...]:
    """Every injection webhook of the cluster."""
    return webhooks(view).all


def space_of(view: View, name: str) -> Space:
    """The namespace; one without labels when only its pods were recorded."""

    def build(v: View) -> Space:
        found = v.object("Namespace", Namespace, "", name) or Namespace()
        return Space(
            object=found,
            labels=found.labels,
            ref=Ref(f"Namespace//{name}"),
            injection=clean(found.labels.get(INJECTION, ""), 63),
            revision=clean(found.labels.get(REVISION, ""), 63),
            mode=clean(found.labels.get(MODE, ""), 63),
            enforce=found.labels.get(ENFORCE, "")[:63],
            system=_system(v, name),
        )

    return view.memo(("injection-space", name), build)


def _system(view: View, namespace: str) -> bool:
    return (
        namespace in IGNORED_NAMESPACES
        or namespace == view.istio_namespace
        or namespace.startswith(("kube-", "openshift-", "istio-"))
        or namespace.endswith("-system")
    )


def site_of(view: View, namespace: str) -> Site:
    """A namespace together with the injection webhooks. Where these cannot be read, the read of
    the namespace is still on record."""
    try:
        return view.memo(("injection-site", namespace), lambda v: _site(v, namespace))
    except EvidenceError:
        return _site(view, namespace)


def _site(view: View, namespace: str) -> Site:
    return Site(space=space_of(view, namespace), hooks=webhooks(view))


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
    return new_pod_in(space_of(view, found.subject.namespace), found)


def new_pod_in(space: Space, found: WorkloadPods) -> NewPod:
    """The same where the namespace was read."""
    controller, pod = found.controller, found.pods[-1] if found.pods else None
    if controller is not None and controller.kind != "CronJob":
        meta, spec = controller.spec.template.metadata, controller.spec.template.spec
    elif pod is not None:
        meta, spec = pod.metadata, pod.spec
    else:
        meta, spec = Pod().metadata, Pod().spec
    return NewPod(
        namespace=found.subject.namespace,
        namespace_labels=space.labels,
        labels=meta.labels,
        annotations=meta.annotations,
        host_network=spec.host_network,
    )


def decision(view: View, subject: WorkloadSubject) -> Decision:
    """Whether the next pod of the workload would be injected."""

    def build(v: View) -> Decision:
        found, site = workload(v, subject), site_of(v, subject.namespace)
        return _decide(v, site.hooks, new_pod_in(site.space, found))

    return view.memo(("injection-decision", subject), build)


class _Asked(Struct, frozen=True, kw_only=True):
    """Whom the API server asks about the pods of one namespace that are labelled alike: the
    webhooks, with the configuration of the istiod behind them (None: not seen) and its release;
    or, when it asks none, the decision that stands without them."""

    called: tuple[Injector, ...]
    config: InjectorConfig | None = None
    release: tuple[int, ...] | None = None
    passed_over: Decision | None = None


def _decide(view: View, hooks: Injectors, pod: NewPod) -> Decision:
    alike = tuple([pod.labels.get(key) for key in hooks.label_keys])
    asked = view.memo(("injection-asked", pod.namespace, alike), lambda v: _asked(v, hooks, pod))
    if asked.passed_over is not None:
        return asked.passed_over
    return answered(pod, asked.called, asked.config, asked.release)


def _asked(view: View, hooks: Injectors, pod: NewPod) -> _Asked:
    """Looks at nothing of the pod but its namespace and the labels in `hooks.label_keys`."""
    labels = namespace_labels(pod.namespace, pod.namespace_labels)
    called = matching(hooks.all, labels, pod.labels)
    if not called:
        return _Asked(called=(), passed_over=passed_over(pod, hooks.all))
    try:
        config = injector_config(view, called[-1])
        release = istiod_release(view, called[-1].revision)
    except EvidenceError:
        return _Asked(called=called)
    return _Asked(called=called, config=config, release=release)


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
    owned = owned_in(view, found.subject.namespace)
    mine = () if found.controller is None else (found.controller,)
    return (*mine, *owned.get(found.subject.name, ()))


def owned_in(view: View, namespace: str) -> dict[str, list[Workload]]:
    """ReplicaSets and Jobs of a namespace by the name of their owner."""

    def build(v: View) -> dict[str, list[Workload]]:
        out: dict[str, list[Workload]] = defaultdict(list)
        for kind in ("ReplicaSet", "Job"):
            for one in v.objects(kind, Workload, namespace):
                for owner in one.metadata.owner_references:
                    out[owner.name].append(one)
        return dict(out)

    return view.memo(("owned-by", namespace), build)


def refusal(view: View, subject: WorkloadSubject) -> Refused | None:
    """What keeps the workload's pods from being created; None: nothing that is known."""

    def build(v: View) -> Refused | None:
        events = events_of(v, subject.namespace)
        found = controllers_of(v, workload(v, subject))
        mine: list[Event] = []
        if any(lacks_pods(c) for c in found):
            found = (*found, *unlisted(found, events))
            mine = [e for c in found for e in events.get((c.kind, c.name), ())]
        return standing(found, mine, v.now)

    return view.memo(("refusal", subject), build)


class Startups(Struct, frozen=True, kw_only=True):
    """How far each pod of a workload came that is not being deleted; the one furthest from Ready,
    an empty pod that ended where there is none; and those of which a container ever ended."""

    states: tuple[Startup, ...]
    worst: Startup
    ended: tuple[Pod, ...]


def startups(view: View, subject: WorkloadSubject) -> Startups:
    """How far each pod of the workload came. Events are read where a pod waits; when they cannot
    be, that is raised."""

    def build(v: View) -> Startups:
        seen = [(pod, *glance(pod)) for pod in workload(v, subject).pods]
        events = events_of(v, subject.namespace) if any(waits for _, waits, _ in seen) else {}
        staying = [(p, ended) for p, _, ended in seen if p.metadata.deletion_timestamp is None]
        states = [judge(pod, events.get(("Pod", pod.name), ()), v.now) for pod, _ in staying]
        return Startups(
            states=tuple(states),
            worst=worst(states) or NO_POD,
            ended=tuple([pod for pod, ended in staying if ended]),
        )

    return view.memo(("startups", subject), build)


def pods_in(view: View, namespace: str) -> tuple[Pod, ...]:
    """Every live pod of a namespace that is in scope."""
    return view.memo("live-pods", _live_pods).get(namespace, ())


def _live_pods(view: View) -> dict[str, tuple[Pod, ...]]:
    out: dict[str, list[Pod]] = defaultdict(list)
    for (space, _), found in workloads(view).items():
        out[space] += found.live
    return {space: tuple(pods) for space, pods in out.items()}
