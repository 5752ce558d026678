"""Did the API server refuse to create this workload's pods, or would it?"""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh.admission import Refusal, Refused, doubled, names_added, wants_profile
from meshdoctor.mesh.annotations import (
    CHECKS,
    PROXY_RESOURCES,
    RELEASES,
    TEMPLATES,
    bad_quantities,
    quantity,
    refused,
    unknown_templates,
)
from meshdoctor.mesh.app_probes import STATUS_PORT, without_port
from meshdoctor.mesh.injector_config import (
    InjectorConfig,
    naming_among_containers,
)
from meshdoctor.mesh.pod_startup import INIT
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.webhooks import Injector
from meshdoctor.mesh.workloads import WorkloadPods, has_proxy
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import LimitRange
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.injection_reads import (
    Next,
    injector_config,
    istiod_release,
    next_on_record,
    supposed_config,
    template_of,
)
from meshdoctor.probes.other_webhook_reads import holder, service_of, upsets
from meshdoctor.probes.startup_reads import refusal
from meshdoctor.probes.view import View, attempt, probe

_ASKED = "sidecar.istio.io/proxy"
UNTOLD = "neither its values nor the annotations show why"
_TELLING = frozenset({*CHECKS, *PROXY_RESOURCES, TEMPLATES})
_SAID = (
    "kind",
    "text",
    "said",
    "seen_at",
    "by",
    "quota",
    "quota_wants",
    "names_mesh",
    "names_init",
    "doubled",
    "doubled_said",
    "wants_profile",
    "other_webhook",
    "other_service",
    "other_said",
    "policy_said",
)


class InjectionRefusal(Struct, frozen=True, kw_only=True):
    """What refused, what it named, and what the objects say about it."""

    kind: Annotated[Fact[str], "who refused (mesh/admission.py Refusal); empty: nobody", OBSERVED]
    text: Annotated[Fact[str], "what the API server said", OBSERVED]
    said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    seen_at: Annotated[Fact[str], "when it last said so"]
    by: Annotated[Fact[str], "webhook or quota named in the text; empty: none"]
    quota: Annotated[Fact[Ref], "the ResourceQuota named"]
    quota_wants: Annotated[Fact[Ref], "the workload, when the quota misses a value in its pods"]
    limit_range: Annotated[Fact[Ref], "the namespace's LimitRange; empty: none"]
    names_mesh: Annotated[Fact[bool], "the text names a container or volume of Istio's", OBSERVED]
    names_init: Annotated[Fact[bool], "the text names istio-init", OBSERVED]
    doubled: Annotated[
        Fact[str],
        "container of Istio's that the pod would hold twice, though its own template and one "
        "injector name it once at most; empty: none",
        OBSERVED,
    ]
    doubled_said: Annotated[Fact[str], "which template adds it again, in words; or empty"]
    wants_profile: Annotated[
        Fact[bool], "for want of a seccomp profile of what is injected", OBSERVED
    ]
    other_webhook: Annotated[
        Fact[Ref],
        "webhook of somebody else: named by the text, or given a native sidecar's pod after the "
        "injector; empty: none",
    ]
    other_service: Annotated[Fact[Ref], "the Service that it calls, when it could not be asked"]
    other_said: Annotated[Fact[str], "the same as the end of a sentence"]
    injector: Annotated[Fact[Ref], "the injector's ConfigMap; empty: none is asked"]
    injector_name: Annotated[Fact[str], "that ConfigMap's name"]
    injector_namespace: Annotated[Fact[str], "that ConfigMap's namespace"]
    values_error: Annotated[Fact[str], "why the injector's values cannot be used; empty: they can"]
    values_said: Annotated[Fact[str], "the same as the end of a sentence"]
    resources_conflict: Annotated[Fact[str], "what is wrong in values global.proxy.resources"]
    annotation_conflict: Annotated[Fact[str], "what is wrong in the pod's proxy resources"]
    resources_problem: Annotated[Fact[str], "the first of both, in words"]
    policy_said: Annotated[Fact[str], "the security policy's level, or its words"]
    resources_at_fault: Annotated[Fact[Ref], "the workload by its annotations, else the injector"]
    annotation: Annotated[Fact[str], "annotation that istiod refuses; empty: none"]
    annotation_said: Annotated[Fact[str], "its value and what is wrong with it, in words"]
    portless: Annotated[
        Fact[str], "probe that an annotation would lead to port 0, and whose; empty: none"
    ]
    status_port: Annotated[Fact[str], "what that annotation says"]
    template: Annotated[Fact[str], "template asked for that the injector lacks; empty: none"]
    templates: Annotated[Fact[str], "the templates that it has"]
    cni: Annotated[Fact[bool], "istio-cni redirects, so no istio-init is injected"]
    enforce: Annotated[Fact[str], "Pod Security level that the namespace enforces; empty: none"]


