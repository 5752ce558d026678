"""Did the API server refuse to create this workload's pods, or would it?"""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Struct

from meshdoctor.mesh.admission import Refusal, Refused
from meshdoctor.mesh.annotations import (
    PROXY_RESOURCES,
    TEMPLATES,
    bad_quantities,
    quantity,
    refused,
    unknown_templates,
)
from meshdoctor.mesh.injector_config import InjectorConfig
from meshdoctor.mesh.webhooks import Injector
from meshdoctor.mesh.workloads import WorkloadPods, has_proxy
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import LimitRange
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.injection_reads import injector_config, next_on_record
from meshdoctor.probes.startup_reads import refusal
from meshdoctor.probes.view import View, attempt, probe


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
    injector: Annotated[Fact[Ref], "the injector's ConfigMap; empty: none is asked"]
    injector_name: Annotated[Fact[str], "that ConfigMap's name"]
    injector_namespace: Annotated[Fact[str], "that ConfigMap's namespace"]
    values_error: Annotated[Fact[str], "why the injector's values cannot be used; empty: they can"]
    resources_conflict: Annotated[Fact[str], "what is wrong in values global.proxy.resources"]
    annotation_conflict: Annotated[Fact[str], "what is wrong in the pod's proxy resources"]
    resources_problem: Annotated[Fact[str], "the first of both, in words"]
    policy_said: Annotated[Fact[str], "the security policy's level, or its words"]
    resources_at_fault: Annotated[Fact[Ref], "the workload by its annotations, else the injector"]
    annotation: Annotated[Fact[str], "annotation that istiod refuses; empty: none"]
    annotation_said: Annotated[Fact[str], "its value and what is wrong with it, in words"]
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
    ),
)
def injection_refusal(view: View, subject: WorkloadSubject) -> InjectionRefusal:
    """Did the API server refuse to create this workload's pods, or would it?"""
    coming = next_on_record(view, subject)
    found, pod, called = coming.found, coming.pod, coming.decision.called
    said = attempt(lambda: refusal(view, subject))
    lost = said if isinstance(said, Unavailable) else None
    one = said if isinstance(said, Refused) and not said.call_failed else None
    injector = attempt(lambda: _injector(view, called[-1])) if called else NO_INJECTOR
    gone = injector if isinstance(injector, Unavailable) else None
    its = injector if isinstance(injector, _Injector) else NO_INJECTOR
    level = coming.site.space.enforce
    name, value, problem = _wrong(found, pod.annotations) if called else ("", "", "")
    conflicting = _of_annotations(pod.annotations)
    return InjectionRefusal(
        kind=lost or (one.kind.value if one else ""),
        text=lost or (one.text if one else ""),
        said=lost or (f". The API server says: {one.text}" if one else ""),
        seen_at=lost or (f"{one.at:%H:%M:%S}" if one and one.at else ""),
        by=lost or (one.by if one else ""),
        quota=lost or Ref(_quota(one, subject)),
        quota_wants=lost or Ref(subject.ref if one and "must specify" in one.text else ""),
        limit_range=attempt(lambda: _limit_range(view, subject.namespace)),
        names_mesh=lost or (one is not None and one.names_mesh),
        injector=gone or its.ref,
        injector_name=gone or its.name,
        injector_namespace=gone or its.namespace,
        values_error=gone or its.values_error,
        resources_conflict=gone or its.resources,
        annotation_conflict=conflicting if called else "",
        resources_problem=(
            gone
            or its.resources
            or conflicting
            or "neither its values nor the annotations show why"
        ),
        policy_said=lost or _policy_said(level, one),
        resources_at_fault=Ref(subject.ref) if called and conflicting else gone or its.ref,
        annotation=name,
        annotation_said=f"{name}={value} ({problem})" if name else "an annotation's value",
        template=gone or _template(found, pod.annotations, its),
        templates=gone or its.templates,
        cni=gone or its.cni,
        enforce=level,
    )


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
    def build(v: View) -> _Injector:
        found = injector_config(v, one)
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

    return view.memo(("injector-said", one.service, one.revision), build)


def _quota(one: Refused | None, subject: WorkloadSubject) -> str:
    quota = one is not None and one.kind is Refusal.QUOTA
    return f"ResourceQuota/{subject.namespace}/{one.by}" if one and quota else ""


def _policy_said(level: str, one: Refused | None) -> str:
    if one is not None and one.kind is Refusal.SECURITY:
        return one.text
    return f"the namespace enforces Pod Security level {level}" if level else ""


def _limit_range(view: View, namespace: str) -> Ref:
    """The namespace's first LimitRange; "" when it has none."""

    def build(v: View) -> Ref:
        return Ref(next((x.ref for x in v.objects("LimitRange", LimitRange, namespace)), ""))

    return view.memo(("limit-range", namespace), build)


def _wrong(found: WorkloadPods, annotations: Mapping[str, str]) -> tuple[str, str, str]:
    """The first annotation that istiod refuses, its value and what is wrong; three times ""."""
    wrong = refused(annotations)
    proven = _proven(found) if wrong else frozenset()
    return next((a for a in wrong if a[:2] not in proven), ("", "", ""))


def _proven(found: WorkloadPods) -> frozenset[tuple[str, str]]:
    """Annotations with which a live pod was injected: istiod does not refuse these."""
    return frozenset(a for p in found.live if has_proxy(p) for a in p.annotations.items())


def _template(found: WorkloadPods, annotations: Mapping[str, str], injector: _Injector) -> str:
    """A template that does not exist. A live pod with the same annotation shows that it does."""
    asked, config = annotations.get(TEMPLATES, ""), injector.config
    if config is None or not asked or not config.templates:
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
        return f"{bad[0]} is no quantity"
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
