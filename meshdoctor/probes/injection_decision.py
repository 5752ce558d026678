"""Would the next pod of this workload get a sidecar, and do its pods have one?"""

from functools import partial
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.ambient import MODE
from meshdoctor.mesh.enablement import (
    Injected,
    expected_by,
    expected_in,
    expecting_policy,
    injected,
    older_than_enablement,
    unread_settings,
)
from meshdoctor.mesh.injection import (
    IGNORED_NAMESPACES,
    Clause,
    Decision,
    NewPod,
    depends_on_release,
    label_means,
    unclear,
)
from meshdoctor.mesh.injector_config import config_map_name
from meshdoctor.mesh.other_webhooks import after_injection
from meshdoctor.mesh.revisions import lost_sidecar
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.webhooks import (
    INJECT,
    INJECTION,
    REVISION,
    Injector,
    foreign_requirement,
    namespace_labels,
)
from meshdoctor.mesh.workloads import WorkloadPods, is_sidecar
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.kubernetes import Namespace, Object, Pod, WebhookConfiguration
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.injection_reads import (
    MUTATING,
    Next,
    Space,
    injector_config,
    istiod_release,
    next_on_record,
    webhooks,
)
from meshdoctor.probes.reading import root_namespace
from meshdoctor.probes.startup_reads import pods_in
from meshdoctor.probes.view import View, attempt, known, probe

_CHOICE = frozenset({INJECT, REVISION})
POLICIES = ("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication", "Sidecar")


class InjectionDecision(Struct, frozen=True, kw_only=True):
    """The labels that decide, what they decide, and what the pods look like."""

    workload: Annotated[Fact[Ref], "the workload itself"]
    workload_name: Annotated[Fact[str], "its name"]
    resource: Annotated[Fact[str], "what kubectl calls its controller, such as deployment"]
    namespace: Annotated[Fact[Ref], "the workload's Namespace"]
    namespace_name: Annotated[Fact[str], "the namespace's name"]
    pods: Annotated[Fact[int], "pods that run or should"]
    uninjected: Annotated[Fact[int], "of those, pods without istio-proxy"]
    pod: Annotated[Fact[str], "a pod without istio-proxy, else any pod; empty: no pod"]
    asked: Annotated[Fact[bool], "an injection webhook is called for a new pod"]
    injected: Annotated[Fact[bool], "a new pod would be injected"]
    clause: Annotated[Fact[str], "the rule that decides (mesh/injection.py Clause)"]
    because: Annotated[Fact[str], "the same in words"]
    revision: Annotated[Fact[str], "the revision that would inject; empty: none"]
    webhook: Annotated[Fact[Ref], "the webhook configuration that is called; empty: none"]
    fail_open: Annotated[Fact[bool], "that webhook has failurePolicy Ignore"]
    calls: Annotated[Fact[int], "injection webhooks called for one pod"]
    second_webhook: Annotated[Fact[Ref], "another one of those; empty: only one"]
    namespace_injection: Annotated[Fact[str], "namespace label istio-injection; empty: absent"]
    label_yes: Annotated[Fact[bool], "that label means yes, rightly written or not"]
    label_right: Annotated[
        Fact[str], "that label as kubectl sets it to what it means: enabled, else taken away"
    ]
    namespace_revision: Annotated[Fact[str], "namespace label istio.io/rev; empty: absent"]
    revision_set_on: Annotated[
        Fact[Ref], "who carries the label istio.io/rev: namespace or workload"
    ]
    overruled: Annotated[
        Fact[str], "the pod's own istio.io/rev, which names another revision; empty: none does"
    ]
    pod_value: Annotated[Fact[str], "what the pod says in sidecar.istio.io/inject"]
    pod_label: Annotated[Fact[str], "pod template label sidecar.istio.io/inject"]
    pod_annotation: Annotated[Fact[str], "pod template annotation sidecar.istio.io/inject"]
    value_unclear: Annotated[Fact[bool], "the pod's value is not one that istiod understands"]
    labels_conflict: Annotated[Fact[bool], "the two namespace labels choose differently"]
    injectors: Annotated[Fact[int], "injection webhooks that can match anything"]
    deactivated: Annotated[Fact[Ref], "a deactivated default webhook configuration"]
    deactivated_revision: Annotated[Fact[str], "the revision that it served; empty: there is none"]
    choices: Annotated[Fact[str], "revisions and tags that a label may name, or `none`"]
    first_choice: Annotated[Fact[str], "the first of them"]
    misplaced: Annotated[Fact[str], "injection label on the controller, not on its template"]
    unread: Annotated[
        Fact[str], "annotations for the sidecar on the controller, not on its template"
    ]
    left_out_by: Annotated[
        Fact[Ref], "whose change lets a webhook's selectors take in a pod that is to be injected"
    ]
    left_out_said: Annotated[
        Fact[str],
        "the selector of it that no release of Istio writes, as the end of a clause; empty: none",
    ]
    left_out_namespace: Annotated[Fact[bool], "that selector looks at the namespace"]
    expected: Annotated[Fact[bool], "something shows that a sidecar is expected"]
    expected_by: Annotated[Fact[str], "what shows it"]
    expected_policy: Annotated[Fact[Ref], "the policy that shows it; empty: none does"]
    older: Annotated[Fact[bool], "the pod is older than what now asks for its injection"]
    stale_revision: Annotated[Fact[str], "revision that injected a pod when another would now"]
    later_webhook: Annotated[Fact[Ref], "other webhook that changes the pod after the injector"]
    later_said: Annotated[Fact[str], "the same as the end of a clause; empty: there is none"]
    lost: Annotated[Fact[bool], "there is a pod from which the sidecar was taken again"]
    stripped: Annotated[
        Fact[str],
        "a pod that says the injector gave it a sidecar, and has none: something took it out "
        "again; empty: none",
        OBSERVED,
    ]
    lagging: Annotated[Fact[str], "which pods are not as a new one would be, in words"]
    injector: Annotated[Fact[Ref], "the injector's ConfigMap; empty: no webhook is called"]
    injector_name: Annotated[Fact[str], "that ConfigMap's name"]
    injector_namespace: Annotated[Fact[str], "that ConfigMap's namespace"]
    ambient: Annotated[Fact[bool], "the namespace or the pod is labelled for ambient mode"]
    system: Annotated[Fact[bool], "the namespace is Kubernetes' or Istio's own"]
    istiod: Annotated[Fact[bool], "the workload is istiod, whose istio.io/rev is its own"]
    scoped: Annotated[Fact[bool], "the run asks about named workloads"]