@probe(
    "injection-refusal",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Event",
        "Job",
        "LimitRange",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Pod",
        "ReplicaSet",
        "StatefulSet",
        "ValidatingWebhookConfiguration",
    ),
)
def injection_refusal(view: View, subject: WorkloadSubject) -> InjectionRefusal:
    """Did the API server refuse to create this workload's pods, or would it?"""
    coming = next_on_record(view, subject)
    said = attempt(lambda: refusal(view, subject))
    alike = _alike(view, coming)
    differs: dict[str, Any] = {}
    if said is not None:
        differs |= _refused(said, subject, alike.facts.policy_said, bool(coming.decision.called))
    if isinstance(said, Refused) and said.kind is Refusal.NATIVE:
        differs |= _others(view, coming, "may")
    if isinstance(said, Refused) and said.kind in (Refusal.OTHER_CALL, Refusal.DUPLICATE):
        differs |= _named(view, said.by)
    if isinstance(said, Refused) and said.kind is Refusal.DUPLICATE and not said.by:
        differs |= _others(view, coming, "may add it")
    if isinstance(said, Refused) and said.kind is Refusal.SECURITY and not said.names_mesh:
        differs |= {"names_mesh": _names_added(said, coming)}
    if isinstance(said, Refused) and said.kind is Refusal.DUPLICATE:
        differs |= _doubled(said, coming, alike.injector)
    if not _TELLING.isdisjoint(coming.pod.annotations):
        differs |= _annotated(view, coming, alike.injector, subject)
    if isinstance(said, Refused) and said.kind is Refusal.RESOURCES:
        differs |= _one_sided(said, coming, differs, subject.ref)
    if said is not None and alike.facts.injector == "" and coming.decision.called:
        differs |= _supposed(coming)
    return replace(alike.facts, **differs) if differs else alike.facts


class _Alike(Struct, frozen=True, kw_only=True):
    """What holds of all workloads of a namespace whose pods one injector is asked about, where
    nothing was refused and no annotation tells of the proxy."""

    facts: InjectionRefusal
    injector: "_Injector | Unavailable"


def _alike(view: View, coming: Next) -> _Alike:
    namespace, called = coming.pod.namespace, coming.decision.called
    last = called[-1] if called else None
    asked = (last.service, last.revision) if last is not None else None
    return view.memo(("not-refused", namespace, asked), lambda v: _nothing_told(v, coming, last))


def _nothing_told(view: View, coming: Next, last: Injector | None) -> _Alike:
    """Looks at nothing of the workload but its namespace."""
    injector = attempt(lambda: _injector(view, last)) if last is not None else NO_INJECTOR
    gone = injector if isinstance(injector, Unavailable) else None
    its = injector if isinstance(injector, _Injector) else NO_INJECTOR
    level = coming.site.space.enforce
    facts = InjectionRefusal(
        kind="",
        text="",
        said="",
        seen_at="",
        by="",
        quota=Ref(""),
        quota_wants=Ref(""),
        limit_range=attempt(lambda: _limit_range(view, coming.pod.namespace)),
        names_mesh=False,
        names_init=False,
        doubled="",
        doubled_said="",
        wants_profile=False,
        other_webhook=Ref(""),
        other_service=Ref(""),
        other_said="",
        injector=gone or its.ref,
        injector_name=gone or its.name,
        injector_namespace=gone or its.namespace,
        values_error=gone or its.values_error,
        values_said=gone or (f": {its.values_error}" if its.values_error else ""),
        resources_conflict=gone or its.resources,
        annotation_conflict="",
        resources_problem=gone or its.resources or UNTOLD,
        policy_said=f"the namespace enforces Pod Security level {level}" if level else "",
        resources_at_fault=gone or its.ref,
        annotation="",
        annotation_said="an annotation's value",
        portless="",
        status_port="",
        template=gone or "",
        templates=gone or its.templates,
        cni=gone or its.cni,
        enforce=level,
    )
    return _Alike(facts=facts, injector=injector)


