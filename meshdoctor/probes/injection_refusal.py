"""Did the API server refuse to create this workload's pods, or would it?"""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Struct

from meshdoctor.mesh.admission import Refusal, Refused
from meshdoctor.mesh.annotations import bad_quantities, quantity, refused, unknown_templates
from meshdoctor.mesh.injector_config import InjectorConfig
from meshdoctor.mesh.workloads import has_proxy
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import LimitRange
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.injection_reads import (
    decision,
    injector_config,
    live_pods,
    namespace_of,
    new_pod,
    refusal,
)
from meshdoctor.probes.reading import workload
from meshdoctor.probes.view import View, attempt, known, probe

ENFORCE = "pod-security.kubernetes.io/enforce"


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
    found = workload(view, subject)
    pod = new_pod(view, found)
    called = decision(view, subject).called
    said = attempt(lambda: refusal(view, subject))
    one = attempt(lambda: known(said) if not _call(known(said)) else None)
    config = attempt(lambda: injector_config(view, called[-1]) if called else None)
    proven = {(k, v) for p in live_pods(found) if has_proxy(p) for k, v in p.annotations.items()}
    level = namespace_of(view, subject.namespace).labels.get(ENFORCE, "")[:63]
    wrong = [] if not called else [a for a in refused(pod.annotations) if a[:2] not in proven]
    name, value, problem = wrong[0] if wrong else ("", "", "")
    missing = attempt(lambda: _templates(pod.annotations, known(config), proven))
    ref = attempt(lambda: c.ref if (c := known(config)) is not None else "")
    return InjectionRefusal(
        kind=attempt(lambda: o.kind.value if (o := known(one)) is not None else ""),
        text=attempt(lambda: o.text if (o := known(one)) is not None else ""),
        said=attempt(
            lambda: f". The API server says: {o.text}" if (o := known(one)) is not None else ""
        ),
        seen_at=attempt(lambda: f"{o.at:%H:%M:%S}" if (o := known(one)) and o.at else ""),
        by=attempt(lambda: o.by if (o := known(one)) is not None else ""),
        quota=attempt(
            lambda: Ref(
                f"ResourceQuota/{subject.namespace}/{o.by}"
                if (o := known(one)) is not None and o.kind is Refusal.QUOTA
                else ""
            )
        ),
        quota_wants=attempt(
            lambda: Ref(
                subject.ref if (o := known(one)) is not None and "must specify" in o.text else ""
            )
        ),
        limit_range=attempt(
            lambda: Ref(next((x.ref for x in _limits(view, subject.namespace)), ""))
        ),
        names_mesh=attempt(lambda: (o := known(one)) is not None and o.names_mesh),
        injector=attempt(lambda: Ref(known(ref))),
        injector_name=attempt(lambda: known(ref).rpartition("/")[2]),
        injector_namespace=attempt(lambda: (known(ref) or "//").split("/")[1]),
        values_error=attempt(lambda: c.values_error if (c := known(config)) is not None else ""),
        resources_conflict=attempt(lambda: _of_values(known(config))),
        annotation_conflict=_of_annotations(pod.annotations) if called else "",
        resources_problem=attempt(
            lambda: (
                _of_values(known(config))
                or _of_annotations(pod.annotations)
                or "neither its values nor the annotations show why"
            )
        ),
        policy_said=attempt(lambda: _policy_said(level, known(one))),
        resources_at_fault=attempt(
            lambda: Ref(subject.ref if called and _of_annotations(pod.annotations) else known(ref))
        ),
        annotation=name,
        annotation_said=f"{name}={value} ({problem})" if name else "an annotation's value",
        template=missing,
        templates=attempt(
            lambda: ", ".join(c.templates)[:300] if (c := known(config)) is not None else ""
        ),
        cni=attempt(lambda: (c := known(config)) is not None and c.cni),
        enforce=level,
    )


def _policy_said(level: str, one: Refused | None) -> str:
    if one is not None and one.kind is Refusal.SECURITY:
        return one.text
    return f"the namespace enforces Pod Security level {level}" if level else ""


def _call(one: object) -> bool:
    return bool(getattr(one, "call_failed", False))


def _limits(view: View, namespace: str) -> tuple[LimitRange, ...]:
    return view.objects("LimitRange", LimitRange, namespace)


def _templates(
    annotations: Mapping[str, str], config: InjectorConfig | None, proven: set[tuple[str, str]]
) -> str:
    """A template that does not exist. A live pod with the same annotation shows that it does."""
    asked = ("inject.istio.io/templates", annotations.get("inject.istio.io/templates", ""))
    if config is None or not asked[1] or asked in proven or not config.templates:
        return ""
    return next(iter(unknown_templates(annotations, config)), "")


def _of_values(config: InjectorConfig | None) -> str:
    """What makes the proxy's resources invalid: a null, or a request above its limit.

    An explicit null limit survives merging as 0 in some releases, below any request.
    """
    if config is None:
        return ""
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