@probe(
    "injection-decision",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "MutatingWebhookConfiguration",
        "Namespace",
        "ConfigMap",
        "Pod",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        *POLICIES,
    ),
)
def injection_decision(view: View, subject: WorkloadSubject) -> InjectionDecision:
    """Would the next pod of this workload get a sidecar, and do its pods have one?"""
    coming = next_on_record(view, subject)
    found, next_pod, told = coming.found, coming.pod, coming.decision
    space, hooks, live, bare = coming.site.space, coming.site.hooks, found.live, found.bare
    shown = bare[0] if bare else (live[0] if live else None)
    called = told.called[-1] if told.called else None
    said = next_pod.asks or ""
    later = _later(view, next_pod, called) if bare else ""
    lost = next((p.name for p in bare if lost_sidecar(p, found.controller)), "")
    home = called.service.namespace if called and called.service else view.istio_namespace
    config = config_map_name(told.revision)
    wanted = bool(bare) and not told.asked
    expecting = attempt(lambda: _expected(view, next_pod, space.object)) if wanted else ""
    stale = _stale(live, told)
    foreign, asks = _foreign(next_pod, told, hooks.all)
    return InjectionDecision(
        workload=Ref(subject.ref),
        workload_name=subject.name,
        resource=subject.owner.lower(),
        namespace=space.ref,
        namespace_name=subject.namespace,
        pods=len(live),
        uninjected=len(bare),
        pod=shown.name if shown is not None else "",
        asked=told.asked,
        injected=told.injected if told.injected is not None else _unseen(view, coming),
        clause=told.clause.value,
        because=told.because,
        revision=told.revision,
        webhook=Ref(_ref(called)),
        fail_open=called is not None and called.webhook.failure_policy == "Ignore",
        calls=len(told.called),
        second_webhook=Ref(_ref(told.called[0]) if len(told.called) > 1 else ""),
        namespace_injection=space.injection,
        label_yes=label_means(space.injection) is True,
        label_right=f"{INJECTION}=enabled" if label_means(space.injection) else f"{INJECTION}-",
        namespace_revision=space.revision,
        revision_set_on=(
            Ref(subject.ref)
            if REVISION in next_pod.labels and REVISION not in space.labels
            else space.ref
        ),
        overruled=_overruled(next_pod, told, hooks.all),
        pod_value=clean(said, 63),
        pod_label=clean(next_pod.labels.get(INJECT, ""), 63),
        pod_annotation=clean(next_pod.annotations.get(INJECT, ""), 63),
        value_unclear=attempt(lambda: _unclear(view, said, called)),
        labels_conflict=_conflict(space, told, hooks.all),
        injectors=hooks.active,
        deactivated=Ref(_ref_of(hooks.deactivated)),
        deactivated_revision=_revision_of(hooks.deactivated),
        choices=hooks.choices or "none",
        first_choice=hooks.first_choice,
        misplaced=_misplaced(found, next_pod),
        unread=_unread(found, next_pod),
        left_out_by=Ref(_ref(foreign) if foreign is not None else _left_out_by(space, hooks.all)),
        left_out_said=f" ({asks})" if asks else "",
        left_out_namespace=asks.startswith("namespaceSelector"),
        expected=bool(expecting) if isinstance(expecting, str) else expecting,
        expected_by=expecting,
        expected_policy=Ref(expecting_policy(expecting))
        if isinstance(expecting, str)
        else expecting,
        older=_older(view, bare, space.object, called, later),
        stale_revision=stale,
        later_webhook=Ref(later),
        later_said=f"; {later} is called after the injector" if later else "",
        lost=bool(lost),
        stripped=lost,
        lagging=(
            f"{len(bare)} of {len(live)} pods have no sidecar"
            if bare
            else f"its sidecar is of revision {stale}"
        ),
        injector=Ref(f"ConfigMap/{home}/{config}" if called else ""),
        injector_name=config if called else "",
        injector_namespace=home if called else "",
        ambient="ambient" in (space.labels.get(MODE), next_pod.labels.get(MODE)),
        system=space.system,
        istiod=next_pod.labels.get("app") == "istiod",
        scoped=view.namespaces is not None,
    )