def _refused(
    said: Refused | Unavailable, subject: WorkloadSubject, policy: Fact[str], called: bool
) -> dict[str, Any]:
    """The facts on what the API server said; none when it could not call the webhook. `called`:
    it had to."""
    if isinstance(said, Unavailable):
        return dict.fromkeys(_SAID, said)
    late = said.kind is Refusal.TIMED_OUT
    if said.call_failed or (late and called):
        return {}
    quota = said.kind is Refusal.QUOTA
    return {
        "kind": Refusal.OTHER.value if late else said.kind.value,
        "text": said.text,
        "said": f". The API server says: {said.text}",
        "seen_at": f"{said.at:%H:%M:%S}" if said.at else "",
        "by": said.by,
        "quota": Ref(f"ResourceQuota/{subject.namespace}/{said.by}" if quota else ""),
        "quota_wants": Ref(subject.ref if "must specify" in said.text else ""),
        "names_mesh": said.names_mesh,
        "names_init": INIT in said.text,
        "wants_profile": wants_profile(said.text),
        "policy_said": said.text if said.kind is Refusal.SECURITY else policy,
    }


def _names_added(said: Refused, coming: Next) -> bool:
    """A policy may name containers by number alone; only istiod is known to add some."""
    spec = template_of(coming.found)[1]
    known = bool(spec.containers) and bool(coming.decision.called)
    return known and names_added(said.text, len(spec.init_containers), len(spec.containers))


def _doubled(said: Refused, coming: Next, injector: "_Injector | Unavailable") -> dict[str, Any]:
    """A container of Istio's that one injector's templates add twice."""
    name, called = doubled(said.text), coming.decision.called
    spec = template_of(coming.found)[1]
    own = {c.name for c in (*spec.init_containers, *spec.containers)}
    if not name or name in own or len(called) != 1:
        return {}
    config = injector.config if isinstance(injector, _Injector) else None
    if config is None:
        return {"doubled": name}
    asked = coming.pod.annotations.get(TEMPLATES)
    names = [n.strip() for n in asked.split(",")] if asked else config.default_templates
    template = naming_among_containers(config, names, name)
    told = f": template {template} names it among the containers" if template else ""
    return {"doubled": name, "doubled_said": told}


def _others(view: View, coming: Next, verb: str) -> dict[str, Any]:
    other = attempt(lambda: upsets(view, coming))
    ending = other if isinstance(other, Unavailable) else f" ({other} {verb})" if other else ""
    return {"other_webhook": other, "other_said": ending}


def _named(view: View, webhook: str) -> dict[str, Any]:
    """The webhook of somebody else that the words name, and the Service that it calls."""
    found = attempt(lambda: holder(view, webhook)) if webhook else None
    if isinstance(found, Unavailable):
        return dict.fromkeys(("other_webhook", "other_service", "other_said"), found)
    ref = found.ref if found is not None else ""
    return {
        "other_webhook": Ref(ref),
        "other_service": service_of(found, webhook),
        "other_said": f" ({ref} adds it)" if ref else "",
    }


def _annotated(
    view: View, coming: Next, injector: "_Injector | Unavailable", subject: WorkloadSubject
) -> dict[str, Any]:
    """The facts that annotations of the pod may change."""
    gone = injector if isinstance(injector, Unavailable) else None
    its = injector if isinstance(injector, _Injector) else NO_INJECTOR
    annotations, called = coming.pod.annotations, bool(coming.decision.called)
    conflicting = _of_annotations(annotations)
    wrong = attempt(lambda: _wrong(view, coming)) if called else ""
    fault = Ref(subject.ref) if called and conflicting else gone or its.ref
    rewrites = its.config is not None and its.config.rewrites_probes
    portless = without_port(template_of(coming.found)[1], annotations, rewrites) if called else ""
    return {
        "portless": gone or portless,
        "status_port": clean(annotations.get(STATUS_PORT, ""), 60),
        "annotation_conflict": conflicting if called else "",
        "resources_problem": gone or its.resources or conflicting or UNTOLD,
        "resources_at_fault": fault,
        "annotation": wrong if isinstance(wrong, Unavailable) else wrong.partition("=")[0],
        "annotation_said": wrong or "an annotation's value",
        "template": gone or _template(coming.found, annotations, its),
    }


def _one_sided(said: Refused, coming: Next, written: Mapping[str, Any], ref: str) -> dict[str, Any]:
    """An empty quantity that istiod could not read, where the pod asks for CPU or memory alone:
    templates of before 1.1 then write the other one without a value."""
    asked = [name for name in ("CPU", "Memory") if f"{_ASKED}{name}" in coming.pod.annotations]
    if not said.by or len(asked) != 1 or written.get("resources_problem") != UNTOLD:
        return {}
    other = "Memory" if asked == ["CPU"] else "CPU"
    problem = f"{_ASKED}{asked[0]} without {_ASKED}{other}"
    return {
        "annotation_conflict": problem,
        "resources_problem": problem,
        "resources_at_fault": Ref(ref),
    }


