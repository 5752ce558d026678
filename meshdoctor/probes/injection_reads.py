"""Which reads do the probes on injection share? Each is made once per run.

Not a probe: it judges nothing.
"""

from msgspec import Struct

from meshdoctor.mesh.ambient import MODE, redirection
from meshdoctor.mesh.injection import (
    IGNORED_NAMESPACES,
    Decision,
    NewPod,
    answered,
    depends_on_release,
    passed_over,
)
from meshdoctor.mesh.injector_config import InjectorConfig, config_map_name, parse
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
    Meta,
    Namespace,
    Pod,
    PodSpec,
    WebhookConfiguration,
)
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.reading import istiod_pods, workload
from meshdoctor.probes.startup_reads import pods_in
from meshdoctor.probes.view import View

MUTATING = "MutatingWebhookConfiguration"
ENFORCE = "pod-security.kubernetes.io/enforce"
_RELEASE = pattern(r":v?(\d+)\.(\d+)(?:\.\d+)?[^/]*$")


class Space(Struct, frozen=True, kw_only=True):
    """A namespace as all its workloads see it. `injection`, `revision`, `mode` and `enforce` are
    the values of its labels, fit to be shown; empty: absent. `system`: it is Kubernetes' or
    Istio's own. `enrolled`: how many of its live pods are in the ambient mesh."""

    object: Namespace
    labels: dict[str, str]
    ref: Ref
    injection: str
    revision: str
    mode: str
    enforce: str
    system: bool
    enrolled: int


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
            enrolled=sum(redirection(p) == "enabled" for p in pods_in(v, name)),
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


def supposed_config(one: Injector) -> str:
    """`ConfigMap/ns/name` of an injector's configuration, by the name that istiod reads it by."""
    space = one.service.namespace if one.service is not None else "istio-system"
    return f"ConfigMap/{space}/{config_map_name(one.revision)}"


def template_of(found: WorkloadPods) -> tuple[Meta, PodSpec]:
    """What the next pod of a workload is made from: its controller's template, else its newest
    pod; empty when there is neither."""
    controller = found.controller
    if controller is not None and controller.kind != "CronJob":
        return controller.spec.template.metadata, controller.spec.template.spec
    pod = found.pods[-1] if found.pods else Pod()
    return pod.metadata, pod.spec


def new_pod_in(space: Space, found: WorkloadPods) -> NewPod:
    """The same where the namespace was read."""
    meta, spec = template_of(found)
    return NewPod(
        namespace=found.subject.namespace,
        namespace_labels=space.labels,
        labels=meta.labels,
        annotations=meta.annotations,
        host_network=spec.host_network,
    )


class Next(Struct, frozen=True, kw_only=True):
    """The next pod of a workload and what is decided about it. `config` is of the istiod that is
    asked, where it could be read: `seen`."""

    found: WorkloadPods
    site: Site
    pod: NewPod
    decision: Decision
    config: InjectorConfig | None
    seen: bool


def decision(view: View, subject: WorkloadSubject) -> Decision:
    """Whether the next pod of the workload would be injected."""
    return next_of(view, subject).decision


def next_of(view: View, subject: WorkloadSubject) -> Next:
    """The next pod of the workload: would it be injected?"""
    return view.memo(("injection-next", subject), lambda v: _next(v, subject))


def next_on_record(view: View, subject: WorkloadSubject) -> Next:
    """The same. When a part of it cannot be read, what could be read before is still on record."""
    try:
        return next_of(view, subject)
    except EvidenceError:
        workload(view, subject)
        site_of(view, subject.namespace)
        raise


def _next(view: View, subject: WorkloadSubject) -> Next:
    found, site = workload(view, subject), site_of(view, subject.namespace)
    pod = new_pod_in(site.space, found)
    asked = _asked_about(view, site.hooks, pod)
    told = asked.passed_over or _answered(view, pod, asked)
    return Next(
        found=found,
        site=site,
        pod=pod,
        decision=told,
        config=asked.config,
        seen=asked.seen,
    )


def _answered(view: View, pod: NewPod, asked: "_Asked") -> Decision:
    """What istiod answers. Its release is read only for a value that releases understand
    differently; where it cannot be, the answer is not known."""
    config, release = asked.config, None
    if depends_on_release(pod.asks):
        try:
            release = istiod_release(view, asked.called[-1].revision)
        except EvidenceError:
            config = None
    return answered(pod, asked.called, config, release)


class _Asked(Struct, frozen=True, kw_only=True):
    """Whom the API server asks about the pods of one namespace that are labelled alike: the
    webhooks, with the configuration of the istiod behind them (None: not there, or not `seen`);
    or, when it asks none, the decision that stands without them."""

    called: tuple[Injector, ...]
    config: InjectorConfig | None = None
    seen: bool = False
    passed_over: Decision | None = None


def _asked_about(view: View, hooks: Injectors, pod: NewPod) -> _Asked:
    alike = tuple([pod.labels.get(key) for key in hooks.label_keys])
    return view.memo(("injection-asked", pod.namespace, alike), lambda v: _asked(v, hooks, pod))


def _asked(view: View, hooks: Injectors, pod: NewPod) -> _Asked:
    """Looks at nothing of the pod but its namespace and the labels in `hooks.label_keys`."""
    labels = namespace_labels(pod.namespace, pod.namespace_labels)
    called = matching(hooks.all, labels, pod.labels)
    if not called:
        return _Asked(called=(), passed_over=passed_over(pod, hooks.all))
    try:
        config = injector_config(view, called[-1])
    except EvidenceError:
        return _Asked(called=called)
    return _Asked(called=called, config=config, seen=True)