def _ref(one: Injector | None) -> str:
    return _ref_of(one.config if one is not None else None)


def _ref_of(config: WebhookConfiguration | None) -> str:
    return f"MutatingWebhookConfiguration//{config.name}" if config is not None else ""


def _revision_of(config: WebhookConfiguration | None) -> str:
    return clean(config.labels.get(REVISION, "default"), 63) if config is not None else ""


def _unseen(view: View, coming: Next) -> Unavailable:
    """What could not be seen of the istiod that is asked."""
    called = coming.decision.called[-1]
    config = attempt(lambda: injector_config(view, called))
    if isinstance(config, Unavailable):
        return config
    release = attempt(lambda: istiod_release(view, called.revision))
    if isinstance(release, Unavailable):
        return release
    return Unavailable(
        reason=Reason.NOT_FOUND,
        what=f"injector ConfigMap of revision {called.revision}",
        remedy="kubectl -n istio-system get configmap -l app=sidecar-injector",
    )


def _unclear(view: View, said: str, called: Injector | None) -> bool:
    """Whether the pod's value says nothing to the istiod that is asked, else to the newest."""
    if called is None or not depends_on_release(said):
        return unclear(said)
    return unclear(said, istiod_release(view, called.revision))


def _conflict(space: Space, told: Decision, hooks: tuple[Injector, ...]) -> bool:
    """Whether dropping istio-injection would choose another revision than is chosen now."""
    named = space.labels.get(REVISION)
    if named is None or INJECTION not in space.labels:
        return False
    meant = {one.revision for one in hooks if one.name == named and not one.deactivated}
    return not told.asked or told.revision not in meant


def _overruled(pod: NewPod, told: Decision, hooks: tuple[Injector, ...]) -> str:
    """The pod's own istio.io/rev where it would lead to another istiod than the one that is asked.
    Webhooks look at it only in namespaces that say nothing (rev.object, 1.10 to 1.32-dev)."""
    own = pod.labels.get(REVISION, "")
    meant = {one.revision for one in hooks if one.name == own and not one.deactivated}
    asks = INJECTION in pod.namespace_labels or REVISION in pod.namespace_labels
    wins = told.asked and asks and bool(meant) and told.revision not in meant
    return clean(own, 63) if wins else ""


def _misplaced(found: WorkloadPods, pod: NewPod) -> str:
    controller = found.controller
    if controller is None or (
        _CHOICE.isdisjoint(controller.labels) and _CHOICE.isdisjoint(controller.annotations)
    ):
        return ""
    for where, written, template in (
        ("label", controller.labels, pod.labels),
        ("annotation", controller.annotations, pod.annotations),
    ):
        for key in (INJECT, REVISION):
            value = written.get(key, "")
            if value and value != "false" and key not in template:
                return f"{where} {key}={clean(value, 63)}"
    return ""