def _supposed(coming: Next) -> dict[str, Any]:
    """The injector's ConfigMap by the name that istiod reads it by, where it is not on record."""
    ref = supposed_config(coming.decision.called[-1])
    return {
        "injector": Ref(ref),
        "injector_name": ref.rpartition("/")[2],
        "injector_namespace": ref.split("/")[1],
    }


class _Injector(Struct, frozen=True, kw_only=True):
    """What the ConfigMap of a revision's injector says; all empty: it is not there."""

    config: InjectorConfig | None = None
    ref: Ref = Ref("")
    name: str = ""
    namespace: str = ""
    values_error: str = ""
    resources: str = ""
    templates: str = ""
    cni: bool = False


NO_INJECTOR = _Injector()


def _injector(view: View, one: Injector) -> _Injector:
    found = injector_config(view, one)
    if found is None:
        return NO_INJECTOR
    return _Injector(
        config=found,
        ref=Ref(found.ref),
        name=found.ref.rpartition("/")[2],
        namespace=found.ref.split("/")[1],
        values_error=found.values_error,
        resources=_of_values(found),
        templates=", ".join(found.templates)[:300],
        cni=found.cni,
    )


def _limit_range(view: View, namespace: str) -> Ref:
    """The namespace's first LimitRange; "" when it has none."""
    return Ref(next((x.ref for x in view.objects("LimitRange", LimitRange, namespace)), ""))


def _wrong(view: View, coming: Next) -> str:
    """The first annotation that istiod refuses, its value and what is wrong; "" when none is.
    Its release is read only where releases differ."""
    annotations = coming.pod.annotations
    differ = not annotations.keys().isdisjoint(RELEASES)
    release = istiod_release(view, coming.decision.revision) if differ else None
    wrong = refused(annotations, release)
    proven = _proven(coming.found) if wrong else frozenset()
    told = (f"{n}={v} ({problem})" for n, v, problem in wrong if (n, v) not in proven)
    return next(told, "")


def _proven(found: WorkloadPods) -> frozenset[tuple[str, str]]:
    """Annotations with which a live pod was injected: istiod does not refuse these."""
    return frozenset(a for p in found.live if has_proxy(p) for a in p.annotations.items())


def _template(found: WorkloadPods, annotations: Mapping[str, str], injector: _Injector) -> str:
    """A template that does not exist. A live pod with the same annotation shows that it does."""
    asked, config = annotations.get(TEMPLATES), injector.config
    if config is None or asked is None or not config.templates:
        return ""
    if (TEMPLATES, asked) in _proven(found):
        return ""
    return next(iter(unknown_templates(annotations, config)), "")


def _of_values(config: InjectorConfig) -> str:
    """What makes the proxy's resources invalid: a null, or a request above its limit.

    An explicit null limit survives merging as 0 in some releases, below any request.
    """
    return conflict(config.value("global", "proxy", "resources"))


def conflict(resources: Any) -> str:
    """The first resource whose request no limit can hold; "" when there is none."""
    if not isinstance(resources, Mapping):
        return ""
    limits, requests = (
        part if isinstance(part := resources.get(key), Mapping) else {}
        for key in ("limits", "requests")
    )
    for name in sorted({*map(str, limits), *map(str, requests)}):
        asked, limit = requests.get(name), limits.get(name)
        if name in limits and limit is None:
            return f"limits.{name} is null"
        if name in requests and asked is None:
            return f"requests.{name} is null"
        for key, value in (("requests", asked), ("limits", limit)):
            if value is not None and quantity(value) is None:
                return f"{key}.{name} is no quantity"
        least, most = quantity(asked), quantity(limit)
        if least is not None and most is not None and least > most:
            return f"requests.{name} {asked} is above limits.{name} {limit}"
    return ""


def _of_annotations(annotations: Mapping[str, str]) -> str:
    if annotations.keys().isdisjoint(PROXY_RESOURCES):
        return ""
    bad = bad_quantities(annotations)
    if bad:
        return f"{bad[0]} is no quantity, or one below zero"
    for name in ("CPU", "Memory"):
        ask = annotations.get(f"sidecar.istio.io/proxy{name}")
        limit = annotations.get(f"sidecar.istio.io/proxy{name}Limit")
        told = conflict(
            {
                "requests": {} if ask is None else {name.lower(): ask},
                "limits": {} if limit is None else {name.lower(): limit},
            }
        )
        if told:
            return told
    return ""