def _unread(found: WorkloadPods, pod: NewPod) -> str:
    controller = found.controller
    if controller is None or not controller.annotations:
        return ""
    return ", ".join(unread_settings(controller.annotations, pod.annotations))


def _foreign(
    pod: NewPod, told: Decision, hooks: tuple[Injector, ...]
) -> tuple[Injector | None, str]:
    """The webhook that a selector of somebody's keeps from this pod, and what it wants."""
    if told.clause is not Clause.SELECTOR:
        return None, ""
    spaces = namespace_labels(pod.namespace, pod.namespace_labels)
    return foreign_requirement(hooks, spaces, pod.labels)


def _left_out_by(space: Space, hooks: tuple[Injector, ...]) -> str:
    """The namespace when it has no label for injection (webhooks of old look at nothing else);
    else a webhook configuration, whose selectors somebody changed."""
    if not space.injection and not space.revision:
        return space.ref
    return _ref(next((one for one in hooks if not one.deactivated), None))


def _expected(view: View, pod: NewPod, space: Namespace) -> str:
    if pod.namespace in IGNORED_NAMESPACES:
        return ""
    key = ("sidecars-expected", pod.namespace)
    return expected_by(pod, known(view.memo(key, lambda v: _here(v, space, pod.namespace))))


def _by_default(view: View) -> str:
    """The default injector's ConfigMap where it says that unlabelled namespaces are injected too;
    that takes a webhook of its own, which charts and istioctl make. Not read: it says nothing."""
    for one in webhooks(view).all:
        if one.revision == "default" and not one.deactivated:
            config = attempt(partial(injector_config, view, one))
            if config is None or isinstance(config, Unavailable):
                return ""
            said = config.value("sidecarInjectorWebhook", "enableNamespacesByDefault")
            return config.ref if said is True else ""
    return ""


def _here(view: View, space: Namespace, namespace: str) -> Fact[str]:
    """Who expects sidecars in the namespace. What is seen suffices; where nothing is, and an
    object that could expect them cannot be read, that one is missing."""
    siblings = attempt(lambda: _injected(view, namespace))
    kinds = [attempt(partial(_acting, view, kind, namespace)) for kind in POLICIES]
    read = [one for found in kinds if not isinstance(found, Unavailable) for one in found]
    known_ones = injected(()) if isinstance(siblings, Unavailable) else siblings
    missing = [one for one in (siblings, *kinds) if isinstance(one, Unavailable)]
    asks = _by_default(view)
    if asks:
        return f"{asks} says enableNamespacesByDefault, for which no webhook has an entry"
    return expected_in(space, known_ones, read) or (missing[0] if missing else "")


def _injected(view: View, namespace: str) -> Injected:
    return view.memo(("injected-in", namespace), lambda v: injected(pods_in(v, namespace)))


def _acting(view: View, kind: str, namespace: str) -> tuple[Object, ...]:
    """Objects of the namespace that act on its sidecars; those of the root namespace act
    elsewhere too and tell nothing."""
    if namespace == root_namespace(view):
        return ()
    return view.objects(kind, BY_NAME[kind].type, namespace)


def _older(
    view: View, bare: tuple[Pod, ...], space: Namespace, called: Injector | None, later: str
) -> bool | Unavailable:
    """Whether a bare pod is older than what asks for it. Where no time tells, a webhook that
    cannot fail open and is the last to change the pod leaves no other explanation."""
    if not bare or called is None:
        return False
    siblings = _injected(view, bare[0].namespace)
    told = [older_than_enablement(p, space, called.config, siblings) for p in bare]
    if any(told):
        return True
    if all(one is False for one in told):
        return False
    if called.webhook.failure_policy == "Fail" and not later:
        return True
    return Unavailable(
        reason=Reason.NOT_RECORDED,
        what=f"when namespace {bare[0].namespace} was labelled",
        remedy=f"kubectl get namespace {bare[0].namespace} -o yaml --show-managed-fields",
    )


def _later(view: View, pod: NewPod, called: Injector | None) -> str:
    if called is None:
        return ""
    labels = namespace_labels(pod.namespace, pod.namespace_labels)
    configs = view.objects(MUTATING, WebhookConfiguration)
    found = after_injection(configs, called, labels, pod.labels)
    return found.ref if found is not None else ""


def _stale(live: tuple[Pod, ...], told: Decision) -> str:
    if not told.injected:
        return ""
    for pod in live:
        chosen = pod.annotations.get(REVISION, "")
        if chosen and chosen != told.revision and is_sidecar(pod):
            return clean(chosen, 63)
    return ""
